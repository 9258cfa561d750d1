/** What a dry run says: how many would be sent, why others would not, how long it takes, and what it costs. */

import type { ComponentChildren, JSX } from "preact";

import type { Schemas } from "../api";
import { count, dollars, duration, number } from "../format";
import { link } from "../router";
import { skipReason } from "../words";
import { Badge, Foreign, Time } from "./basics";

export type PreviewOfRun = Schemas["PreviewView"];

export function Preview({ preview }: { preview: PreviewOfRun }): JSX.Element {
  const { eligible, matched, skipped, expectedCost } = preview;
  return (
    <div class="preview" role="region" aria-label="Dry run">
      <p class="verdict">
        A run would send {number(eligible)} of {count(matched, "communication")}.{" "}
        {preview.needsApproval && <Badge tone="warn">needs approval</Badge>}
      </p>
      <Warnings preview={preview} />
      <dl class="pairs">
        <Pair name="left alone" when={Object.keys(skipped).length}>
          <Numbers of={Object.entries(skipped).map(([code, value]) => [skipReason(code), value])} />
        </Pair>
        <Pair name="by operation" when={Object.keys(preview.byOperation).length > 1}>
          <Numbers of={Object.entries(preview.byOperation)} />
        </Pair>
        <Pair name="failed" when={preview.oldest}>
          between <Time at={preview.oldest} /> and <Time at={preview.newest} />
        </Pair>
        <Pair name="expected time" when={eligible}>
          {duration(preview.expectedSeconds)}
        </Pair>
        <Pair name="expected cost" when={eligible}>
          {dollars(expectedCost.amount)} <span class="hint">{expectedCost.basis}</span>
        </Pair>
        <Pair name="for example" when={preview.sample.length}>
          <details>
            <summary>Show {count(preview.sample.length, "communication")}</summary>
            <ul class="facts">
              {preview.sample.map(({ id, operation, primaryId }) => (
                <li key={id}>
                  {operation}{" "}
                  <a href={link(["communications", id])}>
                    <Foreign text={primaryId} />
                  </a>
                </li>
              ))}
            </ul>
          </details>
        </Pair>
      </dl>
    </div>
  );
}

function Warnings({ preview }: { preview: PreviewOfRun }): JSX.Element {
  return (
    <>
      {preview.incomplete && (
        <p class="note">
          It could not look at everything, so these numbers are lower bounds. <Foreign text={preview.error ?? ""} />
        </p>
      )}
      {preview.truncated && <p class="note">A limit would cut the run short; later runs take the rest.</p>}
      {preview.needsApproval && (
        <p class="note">Nothing would be sent until somebody other than you approves the run.</p>
      )}
      {preview.notFoundCount > 0 && <p class="note">{count(preview.notFoundCount, "id")} are in none of the lists.</p>}
    </>
  );
}

function Pair({
  name,
  when,
  children,
}: {
  name: string;
  when: unknown;
  children: ComponentChildren;
}): JSX.Element | null {
  if (!when) return null;
  return (
    <>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </>
  );
}

function Numbers({ of }: { of: [string, number][] }): JSX.Element {
  return (
    <ul class="facts">
      {of.map(([name, value]) => (
        <li key={name}>
          {number(value)} {name}
        </li>
      ))}
    </ul>
  );
}

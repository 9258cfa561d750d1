/** What a dry run says: how many would be sent, why others would not, how long it takes, and what it costs. */

import type { ComponentChildren, JSX } from "preact";

import type { Schemas } from "../api";
import { count, dollars, duration, number } from "../format";
import { link } from "../router";
import { skipReason } from "../words";
import { Badge, Foreign, Time } from "./basics";
import { Flow, type Group } from "./flow";
import { NotFound } from "./not-found";

export type PreviewOfRun = Schemas["PreviewView"];

/** "1,234", or "at least 1,234" if there was no time to look at everything. */
export const eligibleOf = ({ eligible, incomplete }: PreviewOfRun): string =>
  `${incomplete ? "at least " : ""}${number(eligible)}`;

export function Preview({ preview }: { preview: PreviewOfRun }): JSX.Element {
  const { eligible, matched, expectedCost } = preview;
  return (
    <div class="preview" role="region" aria-label="Dry run">
      <p class="verdict">
        A run would send {eligibleOf(preview)} of {count(matched, "communication")}.{" "}
        {preview.needsApproval && <Badge tone="warn">needs approval</Badge>}
      </p>
      <Warnings preview={preview} />
      {matched > 0 && <Flow name="match" total={matched} groups={groupsOf(preview)} />}
      <dl class="pairs">
        <Pair name="failed" when={preview.oldest}>
          between <Time at={preview.oldest} /> and <Time at={preview.newest} />
        </Pair>
        <Pair name="expected time" when={eligible}>
          {duration(preview.expectedSeconds)}, in {count(preview.batches, "batch", "batches")}
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
      <NotFound ids={preview.notFound} count={preview.notFoundCount} />
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

function groupsOf(preview: PreviewOfRun): Group[] {
  const sorted = (numbers: Record<string, number>): [string, number][] =>
    Object.entries(numbers).sort(([, one], [, other]) => other - one);
  return [
    {
      name: "Would be sent",
      leaves: sorted(preview.byOperation).map(([name, value]) => ({ name, value, tone: "busy" })),
    },
    {
      name: "Left alone",
      leaves: sorted(preview.skipped).map(([code, value]) => ({ name: skipReason(code), value, tone: "plain" })),
    },
  ];
}

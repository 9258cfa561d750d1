/** A page of communications, with a checkbox for each. Shift selects all from the last one that was changed. */

import type { JSX } from "preact";
import { useRef } from "preact/hooks";

import { useNow } from "../clock";
import { number } from "../format";
import { link } from "../router";
import { COMMUNICATION_STATUS } from "../words";
import { Ago, Foreign } from "./basics";
import type { Communication } from "./decisions";

export function Entries({
  entries,
  status,
  chosen,
  choose,
}: {
  entries: Communication[];
  /** The status that all of them have; undefined if they may differ. */
  status: string | undefined;
  chosen: ReadonlySet<string>;
  choose: (ids: ReadonlySet<string>) => void;
}): JSX.Element {
  const last = useRef<string>(null);
  const ids = entries.map(({ id }) => id);
  const all = ids.every((id) => chosen.has(id));

  function toggle(id: string, event: MouseEvent): void {
    const checked = (event.currentTarget as HTMLInputElement).checked;
    const from = event.shiftKey && last.current ? ids.indexOf(last.current) : -1;
    const to = ids.indexOf(id);
    const changed = from < 0 ? [id] : ids.slice(Math.min(from, to), Math.max(from, to) + 1);
    last.current = id;
    choose(withThese(chosen, changed, checked));
  }

  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Communications">
      <table class="entries">
        <thead>
          <tr>
            <th scope="col">
              <label class="check">
                <input
                  type="checkbox"
                  checked={all}
                  indeterminate={!all && ids.some((id) => chosen.has(id))}
                  onClick={(event) => choose(withThese(chosen, ids, event.currentTarget.checked))}
                />
                <span class="hidden">Select this page</span>
              </label>
            </th>
            <th scope="col">Communication</th>
            <th scope="col">Operation</th>
            {!status && <th scope="col">Status</th>}
            <th scope="col">Reason</th>
            <th scope="col">Since</th>
            <th scope="col" class="number">
              Attempts
            </th>
            {status !== "dismissed" && <th scope="col">Retry</th>}
          </tr>
        </thead>
        <tbody>
          {entries.map((entry) => (
            <tr key={entry.id} class={chosen.has(entry.id) ? "chosen" : undefined}>
              <td>
                <label class="check">
                  <input type="checkbox" checked={chosen.has(entry.id)} onClick={(event) => toggle(entry.id, event)} />
                  <span class="hidden">Select {entry.primaryId.slice(0, 80)}</span>
                </label>
              </td>
              <th scope="row">
                <a href={link(["communications", entry.id])}>
                  <Foreign text={entry.primaryId} />
                </a>
              </th>
              <td>{entry.operation}</td>
              {!status && <td>{COMMUNICATION_STATUS[entry.status]}</td>}
              <td>{entry.reason ? <Foreign text={entry.reason} /> : <span class="none">–</span>}</td>
              <td>
                <Ago at={entry.since} />
              </td>
              <td class="number">{number(entry.attempts)}</td>
              {status !== "dismissed" && (
                <td>
                  <Retryable entry={entry} />
                </td>
              )}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function withThese(chosen: ReadonlySet<string>, ids: string[], checked: boolean): Set<string> {
  const changed = new Set(chosen);
  for (const id of ids) {
    if (checked) changed.add(id);
    else changed.delete(id);
  }
  return changed;
}

/** Until the cool-down of what was sent is over, a retry is refused. */
function Retryable({ entry }: { entry: Communication }): JSX.Element {
  const now = useNow();
  if (entry.status !== "manual") return <span class="none">–</span>;
  if (entry.coolDownUntil && Date.parse(entry.coolDownUntil) >= now) return <Ago at={entry.coolDownUntil} />;
  return <>possible</>;
}

/** What people decide about the communications that they have selected: to retry, dismiss or restore them. */

import type { JSX } from "preact";

import { call, POST, type Schemas } from "../api";
import { count, number } from "../format";
import { go } from "../router";
import { refusal } from "../words";
import { Action } from "./actions";

export type Communication = Schemas["CommunicationView"];

/** How many are restored at the same time: API Gateway takes 50 calls a second, from everybody together. */
const AT_ONCE = 5;

export const communications = (value: number): string => count(value, "communication");

/** What a retry leads to. Without the schedule, no run comes by itself. */
export function afterRetry(paused: boolean, one = false): string {
  const what = one ? "it" : "them";
  return paused
    ? `The schedule is paused, so nothing sends ${what} until you start a run.`
    : `The next run sends ${what}.`;
}

export const FINAL = "What was sent cannot be taken back.";

/** The buttons for what is selected. `status` is that of all of it; undefined if they differ. */
export function SelectedActions({
  chosen,
  status,
  paused,
}: {
  chosen: Communication[];
  status: "manual" | "dismissed" | undefined;
  paused: boolean;
}): JSX.Element {
  const ids = chosen.map(({ id }) => id);
  const them = communications(ids.length);
  const refused = ids.length ? undefined : "Select communications first.";
  const fresh = "They get fresh attempts.";
  return (
    <div class="actions selected" role="group" aria-label="For what is selected">
      <span role="status">{number(ids.length)} selected</span>
      {status !== "dismissed" && (
        <>
          <Action
            role="operator"
            primary
            refused={refused}
            confirm={{
              title: `Retry ${them}?`,
              text: `${fresh} ${afterRetry(paused)} ${FINAL}`,
              yes: `Retry ${number(ids.length)}`,
            }}
            run={() => retry(ids, false)}
          >
            Retry
          </Action>
          <Action
            role="operator"
            refused={refused}
            confirm={{
              title: `Retry ${them}, and send them now?`,
              text: `${fresh} A run for them starts at once; a large one waits for approval first. ${FINAL}`,
              yes: `Send ${number(ids.length)}`,
            }}
            run={() => retry(ids, true)}
          >
            Retry and send now
          </Action>
          <Action
            role="operator"
            danger
            refused={refused}
            confirm={{
              title: `Dismiss ${them}?`,
              text: "They are never sent, unless somebody restores them.",
              yes: `Dismiss ${number(ids.length)}`,
              note: true,
            }}
            run={(note) => dismiss(ids, note)}
          >
            Dismiss
          </Action>
        </>
      )}
      {status !== "manual" && (
        <Action role="operator" refused={refused} run={() => restore(ids)}>
          Restore
        </Action>
      )}
    </div>
  );
}

async function retry(ids: string[], startRun: boolean): Promise<string> {
  const result = (await call(POST("/communications/retry", { body: { ids, startRun } }))) as Schemas["BulkResult"];
  const [run, another] = result.runIds;
  if (run) go(another ? ["runs"] : ["runs", run]);
  const unsent = startRun && result.changed && !run ? " No run could be started; the next one takes them." : "";
  return wordsOf("retried", result) + unsent;
}

async function dismiss(ids: string[], note: string): Promise<{ text: string; undo?: () => Promise<unknown> }> {
  const result = (await call(POST("/communications/dismiss", { body: { ids, note } }))) as Schemas["BulkResult"];
  // Who was refused is not said, and what somebody else has dismissed must not be restored.
  const undo = result.changed === ids.length ? () => restore(ids) : undefined;
  return { text: wordsOf("dismissed", result), undo };
}

/** Restores communications one by one, for the API has no call for several. An error says how many were not. */
export async function restore(ids: string[]): Promise<string> {
  const problems: string[] = [];
  for (let first = 0; first < ids.length; first += AT_ONCE) {
    const calls = ids
      .slice(first, first + AT_ONCE)
      .map((communication_id) =>
        call(POST("/communications/{communication_id}/restore", { params: { path: { communication_id } } })),
      );
    for (const result of await Promise.allSettled(calls)) {
      if (result.status === "rejected") problems.push((result.reason as Error).message);
    }
  }
  const done = `${number(ids.length - problems.length)} restored`;
  if (problems.length) throw new Error(`${done}, ${number(problems.length)} not: ${[...new Set(problems)].join("; ")}`);
  return `${done}.`;
}

/** "97 retried. 3 not: 2 (what was sent before may still arrive), 1 (not on the worklist any more)." */
function wordsOf(done: string, { changed, refused }: Schemas["BulkResult"]): string {
  const reasons = Object.entries(refused);
  const left = reasons.reduce((sum, [, value]) => sum + value, 0);
  const why = reasons.map(([code, value]) => `${number(value)} (${refusal(code)})`).join(", ");
  return `${number(changed)} ${done}.${left ? ` ${number(left)} not: ${why}.` : ""}`;
}

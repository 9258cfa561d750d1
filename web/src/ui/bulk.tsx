/** What people decide about everything on the worklist that matches: a run of its own carries it out. */

import type { ComponentChildren, JSX } from "preact";

import { call, GET, once, POST, type Schemas } from "../api";
import { number } from "../format";
import { go } from "../router";
import { Action, type Question } from "./actions";
import { afterRetry, communications, FINAL } from "./decisions";

/** At least one of these is there, or the API refuses to decide about all. */
export interface Filter {
  operation?: string | undefined;
  reason?: string | undefined;
  cause?: string | undefined;
}

/** In the API's pages of 200, and in milliseconds: how long counting goes on before it ends with "more than". */
const MOST_PAGES = 10;
const LONGEST = 6_000;

export const isGiven = (filter: Filter): boolean => Object.values(filter).some(Boolean);
export const NOT_GIVEN = "Choose an operation, a reason or a cause first.";

/** The buttons for everything on the worklist that matches, on whatever page. */
export function AllActions({ filter, paused }: { filter: Filter; paused: boolean }): JSX.Element {
  const refused = isGiven(filter) ? undefined : NOT_GIVEN;
  const how = "A run of its own does it, in your name. What comes to the worklist after this is left alone.";
  return (
    <span class="actions" role="group" aria-label="For all that match">
      <Action
        role="operator"
        refused={refused}
        confirm={() => ask("Retry", filter, `${how} They get fresh attempts. ${afterRetry(paused)} ${FINAL}`)}
        run={() =>
          follow(["retry", filter], (header) =>
            call(POST("/communications/retry", { params: { header }, body: all(filter) })),
          )
        }
      >
        Retry all
      </Action>
      <Action
        role="operator"
        danger
        refused={refused}
        confirm={async () => ({
          ...(await ask("Dismiss", filter, `${how} They are never sent, unless somebody restores them one by one.`)),
          note: true,
        })}
        run={(note) =>
          follow(["dismiss", filter, note], (header) =>
            call(POST("/communications/dismiss", { params: { header }, body: { ...all(filter), note } })),
          )
        }
      >
        Dismiss all
      </Action>
    </span>
  );
}

async function ask(verb: string, filter: Filter, text: ComponentChildren): Promise<Question> {
  const { value, more } = await countMatching(filter);
  if (!value && !more) throw new Error("Nothing on the worklist matches any more.");
  const many = more ? (value ? `more than ${communications(value)}` : "all that match") : communications(value);
  return { title: `${verb} ${many}?`, text, yes: more ? `${verb} all` : `${verb} ${number(value)}` };
}

/** Counts what matches now. Nothing else knows: the scans count what the lists contain, and that some time ago. */
async function countMatching(filter: Filter): Promise<{ value: number; more: boolean }> {
  const deadline = Date.now() + LONGEST;
  let value = 0;
  let cursor: string | undefined;
  for (let pages = 0; pages < MOST_PAGES && Date.now() < deadline; pages++) {
    const query = { ...filter, limit: 200, cursor };
    const page = await call(GET("/communications", { params: { query } }));
    value += page.communications.length;
    if (!page.nextCursor) return { value, more: false };
    cursor = page.nextCursor;
  }
  return { value, more: true };
}

/** The buttons refuse to do anything without a filter, so one of these is there. */
const all = (filter: Filter) => ({ all: true, ...filter }) as { all: true; cause: string };

/** Starts a bulk run, and opens its screen. */
async function follow(what: unknown, start: Parameters<typeof once<Started, unknown>>[1]): Promise<string> {
  const run = (await once(what, start)) as Schemas["StartedRun"];
  go(["runs", run.runId]);
  return "This run decides about them.";
}

type Started = Schemas["StartedRun"] | Schemas["BulkResult"];

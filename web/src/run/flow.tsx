/** What became of a run's communications, from what matched to how each ended. */

import type { JSX } from "preact";

import { link } from "../router";
import { Section, type Tone } from "../ui/basics";
import { Flow, type Group, type Leaf } from "../ui/flow";
import { isBulk, isOpen, type Run } from "../ui/runs";
import { OUTCOME, OUTCOME_MEANING, refusal, skipReason } from "../words";
import type { Schemas } from "../api";

type Outcome = Schemas["Outcome"];

const TONE: Record<Outcome, Tone> = {
  accepted: "good",
  failed: "bad",
  rejected: "bad",
  unknown: "warn",
  deferred: "warn",
  skipped: "plain",
  not_attempted: "plain",
};

export function RunFlow({ run }: { run: Run }): JSX.Element {
  return (
    <Section title="What became of them">
      {run.matched ? (
        <Flow
          name={isBulk(run) ? "found on the worklist" : "matched"}
          total={run.matched}
          groups={isBulk(run) ? bulkGroups(run) : groups(run)}
        />
      ) : (
        <p>{isOpen(run) ? "Nothing has been found so far." : "Nothing matched."}</p>
      )}
    </Section>
  );
}

const sum = (numbers: Record<string, number>): number =>
  Object.values(numbers).reduce((total, each) => total + each, 0);

/** By reason, the most frequent first. */
function byReason(numbers: Record<string, number>, words: (code: string) => string): Leaf[] {
  return Object.entries(numbers)
    .sort(([, one], [, other]) => other - one)
    .map(([code, value]) => ({ name: words(code), value, tone: "plain" }));
}

function groups(run: Run): Group[] {
  const outcome = (code: Outcome, name = OUTCOME[code], value = run.counts[code] ?? 0): Leaf => ({
    name,
    value,
    tone: TONE[code],
    meaning: OUTCOME_MEANING[code],
    href: link(["runs", run.runId], { outcome: code }),
  });
  // What was skipped before the run began is counted by reason; the rest was left alone when its turn came.
  const later = (run.counts.skipped ?? 0) - sum(run.skipped);
  return [
    { name: "Sent", leaves: (["accepted", "failed", "rejected", "unknown"] as const).map((code) => outcome(code)) },
    { name: "Not sent", leaves: [outcome("deferred"), outcome("not_attempted")] },
    toCome(run),
    {
      name: "Left alone",
      leaves: [
        ...byReason(run.skipped, skipReason),
        {
          ...outcome("skipped", "when their turn came", later),
          meaning: "another run had sent them, or they had changed",
        },
      ],
    },
  ];
}

function bulkGroups(run: Run): Group[] {
  const [done, tone] = run.kind === "retry" ? ["retried", "good" as const] : ["dismissed", "plain" as const];
  return [
    { name: "Changed", leaves: [{ name: done, value: run.counts.changed ?? 0, tone }] },
    { name: "Refused", leaves: byReason(run.refused, refusal).map((leaf) => ({ ...leaf, tone: "warn" })) },
    {
      name: "Unknown",
      leaves: [{ name: `${done}, or still on the worklist`, value: run.counts.unknown ?? 0, tone: "warn" }],
    },
    toCome(run),
  ];
}

function toCome(run: Run): Group {
  const name = isOpen(run) ? "have not had their turn" : "the run did not get to them";
  return { name: "To come", leaves: [{ name, value: Math.max(0, run.matched - run.done), tone: "busy" }] };
}

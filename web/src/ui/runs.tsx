/** What several screens show of a run, and what people do with one. */

import type { JSX } from "preact";

import { call, POST, type Schemas } from "../api";
import { count, number } from "../format";
import { caller } from "../roles";
import { link } from "../router";
import { useStore } from "../store";
import { RUN_KIND, RUN_STATUS, starter } from "../words";
import { Action } from "./actions";
import { Ago, Badge, type Tone } from "./basics";
import { Progress } from "./chart";

export type Run = Schemas["RunView"];

/** Whether it retries or dismisses what is on the worklist, and sends nothing itself. */
export const isBulk = (run: Run): boolean => run.kind !== "reprocess";

const TONE: Record<Run["status"], Tone> = {
  requested: "busy",
  collecting: "busy",
  empty: "plain",
  awaiting_approval: "warn",
  running: "busy",
  succeeded: "good",
  partial: "warn",
  stopped: "bad",
  declined: "plain",
  failed: "bad",
};

const UNDER_WAY: Run["status"][] = ["requested", "collecting", "running"];

export const isUnderWay = (run: Run): boolean => UNDER_WAY.includes(run.status);
export const isOpen = (run: Run): boolean => isUnderWay(run) || run.status === "awaiting_approval";

/** Whether it changes by itself, and soon: also one whose wait for approval is about to end. */
export const isMoving = (run: Run): boolean =>
  isUnderWay(run) || (isOpen(run) && (run.decision !== null || run.haltReason !== null));

/** How many of what matched were not left out before anything was sent. */
export function eligible(run: Run): number {
  return run.matched - Object.values(run.skipped).reduce((sum, each) => sum + each, 0);
}

export function runName(run: Run): string {
  if (isBulk(run)) return `Bulk run: ${RUN_KIND[run.kind]}`;
  if (!run.matched) return "Run";
  return `${run.proof ? "Proof" : "Run"} of ${count(eligible(run), "communication")}`;
}

export function RunStatus({ run }: { run: Run }): JSX.Element {
  return <Badge tone={TONE[run.status]}>{RUN_STATUS[run.status]}</Badge>;
}

/** How far a run is: what was left alone before it began is not part of it. */
export function RunProgress({ run }: { run: Run }): JSX.Element {
  const before = run.matched - eligible(run);
  return isBulk(run) ? (
    <Progress done={run.done} of={run.matched} />
  ) : (
    <Progress done={Math.max(0, run.done - before)} of={eligible(run)} />
  );
}

/** A run that has not ended, in a list of cards. */
export function RunCard({ run }: { run: Run }): JSX.Element {
  return (
    <li>
      <RunStatus run={run} />
      <span>
        <a href={link(["runs", run.runId])}>{runName(run)}</a>, {starter(run)} <Ago at={run.requestedAt} />
      </span>
      {run.status === "running" && <RunProgress run={run} />}
      {run.expectedEnd && (
        <span>
          ends <Ago at={run.expectedEnd} />
        </span>
      )}
      <RunActions run={run} />
    </li>
  );
}

/** The buttons for a run that has not ended. */
export function RunActions({ run }: { run: Run }): JSX.Element | null {
  if (!isOpen(run)) return null;
  if (run.haltReason) return <span class="note">stops after what is in flight</span>;
  if (run.status === "awaiting_approval" && run.decision) return <span class="note">{run.decision}</span>;
  return run.status === "awaiting_approval" ? <Decide run={run} /> : <Stop run={run} />;
}

const pathOf = (run: Run) => ({ params: { path: { run_id: run.runId } } });

function Stop({ run }: { run: Run }): JSX.Element {
  const left = number(Math.max(0, run.matched - run.done));
  const rest = isBulk(run)
    ? "are still on the worklist, and stay there"
    : "have not had their turn; a later run takes them";
  return (
    <Action
      role="operator"
      danger
      confirm={{
        title: "Stop this run?",
        text: run.matched
          ? `It stops after what is in flight, which is not taken back. ${left} of ${number(run.matched)} ${rest}.`
          : "It has not begun, and does nothing then.",
        yes: run.matched ? `Stop before ${left}` : "Stop",
      }}
      run={async () => {
        const { status } = await call(POST("/runs/{run_id}/stop", pathOf(run)));
        return status === "stopped" ? "Stopped: it has sent nothing." : "The run stops after what is in flight.";
      }}
    >
      Stop
    </Action>
  );
}

function Decide({ run }: { run: Run }): JSX.Element {
  const who = useStore(caller);
  const size = count(eligible(run), "communication");
  const own = run.trigger === "request" && run.requestedBy === who?.name;
  return (
    <span class="actions">
      <Action
        role="approver"
        primary
        refused={own ? "You have requested this run, so somebody else has to approve it." : undefined}
        confirm={{
          title: "Approve this run?",
          text: `It sends ${size} to the application. What was sent cannot be taken back.`,
          yes: `Approve ${number(eligible(run))}`,
        }}
        run={async () => {
          await call(POST("/runs/{run_id}/approve", pathOf(run)));
          return `Approved: the run sends ${size}.`;
        }}
      >
        Approve
      </Action>
      <Action
        role="approver"
        confirm={{
          title: "Reject this run?",
          text: `It ends, and sends none of the ${size}. They stay listed, so a later run finds them again.`,
          yes: `Reject ${number(eligible(run))}`,
        }}
        run={async () => {
          await call(POST("/runs/{run_id}/reject", pathOf(run)));
          return "Rejected: the run sends nothing.";
        }}
      >
        Reject
      </Action>
    </span>
  );
}

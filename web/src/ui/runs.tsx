/** What several screens show of a run, and what people do with one. */

import type { JSX } from "preact";

import { call, POST, type Schemas } from "../api";
import { count, number } from "../format";
import { caller } from "../roles";
import { useStore } from "../store";
import { RUN_STATUS } from "../words";
import { Action } from "./actions";
import { Badge, type Tone } from "./basics";

export type Run = Schemas["RunView"];

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

/** How many of what matched were not left out before anything was sent. */
export function eligible(run: Run): number {
  return run.matched - Object.values(run.skipped).reduce((sum, each) => sum + each, 0);
}

export function RunStatus({ run }: { run: Run }): JSX.Element {
  return <Badge tone={TONE[run.status]}>{RUN_STATUS[run.status]}</Badge>;
}

/** The buttons for a run that has not ended. */
export function RunActions({ run }: { run: Run }): JSX.Element | null {
  const who = useStore(caller);
  if (!isOpen(run)) return null;
  const path = { params: { path: { run_id: run.runId } } };
  const size = count(eligible(run), "communication");
  if (run.status !== "awaiting_approval") {
    return (
      <Action
        role="operator"
        danger
        confirm={{
          title: "Stop this run?",
          text: `It stops after what is in flight. ${number(Math.max(0, run.matched - run.done))} have not had their turn; a later run takes them.`,
          yes: "Stop",
        }}
        run={async () => {
          await call(POST("/runs/{run_id}/stop", path));
          return "The run stops after what is in flight.";
        }}
      >
        Stop
      </Action>
    );
  }
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
          await call(POST("/runs/{run_id}/approve", path));
          return `Approved: the run sends ${size}.`;
        }}
      >
        Approve
      </Action>
      <Action
        role="approver"
        confirm={{ title: "Reject this run?", text: `It ends, and sends none of the ${size}.`, yes: "Reject" }}
        run={async () => {
          await call(POST("/runs/{run_id}/reject", path));
          return "Rejected: the run sends nothing.";
        }}
      >
        Reject
      </Action>
    </span>
  );
}

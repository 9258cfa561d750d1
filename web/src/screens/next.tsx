/** What to do next, in the order in which it should be done. */

import type { JSX } from "preact";

import type { Schemas } from "../api";
import { count } from "../format";
import { link } from "../router";
import { Section } from "../ui/basics";
import { CauseName } from "../ui/cause-name";
import { isUnderWay } from "../ui/runs";

type Summary = Schemas["SummaryView"];

export function Next({ summary }: { summary: Summary }): JSX.Element {
  const steps = [approval, sending, cause, onWorklist, paused].flatMap((step) => step(summary) ?? []);
  return (
    <Section title="What next?">
      {steps.length ? <ol class="steps">{steps}</ol> : <p>There is nothing to do.</p>}
    </Section>
  );
}

type Steps = JSX.Element | JSX.Element[] | undefined;

function approval({ awaitingApproval, runs }: Summary): Steps {
  if (!awaitingApproval) return undefined;
  const holds = runs.some((run) => run.status === "awaiting_approval" && run.trigger === "schedule");
  return (
    <li key="approval">
      Decide about the {count(awaitingApproval, "run")} above that {awaitingApproval === 1 ? "waits" : "wait"} for
      approval. {holds && "Until then, no other scheduled run begins."}
    </li>
  );
}

function sending({ runs }: Summary): Steps {
  if (!runs.some(isUnderWay)) return undefined;
  return <li key="sending">A run is under way: see how it goes, or stop it above.</li>;
}

/** The most frequent cause about which a run can do something: what is on the worklist needs a person instead. */
function cause({ causes }: Summary): Steps {
  const worst = causes.find((each) => !each.folded && each.count > each.onWorklist);
  if (!worst) return undefined;
  return [
    <li key="fix">
      Find out whether the application is in order again. Most frequent: {worst.operation}, <CauseName of={worst} />.
    </li>,
    <li key="preview">
      See what a run would do, without sending anything:{" "}
      <a href={link(["start"], { cause: worst.id })}>dry run for this cause</a>.
    </li>,
    <li key="prove">
      <a href={link(["causes", worst.id])}>Prove the fix</a>: a run sends one, then five, then twenty, and goes on with
      the rest only while none fails again.
    </li>,
  ];
}

function onWorklist({ worklist }: Summary): Steps {
  if (!worklist) return undefined;
  return (
    <li key="worklist">
      Decide about {count(worklist, "communication")} on the <a href={link(["worklist"])}>worklist</a>: retry or
      dismiss.
    </li>
  );
}

function paused({ schedule }: Summary): Steps {
  if (!schedule.paused) return undefined;
  return (
    <li key="paused">
      <a href={link(["schedule"])}>Resume the schedule</a> when runs may begin by themselves again.
    </li>
  );
}

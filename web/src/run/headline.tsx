/** In one sentence, how a run stands or how it ended; and in the next one, what to do. */

import type { ComponentChildren, JSX } from "preact";

import { count, number } from "../format";
import { link } from "../router";
import { Ago } from "../ui/basics";
import { eligible, isBulk, isOpen, RunActions, RunProgress, RunStatus, type Run } from "../ui/runs";
import { stopper } from "../words";

interface Verdict {
  how: ComponentChildren;
  next: ComponentChildren;
}

export function Headline({ run }: { run: Run }): JSX.Element {
  const { how, next } = (isBulk(run) ? BULK : VERDICTS)[run.status](run);
  return (
    <section aria-label="How it stands">
      <p class="verdict">
        <RunStatus run={run} /> {how}
      </p>
      <p class="next">{next}</p>
      {isOpen(run) && (
        <p class="actions">
          {run.status === "running" && <RunProgress run={run} />}
          <RunActions run={run} />
        </p>
      )}
    </section>
  );
}

const NOTHING = "There is nothing to do.";
const LATER = "What was not sent stays listed: a later run takes it.";

const outcome = (run: Run, code: string): number => run.counts[code] ?? 0;

/** How many the application got, as far as anybody knows. */
const sent = (run: Run): number =>
  ["accepted", "failed", "rejected", "unknown"].reduce((sum, code) => sum + outcome(run, code), 0);

const VERDICTS: Record<Run["status"], (run: Run) => Verdict> = {
  requested: () => ({ how: "It is about to begin.", next: `${NOTHING} You can stop it.` }),
  collecting: () => ({ how: "It reads the application's lists, to find what to send.", next: NOTHING }),
  awaiting_approval: waiting,
  running,
  empty: (run) => ({
    how: run.matched ? "It left alone everything that matched, and sent nothing." : "Nothing that failed matched.",
    next: run.matched ? "Below are the reasons." : NOTHING,
  }),
  succeeded: (run) => ({
    how: outcome(run, "accepted")
      ? `The application accepted all ${number(outcome(run, "accepted"))}.`
      : "Nothing was left to send when its turn came.",
    next: arrival(run),
  }),
  partial: (run) => ({
    how: `The application accepted ${number(outcome(run, "accepted"))} of ${number(eligible(run))}.`,
    next: rest(run),
  }),
  stopped,
  declined: (run) => ({ how: `${declinedBy(run)} It sent nothing.`, next: LATER }),
  failed: (run) => ({
    how: (
      <>
        The run itself failed: <bdi>{run.error ?? "nobody knows why"}</bdi>.
      </>
    ),
    next: `Correct what this names, or look at the log of the function. ${LATER}`,
  }),
};

const beingStopped = (by: string): Verdict => ({
  how: `It is being stopped ${stopper(by)}.`,
  next: "What is in flight ends first.",
});

function waiting(run: Run): Verdict {
  if (run.haltReason) return beingStopped(run.haltReason);
  if (run.decision === "approved")
    return { how: `${run.decidedBy ?? ""} has approved it; it begins now.`, next: NOTHING };
  if (run.decision) return { how: "Its wait for approval has ended; it sends nothing.", next: NOTHING };
  return {
    how: `It waits for approval before it sends ${count(eligible(run), "communication")}.`,
    next:
      run.trigger === "schedule"
        ? "An approver approves or rejects it. No other scheduled run begins until then."
        : `An approver other than ${run.requestedBy} approves or rejects it. Nothing is sent until then.`,
  };
}

function running(run: Run): Verdict {
  if (run.haltReason) return beingStopped(run.haltReason);
  return {
    how: (
      <>
        It sends {count(eligible(run), "communication")}
        {run.expectedEnd && (
          <>
            , and ends <Ago at={run.expectedEnd} /> if the pace stays as it is
          </>
        )}
        .
      </>
    ),
    next:
      outcome(run, "failed") + outcome(run, "rejected")
        ? "Some fail again: look at the reasons below. You can stop it."
        : "Nothing to do but wait. You can stop it.",
  };
}

function arrival(run: Run): string {
  if (run.relapsed) {
    return `${number(run.relapsed)} of these failed again later. They are sent again: look at their reasons below.`;
  }
  if (!outcome(run, "accepted")) return NOTHING;
  return run.settledAt
    ? `All of them arrived. ${NOTHING}`
    : "Whether they arrive is known after the cool-down, when the application does not list them any more.";
}

function rest(run: Run): ComponentChildren {
  const later = ["failed", "deferred", "not_attempted"].reduce((sum, code) => sum + outcome(run, code), 0);
  const rejected = outcome(run, "rejected");
  return (
    <>
      {run.listErrors.length > 0 && "Not all lists could be read: see below. "}
      {rejected > 0 && (
        <>
          Decide about {number(rejected)} that were rejected: they are on the <a href={link(["worklist"])}>worklist</a>
          .{" "}
        </>
      )}
      {later > 0 && `A later run tries ${number(later)} again. `}
      {outcome(run, "unknown") > 0 &&
        `Of ${number(outcome(run, "unknown"))}, the application's lists show after the cool-down what happened.`}
    </>
  );
}

function stopped(run: Run): Verdict {
  const why = run.haltReason ? ` ${stopper(run.haltReason)}` : "";
  const got = sent(run);
  const after = got ? `after it had sent ${number(got)} of ${number(eligible(run))}` : "before it sent anything";
  const failed = run.proof?.failedAgain ? `: ${number(run.proof.failedAgain)} of these failed again` : "";
  return { how: `It was stopped${why}, ${after}${failed}.`, next: afterStop(run) };
}

function afterStop(run: Run): ComponentChildren {
  const [code] = (run.haltReason ?? "").split(":", 1);
  if (code === "misconfigured") {
    return "Check auth.secret and reprocess.url in application.toml. The communications are not the cause.";
  }
  if (code === "breaker") {
    return "Find out whether the application is up. The next run sends a few first, and the rest if these are accepted.";
  }
  if (code === "overloaded") return `${NOTHING} A run after the pause sends the rest.`;
  if (code !== "unproven" || !run.proof) return LATER;
  return (
    <>
      Fix the <a href={link(["causes", run.proof.cause])}>cause</a>, then{" "}
      <a href={link(["start"], { cause: run.proof.cause, prove: "true" })}>prove it again</a>. The schedule goes on as
      usual: <a href={link(["schedule"])}>pause it</a> if it must not send the others either.
    </>
  );
}

function declinedBy(run: Run): string {
  if (run.decision === "declined") return `${run.decidedBy ?? "Somebody"} rejected it.`;
  return run.decidedBy ? `${run.decidedBy} approved it too late.` : "Nobody approved it in time.";
}

const changed = (run: Run): string => (run.kind === "retry" ? "retried" : "dismissed");

const progress = (run: Run): string =>
  `${number(outcome(run, "changed"))} of ${number(run.matched)} were ${changed(run)}`;

const bulkGoesOn = (run: Run): Verdict =>
  run.haltReason
    ? beingStopped(run.haltReason)
    : {
        how: `It works through the worklist: so far, ${progress(run)}.`,
        next: "Nothing to do but wait. You can stop it; what it has decided stays decided.",
      };

const bulkThen = (run: Run): string =>
  run.kind === "retry"
    ? "The next run sends what was retried; a large one waits for approval."
    : "What was dismissed is not sent, unless somebody restores it.";

/** A bulk run sends nothing: it decides about what is on the worklist. */
const BULK: Record<Run["status"], (run: Run) => Verdict> = {
  ...VERDICTS,
  collecting: bulkGoesOn,
  running: bulkGoesOn,
  empty: () => ({ how: "Nothing on the worklist matched.", next: NOTHING }),
  succeeded: (run) => ({ how: `All ${number(run.matched)} that matched were ${changed(run)}.`, next: bulkThen(run) }),
  partial: (run) => ({
    how: `${progress(run)}; ${number(outcome(run, "refused"))} were refused.`,
    next: `${bulkThen(run)} Below is why the others were refused.`,
  }),
  stopped: (run) => ({
    how: `It was stopped${run.haltReason ? ` ${stopper(run.haltReason)}` : ""}: ${progress(run)}.`,
    next: "Everything else is still on the worklist.",
  }),
  failed: (run) => ({ ...VERDICTS.failed(run), next: "Correct what this names, then make the same request again." }),
};

/** What else is known of a run: its pace, whether what it sent arrived, what it lacks, and what happened when. */

import type { ComponentChildren, JSX } from "preact";

import type { Schemas } from "../api";
import { duration, number, percentDown } from "../format";
import { link } from "../router";
import { Ago, Foreign, Section, Time } from "../ui/basics";
import { NotFound } from "../ui/not-found";
import { isBulk, isOpen, type Run } from "../ui/runs";
import { paceReason, stopper } from "../words";

export function PaceAndEnd({ run, pace }: { run: Run; pace: Schemas["PaceView"] | undefined }): JSX.Element | null {
  if (!run.pace && !run.nextRunAt) return null;
  return (
    <Section title="Pace" aside={<a href={link(["schedule"])}>Change the pace</a>}>
      <dl class="pairs">
        {run.pace && (
          <>
            <dt>{isOpen(run) ? "It may send" : "It sent at most"}</dt>
            <dd>{number(run.pace.perSecond)} a second, together with all other runs</dd>
            <dt>Why</dt>
            <dd>
              {isOpen(run) && pace ? pace.why : run.pace.reason ? paceReason(run.pace.reason) : "nothing held it down"}
            </dd>
          </>
        )}
        {run.expectedEnd && (
          <>
            <dt>Expected end</dt>
            <dd>
              <Time at={run.expectedEnd} /> (<Ago at={run.expectedEnd} />)
            </dd>
          </>
        )}
        {run.nextRunAt && (
          <>
            <dt>Next run</dt>
            <dd>
              <Time at={run.nextRunAt} />, without waiting for the schedule
            </dd>
          </>
        )}
      </dl>
    </Section>
  );
}

/** Accepted is not delivered. */
export function Arrival({ run }: { run: Run }): JSX.Element | null {
  const accepted = run.counts.accepted ?? 0;
  if (isBulk(run) || isOpen(run) || !accepted) return null;
  return (
    <Section title="Did they arrive?">
      <dl class="figures">
        <div class="good">
          <dt>accepted</dt>
          <dd>{number(accepted)}</dd>
        </div>
        <div class={run.relapsed ? "bad" : undefined}>
          <dt>failed again later</dt>
          <dd>{number(run.relapsed)}</dd>
        </div>
        <div class={run.recovery === null ? undefined : run.relapsed ? "warn" : "good"}>
          <dt>arrived</dt>
          <dd>{run.recovery === null ? "not known yet" : percentDown(run.recovery)}</dd>
        </div>
      </dl>
      {!run.settledAt && (
        <p class="note">
          It is known when the cool-down is over and a run of the schedule has read all lists since. Nothing is known
          while the schedule is paused.
        </p>
      )}
    </Section>
  );
}

/** What the run could not see, did not find, or left for later. */
export function Lacks({ run }: { run: Run }): JSX.Element | null {
  if (!run.listErrors.length && !run.notFoundCount && !run.truncated) return null;
  return (
    <Section title="What it lacks">
      {run.listErrors.length > 0 && (
        <>
          <p>
            These lists could not be read to their end, so the run lacks what they hold. Check that the application
            answers, and check them in application.toml. The next run tries again.
          </p>
          <ul>
            {run.listErrors.map((error) => (
              <li key={error}>
                <Foreign text={error} />
              </li>
            ))}
          </ul>
        </>
      )}
      <NotFound ids={run.notFound} count={run.notFoundCount} />
      {run.truncated && (
        <p>
          A limit was reached, or a list changed while it was read:{" "}
          {run.truncatedCount ? `at least ${number(run.truncatedCount)} more` : "there may be more"}. A later run takes
          them.
        </p>
      )}
    </Section>
  );
}

export function Timeline({ run }: { run: Run }): JSX.Element {
  const took = run.endedAt && duration((Date.parse(run.endedAt) - Date.parse(run.requestedAt)) / 1000);
  const decision = { approved: "Approved", declined: "Rejected", expired: "Not approved in time" };
  return (
    <Section title="When, and by whom">
      <ol class="timeline">
        <Event at={run.requestedAt}>
          {run.trigger === "schedule" ? "Started by the schedule" : `Requested by ${run.requestedBy}`}
        </Event>
        <Event at={run.collectedAt}>{isBulk(run) ? "Began with the worklist" : "Read the application's lists"}</Event>
        {run.decision && (
          <Event at={run.decidedAt}>
            {decision[run.decision]}
            {run.decidedBy && run.decision !== "expired" && ` by ${run.decidedBy}`}
          </Event>
        )}
        {run.status === "awaiting_approval" && <li>Waits for approval</li>}
        {run.haltReason && isOpen(run) && <li>Is being stopped {stopper(run.haltReason)}</li>}
        <Event at={run.endedAt}>
          {run.haltReason ? `Stopped ${stopper(run.haltReason)}` : "Ended"}, after {took}
        </Event>
        {!isBulk(run) && (run.counts.accepted ?? 0) > 0 && (
          <Event at={run.settledAt}>Settled: what arrived and what did not is known</Event>
        )}
      </ol>
    </Section>
  );
}

function Event({ at, children }: { at: string | null; children: ComponentChildren }): JSX.Element | null {
  if (!at) return null;
  return (
    <li>
      <span class="when">
        <Time at={at} />
      </span>{" "}
      {children}
    </li>
  );
}

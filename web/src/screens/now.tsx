/** What goes on now: is it still failing, why, what runs or waits for me, and what to do next. */

import type { ComponentChildren, JSX } from "preact";

import type { Schemas } from "../api";
import { count, number } from "../format";
import { link } from "../router";
import { Ago, Badge, Count, Foreign, Heading, Section, Time, Waiting } from "../ui/basics";
import { ScanChart, Trend } from "../ui/chart";
import { eligible, RunActions, RunProgress, RunStatus } from "../ui/runs";
import { causeName, incident, starter } from "../words";
import type { Screen } from "../ui/screen";

type Summary = Schemas["SummaryView"];

export function Now({ summary: { data, error } }: Screen): JSX.Element {
  return (
    <>
      <Heading title="Now">What goes on now</Heading>
      {data ? <Known summary={data} /> : <Waiting error={error} />}
    </>
  );
}

function Known({ summary }: { summary: Summary }): JSX.Element {
  return (
    <>
      <StillFailing summary={summary} />
      <Why summary={summary} />
      <Waits summary={summary} />
      <Next summary={summary} />
    </>
  );
}

function sum(summary: Summary, field: keyof Schemas["OperationView"]): number {
  return Object.values(summary.operations).reduce((total, counts) => total + counts[field], 0);
}

function StillFailing({ summary }: { summary: Summary }): JSX.Element {
  const failing = sum(summary, "failing");
  return (
    <Section
      title="Is it still failing?"
      aside={
        summary.asOf ? (
          <span>
            as of the scan of <Time at={summary.asOf} />
          </span>
        ) : undefined
      }
    >
      <p class="verdict">
        <Verdict summary={summary} failing={failing} />
      </p>
      {!summary.complete && summary.asOf && (
        <p class="note">
          The last scan could not read all lists, so these numbers are lower bounds. The last complete one was{" "}
          <Ago at={summary.lastComplete} />.
        </p>
      )}
      <dl class="figures">
        <Figure name="waiting to be sent" value={failing} tone={failing ? "bad" : "good"} />
        <Figure name="oldest since" value={<Ago at={summary.oldest} />} />
        <Figure name="sent, may still arrive" value={sum(summary, "sent")} />
        <Figure name="on the worklist" value={summary.worklist} tone={summary.worklist ? "warn" : undefined} />
      </dl>
      <ScanChart scans={summary.scans} />
    </Section>
  );
}

function Verdict({ summary, failing }: { summary: Summary; failing: number }): JSX.Element {
  if (!summary.asOf) return <>No scan of the schedule has looked yet.</>;
  if (summary.outage) {
    const { outageId, beganAt, overAt, reason } = summary.outage;
    return (
      <>
        <Badge tone={overAt ? "warn" : "bad"}>{overAt ? "outage over, not settled" : "outage"}</Badge> Since{" "}
        <Time at={beganAt} />: {incident(reason)}. <a href={link(["outages", outageId])}>Look at the outage</a>
      </>
    );
  }
  if (summary.incident) {
    return (
      <>
        <Badge tone="warn">incident</Badge> Since <Time at={summary.incident.since} />:{" "}
        {incident(summary.incident.kind)}.
      </>
    );
  }
  return failing ? (
    <>
      <Badge tone="warn">some fail</Badge> {count(failing, "communication")} waiting, and no sign of an outage.
    </>
  ) : (
    <>
      <Badge tone="good">all well</Badge> Nothing waits to be sent.
    </>
  );
}

function Figure({
  name,
  value,
  tone,
}: {
  name: string;
  value: ComponentChildren;
  tone?: string | undefined;
}): JSX.Element {
  return (
    <div class={tone}>
      <dt>{name}</dt>
      <dd>{typeof value === "number" ? number(value) : value}</dd>
    </div>
  );
}

function Why({ summary }: { summary: Summary }): JSX.Element {
  return (
    <Section title="Why?" aside={<a href={link(["causes"])}>All causes</a>}>
      {summary.causes.length ? (
        <div class="scroll" tabIndex={0} role="region" aria-label="Causes">
          <table>
            <thead>
              <tr>
                <th scope="col">Cause</th>
                <th scope="col">Operation</th>
                <th scope="col" class="number">
                  Failing
                </th>
                <th scope="col">Since</th>
                <th scope="col">Trend</th>
              </tr>
            </thead>
            <tbody>
              {summary.causes.map((cause) => (
                <tr key={cause.id}>
                  <th scope="row">
                    <a href={link(["causes", cause.id])}>
                      <Foreign text={causeName(cause)} />
                    </a>
                  </th>
                  <td>{cause.operation}</td>
                  <td class="number">
                    <Count value={cause.count} />
                  </td>
                  <td>
                    <Ago at={cause.firstSeen} />
                  </td>
                  <td>
                    <Trend trend={cause.trend} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      ) : (
        <p>Nothing fails.</p>
      )}
    </Section>
  );
}

function Waits({ summary }: { summary: Summary }): JSX.Element {
  const { schedule, pace, runs } = summary;
  const more = summary.runsUnderWay - runs.length;
  return (
    <Section title="What runs, and what waits for you?">
      {runs.length ? (
        <ul class="cards">
          {runs.map((run) => (
            <li key={run.runId}>
              <RunStatus run={run} />
              <a href={link(["runs", run.runId])}>Run of {count(eligible(run), "communication")}</a>, {starter(run)}{" "}
              <Ago at={run.requestedAt} />
              <RunProgress run={run} />
              {run.expectedEnd && (
                <span>
                  ends <Ago at={run.expectedEnd} />
                </span>
              )}
              <RunActions run={run} />
            </li>
          ))}
          {more > 0 && <li>and {count(more, "older run")}</li>}
        </ul>
      ) : (
        <p>No run is under way.</p>
      )}
      <ul class="facts">
        <li>
          <a href={link(["schedule"])}>Schedule</a>:{" "}
          {schedule.paused ? (
            <>
              <Badge tone="warn">paused</Badge> by {schedule.pausedBy} <Ago at={schedule.pausedAt} />
            </>
          ) : (
            schedule.expression
          )}
        </li>
        <li>
          <a href={link(["schedule"])}>Pace</a>: {number(pace.perSecond)} a second. {pace.why}
        </li>
        {summary.incident?.kind.startsWith("hand:") && <li>{incident(summary.incident.kind)}</li>}
      </ul>
    </Section>
  );
}

/** What to do, in the order in which it should be done. */
function Next({ summary }: { summary: Summary }): JSX.Element {
  return (
    <Section title="What next?">
      <ol class="steps">{steps(summary)}</ol>
    </Section>
  );
}

function steps(summary: Summary): ComponentChildren[] {
  const found: ComponentChildren[] = [];
  const [cause] = summary.causes.filter((each) => !each.folded);
  if (summary.awaitingApproval) {
    found.push(
      <li>
        Decide about {count(summary.awaitingApproval, "run")} above: approve or reject. No other scheduled run begins
        until then, if it is one of the schedule.
      </li>,
    );
  }
  if (cause) {
    found.push(
      <li>
        Find out whether the application is in order again. Most frequent: {cause.operation},{" "}
        <Foreign text={causeName(cause)} />.
      </li>,
      <li>
        See what a run would do, without sending anything:{" "}
        <a href={link(["start"], { cause: cause.id })}>dry run for this cause</a>.
      </li>,
      <li>
        <a href={link(["causes", cause.id])}>Prove the fix</a>: a run sends one, then five, then twenty, and goes on
        with the rest only while none fails again.
      </li>,
    );
  }
  if (summary.worklist) {
    found.push(
      <li>
        Decide about {count(summary.worklist, "communication")} on the <a href={link(["worklist"])}>worklist</a>: retry
        or dismiss.
      </li>,
    );
  }
  if (summary.schedule.paused) {
    found.push(
      <li>
        <a href={link(["schedule"])}>Resume the schedule</a> when runs may begin by themselves again.
      </li>,
    );
  }
  return found.length ? found : [<li>There is nothing to do.</li>];
}

/** What goes on now: is it still failing, why, what runs or waits for me, and what to do next. */

import type { ComponentChildren, JSX } from "preact";

import type { Schemas } from "../api";
import { useNow } from "../clock";
import { count, number } from "../format";
import { link } from "../router";
import { Ago, Badge, Count, Heading, Section, Time, Waiting } from "../ui/basics";
import { CauseName } from "../ui/cause-name";
import { ScanChart, Trend } from "../ui/chart";
import { headline, OutageState } from "../ui/outages";
import { eligible, isUnderWay, RunActions, runName, RunProgress, RunStatus, type Run } from "../ui/runs";
import { incident, scheduleInWords, secondsOfSchedule, skipReason, starter } from "../words";
import { Next } from "./next";
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
  return (
    <Section title="Is it still failing?" aside={summary.asOf ? <AsOf at={summary.asOf} /> : undefined}>
      <p class="verdict">
        <Verdict summary={summary} />
      </p>
      <Undecided summary={summary} />
      <Doubts summary={summary} />
      <div class="look">
        <Figures summary={summary} />
        <ScanChart scans={summary.scans} />
      </div>
    </Section>
  );
}

function AsOf({ at }: { at: string }): JSX.Element {
  return (
    <span>
      as of the scan of <Time at={at} />, <Ago at={at} />
    </span>
  );
}

function Figures({ summary }: { summary: Summary }): JSX.Element {
  const failing = sum(summary, "failing");
  return (
    <dl class="figures">
      <Figure name="waiting to be sent" value={failing} tone={failing ? "bad" : "good"} />
      <Figure name="the oldest failed" value={<Ago at={summary.oldest} />} />
      <Figure name="sent, may still arrive" value={sum(summary, "sent")} />
      <Figure name="on the worklist" value={summary.worklist} tone={summary.worklist ? "warn" : undefined} />
    </dl>
  );
}

function Verdict({ summary }: { summary: Summary }): JSX.Element {
  const now = useNow();
  const { outage, incident: trouble } = summary;
  if (!summary.asOf) return <>Nobody knows yet: the schedule has not looked for the first time.</>;
  if (outage) {
    return (
      <>
        Outage <OutageState outage={outage} /> {headline(outage, now)}{" "}
        <a href={link(["outages", outage.outageId])}>Look at the outage</a>
      </>
    );
  }
  const failing = sum(summary, "failing");
  if (failing) {
    return (
      <>
        <Badge tone="warn">some fail</Badge> {count(failing, "communication")} waiting, and no sign of an outage.
      </>
    );
  }
  if (!summary.complete || isOld(summary, now)) return <Badge tone="warn">nobody knows</Badge>;
  return (
    <>
      <Badge tone={trouble ? "warn" : "good"}>{trouble ? "incident" : "all well"}</Badge> Nothing waits to be sent.
    </>
  );
}

/** Nothing goes on until somebody decides, so it has to be seen without scrolling. */
function Undecided({ summary: { awaitingApproval, runs } }: { summary: Summary }): JSX.Element | null {
  if (!awaitingApproval) return null;
  const run = runs.find(({ status }) => status === "awaiting_approval");
  return (
    <p>
      <Badge tone="warn">waits for approval</Badge>{" "}
      <a href={link(run ? ["runs", run.runId] : ["runs"])}>
        A run{run && ` of ${count(eligible(run), "communication")}`}
      </a>{" "}
      sends nothing until somebody approves it{awaitingApproval > 1 && ` (and ${number(awaitingApproval - 1)} more)`}.
    </p>
  );
}

/** Whether the schedule should have looked again long ago: it has been silent three times, as for the alarm. */
function isOld({ asOf, schedule }: Summary, now: number): boolean {
  const every = secondsOfSchedule(schedule.expression);
  return every !== undefined && asOf !== null && now - Date.parse(asOf) > 3 * every * 1000;
}

/** Why the numbers may not be the whole truth. */
function Doubts({ summary }: { summary: Summary }): JSX.Element {
  const now = useNow();
  const { asOf, outage, incident: trouble } = summary;
  return (
    <>
      {trouble && trouble.kind !== outage?.reason && (
        <p>
          The scheduled runs have met trouble since <Time at={trouble.since} />: {incident(trouble.kind)}.
        </p>
      )}
      {asOf && isOld(summary, now) && (
        <p class="problem">
          Nothing has looked since <Ago at={asOf} />, so all this may be out of date.{" "}
          {summary.pace.blockedUntil
            ? "The schedule does not look while the application needs a pause."
            : "Look at the collector's log, and at the alarms."}
        </p>
      )}
      {asOf && !summary.complete && (
        <p class="problem">
          The last scan could not read all lists, so these numbers are lower bounds. The last complete one was{" "}
          <Ago at={summary.lastComplete} />.
        </p>
      )}
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
                      <CauseName of={cause} />
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
            <RunCard key={run.runId} run={run} />
          ))}
          {more > 0 && (
            <li>
              and <a href={link(["runs"])}>{count(more, "older run")}</a>
            </li>
          )}
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
            <>a run begins {scheduleInWords(schedule.expression)}, if there is anything to send</>
          )}
        </li>
        <li>
          <a href={link(["schedule"])}>Pace</a>: {number(pace.perSecond)} a second. {pace.why}
        </li>
        <Skipped skipped={summary.skipped} />
      </ul>
    </Section>
  );
}

function RunCard({ run }: { run: Run }): JSX.Element {
  return (
    <li>
      <RunStatus run={run} />
      <span>
        <a href={link(["runs", run.runId])}>{runName(run)}</a>, {starter(run)} <Ago at={run.requestedAt} />
      </span>
      {isUnderWay(run) && <RunProgress run={run} />}
      {run.expectedEnd && (
        <span>
          ends <Ago at={run.expectedEnd} />
        </span>
      )}
      <RunActions run={run} />
    </li>
  );
}

/** Why some were left alone, though they have failed. */
function Skipped({ skipped }: { skipped: Summary["skipped"] }): JSX.Element | null {
  const reasons = Object.entries(skipped).filter(([, value]) => value > 0);
  if (!reasons.length) return null;
  return (
    <li>
      Left alone by the last run: {reasons.map(([code, value]) => `${number(value)} ${skipReason(code)}`).join(", ")}
    </li>
  );
}

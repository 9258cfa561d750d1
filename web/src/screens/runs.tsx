/** All runs: those that wait or are under way, and below them page by page what has been. */

import type { JSX } from "preact";

import { call, GET } from "../api";
import { duration, number, percentDown } from "../format";
import { useLive } from "../live";
import { link, type Place } from "../router";
import { Badge, Count, Foreign, Heading, Section, Time, Waiting } from "../ui/basics";
import { Paging } from "../ui/paging";
import { Region } from "../ui/region";
import { isBulk, isMoving, isOpen, RunCard, RunStatus, type Run } from "../ui/runs";
import type { Screen } from "../ui/screen";
import { RUN_KIND, starter } from "../words";

const PER_PAGE = 25;

export function Runs({ place, summary }: Screen): JSX.Element {
  return (
    <>
      <Heading title="Runs">Runs</Heading>
      {summary.data && <Open runs={summary.data.runs} all={summary.data.runsUnderWay} />}
      <All place={place} />
    </>
  );
}

function Open({ runs, all }: { runs: Run[]; all: number }): JSX.Element {
  return (
    <Section
      title="Waiting or under way"
      aside={
        <a class="button" href={link(["start"])}>
          Start a run
        </a>
      }
    >
      {runs.length ? (
        <ul class="cards">
          {runs.map((run) => (
            <RunCard key={run.runId} run={run} />
          ))}
          {all > runs.length && <li>and {number(all - runs.length)} older ones, which are listed below</li>}
        </ul>
      ) : (
        <p>No run waits or is under way.</p>
      )}
    </Section>
  );
}

function All({ place }: { place: Place }): JSX.Element {
  const cursor = place.query.get("cursor") ?? undefined;
  const { data, error } = useLive(
    `runs?${cursor ?? ""}`,
    (signal) => call(GET("/runs", { signal, params: { query: { limit: PER_PAGE, cursor } } })),
    ({ runs }) => runs.some(isMoving),
  );
  return (
    <Section title="All runs, newest first">
      <Region label="List of runs" page={cursor}>
        {data ? <Table runs={data.runs} /> : <Waiting error={error} />}
      </Region>
      <Paging place={place} next={data?.nextCursor ?? null} />
    </Section>
  );
}

const NUMBERS = ["Matched", "Accepted", "Failed", "Not sent", "Left alone", "Relapsed"];

function Table({ runs }: { runs: Run[] }): JSX.Element {
  if (!runs.length) return <p>There are no runs here.</p>;
  return (
    <table class="runs">
      <thead>
        <tr>
          <th scope="col">Requested</th>
          <th scope="col">Status</th>
          <th scope="col" class="number">
            Took
          </th>
          {NUMBERS.map((name) => (
            <th key={name} scope="col" class="number">
              {name}
            </th>
          ))}
          <th scope="col">Started</th>
        </tr>
      </thead>
      <tbody>
        {runs.map((run) => (
          <Row key={run.runId} run={run} />
        ))}
      </tbody>
    </table>
  );
}

function Row({ run }: { run: Run }): JSX.Element {
  return (
    <tr>
      <th scope="row">
        <a href={link(["runs", run.runId])}>
          <Time at={run.requestedAt} />
        </a>
      </th>
      <td>
        <RunStatus run={run} />
        {isBulk(run) && <Badge tone="plain">{RUN_KIND[run.kind]}</Badge>}
        {run.proof && <Badge tone="plain">proof</Badge>}
      </td>
      <td class="number">{run.endedAt ? duration(seconds(run.requestedAt, run.endedAt)) : "–"}</td>
      <td class="number">
        <Count value={run.matched} />
      </td>
      {isBulk(run) ? <BulkNumbers run={run} /> : <Numbers run={run} />}
      <td class="started">
        {starter(run)}
        {run.note && (
          <>
            : <Foreign text={run.note} />
          </>
        )}
      </td>
    </tr>
  );
}

const seconds = (from: string, to: string): number => (Date.parse(to) - Date.parse(from)) / 1000;

function Numbers({ run }: { run: Run }): JSX.Element {
  const of = (...outcomes: string[]): number => outcomes.reduce((sum, each) => sum + (run.counts[each] ?? 0), 0);
  const values = [of("accepted"), of("failed", "rejected", "unknown"), of("deferred", "not_attempted"), of("skipped")];
  return (
    <>
      {values.map((value, place) => (
        <td key={NUMBERS[place + 1]} class="number">
          <Count value={value} />
        </td>
      ))}
      <td class="number">
        {of("accepted") ? <Count value={run.relapsed} /> : "–"}
        {run.recovery !== null && ` (${percentDown(run.recovery)} arrived)`}
      </td>
    </>
  );
}

/** A bulk run sends nothing, so the columns of what was sent do not fit. */
function BulkNumbers({ run }: { run: Run }): JSX.Element {
  const { changed = 0, refused = 0, unknown = 0 } = run.counts;
  return (
    <td colSpan={NUMBERS.length - 1}>
      {number(changed)} {run.kind === "retry" ? "retried" : "dismissed"}
      {refused > 0 && `, ${number(refused)} refused`}
      {unknown > 0 && `, ${number(unknown)} unknown`}
      {isOpen(run) && ", under way"}
    </td>
  );
}

/** A run's communications: why they ended as they did, and page by page which ones. */

import type { JSX } from "preact";

import { call, GET, type Schemas } from "../api";
import { number } from "../format";
import { useLive } from "../live";
import { go, link, type Place } from "../router";
import { Badge, Count, Foreign, Section, Waiting } from "../ui/basics";
import { Paging } from "../ui/paging";
import { Region } from "../ui/region";
import { isMoving, isOpen, type Run } from "../ui/runs";
import { OUTCOME, outcomeReason } from "../words";

type Outcome = Schemas["Outcome"];
type Ended = Schemas["OutcomeView"];

const OUTCOMES = Object.keys(OUTCOME) as Outcome[];
const PER_PAGE = 50;

/** Those that say what is wrong. */
const IN_VAIN: Outcome[] = ["failed", "rejected", "unknown", "deferred", "skipped", "not_attempted"];

/** How many of each outcome are looked at for their reasons: as many as one call returns. */
const LOOKED_AT = 200;

interface Reason {
  outcome: Outcome;
  reason: string | null;
  count: number;
  example: Ended;
}

/** Whether a reason would say more than the outcome does. */
const mayHaveReason = ({ outcome, reason }: Ended): boolean =>
  reason !== null || (outcome !== "accepted" && outcome !== "not_attempted");

/** Why communications were not accepted. */
export function Reasons({ run }: { run: Run }): JSX.Element | null {
  const wanted = IN_VAIN.filter((outcome) => recorded(run, outcome) > 0);
  const { data, error } = useLive(`reasons/${run.runId}/${wanted.join()}/${run.endedAt ?? ""}`, (signal) =>
    reasonsOf(run.runId, wanted, signal),
  );
  if (!wanted.length || data?.length === 0) return null;
  const partly = wanted.filter((outcome) => recorded(run, outcome) > LOOKED_AT);
  return (
    <Section title="Why the others were not accepted">
      {data ? <ReasonsTable run={run} reasons={data} /> : <Waiting error={error} />}
      {partly.length > 0 && (
        <p class="note">
          Of {partly.map((outcome) => OUTCOME[outcome]).join(" and ")}, only the first {LOOKED_AT} are counted here.
        </p>
      )}
    </Section>
  );
}

/** How many of an outcome the run has recorded; what it skipped before it began has no record. */
function recorded(run: Run, outcome: Outcome): number {
  const before = outcome === "skipped" ? Object.values(run.skipped).reduce((sum, each) => sum + each, 0) : 0;
  return (run.counts[outcome] ?? 0) - before;
}

async function reasonsOf(runId: string, wanted: Outcome[], signal: AbortSignal): Promise<Reason[]> {
  const pages = await Promise.all(wanted.map((outcome) => load(runId, signal, outcome, LOOKED_AT)));
  const found = new Map<string, Reason>();
  for (const each of pages.flatMap((page) => page.communications)) {
    if (!mayHaveReason(each)) continue;
    const key = `${each.outcome}:${each.reason}`;
    const known = found.get(key);
    if (known) known.count++;
    else found.set(key, { outcome: each.outcome, reason: each.reason, count: 1, example: each });
  }
  return [...found.values()].sort((one, other) => other.count - one.count);
}

function load(
  runId: string,
  signal: AbortSignal,
  outcome: Outcome | undefined,
  limit: number,
  cursor?: string,
): Promise<Schemas["OutcomesPage"]> {
  const params = { path: { run_id: runId }, query: { outcome, limit, cursor } };
  return call(GET("/runs/{run_id}/communications", { signal, params }));
}

function ReasonsTable({ run, reasons }: { run: Run; reasons: Reason[] }): JSX.Element {
  return (
    <Region label="List of reasons">
      <table>
        <thead>
          <tr>
            <th scope="col">Reason</th>
            <th scope="col">Outcome</th>
            <th scope="col" class="number">
              Number
            </th>
            <th scope="col">For example</th>
          </tr>
        </thead>
        <tbody>
          {reasons.map(({ outcome, reason, count, example }) => (
            <tr key={`${outcome}:${reason}`}>
              <th scope="row">
                <ReasonName reason={reason} />
              </th>
              <td>
                <a href={link(["runs", run.runId], { outcome })}>{OUTCOME[outcome]}</a>
              </td>
              <td class="number">
                <Count value={count} />
              </td>
              <td>
                <Communication of={example} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Region>
  );
}

/** The application's own codes stand apart from our words. */
function ReasonName({ reason }: { reason: string | null }): JSX.Element {
  if (!reason) return <span class="none">no reason given</span>;
  const words = outcomeReason(reason);
  return words === reason ? <Foreign text={reason} /> : <>{words}</>;
}

function Communication({ of }: { of: Ended }): JSX.Element {
  return (
    <a href={link(["communications", of.id])}>
      {of.operation} <Foreign text={of.primaryId} />
    </a>
  );
}

/** Page by page; the filter is in the address. */
export function Communications({ run, place }: { run: Run; place: Place }): JSX.Element {
  const { query } = place;
  const outcome = OUTCOMES.find((each) => each === query.get("outcome"));
  const cursor = query.get("cursor") ?? undefined;
  const { data, error } = useLive(
    `runs/${run.runId}/communications?${outcome ?? ""}&${cursor ?? ""}`,
    async (signal) => ({ ...(await load(run.runId, signal, outcome, PER_PAGE, cursor)), early: isMoving(run) }),
    // The run may have ended since this was asked for: then the last ones are missing.
    ({ early }) => early,
  );
  return (
    <Section title="Communications" aside={<Filter run={run} outcome={outcome} />}>
      <Region label="List of communications" page={cursor}>
        {data ? (
          <Table found={data.communications} more={data.nextCursor !== null} open={isOpen(run)} />
        ) : (
          <Waiting error={error} />
        )}
      </Region>
      <Paging place={place} next={data?.nextCursor ?? null} />
    </Section>
  );
}

function Filter({ run, outcome }: { run: Run; outcome: Outcome | undefined }): JSX.Element {
  return (
    <label>
      Outcome{" "}
      <select
        value={outcome ?? ""}
        onChange={(event) => go(["runs", run.runId], { outcome: event.currentTarget.value })}
      >
        <option value="">all</option>
        {OUTCOMES.map((each) => (
          <option key={each} value={each}>
            {OUTCOME[each]} ({number(recorded(run, each))})
          </option>
        ))}
      </select>
    </label>
  );
}

function Table({ found, more, open }: { found: Ended[]; more: boolean; open: boolean }): JSX.Element {
  if (!found.length)
    return (
      <p>
        {more
          ? "There is none on this page; look at the next one."
          : open
            ? "None has ended so far."
            : "There is none."}
      </p>
    );
  return (
    <table>
      <thead>
        <tr>
          <th scope="col">Communication</th>
          <th scope="col">Outcome</th>
          <th scope="col">Reason</th>
        </tr>
      </thead>
      <tbody>
        {found.map((each) => (
          <tr key={each.id}>
            <th scope="row">
              <Communication of={each} />
            </th>
            <td>
              {OUTCOME[each.outcome]} {each.relapsed && <Badge tone="bad">failed again later</Badge>}
              {each.manual && <Badge tone="warn">to the worklist</Badge>}
            </td>
            <td>{mayHaveReason(each) ? <ReasonName reason={each.reason} /> : "–"}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** One outage: whom it hit and what has become of them, why, and the numbers for a report. */

import type { JSX } from "preact";

import { call, GET } from "../api";
import { useNow } from "../clock";
import { number } from "../format";
import { useLive } from "../live";
import { report } from "../report";
import { link } from "../router";
import { Action } from "../ui/actions";
import { Ago, Count, Foreign, Heading, Section, Time, Waiting } from "../ui/basics";
import { CauseName } from "../ui/cause-name";
import { Download } from "../ui/download";
import { headline, Lasted, OutageState, type Outage } from "../ui/outages";
import { Shares } from "../ui/shares";
import { incident } from "../words";
import type { Screen } from "../ui/screen";

/** More runs than that are shown on request only. */
const RUNS_SHOWN = 10;

export function OutageScreen({ id }: Screen & { id: string }): JSX.Element {
  const path = { outage_id: id };
  const { data, error } = useLive(`outage/${id}`, (signal) =>
    call(GET("/outages/{outage_id}", { params: { path }, signal })),
  );
  return (
    <>
      <Heading title="Outage">Outage {data && <Began at={data.beganAt} />}</Heading>
      {data ? <Known outage={data} /> : <Waiting error={error} />}
    </>
  );
}

function Began({ at }: { at: string }): JSX.Element {
  return (
    <>
      of <Time at={at} />
    </>
  );
}

function Known({ outage }: { outage: Outage }): JSX.Element {
  return (
    <>
      <Affected outage={outage} />
      <Numbers outage={outage} />
      <Operations outage={outage} />
      <Causes outage={outage} />
      <Runs outage={outage} />
    </>
  );
}

function Affected({ outage }: { outage: Outage }): JSX.Element {
  const now = useNow();
  return (
    <Section title="What has become of those it hit?" aside={<AsOf outage={outage} />}>
      <p class="verdict">
        <OutageState outage={outage} /> {headline(outage, now)}
      </p>
      <Shares
        title="Of all that it hit:"
        shares={[
          { name: "recovered", value: outage.recovered, tone: "good" },
          { name: "sent, may still arrive", value: outage.sent, tone: "busy" },
          { name: "waiting to be sent", value: outage.waiting, tone: "bad" },
          { name: "on the worklist", value: outage.onWorklist, tone: "warn" },
          { name: "dismissed", value: outage.dismissed, tone: "plain" },
        ]}
      />
      {outage.onWorklist > 0 && (
        <p>
          Those on the <a href={link(["worklist"])}>worklist</a> need a person: retry or dismiss them.
        </p>
      )}
      {outage.overfull && <p class="note">It hit more than an outage keeps, so the numbers are lower bounds.</p>}
      <div class="actions">
        <Download
          name={`outage-${outage.outageId}.csv`}
          label="Download whom it hit (CSV)"
          part={(cursor, signal) =>
            GET("/outages/{outage_id}/affected.csv", {
              params: { path: { outage_id: outage.outageId }, query: { cursor } },
              parseAs: "text",
              signal,
            })
          }
        />
        <Action role="viewer" run={() => copy(outage)}>
          Copy as text
        </Action>
      </div>
    </Section>
  );
}

function AsOf({ outage }: { outage: Outage }): JSX.Element {
  return (
    <span>
      as of the scan of <Time at={outage.asOf} />
    </span>
  );
}

async function copy(outage: Outage): Promise<string> {
  try {
    await navigator.clipboard.writeText(report(outage, location.href));
  } catch {
    throw new Error("The browser does not let the page copy anything. Select the numbers below instead.");
  }
  return "Copied: a summary of the numbers, for a report.";
}

function Numbers({ outage }: { outage: Outage }): JSX.Element {
  return (
    <Section title="For a report">
      <dl class="pairs">
        <dt>Why</dt>
        <dd>{incident(outage.reason)}</dd>
        <dt>Began</dt>
        <dd>
          <Time at={outage.beganAt} />
        </dd>
        <dt>Over</dt>
        <dd>{outage.overAt ? <Time at={outage.overAt} /> : "not yet"}</dd>
        <dt>Lasted</dt>
        <dd>
          <Lasted outage={outage} />
        </dd>
        <dt>Settled</dt>
        <dd>
          <Settled outage={outage} />
        </dd>
        <dt>Failing at once</dt>
        <dd>
          at most {number(outage.most)}; usually {outage.usual === null ? "nobody knows" : number(outage.usual)}
        </dd>
        <dt>Hit</dt>
        <dd>{number(outage.hit)}</dd>
      </dl>
    </Section>
  );
}

function Settled({ outage }: { outage: Outage }): JSX.Element {
  if (outage.settledAt) return <Time at={outage.settledAt} />;
  if (!outage.expectedEnd) {
    return <>not yet; nobody can say when, because nothing is being accepted, or people hold the schedule</>;
  }
  return (
    <>
      not yet; expected <Ago at={outage.expectedEnd} />, if the pace stays as it is
    </>
  );
}

function Operations({ outage }: { outage: Outage }): JSX.Element {
  const rows = Object.entries(outage.byOperation).sort(([, one], [, other]) => other - one);
  return (
    <Section title="By operation">
      {rows.length ? (
        <div class="scroll" tabIndex={0} role="region" aria-label="Operations">
          <table class="narrow">
            <thead>
              <tr>
                <th scope="col">Operation</th>
                <th scope="col" class="number">
                  Hit
                </th>
              </tr>
            </thead>
            <tbody>
              {rows.map(([operation, hit]) => (
                <tr key={operation}>
                  <th scope="row">
                    <Foreign text={operation} />
                  </th>
                  <td class="number">
                    <Count value={hit} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      ) : (
        <p>It has hit nothing.</p>
      )}
    </Section>
  );
}

function Causes({ outage }: { outage: Outage }): JSX.Element {
  return (
    <Section title="Causes">
      {outage.causes.length ? (
        <div class="scroll" tabIndex={0} role="region" aria-label="List of causes">
          <table>
            <thead>
              <tr>
                <th scope="col">Cause</th>
                <th scope="col">Operation</th>
                <th scope="col" class="number">
                  Most at once
                </th>
              </tr>
            </thead>
            <tbody>
              {outage.causes.map((cause) => (
                <tr key={cause.id}>
                  <th scope="row">
                    <a href={link(["causes", cause.id])}>
                      <CauseName of={cause} />
                    </a>
                  </th>
                  <td>{cause.operation}</td>
                  <td class="number">
                    <Count value={cause.most} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      ) : (
        <p>No scan has found one.</p>
      )}
    </Section>
  );
}

function Runs({ outage }: { outage: Outage }): JSX.Element {
  const newest = [...outage.runIds].reverse();
  const forgotten = outage.runCount - newest.length;
  return (
    <Section title="Runs">
      {newest.length ? <RunList ids={newest.slice(0, RUNS_SHOWN)} /> : <p>No run has taken place in it.</p>}
      {newest.length > RUNS_SHOWN && (
        <details>
          <summary>Show {number(newest.length - RUNS_SHOWN)} older ones</summary>
          <RunList ids={newest.slice(RUNS_SHOWN)} />
        </details>
      )}
      {forgotten > 0 && <p class="note">An outage keeps its last 100 runs; there were {number(forgotten)} more.</p>}
    </Section>
  );
}

function RunList({ ids }: { ids: string[] }): JSX.Element {
  return (
    <ul class="facts">
      {ids.map((id) => (
        <li key={id}>
          <a href={link(["runs", id])}>{id}</a>
        </li>
      ))}
    </ul>
  );
}

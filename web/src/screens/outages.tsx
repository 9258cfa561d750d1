/** All outages, newest first. */

import type { JSX } from "preact";

import { call, GET } from "../api";
import { useLive } from "../live";
import { link } from "../router";
import { Count, Heading, Time, Waiting } from "../ui/basics";
import { Lasted, OutageState, type Outage } from "../ui/outages";
import { Paging, useTopOf } from "../ui/paging";
import { incident } from "../words";
import type { Screen } from "../ui/screen";

/** The columns of numbers. */
const NUMBERS: [string, (outage: Outage) => number][] = [
  ["Hit", ({ hit }) => hit],
  ["Recovered", ({ recovered }) => recovered],
  ["Waiting", ({ waiting }) => waiting],
  ["May still arrive", ({ sent }) => sent],
  ["On the worklist", ({ onWorklist }) => onWorklist],
  ["Dismissed", ({ dismissed }) => dismissed],
];

export function Outages({ place }: Screen): JSX.Element {
  useTopOf(place);
  const cursor = place.query.get("cursor") ?? undefined;
  const { data, error } = useLive(`outages/${cursor ?? ""}`, (signal) =>
    call(GET("/outages", { params: { query: { cursor } }, signal })),
  );
  return (
    <>
      <Heading title="Outages">Outages</Heading>
      <section aria-label="Outages">
        {!data ? <Waiting error={error} /> : data.outages.length ? <List outages={data.outages} /> : <None />}
        {data && <Paging place={place} next={data.nextCursor} />}
      </section>
    </>
  );
}

function None(): JSX.Element {
  return (
    <p>
      There has been none. An outage begins when clearly more communications fail than usual, or when scheduled runs
      find that the application as a whole is in trouble.
    </p>
  );
}

function List({ outages }: { outages: Outage[] }): JSX.Element {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="List of outages">
      <table>
        <thead>
          <tr>
            <th scope="col">Began</th>
            <th scope="col">State</th>
            <th scope="col" class="number">
              Lasted
            </th>
            <th scope="col">Why</th>
            {NUMBERS.map(([name]) => (
              <th key={name} scope="col" class="number">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {outages.map((outage) => (
            <Row key={outage.outageId} outage={outage} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Row({ outage }: { outage: Outage }): JSX.Element {
  return (
    <tr>
      <th scope="row">
        <a href={link(["outages", outage.outageId])}>
          <Time at={outage.beganAt} />
        </a>
      </th>
      <td>
        <OutageState outage={outage} />
      </td>
      <td class="number">
        <Lasted outage={outage} />
      </td>
      <td>{incident(outage.reason)}</td>
      {NUMBERS.map(([name, of]) => (
        <td key={name} class="number">
          <Count value={of(outage)} />
        </td>
      ))}
    </tr>
  );
}

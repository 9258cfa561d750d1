/** All causes: why communications are failing now, the most frequent first, and which ones are gone. */

import type { JSX } from "preact";

import { call, GET, type Schemas } from "../api";
import { count } from "../format";
import { useLive } from "../live";
import { go, link } from "../router";
import { Ago, Count, Foreign, Heading, Section, Time, Waiting } from "../ui/basics";
import { CauseName } from "../ui/cause-name";
import { Trend } from "../ui/chart";
import type { Screen } from "../ui/screen";

type Cause = Schemas["CauseView"];

export function Causes({ place, summary }: Screen): JSX.Element {
  const operation = place.query.get("operation") || undefined;
  const { data, error } = useLive(`causes ${operation ?? ""}`, (signal) =>
    call(GET("/causes", { params: { query: { operation } }, signal })),
  );
  return (
    <>
      <Heading title="Causes">Causes: why communications fail now</Heading>
      <Operation value={operation} known={Object.keys(summary.data?.operations ?? {})} />
      {data ? <Known causes={data} operation={operation} /> : <Waiting error={error} />}
    </>
  );
}

function Operation({ value = "", known }: { value: string | undefined; known: string[] }): JSX.Element {
  return (
    <p class="actions">
      <label for="operation">Operation</label>
      <select
        id="operation"
        value={value}
        onChange={(event) => go(["causes"], { operation: event.currentTarget.value })}
      >
        <option value="">all</option>
        {[...new Set([...known, value])].filter(Boolean).map((each) => (
          <option key={each}>{each}</option>
        ))}
      </select>
    </p>
  );
}

function Known({
  causes: data,
  operation,
}: {
  causes: Schemas["CausesView"];
  operation?: string | undefined;
}): JSX.Element {
  const failing = data.causes.filter((cause) => cause.count);
  const gone = data.causes.filter((cause) => !cause.count);
  const total = failing.reduce((sum, cause) => sum + cause.count, 0);
  return (
    <>
      <Section
        title="Failing"
        aside={
          data.asOf ? (
            <span>
              as of the scan of <Time at={data.asOf} />
            </span>
          ) : undefined
        }
      >
        <Reservations causes={data} />
        {failing.length > 0 ? (
          <>
            <p>
              {count(total, "communication")} for {count(failing.length, "cause")}
            </p>
            <Table causes={failing} label="Causes" />
          </>
        ) : (
          <p>
            {data.asOf ? nothing(operation) : "No scan of the schedule has looked yet. It does so at its next run."}
          </p>
        )}
      </Section>
      {gone.length > 0 && (
        <Section title="Gone" aside={<span class="note">not seen any more; kept for 24 hours</span>}>
          <div class="muted">
            <Table causes={gone} label="Causes that are gone" />
          </div>
        </Section>
      )}
    </>
  );
}

const nothing = (operation?: string): string => (operation ? `Nothing of ${operation} fails.` : "Nothing fails.");

/** What the numbers do not say. */
function Reservations({
  causes: { asOf, complete, lastComplete, capped },
}: {
  causes: Schemas["CausesView"];
}): JSX.Element {
  return (
    <>
      {asOf && !complete && (
        <p class="note">
          The last scan could not read all lists. For operations whose lists it could not, the numbers are lower bounds.{" "}
          {lastComplete ? (
            <>
              The last complete scan was <Ago at={lastComplete} />.
            </>
          ) : (
            "No scan has been complete yet."
          )}
        </p>
      )}
      {capped && (
        <p class="note">
          There are more than 100 causes, so rare ones are added up as “other”. These cannot be selected.
        </p>
      )}
    </>
  );
}

function Table({ causes, label }: { causes: Cause[]; label: string }): JSX.Element {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={label}>
      <table>
        <thead>
          <tr>
            <th scope="col">Cause</th>
            <th scope="col">Operation</th>
            <th scope="col" class="number">
              Failing
            </th>
            <th scope="col" class="number">
              On worklist
            </th>
            <th scope="col">Since</th>
            <th scope="col">Last seen</th>
            <th scope="col">Trend</th>
            <th scope="col">Example</th>
          </tr>
        </thead>
        <tbody>
          {causes.map((cause) => (
            <Row key={cause.id} cause={cause} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Row({ cause }: { cause: Cause }): JSX.Element {
  return (
    <tr>
      <th scope="row">
        <a href={link(["causes", cause.id])}>
          <CauseName of={cause} />
        </a>
      </th>
      <td>{cause.operation}</td>
      <td class="number">
        <Count value={cause.count} />
      </td>
      <td class="number">
        <Count value={cause.onWorklist} />
      </td>
      <td>
        <Ago at={cause.firstSeen} />
      </td>
      <td>
        <Ago at={cause.lastSeen} />
      </td>
      <td>
        <Trend trend={cause.trend} />
      </td>
      <td>
        <Example of={cause} />
      </td>
    </tr>
  );
}

export function Example({ of: { example } }: { of: Cause }): JSX.Element {
  if (!example) return <span class="none">–</span>;
  return (
    <a href={link(["communications", example.id])}>
      <Foreign text={example.primaryId} most={40} />
    </a>
  );
}

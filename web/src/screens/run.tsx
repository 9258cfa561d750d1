/** One run: how it stands, what became of its communications, and what happened when. */

import type { JSX } from "preact";

import { call, GET } from "../api";
import { useLive } from "../live";
import { link, type Place } from "../router";
import { Arrival, Lacks, PaceAndEnd, Timeline } from "../run/facts";
import { RunFlow } from "../run/flow";
import { Headline } from "../run/headline";
import { Communications, Reasons } from "../run/outcomes";
import { ProofSteps } from "../run/proof";
import { Foreign, Heading, Section, Waiting } from "../ui/basics";
import { isBulk, isMoving, runName, type Run } from "../ui/runs";
import type { Screen } from "../ui/screen";
import { RUN_STATUS, starter } from "../words";

export function RunScreen({ id, place, summary }: Screen & { id: string }): JSX.Element {
  const { data: run, error } = useLive(
    `runs/${id}`,
    (signal) => call(GET("/runs/{run_id}", { signal, params: { path: { run_id: id } } })),
    isMoving,
  );
  return (
    <>
      <Heading title={run ? `Run: ${RUN_STATUS[run.status]}` : "Run"}>{run ? runName(run) : "Run"}</Heading>
      <p class="note">
        <a href={link(["runs"])}>All runs</a> · <Foreign text={id} />
        {run && ` · ${starter(run)}`}
      </p>
      {run ? <Known run={run} place={place} pace={summary.data?.pace} /> : <Waiting error={error} />}
    </>
  );
}

function Known({
  run,
  place,
  pace,
}: {
  run: Run;
  place: Place;
  pace: Parameters<typeof PaceAndEnd>[0]["pace"];
}): JSX.Element {
  return (
    <>
      <Headline run={run} />
      {run.note && (
        <Section title="Note">
          <p>
            <bdi>{run.note}</bdi>
          </p>
        </Section>
      )}
      {run.proof && <ProofSteps run={run} proof={run.proof} />}
      <RunFlow run={run} />
      <Lacks run={run} />
      {!isBulk(run) && <Reasons run={run} />}
      <PaceAndEnd run={run} pace={pace} />
      <Arrival run={run} />
      <Timeline run={run} />
      {isBulk(run) ? <BulkCommunications /> : <Communications run={run} place={place} />}
    </>
  );
}

function BulkCommunications(): JSX.Element {
  return (
    <Section title="Communications">
      <p>
        A bulk run keeps no list of its own. Each communication on the <a href={link(["worklist"])}>worklist</a> says
        among its decisions which run has decided about it.
      </p>
    </Section>
  );
}

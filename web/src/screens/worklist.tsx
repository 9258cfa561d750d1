/** The worklist: what needs a person, or what people have dismissed; and what is decided about it. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";

import { call, GET, type Schemas } from "../api";
import { number } from "../format";
import { useLive } from "../live";
import { link } from "../router";
import { Heading, Section, Waiting } from "../ui/basics";
import { AllActions, isGiven, NOT_GIVEN } from "../ui/bulk";
import { SelectedActions } from "../ui/decisions";
import { Download } from "../ui/download";
import { Entries } from "../ui/entries";
import { Paging, useTopOf } from "../ui/paging";
import type { Screen } from "../ui/screen";
import { WorklistFilter } from "../ui/worklist-filter";

/** As many as one can look through, and as quick to show as ten. */
const PAGE = 100;

type Status = "manual" | "dismissed";

export function Worklist({ place, summary }: Screen): JSX.Element {
  useTopOf(place);
  const causes = useLive("causes", (signal) => call(GET("/causes", { signal })));
  return (
    <>
      <Heading title="Worklist">Worklist: what needs a person</Heading>
      <WorklistFilter
        place={place}
        operations={Object.keys(summary.data?.operations ?? {})}
        causes={causes.data?.causes ?? []}
      />
      {/* What is selected is what can be seen: another page begins without a selection. */}
      <Listing key={String(place.query)} place={place} summary={summary} />
    </>
  );
}

function Listing({ place, summary }: Screen): JSX.Element {
  const given = Object.fromEntries(place.query) as { primaryId?: string; cursor?: string } & Filters;
  const status: Status = given.status === "dismissed" ? "dismissed" : "manual";
  const { data, error } = useLive(`worklist ${place.query}`, (signal) =>
    call(GET("/communications", { params: { query: { ...given, status, limit: PAGE } }, signal })),
  );
  const title = given.primaryId ? "With this id" : status === "manual" ? "On the worklist" : "Dismissed";
  const whole = !given.primaryId && Object.keys(given).every((name) => name === "cursor");
  return (
    <Section
      title={title}
      aside={whole && summary.data && <span>{number(summary.data.worklist)} in all, as of the last scan</span>}
    >
      {data ? (
        <Page page={data} status={given.primaryId ? undefined : status} filters={given} screen={{ place, summary }} />
      ) : (
        <>
          <Waiting error={error} />
          {error && given.cursor && <a href={link(place.path, { ...given, cursor: "" })}>First page</a>}
        </>
      )}
    </Section>
  );
}

interface Filters {
  status?: string;
  operation?: string;
  reason?: string;
  cause?: string;
}

function Page({
  page: { communications, nextCursor },
  status,
  filters,
  screen: { place, summary },
}: {
  page: Schemas["CommunicationsPage"];
  /** Undefined if the page has whatever status. */
  status: Status | undefined;
  filters: Filters;
  screen: Screen;
}): JSX.Element {
  const [chosen, choose] = useState<ReadonlySet<string>>(new Set());
  const paused = summary.data?.schedule.paused ?? false;
  if (!communications.length) return <Nothing place={place} status={status} next={nextCursor} />;
  return (
    <>
      {status && <All status={status} filters={filters} paused={paused} />}
      <SelectedActions chosen={communications.filter(({ id }) => chosen.has(id))} status={status} paused={paused} />
      <Entries entries={communications} status={status} chosen={chosen} choose={choose} />
      <Paging place={place} next={nextCursor} />
    </>
  );
}

function Nothing({
  place,
  status,
  next,
}: Pick<Screen, "place"> & { status?: Status | undefined; next: string | null }): JSX.Element {
  if (next || place.query.has("cursor")) {
    return (
      <>
        <p>{next ? "Nothing found so far; the search goes on with the next page." : "Nothing else."}</p>
        <Paging place={place} next={next} />
      </>
    );
  }
  if (!status) return <p>The ledger does not know this id: no run has tried to send it.</p>;
  if (!place.query.size) return <p>Nothing needs a person.</p>;
  return (
    <p>
      Nothing matches. <a href={link(["worklist"])}>Show the whole worklist</a>
    </p>
  );
}

/** What can be done with the whole list, not only with this page of it. */
function All({ status, filters, paused }: { status: Status; filters: Filters; paused: boolean }): JSX.Element {
  const { operation, reason, cause } = filters;
  const filter = { operation, reason, cause };
  return (
    <div class="all">
      <p class="actions">
        <span>All that match, on every page:</span>
        {status === "manual" && <AllActions filter={filter} paused={paused} />}
        <Download
          name={status === "manual" ? "worklist.csv" : "dismissed.csv"}
          part={(cursor, signal) =>
            GET("/communications.csv", { params: { query: { ...filter, status, cursor } }, parseAs: "text", signal })
          }
        />
      </p>
      {status === "manual" && (
        <p class="hint">
          {isGiven(filter)
            ? "A run of its own decides about them, in your name. Before that, you see how many they are."
            : `${NOT_GIVEN} Then all that match can be retried or dismissed at once.`}
        </p>
      )}
    </div>
  );
}

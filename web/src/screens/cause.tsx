/** One cause: how many fail for it since when, and what to do, in the order in which it should be done. */

import type { ComponentChildren, JSX } from "preact";
import { useState } from "preact/hooks";

import { call, GET, once, POST, type Schemas } from "../api";
import { time } from "../clock";
import { count, number } from "../format";
import { useLive } from "../live";
import { go, link } from "../router";
import { Action } from "../ui/actions";
import { Ago, Badge, Heading, Section, Time, Waiting } from "../ui/basics";
import { CauseName } from "../ui/cause-name";
import { Trend } from "../ui/chart";
import { AllActions } from "../ui/bulk";
import { eligibleOf, Preview, type PreviewOfRun } from "../ui/preview";
import type { Screen } from "../ui/screen";
import { causeName } from "../words";
import { Example } from "./causes";

type Cause = Schemas["CauseView"];

export function CauseScreen({ id, summary }: Screen & { id: string }): JSX.Element {
  const { data: cause, error } = useLive(`cause ${id}`, (signal) =>
    call(GET("/causes/{cause_id}", { params: { path: { cause_id: id } }, signal })),
  );
  return (
    <>
      <p>
        <a href={link(["causes"])}>All causes</a>
      </p>
      <Heading title={cause ? `${cause.operation}, ${causeName(cause)}` : "Cause"}>
        {cause ? <CauseName of={cause} /> : "Cause"}
      </Heading>
      {cause ? (
        <>
          <Facts cause={cause} summary={summary.data} />
          {cause.folded ? (
            <Folded cause={cause} />
          ) : (
            <Steps cause={cause} paused={summary.data?.schedule.paused ?? false} />
          )}
        </>
      ) : (
        <Waiting error={error} />
      )}
    </>
  );
}

function Facts({ cause, summary }: { cause: Cause; summary: Schemas["SummaryView"] | undefined }): JSX.Element {
  return (
    <Section
      title="What fails?"
      aside={
        summary?.asOf ? (
          <span>
            as of the scan of <Time at={summary.asOf} />
          </span>
        ) : undefined
      }
    >
      <p class="verdict">
        {cause.count ? (
          <>
            <Badge tone="bad">failing</Badge> {count(cause.count, "communication")} of {cause.operation},{" "}
            {number(cause.onWorklist)} of them on the worklist.
          </>
        ) : (
          <>
            <Badge tone="good">gone</Badge> Nothing of {cause.operation} fails for this cause any more.
          </>
        )}
      </p>
      {summary && !summary.complete && (
        <p class="note">The last scan could not read all lists, so these numbers may be lower bounds.</p>
      )}
      <dl class="pairs">
        <dt>first seen</dt>
        <dd>
          <Time at={cause.firstSeen} /> (<Ago at={cause.firstSeen} />)
        </dd>
        <dt>last seen</dt>
        <dd>
          <Time at={cause.lastSeen} /> (<Ago at={cause.lastSeen} />)
        </dd>
        <dt>trend</dt>
        <dd>
          <Trend trend={cause.trend} /> <Counts trend={cause.trend} />
        </dd>
        <dt>example</dt>
        <dd>
          <Example of={cause} />
        </dd>
      </dl>
    </Section>
  );
}

/** The numbers of a trend. Scans before the cause was first seen are zeros, and say nothing. */
function Counts({ trend }: { trend: number[] }): JSX.Element {
  const seen = trend.slice(trend.findIndex(Boolean));
  return (
    <span>
      {seen.map(number).join(", ")} <span class="hint">in the last {count(seen.length, "scan")}, the newest last</span>
    </span>
  );
}

function Folded({ cause }: { cause: Cause }): JSX.Element {
  return (
    <Section title="What next?">
      <p>
        This adds up causes that are rare, each with a reason of its own, so it cannot be selected: a run for it would
        mean something else at the next scan. Once others are gone, the rare ones appear by themselves.
      </p>
      <p>
        Until then, <a href={link(["start"], { operation: cause.operation })}>start a run for {cause.operation}</a>, or
        look at its <a href={link(["worklist"], { operation: cause.operation })}>worklist</a>.
      </p>
    </Section>
  );
}

interface Seen {
  preview: PreviewOfRun;
  at: string;
}

/** What to do: look, try, and only then everything. */
function Steps({ cause, paused }: { cause: Cause; paused: boolean }): JSX.Element {
  const [seen, setSeen] = useState<Seen>();
  const preview = seen?.preview;
  const sendable = preview?.eligible ?? cause.count;
  const least = preview?.incomplete ? "at least " : "";
  const refused = sendable || least ? undefined : refusalOf(preview);
  return (
    <Section title="What next?">
      <ol class="steps">
        <Step text="See what a run would do, without sending anything.">
          <Action role="operator" run={() => dryRun(cause, setSeen)}>
            Dry run
          </Action>
          {seen && (
            <>
              <p class="hint">
                seen <Ago at={seen.at} />
              </p>
              <Preview preview={seen.preview} />
            </>
          )}
        </Step>
        <Step text="Prove the fix: send one, then five, then twenty, and the rest only while none fails again.">
          <Action
            role="operator"
            primary
            refused={refused}
            confirm={{
              title: `Prove the fix with ${least}${count(sendable, "communication")}?`,
              text: <Proof sendable={sendable} preview={preview} />,
              yes: "Prove the fix",
            }}
            run={() => start({ cause: cause.id, prove: true }, "The run sends one communication first.")}
          >
            Prove the fix
          </Action>
        </Step>
        <Step text="Or send all at once, if you are sure that it is fixed.">
          <Action
            role="operator"
            refused={refused}
            confirm={{
              title: `Send ${least}${count(sendable, "communication")}?`,
              text: <Everything cause={cause} preview={preview} />,
              yes: `Send ${least}${number(sendable)}`,
            }}
            run={() => start({ cause: cause.id }, "The run is started.")}
          >
            Send all
          </Action>
        </Step>
        {cause.onWorklist > 0 && (
          <Step
            text={
              <>
                Or decide about the {number(cause.onWorklist)} on the{" "}
                <a href={link(["worklist"], { cause: cause.id })}>worklist with this cause</a>, without sending now.
              </>
            }
          >
            <AllActions filter={{ cause: cause.id }} paused={paused} />
          </Step>
        )}
      </ol>
    </Section>
  );
}

function refusalOf(preview: PreviewOfRun | undefined): string {
  if (preview) return "The dry run has found nothing to send.";
  return "The last scan found nothing that fails for this cause. A dry run looks again.";
}

function Step({ text, children }: { text: ComponentChildren; children: ComponentChildren }): JSX.Element {
  return (
    <li>
      <p>{text}</p>
      {children}
    </li>
  );
}

function Proof({ sendable, preview }: { sendable: number; preview: PreviewOfRun | undefined }): JSX.Element {
  const rest = sendable - 26;
  return (
    <>
      <p>
        One is sent, then five, then twenty, {rest > 0 ? `then the rest: ${number(rest)} of ${number(sendable)}. ` : ""}
        It stops by itself as soon as one fails for this cause again.
      </p>
      <Before preview={preview} />
    </>
  );
}

function Everything({ cause, preview }: { cause: Cause; preview: PreviewOfRun | undefined }): JSX.Element {
  return (
    <>
      <p>
        All are sent, without trying a few first. {cause.onWorklist > 0 && "Those on the worklist are sent as well. "}
        What was sent cannot be taken back.
      </p>
      <Before preview={preview} />
    </>
  );
}

/** What comes before a run sends anything, and what the number rests on. */
function Before({ preview }: { preview: PreviewOfRun | undefined }): JSX.Element {
  if (!preview)
    return <p>This is the number of the last scan; a dry run says it exactly. A large run waits for approval.</p>;
  return (
    <p>{preview.needsApproval ? "First, somebody other than you has to approve the run." : "It needs no approval."}</p>
  );
}

async function dryRun(cause: Cause, show: (seen: Seen) => void): Promise<string> {
  const body = { cause: cause.id, dryRun: true };
  const preview = (await call(POST("/reprocess", { body }))) as PreviewOfRun;
  show({ preview, at: new Date(time()).toISOString() });
  return `Nothing was sent. A run would send ${eligibleOf(preview)} of ${count(preview.matched, "communication")}.`;
}

async function start(body: { cause: string; prove?: boolean }, said: string): Promise<string> {
  const run = await once(body, (header) => call(POST("/reprocess", { params: { header }, body })));
  go(["runs", (run as Schemas["StartedRun"]).runId]);
  return said;
}

/** One communication: what it waits for, what was tried and decided so far, and what to do with it. */

import type { JSX } from "preact";

import { call, CallFailed, GET, POST, type Schemas } from "../api";
import { useNow } from "../clock";
import { count, moment, number } from "../format";
import { useLive } from "../live";
import { go, link } from "../router";
import { Action } from "../ui/actions";
import { Ago, Badge, Foreign, Heading, Section, Time, type Tone, Waiting } from "../ui/basics";
import { afterRetry, restore } from "../ui/decisions";
import type { Screen } from "../ui/screen";
import { answer, COMMUNICATION_MEANING, COMMUNICATION_STATUS, DECISION } from "../words";

type Communication = Schemas["CommunicationDetail"];

const TONE: Record<Communication["status"], Tone> = {
  open: "plain",
  sending: "busy",
  accepted: "good",
  unknown: "warn",
  manual: "warn",
  dismissed: "plain",
};

export function CommunicationScreen({ id, summary }: Screen & { id: string }): JSX.Element {
  const { data, error } = useLive(
    `communication ${id}`,
    (signal) => call(GET("/communications/{communication_id}", { params: { path: { communication_id: id } }, signal })),
    ({ status }) => status === "sending",
  );
  return (
    <>
      <p>
        <a href={link(["worklist"])}>Worklist</a>
      </p>
      <Heading title={data ? `${data.operation} ${data.primaryId}` : "Communication"}>
        {data ? (
          <>
            {data.operation} <Foreign text={data.primaryId} most={1000} />
          </>
        ) : (
          "Communication"
        )}
      </Heading>
      {data ? (
        <>
          <State communication={data} paused={summary.data?.schedule.paused ?? false} />
          <Past communication={data} />
        </>
      ) : error instanceof CallFailed && error.status === 404 ? (
        <p>
          The ledger does not know this communication. Either no run has tried to send it yet, or the last attempt was
          so long ago that it is forgotten.
        </p>
      ) : (
        <Waiting error={error} />
      )}
    </>
  );
}

function State({ communication, paused }: { communication: Communication; paused: boolean }): JSX.Element {
  const { status, reason, since, attempts, coolDownUntil } = communication;
  return (
    <Section title="Now">
      <p class="verdict">
        <Badge tone={TONE[status]}>{COMMUNICATION_STATUS[status]}</Badge> {COMMUNICATION_MEANING[status]}
      </p>
      <dl class="pairs">
        {reason && (
          <>
            <dt>reason</dt>
            <dd>
              <Foreign text={reason} />
            </dd>
          </>
        )}
        {since && (
          <>
            <dt>since</dt>
            <dd>
              <Time at={since} /> (<Ago at={since} />)
            </dd>
          </>
        )}
        <dt>attempts</dt>
        <dd>{number(attempts)}</dd>
        {coolDownUntil && (
          <>
            <dt>cool-down until</dt>
            <dd>
              <Time at={coolDownUntil} /> (<Ago at={coolDownUntil} />)
            </dd>
          </>
        )}
      </dl>
      <Actions communication={communication} paused={paused} />
    </Section>
  );
}

function Actions({ communication, paused }: { communication: Communication; paused: boolean }): JSX.Element {
  const { id, status } = communication;
  const unretryable = useRetryRefusal(communication);
  const fresh = "It gets fresh attempts.";
  return (
    <div class="actions">
      <Action
        role="operator"
        primary
        refused={unretryable}
        confirm={{
          title: "Retry this communication?",
          text: `${fresh} ${afterRetry(paused, true)} What was sent cannot be taken back.`,
          yes: "Retry",
        }}
        run={() => retry(id, false)}
      >
        Retry
      </Action>
      <Action
        role="operator"
        refused={unretryable}
        confirm={{
          title: "Retry this communication, and send it now?",
          text: `${fresh} A run for this one starts at once. What was sent cannot be taken back.`,
          yes: "Send 1",
        }}
        run={() => retry(id, true)}
      >
        Retry and send now
      </Action>
      {status === "dismissed" ? (
        <Action role="operator" run={() => restore([id])}>
          Restore
        </Action>
      ) : (
        <Action
          role="operator"
          danger
          refused={status === "sending" ? "It may be in the middle of being sent." : undefined}
          confirm={{
            title: "Dismiss this communication?",
            text: "It is never sent, unless somebody restores it.",
            yes: "Dismiss",
            note: true,
          }}
          run={(note) => dismiss(id, note)}
        >
          Dismiss
        </Action>
      )}
    </div>
  );
}

/** Why it cannot be retried now; undefined if it can. */
function useRetryRefusal({ status, coolDownUntil }: Communication): string | undefined {
  const now = useNow();
  if (status === "dismissed") return "It is dismissed. Restore it first.";
  if (status !== "manual") return "It is not on the worklist: runs deal with it by themselves.";
  if (!coolDownUntil || Date.parse(coolDownUntil) < now) return undefined;
  return `What was sent before may still arrive. Retry it after ${moment(coolDownUntil)}.`;
}

async function retry(communication_id: string, startRun: boolean): Promise<string> {
  const path = { params: { path: { communication_id } } };
  const { runId } = await call(POST("/communications/{communication_id}/retry", { ...path, body: { startRun } }));
  if (runId) go(["runs", runId]);
  return startRun && !runId ? "Retried, but no run could be started; the next one takes it." : "Retried.";
}

async function dismiss(
  communication_id: string,
  note: string,
): Promise<{ text: string; undo: () => Promise<unknown> }> {
  const path = { params: { path: { communication_id } } };
  await call(POST("/communications/{communication_id}/dismiss", { ...path, body: { note } }));
  return { text: "Dismissed.", undo: () => restore([communication_id]) };
}

/** What runs have tried and what people have decided, in the order in which it happened. */
function Past({ communication }: { communication: Communication }): JSX.Element {
  const { history, decisions, decisionsForgotten } = communication;
  const events = [
    ...history.map((attempt) => ({ at: attempt.at, what: <Attempt attempt={attempt} /> })),
    ...decisions.map((decision) => ({ at: decision.at, what: <Decision decision={decision} /> })),
  ].sort((one, other) => Date.parse(one.at) - Date.parse(other.at));
  return (
    <Section title="What happened">
      {decisionsForgotten > 0 && <p class="note">{count(decisionsForgotten, "earlier decision")} are not kept.</p>}
      {events.length ? (
        <ol class="timeline">
          {events.map(({ at, what }, place) => (
            <li key={place}>
              <span class="when">
                <Time at={at} />
              </span>
              <span>{what}</span>
            </li>
          ))}
        </ol>
      ) : (
        <p>Nothing was tried or decided yet.</p>
      )}
    </Section>
  );
}

function Attempt({ attempt }: { attempt: Schemas["AttemptView"] }): JSX.Element {
  return (
    <>
      <a href={link(["runs", attempt.runId])}>A run</a> tried to send it: {answer(attempt.answer)}
      {attempt.reason && (
        <>
          , <Foreign text={attempt.reason} />
        </>
      )}
    </>
  );
}

function Decision({ decision: { by, action, note, runId } }: { decision: Schemas["DecisionView"] }): JSX.Element {
  return (
    <>
      <bdi>{by}</bdi> {DECISION[action]}
      {runId && (
        <>
          {" "}
          with a <a href={link(["runs", runId])}>bulk run</a>
        </>
      )}
      {note && (
        <>
          :{" "}
          <q>
            <bdi>{note}</bdi>
          </q>
        </>
      )}
    </>
  );
}

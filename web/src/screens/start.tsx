/** Starts a run: first a preview of what it would send, then the run. Nothing is sent that was not previewed. */

import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

import { call, CallFailed, once, POST, type Schemas } from "../api";
import { time } from "../clock";
import { number } from "../format";
import { caller, refusedFor } from "../roles";
import { go, link, type Place } from "../router";
import { Fields } from "../start/fields";
import {
  type Field,
  type FieldProblem,
  fromAddress,
  identity,
  problemIn,
  type Selection,
  toAddress,
  toSelection,
  unreadTime,
} from "../start/selection";
import { useStore } from "../store";
import { Action, announce } from "../ui/actions";
import { Ago, Heading, Section } from "../ui/basics";
import { eligibleOf, Preview, type PreviewOfRun } from "../ui/preview";
import type { Screen } from "../ui/screen";

interface Previewed {
  selection: Selection;
  preview: PreviewOfRun;
  at: string;
}

export function StartRun({ place, summary }: Screen): JSX.Element {
  const operations = Object.keys(summary.data?.operations ?? {});
  return (
    <>
      <Heading title="Start a run">Start a run</Heading>
      <p>Say which of the failed communications to send again. First see what a run would do: that sends nothing.</p>
      <Start key={useVisits(place)} query={place.query} operations={operations} />
    </>
  );
}

/** How often an address has been opened: each time, the form begins with what the address says. */
function useVisits(place: Place): number {
  const visits = useRef({ place, count: 0 });
  if (visits.current.place !== place) visits.current = { place, count: visits.current.count + 1 };
  return visits.current.count;
}

function Start({ query, operations }: { query: URLSearchParams; operations: string[] }): JSX.Element {
  useStore(caller);
  const [form, setForm] = useState(() => fromAddress(query));
  const [previewed, setPreviewed] = useState<Previewed>();
  const [problem, setProblem] = useState(() => unreadTime(query));
  const [busy, setBusy] = useState(false);
  const element = useRef<HTMLFormElement>(null);
  const controller = useRef<AbortController>(undefined);
  const refused = refusedFor("operator");
  const selection = toSelection(form);
  const isSame = previewed !== undefined && identity(previewed.selection) === identity(selection);

  useEffect(() => () => controller.current?.abort(), []);
  useEffect(() => {
    const field = problem?.field && element.current?.querySelector<HTMLElement>(`#${problem.field}`);
    if (field) field.focus();
  }, [problem]);

  /** What cannot be read counts as nothing, so it would select more than was meant. */
  function unreadable(): boolean {
    const found = element.current?.querySelector<HTMLInputElement>("input:invalid");
    const text = found?.id === "limit" ? "Must be a whole number." : "This time is not complete.";
    if (found) setProblem({ field: found.id as Field, text });
    return Boolean(found);
  }

  async function preview(event: Event): Promise<void> {
    event.preventDefault();
    if (refused) announce(refused);
    if (refused || busy || unreadable()) return;
    setBusy(true);
    setProblem(undefined);
    setPreviewed(undefined);
    controller.current = new AbortController();
    const { signal } = controller.current;
    try {
      const answer = await call(POST("/reprocess", { signal, body: { ...selection, dryRun: true } }));
      setPreviewed({ selection, preview: answer as PreviewOfRun, at: new Date(time()).toISOString() });
      history.replaceState(null, "", link(["start"], toAddress(selection)));
    } catch (failure) {
      if (signal.aborted) return;
      setProblem(problemIn(failure instanceof Error ? failure.message : String(failure)));
    }
    setBusy(false);
  }

  async function start(): Promise<string> {
    if (unreadable()) throw new Error("Correct the selection, and preview it again.");
    try {
      const run = await once(
        selection,
        (header, body) => call(POST("/reprocess", { params: { header }, body })),
        identity(selection),
      );
      go(["runs", (run as Schemas["StartedRun"]).runId]);
      return "The run is requested. It begins in a moment.";
    } catch (failure) {
      throw explained(failure, setProblem);
    }
  }

  return (
    <>
      <form ref={element} noValidate onSubmit={(event) => void preview(event)}>
        <Section title="Which communications?">
          {problem && !problem.field && (
            <p class="problem" role="alert">
              {problem.text}
            </p>
          )}
          <Fields
            form={form}
            operations={operations}
            problem={problem}
            change={(changes) => setForm((before) => ({ ...before, ...changes }))}
          />
          <p class="actions">
            <button
              type="submit"
              class={isSame ? undefined : "primary"}
              aria-disabled={refused || busy ? "true" : undefined}
              title={refused}
            >
              Preview
            </button>
            <span role="status">{busy ? "Looking at what is listed …" : ""}</span>
          </p>
        </Section>
      </form>
      {previewed && <Result key={previewed.at} previewed={previewed} isSame={isSame} start={start} />}
    </>
  );
}

/** What the preview has found, and the button that starts exactly that. It takes the focus when it appears. */
function Result({
  previewed,
  isSame,
  start,
}: {
  previewed: Previewed;
  isSame: boolean;
  start: () => Promise<string>;
}): JSX.Element {
  const { preview, at } = previewed;
  const result = useRef<HTMLDivElement>(null);
  useEffect(() => result.current?.focus(), []);
  return (
    <div ref={result} tabIndex={-1} class="result">
      <Section
        title="What it would do"
        aside={
          <span>
            seen <Ago at={at} />
          </span>
        }
      >
        {!isSame && <p class="problem">You have changed the selection since. Preview it again.</p>}
        <Preview preview={preview} />
        <p class="actions">
          <Action
            role="operator"
            primary={isSame}
            refused={refusal(preview, isSame)}
            confirm={{
              title: "Start this run?",
              text: question(previewed),
              yes: `Start: ${number(preview.eligible)}`,
            }}
            run={start}
          >
            Start: send {eligibleOf(preview)}
          </Action>
        </p>
      </Section>
    </div>
  );
}

function refusal(preview: PreviewOfRun, isSame: boolean): string | undefined {
  if (!isSame) return "You have changed the selection: preview it again first.";
  return preview.eligible || preview.incomplete ? undefined : "There is nothing to send.";
}

function question({ preview, selection }: Previewed): string {
  const what = `It sends ${eligibleOf(preview)} to the application`;
  if (preview.needsApproval) return `${what} when an approver other than you has approved it.`;
  const how = selection.prove ? ", one first, and stops when one fails again" : "";
  return `${what}${how}. What was sent cannot be taken back.`;
}

/** What the API refuses is shown at its field. Without an answer, the run may have begun. */
function explained(failure: unknown, show: (problem: FieldProblem) => void): unknown {
  if (!(failure instanceof CallFailed)) return failure;
  if (failure.status === 400) show(problemIn(failure.message));
  if (failure.status !== 0 && failure.status < 500) return failure;
  return new Error(
    `${failure.message} The run may have begun. Start it again within ten minutes: that begins no second one.`,
  );
}

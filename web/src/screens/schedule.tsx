/** When runs begin by themselves, and how fast they may send. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";

import { call, DELETE, GET, POST, PUT, type Schemas } from "../api";
import { time } from "../clock";
import { duration, number } from "../format";
import { caller } from "../roles";
import { Action } from "../ui/actions";
import { Ago, Badge, Heading, Section, Time, Waiting } from "../ui/basics";
import { scheduleInWords } from "../words";
import type { Screen } from "../ui/screen";

type Schedule = Schemas["ScheduleView"];
type Pace = Schemas["PaceView"];

/** The limits of PUT /pace. */
const LEAST = 0.1;
const MOST = 10_000;
const MOST_MINUTES = 10_080;

const SECONDS = new Intl.NumberFormat(undefined, { maximumFractionDigits: 2 });
const perSecond = (value: number): string => `${SECONDS.format(value)} a second`;

export function ScheduleAndPace({ summary: { data, error } }: Screen): JSX.Element {
  return (
    <>
      <Heading title="Schedule and pace">Schedule and pace</Heading>
      {data ? (
        <>
          <ScheduleSection schedule={data.schedule} />
          <PaceSection pace={data.pace} />
          <ByHand pace={data.pace} />
        </>
      ) : (
        <Waiting error={error} />
      )}
    </>
  );
}

function ScheduleSection({ schedule }: { schedule: Schedule }): JSX.Element {
  return (
    <Section title="Schedule">
      <p class="verdict">
        {schedule.paused ? (
          <>
            <Badge tone="warn">paused</Badge> by {schedule.pausedBy} <Ago at={schedule.pausedAt} />: no run begins by
            itself.
          </>
        ) : (
          <>
            <Badge tone="good">on</Badge> A run begins by itself {scheduleInWords(schedule.expression)}, if there is
            anything to send.
          </>
        )}
      </p>
      <dl class="pairs">
        <dt>Expression</dt>
        <dd>
          <code>{schedule.expression}</code>
        </dd>
      </dl>
      <div class="actions">{schedule.paused ? <Resume /> : <Pause />}</div>
      <p class="hint">
        While it is paused, the schedule still looks at what fails. You can start runs yourself, and those under way go
        on: stop them on their own screens.
      </p>
    </Section>
  );
}

const pause = (): Promise<Schedule> => call(POST("/schedule/pause"));
const resume = (): Promise<Schedule> => call(POST("/schedule/resume"));

/** Resumes the schedule, unless it is paused by another pause than ours. */
async function takeBackPause(ours: Schedule): Promise<void> {
  const { paused, pausedBy, pausedAt } = await call(GET("/schedule"));
  if (paused && pausedAt !== ours.pausedAt) {
    throw new Error(`${pausedBy} has paused the schedule since. Resume it if that is right.`);
  }
  await resume();
}

function Pause(): JSX.Element {
  return (
    <Action
      role="operator"
      run={async () => {
        const ours = await pause();
        // The first pause stays, and is not ours to take back.
        if (ours.pausedBy !== caller.get()?.name) return `${ours.pausedBy} had paused the schedule just before.`;
        const text = "Paused: no run begins by itself until somebody resumes the schedule.";
        return { text, undo: () => takeBackPause(ours) };
      }}
    >
      Pause the schedule
    </Action>
  );
}

function Resume(): JSX.Element {
  return (
    <Action
      role="operator"
      primary
      run={async () => {
        await resume();
        return { text: "Resumed: runs begin by themselves again.", undo: pause };
      }}
    >
      Resume the schedule
    </Action>
  );
}

function PaceSection({ pace }: { pace: Pace }): JSX.Element {
  return (
    <Section title="Pace">
      <p class="verdict">
        {pace.blockedUntil ? (
          <>
            <Badge tone="bad">blocked</Badge> Nothing is sent for now: the next may be sent{" "}
            <Ago at={pace.blockedUntil} />.
          </>
        ) : (
          <>
            <Badge tone={pace.reason ? "warn" : "good"}>{perSecond(pace.perSecond)}</Badge> is what all runs together
            may send.
          </>
        )}
      </p>
      <p>{pace.why}</p>
      <dl class="pairs">
        <Pair name="The pace" value={perSecond(pace.perSecond)} />
        <Pair name="Since" value={pace.since ? <Time at={pace.since} /> : "the beginning"} />
        <Pair name="Went well" value={known(pace.sustainedPerSecond, (rate) => `up to ${perSecond(rate)}`)} />
        <Pair
          name="Was refused"
          value={known(pace.refusedPerSecond, (rate) => `from ${perSecond(rate)} on`, "nothing")}
        />
        <Pair name="An answer takes" value={known(pace.usualMs, (ms) => `usually ${number(ms)} ms`)} />
        <Pair name="Blocked until" value={pace.blockedUntil ? <Time at={pace.blockedUntil} /> : "not blocked"} />
        <Pair name="Set by hand" value={pace.setBy ? <SetBy pace={pace} /> : "no, it finds out by itself"} />
        <Pair
          name="Ceilings in application.toml"
          value={`${known(pace.maxPerSecond, perSecond, "any number a second")}, ${known(pace.maxInFlight, (most) => `${number(most)} at once`, "any number at once")}`}
        />
      </dl>
    </Section>
  );
}

function known(value: number | null, words: (value: number) => string, otherwise = "nobody knows yet"): string {
  return value === null ? otherwise : words(value);
}

function Pair({ name, value }: { name: string; value: JSX.Element | string }): JSX.Element {
  return (
    <>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </>
  );
}

function SetBy({ pace }: { pace: Pace }): JSX.Element {
  return (
    <>
      by {pace.setBy}, until <Time at={pace.setUntil} />
    </>
  );
}

/** Sets the pace, and gives it back. */
function ByHand({ pace }: { pace: Pace }): JSX.Element {
  const [rate, setRate] = useState("");
  const [minutes, setMinutes] = useState("60");
  const most = pace.maxPerSecond ?? MOST;
  const problem =
    problemOf("Communications a second", rate, LEAST, most) ?? problemOf("Minutes", minutes, 1, MOST_MINUTES, true);
  return (
    <Section title="Set the pace by hand">
      <p>
        Usually there is nothing to set. It holds for all runs from the next batch on, and replaces what anybody has set
        before. When the application asks for a pause, nothing is sent all the same.
      </p>
      <form noValidate onSubmit={(event) => event.preventDefault()}>
        <div class="fields">
          <NumberField
            id="per-second"
            label="Communications a second"
            value={rate}
            set={setRate}
            hint={`From ${number(LEAST)} to ${number(most)}${pace.maxPerSecond ? ", the ceiling in application.toml" : ""}`}
          />
          <NumberField
            id="minutes"
            label="Minutes"
            value={minutes}
            set={setMinutes}
            hint={`From 1 to ${number(MOST_MINUTES)} (${duration(MOST_MINUTES * 60)}); then it finds out by itself again`}
          />
        </div>
        <p class="actions">
          <Action
            role="operator"
            primary
            submit
            refused={problem}
            run={async () => {
              const before = await current();
              const ours = await put(Number(rate), Number(minutes));
              return {
                text: `Set to ${perSecond(Number(rate))} for ${duration(Number(minutes) * 60)}.`,
                undo: () => takeBack(ours, before),
              };
            }}
          >
            Set the pace
          </Action>
        </p>
      </form>
      <h3>Give it back</h3>
      <p>
        Then it finds out by itself again what the application can take. A pause that the application wants ends, too.
      </p>
      <Release pace={pace} />
    </Section>
  );
}

function problemOf(name: string, value: string, least: number, most: number, whole = false): string | undefined {
  const given = Number(value);
  const fits = value.trim() && given >= least && given <= most && (!whole || Number.isInteger(given));
  return fits ? undefined : `${name}: write a ${whole ? "whole " : ""}number from ${number(least)} to ${number(most)}.`;
}

interface NumberFieldProps {
  id: string;
  label: string;
  value: string;
  set: (value: string) => void;
  hint: string;
}

function NumberField({ id, label, value, set, hint }: NumberFieldProps): JSX.Element {
  return (
    <div>
      <label for={id}>{label}</label>
      <input
        id={id}
        type="text"
        inputmode="decimal"
        autocomplete="off"
        value={value}
        onInput={(event) => set(event.currentTarget.value)}
        aria-describedby={`${id}-hint`}
      />
      <p class="hint" id={`${id}-hint`}>
        {hint}
      </p>
    </div>
  );
}

function Release({ pace }: { pace: Pace }): JSX.Element {
  return (
    <Action
      role="operator"
      refused={pace.setBy || pace.blockedUntil ? undefined : "Nobody has set the pace, and nothing blocks it."}
      confirm={
        pace.blockedUntil
          ? {
              title: "End the pause, too?",
              text: (
                <>
                  The application wants nothing until <Time at={pace.blockedUntil} />. Releasing the pace ends that
                  pause at once, and this cannot be undone. {pace.why}
                </>
              ),
              yes: "Release, and send again",
            }
          : undefined
      }
      run={async () => {
        const before = await current();
        if (before.blockedUntil && !pace.blockedUntil) throw new Error(WANTS_A_PAUSE);
        const ours = await call(DELETE("/pace"));
        const undo = before.setBy ? () => takeBack(ours, before) : undefined;
        return { text: "Released: the pace finds out by itself again.", undo };
      }}
    >
      Release the pace
    </Action>
  );
}

const WANTS_A_PAUSE =
  "The application wants a pause now, which this would end, too. Release the pace if that is right.";

/** The pace as it is now: what the screen shows may be half a minute old. */
const current = (): Promise<Pace> => call(GET("/pace"));

const put = (rate: number, minutes: number): Promise<Pace> =>
  call(PUT("/pace", { body: { perSecond: rate, minutes } }));

/** Brings back the pace as it was before our change: for the rest of its time, if somebody had set it. */
async function takeBack(ours: Pace, before: Pace): Promise<void> {
  const now = await current();
  if (now.setBy && now.setUntil !== ours.setUntil) {
    throw new Error(`${now.setBy} has set the pace since, so it stays. Set or release it if that is right.`);
  }
  if (before.setUntil) {
    const minutes = Math.ceil((Date.parse(before.setUntil) - time()) / 60_000);
    return void (await put(before.perSecond, Math.max(1, minutes)));
  }
  if (now.blockedUntil) throw new Error(WANTS_A_PAUSE);
  await call(DELETE("/pace"));
}

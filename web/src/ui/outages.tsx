/** What several screens show of an outage. */

import type { JSX } from "preact";

import type { Schemas } from "../api";
import { useNow } from "../clock";
import { count, duration, number } from "../format";
import { incident } from "../words";
import { Badge, type Tone } from "./basics";

export type Outage = Schemas["OutageView"];

type State = "going on" | "over, not settled" | "settled";

const TONE: Record<State, Tone> = { "going on": "bad", "over, not settled": "warn", settled: "good" };

function stateOf(outage: Outage): State {
  if (outage.settledAt) return "settled";
  return outage.overAt ? "over, not settled" : "going on";
}

export function OutageState({ outage }: { outage: Outage }): JSX.Element {
  const state = stateOf(outage);
  return <Badge tone={TONE[state]}>{state}</Badge>;
}

/** How long it lasted, or has been going on. */
export function Lasted({ outage }: { outage: Outage }): JSX.Element {
  const now = useNow();
  return <>{duration(secondsOf(outage, now))}</>;
}

function secondsOf(outage: Outage, now: number): number {
  return ((outage.overAt ? Date.parse(outage.overAt) : now) - Date.parse(outage.beganAt)) / 1000;
}

/** An outage in one sentence, without its state. */
export function headline(outage: Outage, now: number): string {
  const lasted = duration(secondsOf(outage, now));
  const hit = `${outage.overfull ? "more than " : ""}${count(outage.hit, "communication")}`;
  const recovered = `of which ${number(outage.recovered)} have recovered`;
  if (!outage.overAt) return `In ${lasted} it has hit ${hit}, ${recovered}: ${incident(outage.reason)}.`;
  const left = outage.settledAt ? "" : `; ${number(outage.waiting + outage.sent)} wait, or may still arrive`;
  return `It lasted ${lasted} and hit ${hit}, ${recovered}${left}.`;
}

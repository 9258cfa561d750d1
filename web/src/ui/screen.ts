import type { Schemas } from "../api";
import type { Live } from "../live";
import type { Place } from "../router";

/** What every screen gets: where it is, and the summary, which the page always has. */
export interface Screen {
  place: Place;
  summary: Live<Schemas["SummaryView"]>;
}

/** The screens of the navigation. `key` opens one, after `g`. */
export const SCREENS: { path: string; name: string; key: string }[] = [
  { path: "", name: "Now", key: "n" },
  { path: "causes", name: "Causes", key: "c" },
  { path: "runs", name: "Runs", key: "r" },
  { path: "worklist", name: "Worklist", key: "w" },
  { path: "outages", name: "Outages", key: "o" },
  { path: "start", name: "Start a run", key: "s" },
  { path: "schedule", name: "Schedule and pace", key: "p" },
];

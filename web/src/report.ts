/** An outage as plain text, to paste into a report. */

import { duration, number, utc } from "./format";
import { causeName, incident } from "./words";
import type { Schemas } from "./api";

/** Times are in UTC, as in the mails: a report has readers in other zones. */
export function report(outage: Schemas["OutageView"], address: string): string {
  return [...period(outage), "", ...affected(outage), "", ...causes(outage), address].join("\n");
}

function period({ beganAt, overAt, settledAt, reason, most, usual }: Schemas["OutageView"]): string[] {
  const lasted = overAt ? ` (it lasted ${duration((Date.parse(overAt) - Date.parse(beganAt)) / 1000)})` : "";
  return [
    `Outage: ${incident(reason)}`,
    `Began: ${utc(beganAt)}`,
    `Over: ${overAt ? utc(overAt) + lasted : "not yet"}`,
    `Settled: ${settledAt ? utc(settledAt) : "not yet"}`,
    `Failing at once: at most ${number(most)}, usually ${usual === null ? "unknown" : number(usual)}`,
  ];
}

function affected(outage: Schemas["OutageView"]): string[] {
  const operations = Object.entries(outage.byOperation).map(([operation, hit]) => `${operation} ${number(hit)}`);
  return [
    `Hit: ${outage.overfull ? "more than " : ""}${number(outage.hit)} communications (${operations.join(", ")})`,
    `- recovered: ${number(outage.recovered)}`,
    `- sent again, may still arrive: ${number(outage.sent)}`,
    `- waiting to be sent: ${number(outage.waiting)}`,
    `- on the worklist: ${number(outage.onWorklist)}`,
    `- dismissed: ${number(outage.dismissed)}`,
    `These numbers are as of ${utc(outage.asOf)}.`,
  ];
}

function causes({ causes, runCount }: Schemas["OutageView"]): string[] {
  const lines = causes.map((cause) => `- ${number(cause.most)} ${cause.operation}, ${causeName(cause)}`);
  return ["Causes, each with its highest number at once:", ...lines, "", `Runs: ${number(runCount)}`];
}

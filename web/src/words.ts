/** The codes of the API in words: the same ones as in the mails and documents. */

import type { Schemas } from "./api";

type Words<Code extends string> = Record<Code, string>;

export const RUN_STATUS: Words<Schemas["RunStatus"]> = {
  requested: "requested",
  collecting: "collecting",
  empty: "nothing to send",
  awaiting_approval: "waits for approval",
  running: "running",
  succeeded: "succeeded",
  partial: "partial",
  stopped: "stopped",
  declined: "declined",
  failed: "failed",
};

export const OUTCOME: Words<Schemas["Outcome"]> = {
  accepted: "accepted",
  failed: "failed",
  rejected: "rejected",
  unknown: "unknown",
  deferred: "deferred",
  skipped: "skipped",
  not_attempted: "not attempted",
};

/** What each outcome means for the person on call. */
export const OUTCOME_MEANING: Words<Schemas["Outcome"]> = {
  accepted: "the application accepted them",
  failed: "the application could not take them; a later run tries again",
  rejected: "the application never accepts them; they are on the worklist",
  unknown: "no answer came, so they may have been sent; a run looks again after the cool-down",
  deferred: "not sent now; a later run tries again",
  skipped: "left alone, for the reasons below",
  not_attempted: "the run ended before their turn; a later run takes them",
};

export const CAUSE_KIND: Words<Schemas["CauseKind"]> = {
  untried: "not sent again yet",
  failed: "failed again",
  rejected: "rejected",
  unknown: "no answer",
  deferred: "deferred",
  expired: "too old to send",
  relapsed: "accepted, but failed again later",
};

export const COMMUNICATION_STATUS: Words<Schemas["CommunicationStatus"]> = {
  open: "open",
  sending: "being sent",
  accepted: "accepted",
  unknown: "unknown",
  manual: "on the worklist",
  dismissed: "dismissed",
};

/** What a status means for the person on call. */
export const COMMUNICATION_MEANING: Words<Schemas["CommunicationStatus"]> = {
  open: "A run may send it.",
  sending: "A run sends it just now, or died while it did.",
  accepted: "The application accepted it. If it is listed as failed again after the cool-down, a run sends it again.",
  unknown: "No definite answer came, so it may have been sent. A run looks again after the cool-down.",
  manual: "No run sends it until you decide: retry it, or dismiss it.",
  dismissed: "No run ever sends it, unless somebody restores it.",
};

const ANSWER: Record<string, string> = {
  accepted: "accepted",
  sending: "no answer yet, or none ever",
  ApplicationUnavailable: "the application could not be reached",
  ApplicationOverloaded: "the application asked for a pause",
  ApplicationError: "failed",
  CommunicationRejected: "rejected",
  ApplicationMisconfigured: "the application refused the call itself: misconfigured",
  UnexpectedRedirect: "unknown: the application redirected",
  OutcomeUnknown: "unknown: no definite answer came",
};

export const DECISION: Words<Schemas["Action"]> = {
  retry: "retried it",
  dismiss: "dismissed it",
  restore: "restored it",
};

const SKIP_REASON: Record<string, string> = {
  too_fresh: "failed only just now",
  cool_down: "sent again, and may still arrive",
  in_flight: "being sent by another run",
  manual: "on the worklist",
  dismissed: "dismissed",
  relapsed: "accepted, but failed again later",
  attempts_used_up: "all attempts used up",
  expired: "too old to send",
  duplicate: "listed twice",
  unreadable: "unreadable in the list",
};

/** Why a communication ended a run as it did, where that speaks of AWS or of the pace. */
const OUTCOME_REASON: Record<string, string> = {
  lambda_throttled: "AWS Lambda refused: too many functions at once",
  lambda_failed: "the Lambda function failed",
  died_while_sending: "the Lambda function died while sending",
  secret_unavailable: "the secret could not be read for the moment",
  paced: "no turn before the run ended",
  manifest_lost: "the run's manifest is lost",
};

const REFUSAL: Record<string, string> = {
  sending: "may be in the middle of being sent",
  cool_down: "what was sent before may still arrive",
  not_on_worklist: "not on the worklist any more",
  not_dismissed: "not dismissed",
  already_dismissed: "dismissed already",
  no_source: "no source lists its operation any more",
  unknown: "the ledger has forgotten it",
  no_time: "no time was left",
  error: "AWS did not answer",
};

const INCIDENT: Record<string, string> = {
  failures_rose: "clearly more communications failed than usual",
  listing: "the application's lists cannot be read",
  nothing_accepted: "the application accepts nothing",
  worklist: "communications went to the worklist",
  never_started: "a run never started",
  unreported: "a run could not be reported",
  overloaded: "the application needs a pause",
  partial: "runs end as partial",
  failed: "runs fail",
  declined: "a run was not approved",
};

/** What slows the pace down, other than a code of the application's. */
const PACE_REASON: Record<string, string> = {
  slow_answers: "the application's answers became slow",
  no_answer_in_time: "the application did not answer in time",
  max_per_second: "max_per_second in application.toml allows no more",
};

export const skipReason = (code: string): string => SKIP_REASON[code] ?? code;
export const answer = (code: string): string => ANSWER[code] ?? code;
export const outcomeReason = (code: string): string => OUTCOME_REASON[code] ?? skipReason(code);
export const refusal = (code: string): string => REFUSAL[code] ?? code;

/** What kept runs from succeeding, or began an outage. */
export function incident(kind: string): string {
  const [code = "", detail] = kind.split(/:(.*)/s, 2);
  if (code === "misconfigured") return `misconfigured: ${isolated(detail ?? "")}`;
  if (code === "hand") return `stopped by ${detail}`;
  return INCIDENT[code] ?? kind;
}

/** A foreign text within a sentence of ours: its direction and its length do not touch the rest (Unicode, UAX #9). */
function isolated(text: string): string {
  return `\u2068${text.length > 200 ? `${text.slice(0, 200)}…` : text}\u2069`;
}

/** What holds the pace down. */
export function paceReason(code: string): string {
  if (code.startsWith("set_by:")) return `set by ${isolated(code.slice("set_by:".length))}`;
  return PACE_REASON[code] ?? `the application answered ${isolated(code)} at higher rates`;
}

/** Who or what has stopped a run, after "stopped". */
export function stopper(haltReason: string): string {
  const [code = "", detail] = haltReason.split(/:(.*)/s, 2);
  if (code === "hand") return `by ${detail}`;
  if (code === "breaker") return "because the application seems to be down";
  if (code === "overloaded") return "because the application needs a pause";
  if (code === "unproven") {
    return detail
      ? `because the cause is not fixed yet (${isolated(detail)})`
      : "because it proved nothing for a minute";
  }
  if (code !== "misconfigured") return haltReason;
  return detail === "secret_unreadable"
    ? "because the secret could not be read"
    : `because the application answered ${isolated(detail ?? "")}`;
}

/** Who or what started a run. */
export function starter(run: Schemas["RunView"]): string {
  return run.trigger === "schedule" ? "scheduled" : `requested by ${run.requestedBy}`;
}

export const RUN_KIND: Words<Schemas["RunKind"]> = {
  reprocess: "send again",
  retry: "retry from the worklist",
  dismiss: "dismiss from the worklist",
};

export function causeName(cause: { kind: Schemas["CauseKind"]; reason: string | null }): string {
  return cause.reason ? `${CAUSE_KIND[cause.kind]}: ${cause.reason}` : CAUSE_KIND[cause.kind];
}

/** "every 15 minutes"; a `cron` expression as it is, which EventBridge reads in UTC. */
export function scheduleInWords(expression: string): string {
  const [, amount, unit] = RATE.exec(expression) ?? [];
  if (!amount) return `at the times of ${expression}, in UTC`;
  return amount === "1" ? `every ${unit}` : `every ${amount} ${unit}s`;
}

const RATE = /^rate\((\d+) (minute|hour|day)s?\)$/;
const SECONDS: Record<string, number> = { minute: 60, hour: 3_600, day: 86_400 };

/** How often the schedule fires, in seconds; undefined for a `cron` expression. */
export function secondsOfSchedule(expression: string): number | undefined {
  const [, amount, unit] = RATE.exec(expression) ?? [];
  return unit ? Number(amount) * (SECONDS[unit] ?? 0) : undefined;
}

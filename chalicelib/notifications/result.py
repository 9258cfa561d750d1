"""The mail about a run that has ended. It contains ids and reason codes, never personal data."""

from chalicelib import times
from chalicelib.models.communications import CauseKind
from chalicelib.models.notifications import Link, Notification, NotifyReason, Topic
from chalicelib.models.outcomes import Outcome, OutcomeReason
from chalicelib.models.runs import SET_BY, ApprovalDecision, Run, RunStatus, WorseRun
from chalicelib.notifications.phrases import (
    answered,
    details,
    list_errors,
    mail,
    misconfiguration,
    moment,
    per_second,
    returned,
    started_by,
    worklist,
)
from chalicelib.notifications.summary import Summary

# How many reasons a mail lists.
_REASONS = 8

# The outcomes of what this run has not sent.
_NOT_SENT = {Outcome.SKIPPED, Outcome.NOT_ATTEMPTED}

# What a subject begins with. The same incident in another kind has no prefix: its status is news.
_PREFIXES = {
    NotifyReason.RECOVERED: "recovered, ",
    NotifyReason.REMINDER: "still ",
    NotifyReason.NEWS: "still ",
    NotifyReason.RETURNED: "again ",
}

# The kinds of causes that are answers to our POSTs. All others the application finds out only after it has accepted.
_ANSWERED = (CauseKind.FAILED, CauseKind.REJECTED, CauseKind.UNKNOWN, CauseKind.DEFERRED)

_MEANING = {
    Outcome.ACCEPTED: "the application accepted them",
    Outcome.FAILED: "the application failed; a later run will try again, except those on the worklist",
    Outcome.REJECTED: "the application refused them for good; they are on the worklist",
    Outcome.UNKNOWN: "sent, but no answer came; after the cool-down, the application's list will show what happened",
    Outcome.DEFERRED: "they did not reach the application, or it did not take them; a later run will try again",
    Outcome.SKIPPED: "not sent by this run; see the reasons",
    Outcome.NOT_ATTEMPTED: "the run ended before it reached them; a later run will try again",
}


def result_notification(run: Run, summary: Summary, halt_reason: str | None) -> Notification:
    """Return the one mail about a run that has ended."""
    needs_person = run.status != RunStatus.SUCCEEDED or summary.manual + run.untold
    topic = Topic.FAILED if needs_person else Topic.SUCCEEDED
    return mail(
        Topic.NONE if run.notify_reason == NotifyReason.NONE else topic,
        _subject(run, summary.manual + run.untold, halt_reason),
        _headline(run, summary, halt_reason),
        _approval(run),
        list_errors(run),
        _proof(run),
        _outcomes(run, summary),
        _reasons(summary),
        _pace(run, summary, halt_reason),
        _worklist(run, summary),
        _remarks(run, summary),
        _worse_runs(run),
        returned(run),
        details(run),
        *_where_worklist(run, summary),
    )


def _subject(run: Run, new_on_worklist: int, halt_reason: str | None) -> str:
    accepted = run.counts.get(Outcome.ACCEPTED, 0)
    tried = run.matched - run.counts.get(Outcome.SKIPPED, 0)
    prefix = _PREFIXES.get(run.notify_reason or NotifyReason.RESULT, "")
    status = "" if run.status == RunStatus.SUCCEEDED else f"{_status(run, halt_reason)}, "
    result = f"{run.failed_again} of {run.sent} failed again" if run.failed_again else f"{accepted} of {tried} accepted"
    unlisted = ", not all lists read" if run.list_errors else ""
    new = f", {new_on_worklist} new on the worklist" if new_on_worklist else ""
    return f"{prefix}{status}{result}{unlisted}{new}"


def _status(run: Run, halt_reason: str | None) -> str:
    """Return how a run ended; if it was stopped, then also who or what did it, as readers act on that."""
    if run.status != RunStatus.STOPPED or not halt_reason:
        return run.status
    kind, _, code = halt_reason.partition(":")
    causes = {
        "misconfigured": f": {misconfiguration(code)}",
        "breaker": ": the application seems to be down",
        "overloaded": ": the application needs a pause",
        "unproven": ": not fixed yet" if code else ": nothing proved for a minute",
    }
    return run.status + causes.get(kind, " by a person")


def _headline(run: Run, summary: Summary, halt_reason: str | None) -> str:
    took = times.format_duration((run.ended_at or run.requested_at) - run.requested_at)
    text = f"Run {run.run_id} ({started_by(run)}) ended after {took}: {run.status}."
    if run.error:
        text += f"\nThe run itself failed: {run.error}."
    if halt_reason:
        text += "\n" + _why_halted(run, halt_reason)
        text += "" if set(summary.counts) - _NOT_SENT else " Nothing was sent."
    return text


def _why_halted(run: Run, halt_reason: str) -> str:
    kind, _, code = halt_reason.partition(":")
    if kind == "misconfigured":
        return (
            f"It was stopped because {misconfiguration(code)}: "
            "check auth.secret and reprocess.url in application.toml. The communications are not the cause."
        )
    if kind == "breaker":
        return (
            "It was stopped because the application accepted nothing of what was sent to it last: it seems to be down. "
            "The next run sends a few first, and everything else only if those are accepted."
        )
    if kind == "overloaded":
        ahead = run.pace_until if (run.pace_until or 0) > (run.ended_at or 0) else None
        until = f" until {moment(ahead)} ({run.pace_reason})" if ahead else f" ({run.pace_reason})"
        return (
            f"It was stopped because the application needs a pause{until}. There is nothing to do: what was not sent "
            "is still listed, and a run after the pause sends it. If this happens again and again, ask the "
            "application's owners."
        )
    if kind == "unproven":
        return _why_unproven(run, code)
    return f"It was stopped by {code or kind}."


def _why_unproven(run: Run, code: str) -> str:
    schedule = "The schedule goes on as usual: pause it if that must not send the others either."
    if code:
        return (
            f"It was stopped because the cause is not fixed yet: {run.failed_again} of the {run.sent} that it sent "
            f"failed again ({code}). It sent nothing else. Fix the cause, then request the run again. {schedule}"
        )
    return (
        f"It was stopped because it proved nothing for a minute: it sent {run.sent}, and a batch of these did not end, "
        f"or the application is very slow. It sent nothing else. Request the run again. {schedule}"
    )


def _proof(run: Run) -> str:
    """Return what a run has proved in which nothing failed again."""
    if run.proof is None or run.failed_again or not run.sent:
        return ""
    if run.status != RunStatus.SUCCEEDED:
        return f"None of the {run.sent} that were sent failed again for the same cause."
    if run.proof.kind in _ANSWERED:
        return f"The fix holds: all {run.sent} accepted."
    return (
        f"The fix holds so far: all {run.sent} accepted. Whether they arrive now, the application's list shows after "
        "the cool-down."
    )


def _approval(run: Run) -> str:
    if run.decision == ApprovalDecision.APPROVED:
        return f"It was approved by {run.decided_by}."
    if run.decision == ApprovalDecision.DECLINED:
        return f"It was rejected by {run.decided_by}, so nothing was sent."
    if run.decision == ApprovalDecision.EXPIRED and run.decided_by:
        return f"It was approved by {run.decided_by}, but its wait had ended before that took effect: nothing was sent."
    if run.decision == ApprovalDecision.EXPIRED:
        return "Nobody approved it in time, so nothing was sent. What failed is still listed."
    return ""


def _outcomes(run: Run, summary: Summary) -> str:
    lines = [f"{run.matched} matched:"]
    for outcome in Outcome:
        if summary.counts[outcome]:
            lines.append(f"  {summary.counts[outcome]:>7}  {_words(outcome)} - {_MEANING[outcome]}")
            lines += [
                f"  {'':>7}    {number} {operation}"
                for (operation, each), number in sorted(summary.by_operation.items())
                if each == outcome
            ]
    return "\n".join(lines)


def _words(code: str) -> str:
    return code.replace("_", " ")


def _reasons(summary: Summary) -> str:
    if not summary.reasons:
        return ""
    rows = [
        f"  {number:>7}  {_words(outcome)}: {reason}"
        for (outcome, reason), number in summary.reasons.most_common(_REASONS)
    ]
    return "\n".join(["Reasons:", *rows])


def _pace(run: Run, summary: Summary, halt_reason: str | None) -> str:
    """Return how fast a run was that was slowed down, and what that means for what it has not sent."""
    paced = summary.reasons[Outcome.NOT_ATTEMPTED, OutcomeReason.PACED]
    lines = [
        "" if run.pace is None or halt_reason == "overloaded" else _paced(run, run.pace),
        f"POSTs that the application refused as too fast: {summary.refused}" if summary.refused else "",
        f"No turn before the run ended: {paced}. A later run takes them." if paced else "",
        f"The next run begins at {moment(run.next_run_at)}." if run.next_run_at else "",
    ]
    return "\n".join(line for line in lines if line)


def _paced(run: Run, rate: int) -> str:
    reason = run.pace_reason or ""
    if not reason.startswith(SET_BY):
        return f"Paced at {per_second(rate)} a second: {answered(reason)} at higher rates."
    until = f" until {moment(run.pace_until)}" if run.pace_until else ""
    return f"Paced at {per_second(rate)} a second, as set by {reason.removeprefix(SET_BY)}{until}."


def _worklist(run: Run, summary: Summary) -> str:
    earlier = f"New on the worklist since the last mail, from earlier runs: {run.untold}" if run.untold else ""
    return "\n".join(part for part in (earlier, _new_on_worklist(summary)) if part)


def _where_worklist(run: Run, summary: Summary) -> list[Link]:
    return [worklist()] if run.untold or summary.manual else []


def _new_on_worklist(summary: Summary) -> str:
    if not summary.manual:
        return ""
    rows = [f"  {each.operation} {each.primary_id!r}: {each.reason}" for each in summary.worklist]
    more = [f"  ... and {summary.manual - len(rows)} more"] if summary.manual > len(rows) else []
    return "\n".join([f"New on the worklist, for a person to decide: {summary.manual}", *rows, *more])


def _worse_runs(run: Run) -> str:
    rows = [f"  {_turned_out(each)}" for each in run.worse_runs]
    return "\n".join(["Earlier runs turned out worse than their mails said:", *rows] if rows else [])


def _turned_out(worse: WorseRun) -> str:
    # Rounded down: what did not all arrive is never called 100%.
    arrived = 1000 * (worse.accepted - worse.relapsed) // worse.accepted / 10
    return f"{worse.run_id}: {worse.accepted} accepted, {worse.relapsed} of these failed again ({arrived:g}% arrived)"


def _remarks(run: Run, summary: Summary) -> str:
    lines = []
    if summary.relapsed:
        lines.append(f"Accepted before, but listed as failed again: {summary.relapsed}")
    throttled = summary.reasons[Outcome.DEFERRED, OutcomeReason.LAMBDA_THROTTLED]
    if throttled:
        lines.append(
            f"AWS Lambda refused to send {throttled}, because too many functions were running at once: lower "
            "CONCURRENCY, or have the account's limit of concurrent executions raised. The application is not at fault."
        )
    if run.not_found_count:
        more = ["..."] if run.not_found_count > len(run.not_found) else []
        shown = ", ".join([*map(repr, run.not_found), *more])
        lines.append(f"Requested ids that are not listed as failed, and were not sent: {run.not_found_count} ({shown})")
    if run.truncated:
        left = f"at least {run.truncated_count} more" if run.truncated_count else "there may be more"
        lines.append(
            f"The run reached a limit, or a list changed while it was read: {left}. A later run will take them."
        )
    return "\n".join(lines)

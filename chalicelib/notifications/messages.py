"""The texts of all mails. They contain ids and reason codes, never personal data."""

from chalicelib import times
from chalicelib.models import (
    ApprovalDecision,
    Incident,
    Notification,
    NotifyReason,
    Outcome,
    OutcomeReason,
    Run,
    RunStatus,
    Topic,
    Trigger,
)
from chalicelib.notifications import policy
from chalicelib.notifications.summary import Summary

# Amazon SNS refuses subjects of 100 characters or more, with line breaks, or with anything but ASCII (API Reference,
# Publish).
MAX_SUBJECT = 99

# How many reasons a mail lists.
_REASONS = 8

_RETURNED = (
    "An incident ended less than REMIND_AFTER ago, and this is the next one. You will hear that it is over once all "
    "runs have gone well for REMIND_AFTER."
)

# The outcomes of what this run has not sent.
_NOT_SENT = {Outcome.SKIPPED, Outcome.NOT_ATTEMPTED}

# What a subject begins with. The same incident in another kind has no prefix: its status is news.
_PREFIXES = {
    NotifyReason.RECOVERED: "recovered, ",
    NotifyReason.REMINDER: "still ",
    NotifyReason.NEWS: "still ",
    NotifyReason.RETURNED: "again ",
}

_MEANING = {
    Outcome.ACCEPTED: "the application accepted them",
    Outcome.FAILED: "the application failed; a later run will try again, except those on the worklist",
    Outcome.REJECTED: "the application refused them for good; they are on the worklist",
    Outcome.UNKNOWN: "sent, but no answer came; after the cool-down, the application's list will show what happened",
    Outcome.DEFERRED: "they did not reach the application, or it did not take them; a later run will try again",
    Outcome.SKIPPED: "not sent by this run; see the reasons",
    Outcome.NOT_ATTEMPTED: "the run ended before it reached them; a later run will try again",
}


def result(run: Run, summary: Summary, halt_reason: str | None) -> Notification:
    """Return the one mail about a run that has ended."""
    parts = [
        _headline(run, summary, halt_reason),
        _approval(run),
        _list_errors(run),
        _outcomes(run, summary),
        _reasons(summary),
        _worklist(run, summary),
        _remarks(run, summary),
        _details(run),
    ]
    needs_person = run.status != RunStatus.SUCCEEDED or summary.manual + run.untold
    topic = Topic.FAILED if needs_person else Topic.SUCCEEDED
    return Notification(
        topic=Topic.NONE if run.notify_reason == NotifyReason.NONE else topic,
        subject=_result_subject(run, summary.manual + run.untold, halt_reason),
        message="\n\n".join(part for part in parts if part),
    )


def listing_failed(run: Run) -> Notification:
    """Return the mail about a run that could not list the failed communications."""
    message = (
        f"Run {run.run_id} could not list the failed communications, so nothing was sent.\n\n"
        f"What happened: {run.error}\n\n"
        "What to do: check that the application answers, and check sources and auth in application.toml. "
        "The next scheduled run will try again.\n\n" + _details(run)
    )
    return Notification(topic=Topic.FAILED, subject=_subject("cannot list the failed communications"), message=message)


def recovered(known: Incident, now: int) -> Notification:
    """Return the mail that an incident is over although there was nothing to send."""
    message = (
        f"The incident that began {times.format_duration(now - known.since)} ago ({_incident(known.kind)}) is over: "
        "the application's lists can be read, and they contain nothing to send."
    )
    return Notification(topic=Topic.SUCCEEDED, subject=_subject("recovered, nothing to send"), message=message)


def _incident(kind: str) -> str:
    """Return in words what kept scheduled runs from succeeding; see `policy.incident_kind`."""
    cause, _, detail = kind.partition(":")
    known = {
        policy.LISTING: "the lists could not be read",
        policy.NOTHING_ACCEPTED: "the application accepted nothing",
        policy.WORKLIST: "communications went to the worklist",
        policy.NEVER_STARTED: "a run never started",
        policy.UNREPORTED: "a run could not be reported",
        "misconfigured": _misconfiguration(detail),
        "hand": f"stopped by {detail}",
    }
    return known.get(cause, f"runs ended as {kind}")


def never_started(run: Run) -> Notification:
    """Return the mail about a run that never got as far as a manifest."""
    message = (
        f"Run {run.run_id} never started, so nothing was sent: {run.error}.\n\n"
        "What to do: look at the collector's log. What failed is still listed, and the next scheduled run takes it.\n\n"
        + _details(run)
    )
    return Notification(topic=Topic.FAILED, subject=_subject("a run never started"), message=message)


def unreported(run: Run) -> Notification:
    """Return the mail about a run whose batches recovery could not add up."""
    message = (
        f"Run {run.run_id} ({_started_by(run)}) has ended, but could not be reported: {run.error}.\n\n"
        "What to do: look at the collector's log. What was sent is in the ledger, so nothing is sent twice; what still "
        "failed is still listed, and the next scheduled run takes it. What could not be added up counts as unknown.\n\n"
        + _details(run)
    )
    return Notification(topic=Topic.FAILED, subject=_subject("a run could not be reported"), message=message)


def stopped_early(run: Run, stopped_by: str) -> Notification:
    """Return the mail about a run that somebody stopped before it had a manifest."""
    message = (
        f"Run {run.run_id} ({_started_by(run)}) was stopped by {stopped_by} before it began, so nothing was sent. "
        "What failed is still listed, and the next scheduled run takes it.\n\n" + _details(run)
    )
    return Notification(topic=Topic.FAILED, subject=_subject("stopped, nothing was sent"), message=message)


def approval_request(run: Run, timeout: int) -> Notification:
    """Return the mail that asks for approval; `timeout` in milliseconds. Its topic is the one whose readers act."""
    parts = [_approval_question(run, timeout), _list_errors(run)]
    subject = _subject(f"approve or reject a run of {run.eligible}")
    return Notification(topic=Topic.FAILED, subject=subject, message="\n\n".join(part for part in parts if part))


def _approval_question(run: Run, timeout: int) -> str:
    scheduled = run.trigger == Trigger.SCHEDULE
    who = "somebody with the role approver" + ("" if scheduled else ", other than the requester,")
    waits = " No other scheduled run begins until then." if scheduled else ""
    return (
        f"Run {run.run_id} ({_started_by(run)}) would send {run.eligible} communications. {_why_approval(run)}\n\n"
        f"It sends nothing until {who} decides.{waits}\n\n"
        f"  POST /runs/{run.run_id}/approve   sends them\n"
        f"  POST /runs/{run.run_id}/reject    sends nothing\n\n"
        f"Without a decision within {times.format_duration(timeout)}, the run ends as declined and sends nothing."
    )


def _why_approval(run: Run) -> str:
    if run.trigger == Trigger.SCHEDULE:
        return "That is more than APPROVAL_THRESHOLD."
    return "That, with what its requester has started without approval within an hour, is more than APPROVAL_THRESHOLD."


def _result_subject(run: Run, new_on_worklist: int, halt_reason: str | None) -> str:
    accepted = run.counts.get(Outcome.ACCEPTED, 0)
    tried = run.matched - run.counts.get(Outcome.SKIPPED, 0)
    prefix = _PREFIXES.get(run.notify_reason or NotifyReason.RESULT, "")
    status = "" if run.status == RunStatus.SUCCEEDED else f"{_status(run, halt_reason)}, "
    unlisted = ", not all lists read" if run.list_errors else ""
    new = f", {new_on_worklist} new on the worklist" if new_on_worklist else ""
    return _subject(f"{prefix}{status}{accepted} of {tried} accepted{unlisted}{new}")


def _status(run: Run, halt_reason: str | None) -> str:
    """Return how a run ended; if it was stopped, then also who or what did it, as readers act on that."""
    if run.status != RunStatus.STOPPED or not halt_reason:
        return run.status
    kind, _, code = halt_reason.partition(":")
    causes = {"misconfigured": f": {_misconfiguration(code)}", "breaker": ": the application seems to be down"}
    return run.status + causes.get(kind, " by a person")


def _subject(text: str) -> str:
    return f"comms-reprocess: {text}".encode("ascii", "replace").decode()[:MAX_SUBJECT]


def _started_by(run: Run) -> str:
    return f"requested by {run.requested_by}" if run.trigger == Trigger.REQUEST else "scheduled"


def _headline(run: Run, summary: Summary, halt_reason: str | None) -> str:
    took = times.format_duration((run.ended_at or run.requested_at) - run.requested_at)
    text = f"Run {run.run_id} ({_started_by(run)}) ended after {took}: {run.status}."
    if run.error:
        text += f"\nThe run itself failed: {run.error}."
    if halt_reason:
        text += "\n" + _why_halted(halt_reason)
        text += "" if set(summary.counts) - _NOT_SENT else " Nothing was sent."
    return text


def _why_halted(halt_reason: str) -> str:
    kind, _, code = halt_reason.partition(":")
    if kind == "misconfigured":
        return (
            f"It was stopped because {_misconfiguration(code)}: "
            "check auth.secret and reprocess.url in application.toml. The communications are not the cause."
        )
    if kind == "breaker":
        return (
            "It was stopped because the application accepted nothing in several batches in a row: it seems to be down."
        )
    return f"It was stopped by {code or kind}."


def _misconfiguration(code: str) -> str:
    return "the secret could not be read" if code == "secret_unreadable" else f"the application answered {code}"


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


def _list_errors(run: Run) -> str:
    if not run.list_errors:
        return ""
    rows = [f"  {error}" for error in run.list_errors]
    advice = "Check that the application answers, and check them in application.toml. The next run tries again:"
    return "\n".join([f"These lists could not be read to their end, so the run lacks what they hold. {advice}", *rows])


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


def _worklist(run: Run, summary: Summary) -> str:
    earlier = f"New on the worklist since the last mail, from earlier runs: {run.untold}" if run.untold else ""
    parts = [part for part in (earlier, _new_on_worklist(summary)) if part]
    return "\n".join([*parts, "To see them: GET /communications?status=manual"] if parts else [])


def _new_on_worklist(summary: Summary) -> str:
    if not summary.manual:
        return ""
    rows = [f"  {each.operation} {each.primary_id!r}: {each.reason}" for each in summary.worklist]
    more = [f"  ... and {summary.manual - len(rows)} more"] if summary.manual > len(rows) else []
    return "\n".join([f"New on the worklist, for a person to decide: {summary.manual}", *rows, *more])


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


def _details(run: Run) -> str:
    details = f"Details: GET /runs/{run.run_id}"
    return f"{_RETURNED}\n\n{details}" if run.notify_reason == NotifyReason.RETURNED else details

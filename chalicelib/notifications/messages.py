"""The mails about runs that could not begin, that wait, or that never had a result, and about incidents that are over.

They contain ids and reason codes, never personal data. The mail about a run's result is in `result`.
"""

from chalicelib import times
from chalicelib.models.notifications import Incident, Link, Notification, Topic
from chalicelib.models.runs import Run, RunKind, Trigger
from chalicelib.notifications import policy
from chalicelib.notifications.phrases import details, list_errors, mail, misconfiguration, returned, started_by


def listing_failed(run: Run) -> Notification:
    """Return the mail about a run that could not list the failed communications."""
    return mail(
        Topic.FAILED,
        "cannot list the failed communications",
        f"Run {run.run_id} could not list the failed communications, so nothing was sent.",
        f"What happened: {run.error}",
        "What to do: check that the application answers, and check sources and auth in application.toml. "
        "The next scheduled run will try again.",
        returned(run),
        details(run),
    )


def recovered(known: Incident, now: int) -> Notification:
    """Return the mail that an incident is over although there was nothing to send."""
    return mail(
        Topic.SUCCEEDED,
        "recovered, nothing to send",
        f"The incident that began {times.format_duration(now - known.since)} ago ({_incident(known.kind)}) is over: "
        "the application's lists can be read, and they contain nothing to send.",
        Link(text="What goes on now", screen="", instead=""),
    )


def _incident(kind: str) -> str:
    """Return in words what kept scheduled runs from succeeding; see `policy.incident_kind`."""
    cause, _, detail = kind.partition(":")
    known = {
        policy.LISTING: "the lists could not be read",
        policy.NOTHING_ACCEPTED: "the application accepted nothing",
        policy.WORKLIST: "communications went to the worklist",
        policy.NEVER_STARTED: "a run never started",
        policy.UNREPORTED: "a run could not be reported",
        "misconfigured": misconfiguration(detail),
        "hand": f"stopped by {detail}",
        "overloaded": "the application needed a pause",
    }
    return known.get(cause, f"runs ended as {kind}")


def never_started(run: Run) -> Notification:
    """Return the mail about a run that never got as far as a manifest."""
    return mail(
        Topic.FAILED,
        "a run never started",
        f"Run {run.run_id} never started, so nothing was sent: {run.error}.",
        "What to do: look at the collector's log. What failed is still listed, and the next scheduled run takes it.",
        returned(run),
        details(run),
    )


def unreported(run: Run) -> Notification:
    """Return the mail about a run whose batches recovery could not add up."""
    return mail(
        Topic.FAILED,
        "a run could not be reported",
        f"Run {run.run_id} ({started_by(run)}) has ended, but could not be reported: {run.error}.",
        "What to do: look at the collector's log. What was sent is in the ledger, so nothing is sent twice; what still "
        "failed is still listed, and the next scheduled run takes it. What could not be added up counts as unknown.",
        returned(run),
        details(run),
    )


def stopped_early(run: Run, stopped_by: str) -> Notification:
    """Return the mail about a run that somebody stopped before it had a manifest, or about such a bulk run."""
    undone, then = "nothing was sent", "What failed is still listed, and the next scheduled run takes it."
    if run.kind != RunKind.REPROCESS:
        undone, then = "nothing was changed", f"What it was to {run.kind} is still on the worklist."
    return mail(
        Topic.FAILED,
        f"stopped, {undone}",
        f"Run {run.run_id} ({started_by(run)}) was stopped by {stopped_by} before it began, so {undone}. {then}",
        details(run),
    )


def approval_request(run: Run, timeout: int) -> Notification:
    """Return the mail that asks for approval; `timeout` in milliseconds. Its topic is the one whose readers act."""
    subject = f"approve or reject a run of {run.eligible}"
    return mail(Topic.FAILED, subject, _approval_question(run, timeout), list_errors(run), _decision(run))


def _approval_question(run: Run, timeout: int) -> str:
    scheduled = run.trigger == Trigger.SCHEDULE
    who = "somebody with the role approver" + ("" if scheduled else ", other than the requester,")
    waits = " No other scheduled run begins until then." if scheduled else ""
    return (
        f"Run {run.run_id} ({started_by(run)}) would send {run.eligible} communications. {_why_approval(run)}\n\n"
        f"It sends nothing until {who} decides.{waits} "
        f"Without a decision within {times.format_duration(timeout)}, the run ends as declined and sends nothing."
    )


def _decision(run: Run) -> Link:
    calls = f"  POST /runs/{run.run_id}/approve   sends them\n  POST /runs/{run.run_id}/reject    sends nothing"
    return Link(text="To approve or reject it", screen=f"runs/{run.run_id}", instead=calls)


def _why_approval(run: Run) -> str:
    if run.trigger == Trigger.SCHEDULE:
        return "That is more than APPROVAL_THRESHOLD."
    return "That, with what its requester has started without approval within an hour, is more than APPROVAL_THRESHOLD."

"""The mail about a bulk run that has ended. It contains ids and reason codes, never personal data."""

from chalicelib import times
from chalicelib.models.notifications import Notification, Topic
from chalicelib.models.runs import Run, RunKind, RunStatus
from chalicelib.models.selections import WorklistSelection
from chalicelib.notifications.phrases import details, mail, moment, started_by

_CHANGED = {RunKind.RETRY: "retried", RunKind.DISMISS: "dismissed"}

_THEN = {
    RunKind.RETRY: "the next run sends them; above APPROVAL_THRESHOLD it waits for approval",
    RunKind.DISMISS: "they are not sent, unless somebody restores them",
}

_ADVICE = {
    "cool_down": "what was sent before may still arrive; retry them after the cool-down",
    "not_on_worklist": "somebody has decided about them meanwhile; there is nothing to do",
    "no_source": "no source in application.toml lists their operation any more; dismiss them, or add the source",
    "unknown": "the ledger has forgotten them; there is nothing to do",
}


def ended(run: Run, selection: WorklistSelection, halt_reason: str | None) -> Notification:
    """Return the one mail about a bulk run that has ended. `halt_reason` says who stopped it, if somebody did."""
    return mail(
        Topic.SUCCEEDED if run.status == RunStatus.SUCCEEDED else Topic.FAILED,
        _subject(run),
        _headline(run, selection, halt_reason),
        _counts(run),
        _refusals(run),
        details(run),
    )


def failed(run: Run) -> Notification:
    """Return the mail about a bulk run that could not be carried out to its end."""
    return mail(
        Topic.FAILED,
        _subject(run),
        f"Run {run.run_id} ({started_by(run)}) could not be carried out to its end: {run.error}.",
        "What to do: correct what this names, or look at the collector's log; then make the same request again. What "
        "the run did not get to is still on the worklist, and what it has decided is not decided again.",
        _counts(run),
        details(run),
    )


def _subject(run: Run) -> str:
    by_hand = " by a person" if run.status == RunStatus.STOPPED else ""
    status = "" if run.status == RunStatus.SUCCEEDED else f"{run.status}{by_hand}, "
    return f"{status}{run.counts.get('changed', 0)} of {run.matched} on the worklist {_CHANGED[run.kind]}"


def _headline(run: Run, selection: WorklistSelection, halt_reason: str | None) -> str:
    took = times.format_duration((run.ended_at or run.requested_at) - run.requested_at)
    filters = {"operation": selection.operation, "reason": selection.reason, "cause": selection.cause}
    named = ", ".join(f"{name} {value}" for name, value in filters.items() if value)
    text = (
        f"Run {run.run_id} ({started_by(run)}) ended after {took}: {run.status}. "
        f"It was to {run.kind} all that was on the worklist at {moment(run.requested_at)} with {named}."
    )
    stopped_by = (halt_reason or "").removeprefix("hand:")
    return text + (f"\nIt was stopped by {stopped_by}; all else is still on the worklist." if stopped_by else "")


def _counts(run: Run) -> str:
    meaning = {
        "changed": f"{_CHANGED[run.kind]} - {_THEN[run.kind]}",
        "refused": "refused - they are as they were",
        "unknown": f"unknown - they may be {_CHANGED[run.kind]}, or still on the worklist",
    }
    rows = [f"  {run.counts[name]:>7}  {text}" for name, text in meaning.items() if run.counts.get(name)]
    return "\n".join([f"{run.matched} matched:", *rows])


def _refusals(run: Run) -> str:
    if not run.refused:
        return ""
    rows = [
        f"  {number:>7}  {reason}: {_ADVICE.get(reason, 'look at them on the worklist')}"
        for reason, number in sorted(run.refused.items())
    ]
    return "\n".join(["Reasons:", *rows])

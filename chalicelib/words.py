"""Counts to words: the mails that people get. Ids and reason codes only, never personal data."""

from chalicelib import alerts, approvals, times
from chalicelib.alerts import Alert
from chalicelib.models import OUTCOMES, Notification, Run
from chalicelib.tally import Tally

# Amazon SNS refuses subjects of 100 characters and more, line breaks, and anything but ASCII (API reference, Publish).
MAX_SUBJECT = 99

# How many reasons a mail lists.
_REASONS = 8

_MEANING = {
    "accepted": "taken by the application",
    "failed": "the application broke; tried again by a later run",
    "rejected": "refused for good; on the worklist",
    "unknown": "sent, but no answer came; the application's list will tell after the cool-down",
    "deferred": "the application was not reachable for it; tried again by a later run",
    "skipped": "left alone",
    "not_attempted": "the run stopped before its turn; tried again by a later run",
}


def result(run: Run, tally: Tally, halted: str | None) -> Notification:
    """Return the one result mail of a run that has ended."""
    parts = [
        _headline(run, halted),
        approvals.told(run),
        _outcomes(run, tally),
        _reasons(tally),
        _worklist(tally),
        _remarks(run, tally),
        _further(run),
    ]
    topic = "succeeded" if run.status == "succeeded" else "failed"
    return Notification(
        topic=alerts.NOBODY if run.told == alerts.NOBODY else topic,
        subject=_subject(run),
        message="\n\n".join(part for part in parts if part),
    )


def cannot_list(run: Run) -> Notification:
    """Return the mail of a run that could not even list what had failed."""
    message = (
        f"Run {run.run_id} could not list the failed communications, so nothing was sent.\n\n"
        f"What happened: {run.error}\n\n"
        "What to do: check that the application answers, and sources and auth in application.toml. "
        "The next scheduled run tries again.\n\n" + _further(run)
    )
    return Notification(topic="failed", subject=_line("comms-reprocess: cannot list what failed"), message=message)


def all_clear(known: Alert, now: int) -> Notification:
    """Return the mail that says that the trouble people know of is over, though there was nothing to send."""
    message = (
        f"The trouble that began {times.spoken(now - known.since)} ago ({known.trouble}) is over: "
        "the application's lists can be read, and hold nothing that is due."
    )
    return Notification(topic="succeeded", subject=_line("comms-reprocess: recovered, nothing is due"), message=message)


def never_started(run: Run, error: str) -> Notification:
    """Return the mail of a run that never got as far as a manifest."""
    message = (
        f"Run {run.run_id} never started, so nothing was sent: {error}.\n\n"
        "What to do: look at the collector's log. What had failed is still listed; the next scheduled run takes it.\n\n"
        + _further(run)
    )
    return Notification(topic="failed", subject=_line("comms-reprocess: a run never started"), message=message)


def _subject(run: Run) -> str:
    went = run.counts.get("accepted", 0)
    tried = run.matched - run.counts.get("skipped", 0)
    word = {alerts.RECOVERED: "recovered, ", alerts.REMINDER: "still "}.get(run.told or "", "")
    status = "" if run.status == "succeeded" else f"{run.status}, "
    return _line(f"comms-reprocess: {word}{status}{went} of {tried} accepted")


def _line(text: str) -> str:
    return text.encode("ascii", "replace").decode()[:MAX_SUBJECT]


def _headline(run: Run, halted: str | None) -> str:
    began = f"asked for by {run.requested_by}" if run.trigger == "request" else "scheduled"
    took = times.spoken((run.ended_at or run.requested_at) - run.requested_at)
    text = f"Run {run.run_id} ({began}) ended as {run.status} after {took}."
    if run.error:
        text += f"\nThe run itself broke: {run.error}."
    return text + ("\n" + _why_halted(halted) if halted else "")


def _why_halted(halted: str) -> str:
    kind, _, code = halted.partition(":")
    if kind == "misconfigured":
        return (
            f"It was stopped because the application refused us ({code}): "
            "check auth.secret and reprocess.url in application.toml. No communication is to blame."
        )
    if kind == "breaker":
        return "It was stopped because nothing was accepted any more: the application seems to be down."
    return f"It was stopped by {code or kind}."


def _outcomes(run: Run, tally: Tally) -> str:
    lines = [f"{run.matched} matched:"]
    for outcome in OUTCOMES:
        if tally.counts[outcome]:
            lines.append(f"  {tally.counts[outcome]:>7}  {outcome.replace('_', ' ')} - {_MEANING[outcome]}")
            lines += [
                f"  {'':>7}    {number} {operation}"
                for (operation, kind), number in sorted(tally.by_operation.items())
                if kind == outcome
            ]
    return "\n".join(lines)


def _reasons(tally: Tally) -> str:
    if not tally.reasons:
        return ""
    rows = [
        f"  {number:>7}  {outcome.replace('_', ' ')}: {reason}"
        for (outcome, reason), number in tally.reasons.most_common(_REASONS)
    ]
    return "\n".join(["Reasons:", *rows])


def _worklist(tally: Tally) -> str:
    if not tally.manual:
        return ""
    rows = [f"  {each.operation} {each.primary_id!r}: {each.reason}" for each in tally.worklist]
    more = [f"  ... and {tally.manual - len(rows)} more"] if tally.manual > len(rows) else []
    return "\n".join([f"{tally.manual} need a person (new on the worklist):", *rows, *more])


def _remarks(run: Run, tally: Tally) -> str:
    lines = []
    if tally.relapsed:
        lines.append(f"{tally.relapsed} had been accepted before and are listed as failed again.")
    if run.not_listed_count:
        shown = ", ".join(map(repr, run.not_listed))
        lines.append(
            f"{run.not_listed_count} of the ids asked for are not listed as failed, and were not sent: {shown}"
        )
    if run.left_out:
        more = f"at least {run.left_out_count} more" if run.left_out_count else "there may be more"
        lines.append(f"A limit was reached, or a list changed while it was read: {more}, which a later run will take.")
    return "\n".join(lines)


def _further(run: Run) -> str:
    return f"More: GET /runs/{run.run_id}"

"""When people are notified about scheduled runs: not every quarter of an hour, but always when something changes."""

from chalicelib.models import Incident, NotifyReason, RunStatus

# The incident of a list that cannot be read, whatever the other lists gave a run to send. It ends when all can be read.
LISTING = "listing"

# The incident of an application that accepts nothing, however many batches it took to find out.
NOTHING_ACCEPTED = "nothing_accepted"


def notify_reason(
    incident: str | None, known: Incident | None, now: int, remind_after: int, *, news: bool = False
) -> NotifyReason:
    """Return why people are notified about a scheduled run, or NONE. `incident` is its kind, None if all went well.

    `news` says that the run added to the worklist, which is always worth a mail. Times in milliseconds.
    """
    if incident is None:
        return NotifyReason.RECOVERED if known else NotifyReason.RESULT
    if known is None:
        return NotifyReason.BEGAN
    if known.kind != incident:
        return NotifyReason.CHANGED
    if news:
        return NotifyReason.NEWS
    return NotifyReason.REMINDER if now - known.notified_at >= remind_after else NotifyReason.NONE


def incident_kind(status: RunStatus, halt_reason: str | None, accepted: int, *, unlisted: bool = False) -> str | None:
    """Return the kind of incident that a run met, None if it met none. Kinds are coarse: each change means a mail."""
    if status == RunStatus.SUCCEEDED:
        return None
    if status == RunStatus.STOPPED and halt_reason and halt_reason != "breaker":
        return halt_reason
    if status == RunStatus.PARTIAL and unlisted:
        return LISTING
    if status in (RunStatus.STOPPED, RunStatus.PARTIAL):
        return status.value if accepted and status == RunStatus.PARTIAL else NOTHING_ACCEPTED
    return status.value


def after_notification(incident: str | None, known: Incident | None, now: int) -> Incident | None:
    """Return the incident that people know about once they have been notified, None if it is over."""
    if incident is None:
        return None
    return Incident(kind=incident, since=known.since if known else now, notified_at=now)

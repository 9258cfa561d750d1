"""When people are notified about scheduled runs: not every quarter of an hour, but whenever something new begins."""

from chalicelib.models import Incident, NotifyReason, RunStatus

# The incident of a list that cannot be read, whatever the other lists gave a run to send. It ends when all can be read.
LISTING = "listing"

# The incident of an application that accepts nothing, however many batches it took to find out.
NOTHING_ACCEPTED = "nothing_accepted"

# The incident of runs that nothing but the worklist came out of: what expired or relapsed needs a person.
WORKLIST = "worklist"

# The incidents of runs that recovery has closed: their collector died, or they could not be reported.
NEVER_STARTED, UNREPORTED = "never_started", "unreported"


def notify_reason(
    incident: str | None, known: Incident | None, now: int, remind_after: int, *, accepted: int = 0, news: int = 0
) -> NotifyReason:
    """Return why people are notified about a scheduled run, or NONE. `incident` is its kind, None if all went well.

    `accepted` is how many communications the application accepted: without any, no incident is over. `news` is how many
    went to the worklist since the last mail. While an incident goes on, each kind that it takes is worth one mail;
    everything else waits until `remind_after` has passed since the last. Times in milliseconds.
    """
    if known is None:
        return NotifyReason.BEGAN if incident else NotifyReason.RESULT
    if incident is None:
        return NotifyReason.RECOVERED if accepted else NotifyReason.NONE
    if incident not in (known.kind, *known.earlier_kinds):
        return NotifyReason.CHANGED
    if now - known.notified_at < remind_after:
        return NotifyReason.NONE
    return NotifyReason.NEWS if news else NotifyReason.REMINDER


def incident_kind(
    status: RunStatus, halt_reason: str | None, accepted: int, new_on_worklist: int, *, unlisted: bool = False
) -> str | None:
    """Return the kind of incident that a run met, None if it met none. Kinds are coarse: each new one means a mail."""
    if status == RunStatus.SUCCEEDED:
        return WORKLIST if new_on_worklist else None
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
    if known is None:
        return Incident(kind=incident, since=now, notified_at=now)
    earlier = sorted({known.kind, *known.earlier_kinds} - {incident})
    return Incident(kind=incident, since=known.since, notified_at=now, earlier_kinds=earlier)

"""When people are notified about scheduled runs: not every quarter of an hour, but whenever something new begins."""

import msgspec

from chalicelib.models.notifications import Incident, NotifyReason
from chalicelib.models.runs import RunStatus

# The incident of a list that cannot be read, whatever the other lists gave a run to send. It ends when all can be read.
LISTING = "listing"

# The incident of an application that accepts nothing, however many batches it took to find out.
NOTHING_ACCEPTED = "nothing_accepted"

# The incident of runs that nothing but the worklist came out of: what expired or relapsed needs a person.
WORKLIST = "worklist"

# The incidents of runs that recovery has closed: their collector died, or they could not be reported.
NEVER_STARTED, UNREPORTED = "never_started", "unreported"


def notify_reason(
    incident: str | None,
    known: Incident | None,
    now: int,
    remind_after: int,
    *,
    accepted: int = 0,
    news: int = 0,
    ended_at: int = 0,
) -> NotifyReason:
    """Return why people are notified about a scheduled run, or NONE. `incident` is its kind, None if all went well.

    `accepted` is how many communications the application accepted: without any, no incident is over. `news` is how many
    went to the worklist since the last mail, `ended_at` when the last incident ended. While an incident goes on, each
    kind that it takes is worth one mail; everything else waits until `remind_after` has passed since the last. Times in
    milliseconds.
    """
    if known is None:
        began = NotifyReason.RETURNED if now - ended_at < remind_after else NotifyReason.BEGAN
        return began if incident else NotifyReason.RESULT
    if incident is None:
        return NotifyReason.RECOVERED if accepted and may_end(known, now, remind_after) else NotifyReason.NONE
    if incident not in (known.kind, *known.earlier_kinds):
        return NotifyReason.CHANGED
    if now - known.notified_at < remind_after:
        return NotifyReason.NONE
    return NotifyReason.NEWS if news else NotifyReason.REMINDER


def may_end(known: Incident, now: int, remind_after: int) -> bool:
    """Whether a run that went well may end an incident.

    One that has returned has to stay away for `remind_after`: while half of the application is down, every other run
    goes well by chance, and each would cause a mail that it is over, and each next one that it is back.
    """
    return not known.returned or now - known.met_at >= remind_after


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


def after_run(
    reason: NotifyReason, incident: str | None, untold: int, known: Incident | None, now: int
) -> Incident | None:
    """Return the incident that people know about after a run that did not end it. `incident` is what the run met."""
    if known is None:
        returned = reason == NotifyReason.RETURNED
        return Incident(kind=incident, since=now, notified_at=now, met_at=now, returned=returned) if incident else None
    met_at = now if incident else known.met_at
    if reason == NotifyReason.NONE:
        return msgspec.structs.replace(known, untold=untold, met_at=met_at)
    kind = incident or known.kind
    earlier = sorted({known.kind, *known.earlier_kinds} - {kind})
    return msgspec.structs.replace(known, kind=kind, notified_at=now, earlier_kinds=earlier, untold=0, met_at=met_at)

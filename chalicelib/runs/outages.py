"""When an outage begins, when it is over, and when it is settled. No I/O here."""

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from chalicelib import times
from chalicelib.models.notifications import Incident
from chalicelib.models.outages import Outage, OutageCause
from chalicelib.models.runs import RunStatus
from chalicelib.notifications import policy

# Why an outage begins before any run has met it.
FAILURES_ROSE = "failures_rose"

# Failures have risen clearly if they are so many, and so many times as many as usual. They have fallen again at half of
# that, so that a number in between neither begins an outage nor ends one.
LEAST, TIMES = 20, 3

# "Usual" is the median of as many scans at least: with a scan each quarter of an hour, of the last hour.
_SCANS = 4

# How many causes and runs an outage keeps.
_CAUSES, _RUNS = 10, 100

# What may have become of a member that is still listed.
_STATES = ("waiting", "sent", "on_worklist", "dismissed")

# In milliseconds: failures that have been so many for that long are what is usual now. Otherwise an outage of an
# application that has become worse for good would never end, and nobody would hear of the next one.
_USUAL_AFTER = times.parse_duration("7d")

# Incidents that are about single communications, or about us, or about what people decided, and no outage of the
# application's.
_NO_OUTAGE = (
    *(RunStatus.PARTIAL, RunStatus.DECLINED, RunStatus.FAILED),
    *(policy.WORKLIST, policy.NEVER_STARTED, policy.UNREPORTED),
)


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What a scan has seen: of all that fails, and of what the open outage has hit.

    `failing` are those that wait to be sent. `new` are those that an outage of now has hit and that were not in it
    before, by operation, and `new_states` the same by what has become of them. The other four are about its members
    that the scan listed. `causes` counts by cause what fails.
    """

    scan: str
    at: int
    complete: bool
    failing: int
    new: dict[str, int] = {}
    new_states: dict[str, int] = {}
    waiting: int = 0
    sent: int = 0
    on_worklist: int = 0
    dismissed: int = 0
    causes: Sequence[OutageCause] = ()
    overfull: bool = False


def usual_failures(earlier: Sequence[int]) -> int | None:
    """Return how many fail usually, by earlier complete scans. None: nobody knows yet."""
    return int(statistics.median_low(earlier)) if len(earlier) >= _SCANS else None


def have_risen(failing: int, usual: int | None, *, part: float = 1) -> bool:
    """Whether clearly more fail than usual; `part` is how much of that is enough."""
    return usual is not None and failing >= part * max(LEAST, TIMES * usual)


def is_trouble(incident: Incident | None) -> bool:
    """Whether the incident of the schedule is one of the application as a whole."""
    return incident is not None and incident.kind.partition(":")[0] not in (*_NO_OUTAGE, "hand")


def observe(outage: Outage | None, seen: Seen, incident: Incident | None, usual: int | None) -> Outage | None:
    """Return the outage after a scan: the open one, one that begins now, or None. The same scan changes it once.

    `outage` is the newest one. `incident` is that which the last scheduled run met. `usual` is how many failed before
    this scan; an open outage keeps its own number. Only a complete scan can tell that an outage is over.
    """
    if outage is None or outage.settled_at:
        outage = _begin(seen, incident, usual, after=outage.settled_at if outage and outage.settled_at else 0)
    if outage is None or outage.scan == seen.scan:
        return outage
    is_new = seen.at - outage.began_at < _USUAL_AFTER
    goes_on = is_trouble(incident) or (is_new and have_risen(seen.failing, outage.usual, part=0.5))
    over_at = None if goes_on else outage.over_at or (seen.at if seen.complete else None)
    return _settled(_counted(msgspec.structs.replace(outage, over_at=over_at), seen), seen)


def _begin(seen: Seen, incident: Incident | None, usual: int | None, after: int) -> Outage | None:
    """Return the outage that a scan begins, if it does. An incident may have begun before the last one was settled."""
    if incident is not None and is_trouble(incident):
        began_at, reason = max(after + 1, min(incident.since, seen.at)), incident.kind
    elif have_risen(seen.failing, usual):
        began_at, reason = max(after + 1, seen.at), FAILURES_ROSE
    else:
        return None
    return Outage(outage_id=_outage_id(began_at), began_at=began_at, reason=reason, usual=usual)


def _outage_id(began_at: int) -> str:
    """Return an id that sorts by time: one outage is open at a time."""
    return times.format_iso(began_at).replace("-", "").replace(":", "").replace(".", "")


def _counted(outage: Outage, seen: Seen) -> Outage:
    """Return an outage with what a scan has seen of it.

    While it goes on, it hits whatever fails. An incomplete scan cannot tell what is not listed any more, so it only
    adds.
    """
    new, new_states = ({}, {}) if outage.over_at else (seen.new, seen.new_states)
    members = {name: getattr(seen if seen.complete else outage, name) for name in _STATES}
    return msgspec.structs.replace(
        outage,
        scan=seen.scan,
        scanned_at=seen.at,
        most=max(outage.most, seen.failing),
        hit=outage.hit + sum(new.values()),
        by_operation=dict(Counter(outage.by_operation) + Counter(new)),
        causes=outage.causes if outage.over_at else most_frequent([*outage.causes, *seen.causes]),
        overfull=outage.overfull or (seen.overfull and not outage.over_at),
        **{name: number + new_states.get(name, 0) for name, number in members.items()},
    )


def _settled(outage: Outage, seen: Seen) -> Outage:
    """Return an outage, settled if it is over and nothing of it waits. The worklist is for people, however long."""
    waits = outage.waiting or outage.sent or not seen.complete
    return outage if waits or not outage.over_at else msgspec.structs.replace(outage, settled_at=seen.at)


def most_frequent(causes: Iterable[OutageCause]) -> list[OutageCause]:
    """Return the most frequent causes, each once with its highest number."""
    most: dict[tuple[str, str, str | None], OutageCause] = {}
    for cause in causes:
        key = (cause.operation, cause.kind, cause.reason)
        if key not in most or most[key].most < cause.most:
            most[key] = cause
    ranked = sorted(most.values(), key=lambda cause: (-cause.most, cause.operation, cause.kind, cause.reason or ""))
    return ranked[:_CAUSES]


def with_runs(outage: Outage, run_ids: Sequence[str]) -> Outage:
    """Return an outage with runs that have taken place in it since its last scan, oldest first."""
    return msgspec.structs.replace(
        outage, run_ids=[*outage.run_ids, *run_ids][-_RUNS:], run_count=outage.run_count + len(run_ids)
    )

"""The situation: which causes communications are failing for now, as the scans of the schedule see it."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from msgspec.structs import replace

from chalicelib import times
from chalicelib.errors import NotFound
from chalicelib.ledger import Ledger
from chalicelib.ledger.situations import KnownCause, OperationCounts, ScanPoint, Situation
from chalicelib.runs.causes import Cause
from chalicelib.runs.tally import OTHER, TREND, Snapshot, other_of

# How many causes are kept, without those that add up rare ones: at most seven for each operation, one for each kind.
KEPT_CAUSES = 100

# In milliseconds: how long a cause is kept that is not seen any more, and how far the log of the scans goes back.
KEPT_FOR = times.parse_duration("24h")

# How many scans the log holds: those of a day, if there is one each quarter of an hour.
MAX_SCANS = 100


def note_scan(run_id: str, seen: Snapshot, count_worklist: Callable[[], int], ledger: Ledger) -> None:
    """Write what a scheduled run's scan has seen. May be repeated, and an older scan changes nothing."""
    worklist = count_worklist()
    ledger.situations.change(lambda known: situation_after(known, run_id, seen, worklist))


def get_situation(ledger: Ledger) -> Situation | None:
    """Return the situation, None before the first scan."""
    return ledger.situations.read()


def get_cause(ledger: Ledger, cause_id: str) -> KnownCause:
    """Return a cause that a scan has seen within the last 24 hours. NotFound if there is none with this id."""
    situation = get_situation(ledger)
    cause = situation.cause(cause_id) if situation else None
    if cause is None:
        raise NotFound("no scan of the last 24 hours has seen a cause with this id; take ids from GET /causes")
    return cause


# -- the rules, without the table


def situation_after(known: Situation | None, run_id: str, seen: Snapshot, worklist: int) -> Situation:
    """Return the situation after a scan, or as it is if a newer scan has written it.

    The same scan again changes nothing, and another scan of the same run replaces that run's part.
    """
    before = known or Situation(run_id="", at=0)
    if before.at > seen.at:
        return before
    causes = _causes_after(before, seen, repeated=before.run_id == run_id)
    by_operation = _by_operation(before, seen, causes)
    complete = not seen.unfinished
    return Situation(
        run_id=run_id,
        at=seen.at,
        complete=complete,
        last_complete=seen.at if complete else before.last_complete,
        oldest=seen.oldest,
        worklist=worklist,
        skipped=seen.skipped,
        by_operation=by_operation,
        causes=causes,
        capped=any(cause.folded and cause.count for cause in causes),
        scans=_scans_after(before.scans, _point(run_id, seen, by_operation.values())),
    )


def _causes_after(before: Situation, seen: Snapshot, *, repeated: bool) -> list[KnownCause]:
    """Return the causes, those with the highest counts first.

    What a list contained that was read whole is exact. Of another list, a cause keeps the larger count.
    """
    earlier = [_forget(cause, seen) for cause in before.causes]
    kept = _largest(_merge(_by_id(earlier), _by_id(seen.causes), seen.at, repeated=repeated))
    merged = _merge(_fold(earlier, kept), _fold(seen.causes, kept), seen.at, repeated=repeated)
    return sorted(merged, key=lambda cause: (-cause.count, cause.id))


def _forget(cause: KnownCause, seen: Snapshot) -> KnownCause:
    """Return a cause without its counts, unless its list was not read whole."""
    return cause if cause.operation in seen.unfinished else replace(cause, count=0, on_worklist=0)


def _by_id(causes: Iterable[KnownCause]) -> dict[str, KnownCause]:
    return {cause.id: cause for cause in causes}


def _merge(earlier: dict[str, KnownCause], seen: dict[str, KnownCause], at: int, *, repeated: bool) -> list[KnownCause]:
    """Return the causes of both; `repeated`: the last counts of the trends are those of the same run."""
    known = {each: _merged(cause, seen.get(each), repeated=repeated) for each, cause in earlier.items()}
    return [cause for cause in (seen | known).values() if cause.count or at - cause.last_seen < KEPT_FOR]


def _merged(earlier: KnownCause, seen: KnownCause | None, *, repeated: bool) -> KnownCause:
    count = max(earlier.count, seen.count if seen else 0)
    trend = [*(earlier.trend[:-1] if repeated else earlier.trend[1:]), count]
    if seen is None:
        return replace(earlier, trend=trend)
    return replace(
        seen,
        count=count,
        on_worklist=max(earlier.on_worklist, seen.on_worklist),
        first_seen=earlier.first_seen,
        example=seen.example or earlier.example,
        trend=trend,
        folded=seen.folded or (earlier.folded and earlier.count > 0),
    )


def _largest(causes: Iterable[KnownCause]) -> set[str]:
    """Return the ids of the causes to keep. Rare ones are added up, so those named OTHER stay whatever their count."""
    named = [cause for cause in causes if cause.reason != OTHER]
    named.sort(key=lambda cause: (-cause.count, -cause.last_seen, cause.id))
    return {cause.id for cause in (*named[:KEPT_CAUSES], *(each for each in causes if each.reason == OTHER))}


def _fold(causes: Iterable[KnownCause], kept: set[str]) -> dict[str, KnownCause]:
    """Return the causes by id, with those that are not kept folded into that of their operation and kind."""
    found = {cause.id: cause for cause in causes if cause.id in kept}
    for cause in causes:
        if cause.id not in kept and cause.count:
            other = _as_other(cause)
            found[other.id] = _sum(found[other.id], other) if other.id in found else other
    return found


def _as_other(cause: KnownCause) -> KnownCause:
    other = other_of(Cause(operation=cause.operation, kind=cause.kind))
    trend = [0] * (TREND - 1) + [cause.count]
    return replace(cause, id=other.id, reason=other.reason, trend=trend, folded=True)


def _sum(one: KnownCause, other: KnownCause) -> KnownCause:
    return replace(
        one,
        count=one.count + other.count,
        on_worklist=one.on_worklist + other.on_worklist,
        first_seen=min(one.first_seen, other.first_seen),
        last_seen=max(one.last_seen, other.last_seen),
        trend=[*one.trend[:-1], one.trend[-1] + other.trend[-1]],
        folded=True,
    )


def _by_operation(before: Situation, seen: Snapshot, causes: Iterable[KnownCause]) -> dict[str, OperationCounts]:
    """Return the counts of each operation. Of a list that was not read whole, what was sent keeps the larger one."""
    failing, manual = Counter[str](), Counter[str]()
    for cause in causes:
        failing[cause.operation] += cause.count - cause.on_worklist
        manual[cause.operation] += cause.on_worklist
    kept = {name: counts for name, counts in before.by_operation.items() if name in seen.unfinished}
    return {
        name: OperationCounts(
            failing=failing[name],
            on_worklist=manual[name],
            sent=max(seen.sent.get(name, 0), kept.get(name, OperationCounts()).sent),
            dismissed=max(seen.dismissed.get(name, 0), kept.get(name, OperationCounts()).dismissed),
        )
        for name in sorted({*failing, *seen.sent, *seen.dismissed, *kept})
    }


def _point(run_id: str, seen: Snapshot, counts: Iterable[OperationCounts]) -> ScanPoint:
    sums: dict[str, Any] = {
        name: sum(getattr(each, name) for each in counts) for name in ("failing", "on_worklist", "sent")
    }
    return ScanPoint(at=seen.at, run_id=run_id, complete=not seen.unfinished, **sums)


def _scans_after(scans: Iterable[ScanPoint], point: ScanPoint) -> list[ScanPoint]:
    """Return the log of the last day with one more scan.

    If it is too long, the scan goes whose neighbours are closest together, of several the oldest. So with a scan each
    minute, the log still goes back a day: with a scan each quarter of an hour or so, and the last one.
    """
    kept = [each for each in scans if point.at - each.at < KEPT_FOR and each.run_id != point.run_id]
    kept.append(point)
    while len(kept) > MAX_SCANS:
        del kept[min(range(1, len(kept) - 1), key=lambda number: kept[number + 1].at - kept[number - 1].at)]
    return kept

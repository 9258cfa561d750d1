"""Everything for one look at the service, in one call and a handful of reads."""

from collections.abc import Iterable, Sequence

import msgspec

from chalicelib.application.config import Configuration
from chalicelib.ledger import Ledger
from chalicelib.ledger.situations import ScanPoint, Situation
from chalicelib.models.notifications import Incident
from chalicelib.models.outages import Outage
from chalicelib.models.outcomes import Outcome
from chalicelib.models.runs import Run, RunStatus, Trigger
from chalicelib.runs.outage_queries import expected_end
from chalicelib.runs.pace import PaceState, get_pace
from chalicelib.runs.queries import Progress, progress_of
from chalicelib.runs.schedule import ScheduleState, get_schedule
from chalicelib.settings import Settings

# How many of the newest runs are read: those of a day's scans. And how many that are under way are shown.
_RUNS, _UNDER_WAY = 100, 20

# The outcomes of what was sent in vain.
_FAILED = (Outcome.FAILED, Outcome.REJECTED, Outcome.UNKNOWN)


class ScanResult(msgspec.Struct, frozen=True):
    """A scan, and how many its run got accepted and sent in vain; None: nobody knows any more."""

    point: ScanPoint
    accepted: int | None
    failed: int | None


class RunUnderWay(msgspec.Struct, frozen=True):
    """A run that has not ended, how it gets on if it is sending, and why it is being stopped, if it is."""

    run: Run
    progress: Progress | None
    halt_reason: str | None


class Summary(msgspec.Struct, frozen=True):
    """What goes on now. `situation` is None before the first scan, `outage` unless one is open.

    `under_way` are the newest runs that have not ended, and `under_way_count` how many there are.
    """

    situation: Situation | None
    scans: list[ScanResult]
    under_way: list[RunUnderWay]
    under_way_count: int
    awaiting_approval: int
    incident: Incident | None
    schedule: ScheduleState
    pace: PaceState
    outage: Outage | None
    outage_end: int | None


def get_summary(ledger: Ledger, configuration: Configuration, settings: Settings) -> Summary:
    """Return what goes on now."""
    situation, incident, pace = ledger.situations.read(), ledger.incidents.read(), get_pace(ledger, configuration)
    runs, more = ledger.runs.page(_RUNS)
    open_runs = ledger.runs.open_runs()
    newest = ledger.outages.newest()
    outage = newest if newest and newest.is_open else None
    schedule = get_schedule(ledger, settings)
    is_held = schedule.pause is not None or any(map(_holds_schedule, open_runs))
    return Summary(
        situation=situation,
        scans=_results(situation.scans if situation else (), runs, all_known=more is None),
        under_way=_under_way(open_runs[-_UNDER_WAY:][::-1], pace, ledger, settings),
        under_way_count=len(open_runs),
        awaiting_approval=sum(run.status == RunStatus.AWAITING_APPROVAL for run in open_runs),
        incident=incident,
        schedule=schedule,
        pace=pace,
        outage=outage,
        outage_end=expected_end(outage, incident, pace, configuration, settings, is_held=is_held) if outage else None,
    )


def _holds_schedule(run: Run) -> bool:
    return run.trigger == Trigger.SCHEDULE and run.status == RunStatus.AWAITING_APPROVAL


def _results(points: Iterable[ScanPoint], runs: Sequence[Run], *, all_known: bool) -> list[ScanResult]:
    """Return what came of each scan. One without a run had nothing to send, unless it is older than all of `runs`."""
    by_id = {run.run_id: run for run in runs}
    since = 0 if all_known else runs[-1].requested_at
    return [_result(point, by_id.get(point.run_id), is_known=point.at > since) for point in points]


def _result(point: ScanPoint, run: Run | None, *, is_known: bool) -> ScanResult:
    if run is None:
        return ScanResult(point, 0 if is_known else None, 0 if is_known else None)
    failed = sum(run.counts.get(outcome, 0) for outcome in _FAILED)
    return ScanResult(point, run.counts.get(Outcome.ACCEPTED, 0), failed)


def _under_way(runs: Sequence[Run], pace: PaceState, ledger: Ledger, settings: Settings) -> list[RunUnderWay]:
    halted = ledger.runs.halt_reasons(run.run_id for run in runs)
    return [
        RunUnderWay(run, progress_of(run, pace, settings, is_halted=run.run_id in halted), halted.get(run.run_id))
        for run in runs
    ]

"""What people can look up about runs."""

from collections.abc import Iterator

import msgspec

from chalicelib.application.config import Configuration
from chalicelib.ledger import Ledger
from chalicelib.ledger.runs import run_key
from chalicelib.models.base import PageKey
from chalicelib.models.outcomes import Outcome, OutcomeRecord
from chalicelib.models.runs import Run, RunKind, RunStatus
from chalicelib.runs import cost
from chalicelib.runs.pace import PaceState, get_pace
from chalicelib.settings import Settings

# Where a page of outcomes begins: a batch's index, and a communication's index in that batch.
OutcomeKey = tuple[int, int]

# How many communications one call looks at in search of an outcome.
_MAX_SCANNED = 10_000


def list_runs(ledger: Ledger, size: int, after: PageKey | None) -> tuple[list[Run], PageKey | None]:
    """Return at most `size` runs, newest first, and the key of the next page (None: this is the last)."""
    return ledger.runs.page(size, after)


def page_key(run: Run) -> PageKey:
    """Return the key of the page after a run."""
    return *run_key(run.run_id), run.requested_at


def get_run(ledger: Ledger, run_id: str) -> Run:
    """Return a run. RunNotFound if there is none of that id."""
    return ledger.runs.read(run_id)


class Progress(msgspec.Struct, frozen=True):
    """How a run that is under way gets on. `expected_end` is in milliseconds since 1970; None: it is being stopped."""

    pace: PaceState
    expected_end: int | None


def get_halt_reason(run: Run, ledger: Ledger) -> str | None:
    """Return who or what has stopped a run, or is stopping it; None if nothing did, or nobody knows any more."""
    # A stop that met the end of its run was too late.
    return None if run.closed and run.status != RunStatus.STOPPED else ledger.runs.halt_reason(run.run_id)


def get_progress(
    run: Run, ledger: Ledger, configuration: Configuration, settings: Settings, *, is_halted: bool
) -> Progress | None:
    """Return how a run gets on, None unless it is sending."""
    if not _is_sending(run):
        return None
    return progress_of(run, get_pace(ledger, configuration), settings, is_halted=is_halted)


def progress_of(run: Run, pace: PaceState, settings: Settings, *, is_halted: bool) -> Progress | None:
    """Return how a run gets on at a pace, None unless it is sending."""
    if not _is_sending(run):
        return None
    return Progress(pace=pace, expected_end=None if is_halted else _expected_end(run, pace, settings))


def _is_sending(run: Run) -> bool:
    return run.status == RunStatus.RUNNING and run.kind == RunKind.REPROCESS


def _expected_end(run: Run, pace: PaceState, settings: Settings) -> int:
    """Return when a run ends if everything goes on as it does now, and no other run takes turns as well."""
    left = max(0, run.eligible - sum(run.counts.values()))
    post_ms = cost.measured_post_ms([run]) or pace.pace.usual_ms or cost.ASSUMED_POST_MS
    seconds = cost.seconds_left(left, pace.within(settings), post_ms, pace.lasting_per_second)
    return (pace.blocked_until or pace.now) + round(seconds * 1000)


def list_outcomes(
    ledger: Ledger, run_id: str, outcome: Outcome | None, size: int, start: OutcomeKey
) -> tuple[list[OutcomeRecord], OutcomeKey | None]:
    """Return at most `size` recorded outcomes of a run, and where the next page begins (None: this is the last).

    With `outcome`, only those; such a page may be empty and still have a next one. RunNotFound if there is no such run.
    """
    get_run(ledger, run_id)
    found: list[OutcomeRecord] = []
    for scanned, (key, record) in enumerate(_outcomes_from(ledger, run_id, start)):
        if len(found) == size or scanned == _MAX_SCANNED:
            return found, key
        if outcome in (None, record.outcome):
            found.append(record)
    return found, None


def _outcomes_from(ledger: Ledger, run_id: str, start: OutcomeKey) -> Iterator[tuple[OutcomeKey, OutcomeRecord]]:
    for batch in ledger.runs.batches(run_id, start[0]):
        for number, record in enumerate(batch.outcomes):
            key = (batch.index, number)
            if key >= start:
                yield key, record

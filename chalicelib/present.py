"""From the ledger's records to what the API shows of them."""

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any

from chalicelib import ids, times
from chalicelib.ledger.runs import Runs
from chalicelib.ledger.schedule import Pause
from chalicelib.ledger.worklist import DISMISSED, MANUAL, Standing
from chalicelib.models import Outcome, Run
from chalicelib.settings import Settings
from chalicelib.views import (
    CommunicationDetail,
    CommunicationView,
    OutcomesPage,
    OutcomesQuery,
    OutcomeView,
    Ruled,
    RunView,
    ScheduleView,
    Tried,
)

_COLUMNS = ("id", "operation", "primaryId", "status", "attempts", "reason", "since")

# Between two communications of a batch; a batch holds 40 at most.
_STEP = 1_000

# How many communications of a run one call looks at in search of an outcome.
_LOOKED_AT = 10_000


def run(it: Run) -> RunView:
    """Return a run as the API shows it."""
    counts: dict[str, Any] = dict(it.counts)
    if not it.closed:
        counts["skipped"] = counts.get("skipped", 0) + sum(it.skipped.values())
    return RunView(
        run_id=it.run_id,
        trigger="schedule" if it.trigger == "schedule" else "request",
        requested_by=it.requested_by,
        note=it.note,
        status=it.status,
        requested_at=times.iso(it.requested_at),
        ended_at=_moment(it.ended_at),
        matched=it.matched,
        done=sum(counts.values()),
        counts=counts,
        skipped=it.skipped,
        not_listed=it.not_listed,
        not_listed_count=it.not_listed_count,
        left_out=it.left_out,
        left_out_count=it.left_out_count,
        decision=it.decision,
        decided_by=it.decided_by,
        decided_at=_moment(it.decided_at),
        error=it.error,
    )


def outcomes(run_id: str, query: OutcomesQuery, runs: Runs) -> OutcomesPage:
    """Return a page of a run's recorded outcomes. A page may be empty and yet have a next one."""
    listing = ("outcomes", run_id, query.outcome)
    start = ids.position(query.cursor, *listing)
    found: list[OutcomeView] = []
    for looked_at, (place, outcome) in enumerate(_numbered(runs, run_id, start[2] if start else 0)):
        if len(found) == query.limit or looked_at == _LOOKED_AT:
            following = ids.cursor((run_id, "BATCH", place), *listing)
            return OutcomesPage(communications=found, next_cursor=following)
        if query.outcome in (None, outcome.outcome):
            found.append(_outcome(outcome))
    return OutcomesPage(communications=found, next_cursor=None)


def _numbered(runs: Runs, run_id: str, first: int) -> Iterator[tuple[int, Outcome]]:
    """Yield the outcomes from a place on, each with its place."""
    for record in runs.batches(run_id, first // _STEP):
        for number, outcome in enumerate(record.outcomes):
            place = record.index * _STEP + number
            if place >= first:
                yield place, outcome


def _outcome(it: Outcome) -> OutcomeView:
    return OutcomeView(
        id=ids.of(it.operation, it.primary_id),
        operation=it.operation,
        primary_id=it.primary_id,
        outcome=it.outcome,  # type: ignore[arg-type] # one of OUTCOMES, as record writes it
        reason=it.reason,
        relapsed=it.relapsed,
        manual=it.manual,
    )


def communication(it: Standing) -> CommunicationView:
    """Return a communication as a listing shows it."""
    return CommunicationView(**_common(it))


def detail(it: Standing) -> CommunicationDetail:
    """Return a communication with its history."""
    history = [
        Tried(run_id=each.owner.rpartition("#")[0], at=times.iso(each.at), answer=each.answer, reason=each.reason)
        for each in it.history
    ]
    rulings = [
        Ruled(did=each.did, by=each.by, at=times.iso(each.at), why=each.why)  # type: ignore[arg-type] # as written
        for each in it.rulings
    ]
    return CommunicationDetail(**_common(it), history=history, rulings=rulings)


def _common(it: Standing) -> dict[str, Any]:
    ruled = it.status in (MANUAL, DISMISSED)
    return {
        "id": ids.of(it.operation, it.primary_id),
        "operation": it.operation,
        "primary_id": it.primary_id,
        "status": it.status,
        "attempts": it.attempts,
        "reason": it.manual_reason if ruled else it.reason,
        "since": _moment(it.manual_since) if ruled else None,
        "cool_down_until": _moment(it.until) if it.until else None,
    }


def csv_of(found: Iterable[Standing]) -> str:
    """Return communications as a CSV file (RFC 4180) with a line of titles."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(_COLUMNS)
    for it in found:
        shown = communication(it)
        row = (shown.id, shown.operation, shown.primary_id, shown.status, shown.attempts, shown.reason, shown.since)
        writer.writerow([_harmless(each) for each in row])
    return file.getvalue()


def _harmless(cell: object) -> object:
    """Keep a spreadsheet from taking an id of the application's for a formula (OWASP, "CSV Injection")."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


def schedule(settings: Settings, pause: Pause | None) -> ScheduleView:
    """Return the schedule."""
    return ScheduleView(
        expression=settings.schedule,
        paused=pause is not None,
        paused_by=pause.by if pause else None,
        paused_at=_moment(pause.at) if pause else None,
    )


def _moment(at: int | None) -> str | None:
    return None if at is None else times.iso(at)

"""Turns records into what the API returns."""

import csv
import io
import re
from collections.abc import Iterable
from typing import Any

from chalicelib import times
from chalicelib.api import ids
from chalicelib.api.schemas import (
    AttemptView,
    CommunicationDetail,
    CommunicationView,
    Cost,
    DecisionView,
    OutcomeView,
    PaceView,
    PreviewView,
    RunPace,
    RunView,
    SampleItem,
    ScheduleView,
)
from chalicelib.ledger.worklist import WorklistEntry
from chalicelib.models import CommunicationStatus, Outcome, OutcomeRecord, Run, RunKind
from chalicelib.runs.cost import Estimate
from chalicelib.runs.dry_run import Preview
from chalicelib.runs.pace import PaceState
from chalicelib.runs.prices import AS_OF
from chalicelib.runs.queries import Progress
from chalicelib.runs.schedule import ScheduleState

# Where a cell begins that a spreadsheet might take for a formula: with a tab or a line break; or before a sign, also a
# full-width one, at the beginning or after what divides cells in some country or in a program that ignores quotes.
_CELL_START = re.compile(r"""^(?=[\t\r\n])|(?:^|(?<=[\t\r\n,;"']))(?=\s*[=+\-@\uff0b\uff0d\uff1d\uff20])""")

_COLUMNS = ("id", "operation", "primaryId", "status", "attempts", "reason", "since")


def run_view(run: Run, progress: Progress | None = None) -> RunView:
    """Return a run, with how it gets on if that is known."""
    counts: dict[str, Any] = dict(run.counts)
    if not run.closed and run.kind == RunKind.REPROCESS:
        counts[Outcome.SKIPPED.value] = counts.get(Outcome.SKIPPED, 0) + sum(run.skipped.values())
    return RunView(
        run_id=run.run_id,
        kind=run.kind,
        trigger=run.trigger,
        requested_by=run.requested_by,
        note=run.note,
        status=run.status,
        requested_at=times.format_iso(run.requested_at),
        ended_at=_moment(run.ended_at),
        matched=run.matched,
        done=sum(counts.values()),
        counts=counts,
        skipped=run.skipped,
        refused=run.refused,
        not_found=run.not_found,
        not_found_count=run.not_found_count,
        truncated=run.truncated,
        truncated_count=run.truncated_count,
        list_errors=run.list_errors,
        decision=run.decision,
        decided_by=run.decided_by,
        decided_at=_moment(run.decided_at),
        error=run.error,
        pace=_run_pace(run, progress),
        expected_end=_moment(progress.expected_end) if progress else None,
        next_run_at=_moment(run.next_run_at),
    )


def _run_pace(run: Run, progress: Progress | None) -> RunPace | None:
    if progress:
        return RunPace(per_second=progress.pace.per_second, reason=progress.pace.reason)
    return None if run.pace is None else RunPace(per_second=run.pace / 1000, reason=run.pace_reason)


def outcome_view(record: OutcomeRecord) -> OutcomeView:
    """Return how a communication ended a run."""
    return OutcomeView(
        id=ids.encode_id(record.operation, record.primary_id),
        operation=record.operation,
        primary_id=record.primary_id,
        outcome=record.outcome,
        reason=record.reason,
        relapsed=record.relapsed,
        manual=record.manual,
    )


def preview_view(preview: Preview) -> PreviewView:
    """Return what a run would do."""
    estimate = preview.estimate
    return PreviewView(
        matched=preview.matched,
        eligible=preview.eligible,
        skipped=preview.skipped,
        by_operation=preview.by_operation,
        oldest=_moment(preview.oldest),
        newest=_moment(preview.newest),
        batches=estimate.batches,
        needs_approval=preview.needs_approval,
        expected_seconds=estimate.seconds,
        expected_cost=Cost(currency="USD", amount=estimate.dollars, basis=_basis(estimate)),
        not_found=preview.not_found,
        not_found_count=preview.not_found_count,
        truncated=preview.truncated,
        incomplete=preview.incomplete,
        error=preview.error,
        sample=[SampleItem(id=ids.encode_id(*key), operation=key[0], primary_id=key[1]) for key in preview.sample],
    )


def _basis(estimate: Estimate) -> str:
    source = "as measured in the last runs" if estimate.measured else "an assumption, as no run has measured it yet"
    return (
        f"us-east-1 list prices as of {AS_OF}, no free tier, no retries; "
        f"{estimate.post_ms:.0f} ms for each POST ({source}){_pace_basis(estimate)}"
    )


def _pace_basis(estimate: Estimate) -> str:
    return "" if estimate.per_second is None else f"; the pace stays at {estimate.per_second:g} a second"


def communication_view(entry: WorklistEntry) -> CommunicationView:
    """Return a communication as listings show it."""
    return CommunicationView(**_common(entry))


def communication_detail(entry: WorklistEntry) -> CommunicationDetail:
    """Return a communication with its history."""
    history = [
        AttemptView(
            run_id=each.owner.rpartition("#")[0], at=times.format_iso(each.at), answer=each.answer, reason=each.reason
        )
        for each in entry.history
    ]
    decisions = [
        DecisionView(action=each.action, by=each.by, at=times.format_iso(each.at), note=each.note, run_id=each.run_id)
        for each in entry.decisions
    ]
    return CommunicationDetail(
        **_common(entry), history=history, decisions=decisions, decisions_forgotten=entry.decisions_forgotten
    )


def _common(entry: WorklistEntry) -> dict[str, Any]:
    for_people = entry.status in (CommunicationStatus.MANUAL, CommunicationStatus.DISMISSED)
    return {
        "id": ids.encode_id(entry.operation, entry.primary_id),
        "operation": entry.operation,
        "primary_id": entry.primary_id,
        "status": entry.status,
        "attempts": entry.attempts,
        "reason": entry.manual_reason if for_people else entry.reason,
        "since": _moment(entry.manual_since) if for_people else None,
        "cool_down_until": _moment(entry.cool_down_until or None),
    }


def csv_file(views: Iterable[CommunicationView]) -> str:
    """Return communications as a CSV file (RFC 4180) with a header line."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(_COLUMNS)
    for view in views:
        row = (view.id, view.operation, view.primary_id, view.status.value, view.attempts, view.reason, view.since)
        writer.writerow([_escape_formula(cell) for cell in row])
    return file.getvalue()


def _escape_formula(cell: object) -> object:
    """Keep spreadsheets from treating a part of one of the application's ids as a formula (OWASP, "CSV Injection")."""
    return _CELL_START.sub("'", cell) if isinstance(cell, str) else cell


def schedule_view(schedule: ScheduleState) -> ScheduleView:
    """Return the schedule."""
    pause = schedule.pause
    return ScheduleView(
        expression=schedule.expression,
        paused=pause is not None,
        paused_by=pause.by if pause else None,
        paused_at=_moment(pause.at) if pause else None,
    )


def pace_view(state: PaceState) -> PaceView:
    """Return the pace."""
    pace, by_hand = state.pace, state.pace.set_pace
    return PaceView(
        per_second=state.per_second,
        since=_moment(state.since),
        reason=state.reason,
        why=state.why,
        blocked_until=_moment(state.blocked_until),
        sustained_per_second=pace.sustained / 1000 or None,
        refused_per_second=pace.refused / 1000 or None,
        usual_ms=pace.usual_ms or None,
        canary=pace.canary > 0,
        max_per_second=state.limits.max_per_second,
        max_in_flight=state.limits.max_in_flight,
        set_by=by_hand.by if by_hand else None,
        set_until=_moment(by_hand.until) if by_hand else None,
    )


def _moment(at: int | None) -> str | None:
    return None if at is None else times.format_iso(at)

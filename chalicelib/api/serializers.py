"""Turns records into what the API returns."""

from typing import Any

import msgspec

from chalicelib import times
from chalicelib.api import ids
from chalicelib.api.schemas.causes import CausesView, CauseView
from chalicelib.api.schemas.communications import (
    AttemptView,
    CommunicationDetail,
    CommunicationView,
    DecisionView,
    SampleItem,
)
from chalicelib.api.schemas.outages import OutageCauseView, OutageView
from chalicelib.api.schemas.runs import Cost, OutcomeView, PreviewView, ProofView, RunPace, RunView
from chalicelib.api.schemas.service import PaceView, ScheduleView
from chalicelib.api.schemas.summary import IncidentView, OperationView, ScanView, SummaryView
from chalicelib.ledger.situations import KnownCause, OperationCounts, Situation
from chalicelib.ledger.worklist import WorklistEntry
from chalicelib.models.batches import run_of
from chalicelib.models.communications import CommunicationStatus
from chalicelib.models.outages import Outage, OutageCause
from chalicelib.models.outcomes import Outcome, OutcomeRecord
from chalicelib.models.runs import Run, RunKind
from chalicelib.runs.causes import Cause
from chalicelib.runs.cost import Estimate
from chalicelib.runs.dry_run import Preview
from chalicelib.runs.pace import PaceState
from chalicelib.runs.prices import AS_OF
from chalicelib.runs.proof import state_of
from chalicelib.runs.queries import Progress
from chalicelib.runs.schedule import ScheduleState
from chalicelib.runs.summary import ScanResult, Summary

# How many causes the summary shows.
_CAUSES = 10


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
        relapsed=run.relapsed,
        settled_at=_moment(run.settled_at),
        recovery=run.recovery,
        proof=_proof(run),
    )


def _proof(run: Run) -> ProofView | None:
    proof = state_of(run)
    return ProofView(**msgspec.structs.asdict(proof)) if proof else None


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
        sample=[_sample(*key) for key in preview.sample],
    )


def _sample(operation: str, primary_id: str) -> SampleItem:
    return SampleItem(id=ids.encode_id(operation, primary_id), operation=operation, primary_id=primary_id)


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
        AttemptView(run_id=run_of(each.owner), at=times.format_iso(each.at), answer=each.answer, reason=each.reason)
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


def outage_view(outage: Outage, expected_end: int | None) -> OutageView:
    """Return an outage; `expected_end` in milliseconds since 1970."""
    return OutageView(
        outage_id=outage.outage_id,
        reason=outage.reason,
        began_at=times.format_iso(outage.began_at),
        over_at=_moment(outage.over_at),
        settled_at=_moment(outage.settled_at),
        expected_end=_moment(expected_end),
        as_of=times.format_iso(outage.scanned_at),
        usual=outage.usual,
        most=outage.most,
        hit=outage.hit,
        by_operation=outage.by_operation,
        recovered=outage.recovered,
        sent=outage.sent,
        waiting=outage.waiting,
        on_worklist=outage.on_worklist,
        dismissed=outage.dismissed,
        overfull=outage.overfull,
        causes=[_outage_cause(cause) for cause in outage.causes],
        run_ids=outage.run_ids,
        run_count=outage.run_count,
    )


def _outage_cause(cause: OutageCause) -> OutageCauseView:
    same = Cause(operation=cause.operation, kind=cause.kind, reason=cause.reason)
    return OutageCauseView(id=same.id, operation=cause.operation, kind=cause.kind, reason=cause.reason, most=cause.most)


def causes_view(situation: Situation | None, operation: str | None) -> CausesView:
    """Return the causes, with `operation` only its own."""
    if situation is None:
        return CausesView(as_of=None, complete=False, last_complete=None, capped=False, causes=[])
    return CausesView(
        as_of=times.format_iso(situation.at),
        complete=situation.complete,
        last_complete=_moment(situation.last_complete),
        capped=situation.capped,
        causes=[cause_view(each) for each in situation.causes if operation in (None, each.operation)],
    )


def cause_view(cause: KnownCause) -> CauseView:
    """Return a cause."""
    return CauseView(
        id=cause.id,
        operation=cause.operation,
        kind=cause.kind,
        reason=cause.reason,
        count=cause.count,
        on_worklist=cause.on_worklist,
        first_seen=times.format_iso(cause.first_seen),
        last_seen=times.format_iso(cause.last_seen),
        trend=cause.trend,
        example=None if cause.example is None else _sample(cause.operation, cause.example),
        folded=cause.folded,
    )


def summary_view(summary: Summary) -> SummaryView:
    """Return what goes on now."""
    situation = summary.situation or Situation(run_id="", at=0)
    incident = summary.incident
    return SummaryView(
        as_of=_moment(situation.at or None),
        complete=situation.complete,
        last_complete=_moment(situation.last_complete),
        operations={name: _operation(counts) for name, counts in situation.by_operation.items()},
        skipped=situation.skipped,
        oldest=_moment(situation.oldest),
        worklist=situation.worklist,
        scans=[_scan(each) for each in summary.scans],
        runs=[run_view(run, progress) for run, progress in summary.under_way],
        runs_under_way=summary.under_way_count,
        awaiting_approval=summary.awaiting_approval,
        incident=IncidentView(kind=incident.kind, since=times.format_iso(incident.since)) if incident else None,
        schedule=schedule_view(summary.schedule),
        pace=pace_view(summary.pace),
        causes=[cause_view(each) for each in situation.causes[:_CAUSES] if each.count],
        outage=outage_view(summary.outage, summary.outage_end) if summary.outage else None,
    )


def _operation(counts: OperationCounts) -> OperationView:
    return OperationView(
        failing=counts.failing, on_worklist=counts.on_worklist, sent=counts.sent, dismissed=counts.dismissed
    )


def _scan(result: ScanResult) -> ScanView:
    point = result.point
    return ScanView(
        at=times.format_iso(point.at),
        run_id=point.run_id,
        complete=point.complete,
        failing=point.failing,
        on_worklist=point.on_worklist,
        sent=point.sent,
        accepted=result.accepted,
        failed=result.failed,
    )


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

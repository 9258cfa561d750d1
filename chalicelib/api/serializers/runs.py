"""Turns runs, their outcomes and previews into what the API returns."""

import msgspec

from chalicelib import times
from chalicelib.api import ids
from chalicelib.api.schemas.runs import Cost, OutcomeView, PreviewView, ProofView, RunPace, RunView
from chalicelib.api.serializers.communications import sample_item
from chalicelib.api.serializers.moments import moment
from chalicelib.models.outcomes import Outcome, OutcomeRecord
from chalicelib.models.runs import Run, RunKind
from chalicelib.runs.cost import Estimate
from chalicelib.runs.dry_run import Preview
from chalicelib.runs.prices import AS_OF
from chalicelib.runs.proof import state_of
from chalicelib.runs.queries import Progress


def run_view(run: Run, progress: Progress | None = None, halt_reason: str | None = None) -> RunView:
    """Return a run, with how it gets on and who or what has stopped it, if that is known."""
    counts = _counts(run)
    return RunView(
        run_id=run.run_id,
        kind=run.kind,
        trigger=run.trigger,
        requested_by=run.requested_by,
        note=run.note,
        status=run.status,
        requested_at=times.format_iso(run.requested_at),
        collected_at=moment(run.collected_at),
        ended_at=moment(run.ended_at),
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
        decided_at=moment(run.decided_at),
        halt_reason=halt_reason,
        error=run.error,
        pace=_run_pace(run, progress),
        expected_end=moment(progress.expected_end) if progress else None,
        next_run_at=moment(run.next_run_at),
        relapsed=run.relapsed,
        settled_at=moment(run.settled_at),
        recovery=run.recovery,
        proof=_proof(run),
    )


def _counts(run: Run) -> dict[str, int]:
    """Return the outcomes so far; what a run under way has skipped is not in its counts before it ends."""
    if run.closed or run.kind != RunKind.REPROCESS:
        return run.counts
    skipped = run.counts.get(Outcome.SKIPPED, 0) + sum(run.skipped.values())
    return run.counts | {Outcome.SKIPPED.value: skipped}


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
        oldest=moment(preview.oldest),
        newest=moment(preview.newest),
        batches=estimate.batches,
        needs_approval=preview.needs_approval,
        expected_seconds=estimate.seconds,
        expected_cost=Cost(currency="USD", amount=estimate.dollars, basis=_basis(estimate)),
        not_found=preview.not_found,
        not_found_count=preview.not_found_count,
        truncated=preview.truncated,
        incomplete=preview.incomplete,
        error=preview.error,
        sample=[sample_item(*key) for key in preview.sample],
    )


def _basis(estimate: Estimate) -> str:
    source = "as measured in the last runs" if estimate.measured else "an assumption, as no run has measured it yet"
    return (
        f"us-east-1 list prices as of {AS_OF}, no free tier, no retries; "
        f"{estimate.post_ms:.0f} ms for each POST ({source}){_pace_basis(estimate)}"
    )


def _pace_basis(estimate: Estimate) -> str:
    return "" if estimate.per_second is None else f"; the pace stays at {estimate.per_second:g} a second"

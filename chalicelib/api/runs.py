"""The handlers of the routes about runs."""

from functools import partial
from typing import Any

from chalice.app import Response

from chalicelib.api import cursors, pages, routes
from chalicelib.api.blueprint import Call, handles, respond
from chalicelib.api.schemas.runs import OutcomesPage, RunsPage, RunView, StartedRun
from chalicelib.api.selections import parse_selection
from chalicelib.api.serializers.runs import outcome_view, preview_view, run_view
from chalicelib.errors import InvalidRequest
from chalicelib.models.runs import ApprovalDecision, Run, RunKind, RunStatus
from chalicelib.models.selections import Selection, WorklistSelection
from chalicelib.runs import approval, queries, situation
from chalicelib.runs.start import request_run
from chalicelib.runs.stop import stop_run as stop

# As other services do. A longer key is most likely a mistake.
MAX_KEY = 255


@handles(routes.REPROCESS)
def start_run(call: Call) -> Response:
    """Start a run for what the body selects. Collecting and sending happen after this answer."""
    get_cause = partial(situation.get_cause, call.deps.ledger)
    selection = parse_selection(call.raw_body, call.deps.configuration, get_cause)
    key = idempotency_key(call.request.headers)
    if selection.dry_run:
        return respond(preview_view(call.deps.dry_run().preview(selection, call.caller)), 200)
    return started(call, start(call, selection, key))


def start(
    call: Call,
    selection: Selection | WorklistSelection,
    key: str | None = None,
    kind: RunKind = RunKind.REPROCESS,
) -> Run:
    """Start a run in the caller's name, and return it. With the same key it is the same run."""
    deps = call.deps
    run = request_run(call.caller, selection, key, deps.ledger, deps.manifests, deps.invoke_collector, kind)
    if run.status == RunStatus.REQUESTED:
        call.log_change(runId=run.run_id)
    return run


def started(call: Call, run: Run) -> Response:
    """Return the answer of a call that has started a run."""
    return respond(StartedRun(run_id=run.run_id, status=run.status), 202, Location=call.path_to(f"/runs/{run.run_id}"))


@handles(routes.RUNS)
def list_runs(call: Call) -> RunsPage:
    """Return a page of runs."""
    after = cursors.decode_page_key(call.query.cursor, "runs")
    runs, next_key = queries.list_runs(call.deps.ledger, call.query.limit, after)
    views, next_key = pages.fit(runs, next_key, run_view, queries.page_key)
    return RunsPage(runs=views, next_cursor=cursors.encode(next_key, "runs"))


@handles(routes.RUN)
def get_run(call: Call, run_id: str) -> RunView:
    """Return a run; if it is under way, with how it gets on."""
    deps = call.deps
    run = queries.get_run(deps.ledger, run_id)
    reason = queries.get_halt_reason(run, deps.ledger)
    progress = queries.get_progress(run, deps.ledger, deps.configuration, deps.settings, is_halted=reason is not None)
    return run_view(run, progress, reason)


@handles(routes.OUTCOMES)
def list_outcomes(call: Call, run_id: str) -> OutcomesPage:
    """Return a page of a run's communications."""
    query, outcome = call.query, call.query.outcome or None
    listing = ("outcomes", run_id, outcome and outcome.value)
    begin = cursors.decode_outcome_key(query.cursor, *listing)
    records, next_key = queries.list_outcomes(call.deps.ledger, run_id, outcome, query.limit, begin)
    return OutcomesPage(
        communications=[outcome_view(record) for record in records], next_cursor=cursors.encode(next_key, *listing)
    )


@handles(routes.STOP)
def stop_run(call: Call, run_id: str) -> RunView:
    """Stop a run after what is in flight; one that waits for approval stops at once."""
    run = stop(run_id, call.caller, call.deps.ledger, call.deps.executions)
    call.log_change(runId=run_id)
    return run_view(run, halt_reason=queries.get_halt_reason(run, call.deps.ledger))


@handles(routes.APPROVE)
def approve_run(call: Call, run_id: str) -> RunView:
    """Approve a run."""
    return _decide(call, run_id, ApprovalDecision.APPROVED)


@handles(routes.REJECT)
def reject_run(call: Call, run_id: str) -> RunView:
    """Reject a run."""
    return _decide(call, run_id, ApprovalDecision.DECLINED)


def _decide(call: Call, run_id: str, decision: ApprovalDecision) -> RunView:
    run = approval.decide(run_id, decision, call.caller, call.deps.ledger, call.deps.executions)
    call.log_change(runId=run_id)
    return run_view(run)


def idempotency_key(headers: Any) -> str | None:
    """Return the caller's key for a run, None without one. InvalidRequest if it is too long."""
    key: str | None = headers.get("idempotency-key")
    if key is not None and not 0 < len(key) <= MAX_KEY:
        raise InvalidRequest(f"Idempotency-Key: must have 1 to {MAX_KEY} characters")
    return key

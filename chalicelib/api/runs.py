"""The routes of the runs."""

from typing import Any

from chalice.app import Response

from chalicelib import approvals, doors, ids, present, runs, selections
from chalicelib.api.door import Call, respond, serve
from chalicelib.errors import InvalidRequest
from chalicelib.ledger.approvals import APPROVED, DECLINED
from chalicelib.models import Selection
from chalicelib.views import OutcomesPage, RunsPage, RunView, Started

# What other services take too; a longer key is a mistake.
MAX_KEY = 255


@serve(doors.REPROCESS)
def reprocess(call: Call) -> Response:
    """Start a run for what the body selects; it is collected and sent behind this answer."""
    selection = selections.parse(call.raw_body, call.it.configuration)
    key = _idempotency_key(call.request.headers)
    if selection.dry_run:
        return respond(call.it.dry_run().look(selection), 200)
    started = start(call, selection, key)
    return respond(started, 202, Location=call.path_to(f"/runs/{started.run_id}"))


def start(call: Call, selection: Selection, key: str | None = None) -> Started:
    """Start a run for the caller; with the same key, it is the same run."""
    it = call.it
    run_id = runs.requested_id(call.caller, key, it.clock())
    run = runs.request(run_id, call.caller, selection, it.ledger, it.store, it.clock)
    if run.status == "requested":
        it.invoke_collector(run_id)
        call.changed(runId=run_id)
    return Started(run_id=run_id, status=run.status)


@serve(doors.RUNS)
def list_runs(call: Call) -> RunsPage:
    """Return a page of the runs."""
    page, position = call.it.ledger.runs.page(call.query.limit, ids.position(call.query.cursor, "runs"))
    return RunsPage(runs=[present.run(each) for each in page], next_cursor=ids.cursor(position, "runs"))


@serve(doors.RUN)
def read_run(call: Call, run_id: str) -> RunView:
    """Tell how a run stands."""
    return present.run(call.it.ledger.runs.read(run_id))


@serve(doors.OUTCOMES)
def list_outcomes(call: Call, run_id: str) -> OutcomesPage:
    """Return a page of a run's communications."""
    call.it.ledger.runs.read(run_id)
    return present.outcomes(run_id, call.query, call.it.ledger.runs)


@serve(doors.STOP)
def stop_run(call: Call, run_id: str) -> RunView:
    """Let a run end after what is in flight, and one that waits for approval at once."""
    run = runs.stop(run_id, call.caller, call.it.ledger)
    approvals.end_wait(run_id, call.it.ledger, call.it.executions)
    call.changed(runId=run_id)
    return present.run(run)


@serve(doors.APPROVE)
def approve_run(call: Call, run_id: str) -> RunView:
    """Let a run send."""
    return _decide(call, run_id, APPROVED)


@serve(doors.REJECT)
def reject_run(call: Call, run_id: str) -> RunView:
    """Let a run send nothing."""
    return _decide(call, run_id, DECLINED)


def _decide(call: Call, run_id: str, decision: str) -> RunView:
    run = approvals.decide(run_id, decision, call.caller, call.it.ledger, call.it.executions)
    call.changed(runId=run_id)
    return present.run(run)


def _idempotency_key(headers: Any) -> str | None:
    key: str | None = headers.get("idempotency-key")
    if key is not None and not 0 < len(key) <= MAX_KEY:
        raise InvalidRequest(f"Idempotency-Key: takes 1 to {MAX_KEY} characters")
    return key

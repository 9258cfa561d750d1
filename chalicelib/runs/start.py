"""How a run begins: by the schedule, or because somebody requested it."""

from collections.abc import Callable
from typing import Any

from chalicelib import run_ids
from chalicelib.errors import Conflict, RunNotFound
from chalicelib.executions import RUNNING, Executions
from chalicelib.ledger import Ledger
from chalicelib.ledger.pace import WINDOW_S
from chalicelib.manifests import Manifests
from chalicelib.models.runs import Run, RunKind, RunStatus, Trigger
from chalicelib.models.selections import Selection, WorklistSelection
from chalicelib.runs.closing import as_it_is, end_turn
from chalicelib.runs.recovery import COLLECTOR_LIFETIME


def request_run(
    requested_by: str,
    selection: Selection | WorklistSelection,
    idempotency_key: str | None,
    ledger: Ledger,
    manifests: Manifests,
    invoke_collector: Callable[[str], None],
    kind: RunKind = RunKind.REPROCESS,
) -> Run:
    """Start a run for a selection and return it. With the same key, kind and selection it is the same run.

    The run is recorded before the collector is invoked, so that a lost invocation is noticed. Its status is
    `requested` if this call invoked the collector. Conflict if the key was used with another selection.
    """
    run_id = run_ids.for_request(requested_by, idempotency_key, ledger.clock())
    run = record_request(run_id, requested_by, selection, ledger, manifests, kind)
    if run.status == RunStatus.REQUESTED:
        invoke_collector(run_id)
    return run


def record_request(
    run_id: str,
    requested_by: str,
    selection: Selection | WorklistSelection,
    ledger: Ledger,
    manifests: Manifests,
    kind: RunKind = RunKind.REPROCESS,
) -> Run:
    """Record that somebody requested a run, and return it. Conflict if it was requested with another selection."""
    run = Run(
        run_id=run_id,
        trigger=Trigger.REQUEST,
        requested_by=requested_by,
        status=RunStatus.REQUESTED,
        requested_at=ledger.clock(),
        selection=manifests.put_selection(run_id, selection),
        note=selection.note,
        kind=kind,
    )
    if ledger.runs.create(run):
        return run
    known = ledger.runs.read(run_id)
    if (known.kind, known.selection) != (run.kind, run.selection):
        raise Conflict("Idempotency-Key: it was used before with another body; use a new key for a new run")
    return known


def is_requested(event: dict[str, Any]) -> bool:
    """Whether a collector's event is for a requested run, not for the schedule."""
    return "runId" in event["detail"]


def begin(event: dict[str, Any], ledger: Ledger, executions: Executions) -> Run | None:
    """Return the run to collect for, or None if there is nothing to collect."""
    if is_requested(event):
        return begin_requested(event["detail"]["runId"], ledger)
    return begin_scheduled(run_ids.for_schedule(event["id"], event["time"]), ledger, executions)


def scheduled_run(run_id: str, requested_at: int) -> Run:
    """Return a run of the schedule, as it is before it has done anything."""
    return Run(
        run_id=run_id,
        trigger=Trigger.SCHEDULE,
        requested_by=Trigger.SCHEDULE.value,
        status=RunStatus.COLLECTING,
        requested_at=requested_at,
    )


def begin_scheduled(run_id: str, ledger: Ledger, executions: Executions) -> Run | None:
    """Return the scheduled run to collect for.

    None while the schedule is paused, while an earlier scheduled run is under way, while the application wants to be
    left alone, and if this run has ended.
    """
    if ledger.schedule.paused() or _wants_to_be_left_alone(ledger):
        return None
    if not ledger.schedule.acquire_lock(run_id) and not _take_over_lock(run_id, ledger, executions):
        return None
    run = scheduled_run(run_id, ledger.clock())
    if ledger.runs.create(run):
        return run
    run = _collect_again(as_it_is(run, ledger), ledger)
    if run.closed:
        # The event was delivered again after its run had ended, so nobody else would release the lock.
        ledger.schedule.release_lock(run_id)
        return None
    return run


def _wants_to_be_left_alone(ledger: Ledger) -> bool:
    """Whether the application needs a pause that is longer than a batch can wait."""
    return ledger.pacing.read().blocked_until - ledger.clock() > WINDOW_S * 1000


def may_look(ledger: Ledger) -> bool:
    """Whether a collector of the schedule that may start no run is to look at what fails.

    While the schedule is paused, or an earlier run is sent or waits for approval, people want to know how it goes on.
    Not if that run's collector is reading the lists at this moment, or if the application wants to be left alone.
    """
    if _wants_to_be_left_alone(ledger):
        return False
    holder, _ = ledger.schedule.lock_holder()
    try:
        return not holder or ledger.runs.read(holder).status != RunStatus.COLLECTING
    except RunNotFound:
        return False  # It may be about to write the run.


def _take_over_lock(run_id: str, ledger: Ledger, executions: Executions) -> bool:
    """Take the lock from a run that is not under way any more; recovery sees to that run."""
    holder, since = ledger.schedule.lock_holder()
    if _is_under_way(holder, since, ledger, executions):
        return False
    return ledger.schedule.acquire_lock(run_id, instead_of=holder)


def _is_under_way(run_id: str, since: int, ledger: Ledger, executions: Executions) -> bool:
    """Whether a run that has held the lock since then is collected, waits for its execution's start, or is sent."""
    is_collector_alive = ledger.clock() - since < COLLECTOR_LIFETIME
    try:
        run = ledger.runs.read(run_id)
    except RunNotFound:
        return is_collector_alive  # It may be about to write the run.
    if run.closed:
        end_turn(run, ledger)  # Whoever closed it died before that.
        return False
    if run.status == RunStatus.COLLECTING:
        return is_collector_alive
    return executions.status(run_id) in (None, RUNNING)


def begin_requested(run_id: str, ledger: Ledger) -> Run | None:
    """Return the requested run to collect for, or None if it has ended."""
    run = _collect_again(ledger.runs.read(run_id), ledger)
    return None if run.closed else run


def _collect_again(run: Run, ledger: Ledger) -> Run:
    """Note that a collector starts for a run that has no manifest yet, or for a bulk run; return it as it is then.

    Lambda invokes a collector that died twice more, after one and two minutes (Lambda Developer Guide, "How Lambda
    handles errors and retries with asynchronous invocation"), so a scheduled run may have a second one, too.
    """
    begun = RunStatus.COLLECTING if run.kind == RunKind.REPROCESS else RunStatus.RUNNING
    if run.status not in (RunStatus.REQUESTED, begun):
        return run
    changes: dict[str, Any] = {
        "status": begun,
        "collections": run.collections + 1,
        "collected_at": ledger.clock(),
    }
    return ledger.runs.change(run, **changes) or as_it_is(run, ledger)

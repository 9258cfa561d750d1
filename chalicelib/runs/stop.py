"""Stops a run."""

from chalicelib.errors import Conflict
from chalicelib.executions import Executions
from chalicelib.ledger import Ledger
from chalicelib.models import Run, RunStatus
from chalicelib.runs.approval import end_wait


def stop_run(run_id: str, stopped_by: str, ledger: Ledger, executions: Executions) -> Run:
    """Let a run end after what is in flight, and return it. Conflict if it has ended already.

    A run that has not begun to send ends at once. Otherwise each batch checks the switch before it starts, and the
    report closes the run. A wait for approval ends at once: the switch is written before the token is read, and the
    task that asks for approval does it the other way round, so one of them always sees the other.
    """
    run = _halt(run_id, stopped_by, ledger)
    end_wait(run_id, ledger, executions)
    return run


def _halt(run_id: str, stopped_by: str, ledger: Ledger) -> Run:
    run = ledger.runs.read(run_id)
    if run.status in (RunStatus.REQUESTED, RunStatus.COLLECTING):
        run = ledger.runs.change(run, status=RunStatus.STOPPED) or ledger.runs.read(run_id)
        if run.status == RunStatus.STOPPED:
            return run
    if run.closed:
        raise Conflict(f"the run has ended already, as {run.status}")
    ledger.runs.halt(run_id, f"hand:{stopped_by}")
    return run

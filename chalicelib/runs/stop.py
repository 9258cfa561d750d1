"""Stops a run."""

from chalicelib.errors import Conflict
from chalicelib.executions import Executions
from chalicelib.ledger import Ledger
from chalicelib.models.runs import Run, RunStatus
from chalicelib.notifications import messages
from chalicelib.runs.approval import end_wait
from chalicelib.runs.closing import as_it_is, end_turn


def stop_run(run_id: str, stopped_by: str, ledger: Ledger, executions: Executions) -> Run:
    """Let a run end after what is in flight, and return it. Conflict if it has ended already.

    A run that has not begun to send ends at once, and the next collector sends its mail. Otherwise each batch checks
    the switch before it starts, and the report closes the run; a bulk run checks it after each page. A wait for
    approval ends at once: the switch is written before the token is read, and the task that asks for approval does it
    the other way round, so one of them always sees the other. The switch also keeps who has stopped the run.
    """
    run = _halt(run_id, stopped_by, ledger)
    end_wait(run_id, ledger, executions)
    return run


def _halt(run_id: str, stopped_by: str, ledger: Ledger) -> Run:
    run = ledger.runs.read(run_id)
    if not run.closed:
        ledger.runs.halt(run_id, f"hand:{stopped_by}")
    if run.status in (RunStatus.REQUESTED, RunStatus.COLLECTING):
        mail = messages.stopped_early(run, stopped_by)
        run = ledger.runs.change(run, mail=mail, status=RunStatus.STOPPED) or as_it_is(run, ledger)
        if run.status == RunStatus.STOPPED:
            end_turn(run, ledger)
            return run
    if run.closed:
        raise Conflict(f"the run has ended already, as {run.status}")
    return run

"""A run above `APPROVAL_THRESHOLD` waits in the state machine until somebody else than its requester approves it."""

from collections.abc import Callable

from chalicelib import times
from chalicelib.errors import Conflict, Forbidden
from chalicelib.executions import Executions
from chalicelib.ledger import Ledger
from chalicelib.ledger.approvals import APPROVED, DECLINED, EXPIRED
from chalicelib.models import AWAITING, REQUEST, Notification, Run


def ask(
    run_id: str,
    token: str,
    timeout: int,
    ledger: Ledger,
    executions: Executions,
    notify: Callable[[Notification], None],
) -> None:
    """Begin the wait: keep the task token, and ask people once; `timeout` in milliseconds. May be repeated.

    What was decided before there was a token (the run stopped, or an earlier token approved) is delivered at once.
    """
    asked = ledger.approvals.keep_token(run_id, token)
    run = ledger.runs.read(run_id)
    if ledger.runs.halted(run_id) or run.decision == DECLINED:
        executions.decline(token)
    elif run.decision == APPROVED:
        executions.approve(token)
    elif not asked:
        # Told first and noted then: a question may come twice, but never not at all.
        notify(_question(run, timeout))
        ledger.approvals.asked(run_id)


def decide(run_id: str, decision: str, caller: str, ledger: Ledger, executions: Executions) -> Run:
    """Approve or decline a run that waits for it, and return it; the same decision again only makes sure.

    Forbidden for whoever asked for the run; Conflict if it does not wait, or waits no more.
    """
    run = ledger.runs.read(run_id)
    if run.trigger == REQUEST and run.requested_by == caller:
        raise Forbidden("the run was asked for by you: somebody else has to decide")
    if run.decision is None and run.status != AWAITING:
        raise Conflict(f"the run does not wait for approval: it is {run.status}")
    token = ledger.approvals.token(run_id)
    if token is None:
        raise Conflict("the run does not wait for approval yet; try again in a moment")
    if not ledger.approvals.decide(run_id, decision, caller):
        now = ledger.runs.read(run_id)
        raise Conflict(f"the run waits for approval no more: it is {now.decision or now.status}")
    delivered = executions.approve(token) if decision == APPROVED else executions.decline(token)
    if decision == APPROVED and not delivered and run.decision != APPROVED:
        raise Conflict("the approval comes too late: the run has waited as long as it may")
    return ledger.runs.read(run_id)


def end_wait(run_id: str, ledger: Ledger, executions: Executions) -> None:
    """Let a run that has been halted wait for approval no longer."""
    token = ledger.approvals.token(run_id)
    if token:
        executions.decline(token)


def refused(run: Run) -> str | None:
    """Return the status at which a run ends whose approval was refused or never came, None for all others."""
    return "declined" if run.decision in (DECLINED, EXPIRED) else None


def told(run: Run) -> str:
    """Return what the result mail says of a run's approval, if it needed one."""
    if run.decision == APPROVED:
        return f"It was approved by {run.decided_by}."
    if run.decision == DECLINED:
        return f"Its approval was refused by {run.decided_by}, so nothing was sent."
    if run.decision == EXPIRED:
        return "Nobody approved it in time, so nothing was sent. What had failed is still listed."
    return ""


def _question(run: Run, timeout: int) -> Notification:
    """Return the mail that asks for approval: to those who are told of trouble, as nothing is sent until they act."""
    began = f"asked for by {run.requested_by}" if run.trigger == REQUEST else "scheduled"
    message = (
        f"Run {run.run_id} ({began}) would send {run.eligible} communications again, which needs an approval.\n\n"
        f"Nothing is sent until somebody with the role approver, who is not the one who asked for it, decides:\n\n"
        f"  POST /runs/{run.run_id}/approve   sends them\n"
        f"  POST /runs/{run.run_id}/reject    sends nothing\n\n"
        f"Without a decision within {times.spoken(timeout)} nothing is sent, and the run ends as declined."
    )
    return Notification(
        topic="failed",
        subject=f"comms-reprocess: approve or reject a run of {run.eligible}?",
        message=message,
    )

"""A run above `APPROVAL_THRESHOLD` waits in the state machine until somebody other than its requester approves it."""

from collections.abc import Callable

from chalicelib.errors import Conflict, Forbidden
from chalicelib.executions import Executions
from chalicelib.ledger import Ledger
from chalicelib.models.notifications import Notification
from chalicelib.models.runs import ApprovalDecision, Run, RunStatus, Trigger
from chalicelib.notifications import messages


def ask(
    run_id: str,
    token: str,
    timeout: int,
    ledger: Ledger,
    executions: Executions,
    notify: Callable[[Notification], None],
) -> None:
    """Begin the wait: keep the task token, and ask people once; `timeout` in milliseconds. May be repeated.

    What was decided before there was a token (the run was stopped, or an earlier token approved) is delivered at once.
    Nobody is asked about a run that has ended because this call was late.
    """
    asked = ledger.approvals.keep_token(run_id, token)
    run = ledger.runs.read(run_id)
    if ledger.runs.halt_reason(run_id) or closing_status(run):
        executions.decline(token)
    elif run.decision == ApprovalDecision.APPROVED:
        executions.approve(token)
    elif not (asked or run.closed):
        # Mailed first and noted afterwards: people may be asked twice, but always at least once.
        notify(messages.approval_request(run, timeout))
        ledger.approvals.mark_asked(run_id)


def decide(run_id: str, decision: ApprovalDecision, caller: str, ledger: Ledger, executions: Executions) -> Run:
    """Approve or reject a run that waits for approval, and return it. The same decision again is delivered again.

    Forbidden for the run's requester. Conflict if the run does not wait, or does not wait any more.
    """
    run = ledger.runs.read(run_id)
    if run.trigger == Trigger.REQUEST and run.requested_by == caller:
        raise Forbidden("you requested this run, so somebody else has to decide")
    if run.decision is None and run.status != RunStatus.AWAITING_APPROVAL:
        raise Conflict(f"the run is not waiting for approval: it is {run.status}")
    if run.decision is None and ledger.runs.halt_reason(run_id):
        raise Conflict("the run is no longer waiting for approval: it has been stopped")
    token = ledger.approvals.token(run_id)
    if token is None:
        raise Conflict("the run is not waiting for approval yet; try again in a moment")
    if not ledger.approvals.decide(run_id, decision, caller):
        now = ledger.runs.read(run_id)
        raise Conflict(f"the run is no longer waiting for approval: it is {now.decision or now.status}")
    approved = decision == ApprovalDecision.APPROVED
    delivered = executions.approve(token) if approved else executions.decline(token)
    run = ledger.runs.read(run_id)
    # Not delivered may also mean that AWS's SDK has repeated a call that had got through. Only the run says which.
    if approved and not delivered and run.decision != ApprovalDecision.APPROVED:
        raise Conflict("the approval came too late: the wait for it had already ended")
    return run


def end_wait(run_id: str, ledger: Ledger, executions: Executions) -> None:
    """End the wait for approval of a run that has been halted."""
    token = ledger.approvals.token(run_id)
    if token:
        executions.decline(token)


def deliver_again(run: Run, ledger: Ledger, executions: Executions) -> None:
    """Deliver to an execution what was decided about its run, if that could not be delivered when it was decided.

    Step Functions ignores what it has received already.
    """
    if run.decision is None and run.status != RunStatus.AWAITING_APPROVAL:
        return
    if run.decision == ApprovalDecision.DECLINED or ledger.runs.halt_reason(run.run_id):
        end_wait(run.run_id, ledger, executions)
    elif run.decision == ApprovalDecision.APPROVED and (token := ledger.approvals.token(run.run_id)):
        executions.approve(token)


def closing_status(run: Run) -> RunStatus | None:
    """Return the status of a run that was rejected, or not approved in time; None for all others."""
    declined = run.decision in (ApprovalDecision.DECLINED, ApprovalDecision.EXPIRED)
    return RunStatus.DECLINED if declined else None

"""The wait for approval: one decision, delivered to the execution, whatever comes in between."""

import pytest

from chalicelib.errors import Conflict, Forbidden
from chalicelib.models import ApprovalDecision, Run, RunStatus, Trigger
from chalicelib.notifications import messages
from chalicelib.notifications.summary import Summary
from chalicelib.runs import approval

APPROVED, DECLINED = ApprovalDecision.APPROVED, ApprovalDecision.DECLINED


class FakeExecutions:
    """Step Functions, with the waits that have not ended yet."""

    def __init__(self, *waiting):
        self.waiting = set(waiting)
        self.sent = []

    def _end(self, token, how):
        if token not in self.waiting:
            return False
        self.waiting.remove(token)
        self.sent.append((token, how))
        return True

    def approve(self, token):
        return self._end(token, "approved")

    def decline(self, token):
        return self._end(token, "declined")


@pytest.fixture
def run(ledger, clock):
    it = Run(
        run_id="r",
        trigger=Trigger.REQUEST,
        requested_by="Jo",
        status=RunStatus.AWAITING_APPROVAL,
        requested_at=clock(),
        matched=9,
    )
    ledger.runs.create(it)
    return it


@pytest.fixture
def executions():
    return FakeExecutions("t-1", "t-2")


def ask(ledger, executions, token="t-1"):
    mails = []
    approval.ask("r", token, 3_600_000, ledger, executions, mails.append)
    return mails


@pytest.mark.usefixtures("run")
def test_people_are_asked_once_however_often_the_task_is_delivered(ledger, executions):
    """The mail says how much waits, how to decide and what happens otherwise; never the token."""
    (mail,) = ask(ledger, executions)
    assert (mail.topic, mail.subject) == ("failed", "comms-reprocess: approve or reject a run of 9")
    assert "POST /runs/r/approve" in mail.message
    assert "within 1 h" in mail.message
    assert "t-1" not in mail.message
    assert ask(ledger, executions, "t-2") == []
    approval.decide("r", APPROVED, "anna", ledger, executions)
    assert executions.sent == [("t-2", "approved")]


@pytest.mark.usefixtures("run")
def test_the_requester_of_a_run_does_not_decide(ledger, executions):
    """Neither way; of a scheduled run anybody may."""
    ask(ledger, executions)
    for decision in (APPROVED, DECLINED):
        with pytest.raises(Forbidden):
            approval.decide("r", decision, "Jo", ledger, executions)
    assert executions.sent == []


@pytest.mark.usefixtures("run")
def test_the_first_decision_stands(ledger, executions):
    """The same person may repeat it, which delivers it again if it has not been; nobody may turn it."""
    ask(ledger, executions)
    decided = approval.decide("r", APPROVED, "anna", ledger, executions)
    assert (decided.status, decided.decision, decided.decided_by) == ("running", APPROVED, "anna")
    assert approval.decide("r", APPROVED, "anna", ledger, executions) == decided
    for decision, by in ((DECLINED, "anna"), (DECLINED, "bert"), (APPROVED, "bert")):
        with pytest.raises(Conflict):
            approval.decide("r", decision, by, ledger, executions)
    assert executions.sent == [("t-1", "approved")]


@pytest.mark.usefixtures("run")
def test_a_decision_that_was_written_but_not_delivered_is_delivered_by_the_next_call(ledger, executions):
    """The API may die between the two."""
    ask(ledger, executions)
    ledger.approvals.decide("r", APPROVED, "anna")
    approval.decide("r", APPROVED, "anna", ledger, executions)
    assert executions.sent == [("t-1", "approved")]


@pytest.mark.usefixtures("run")
def test_an_approval_after_the_wait_is_refused_and_the_run_ends_as_declined(ledger, executions):
    """Step Functions has given up, so what was written is overruled: nothing was sent."""
    ask(ledger, executions)
    executions.waiting.clear()
    with pytest.raises(Conflict, match="too late"):
        approval.decide("r", APPROVED, "anna", ledger, executions)
    ledger.approvals.expire("r")
    assert approval.closing_status(ledger.runs.read("r")) == "declined"


@pytest.mark.usefixtures("run")
def test_a_rejection_is_not_turned_into_an_expiry(ledger, executions):
    """Both come to the same state; the ledger knows which it was."""
    ask(ledger, executions)
    approval.decide("r", DECLINED, "anna", ledger, executions)
    ledger.approvals.expire("r")
    run = ledger.runs.read("r")
    assert (run.decision, approval.closing_status(run)) == ("declined", "declined")
    assert "rejected by anna" in messages.result(run, Summary(), None).message


@pytest.mark.parametrize("status", ["running", "succeeded", "collecting"])
def test_a_run_that_does_not_wait_is_not_decided_about(ledger, clock, executions, status):
    """409, whatever it does instead."""
    ledger.runs.create(Run(run_id="r", trigger=Trigger.REQUEST, requested_by="Jo", status=status, requested_at=clock()))
    with pytest.raises(Conflict, match=status):
        approval.decide("r", APPROVED, "anna", ledger, executions)


@pytest.mark.usefixtures("run")
def test_a_run_that_has_not_asked_yet_is_not_decided_about(ledger, executions):
    """There is nothing to deliver a decision to; a moment later there is."""
    with pytest.raises(Conflict, match="try again"):
        approval.decide("r", APPROVED, "anna", ledger, executions)
    assert ledger.runs.read("r").decision is None


@pytest.mark.usefixtures("run")
def test_a_stop_ends_the_wait_before_and_after_the_question(ledger, executions):
    """Whichever of the two comes second sees the other."""
    ledger.runs.halt("r", "hand:olga")
    approval.end_wait("r", ledger, executions)
    assert executions.sent == []
    assert ask(ledger, executions) == []
    assert executions.sent == [("t-1", "declined")]
    ask(ledger, executions, "t-2")
    approval.end_wait("r", ledger, executions)
    assert executions.sent[1:] == [("t-2", "declined")]

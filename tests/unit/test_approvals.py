"""The wait for approval: one decision, delivered to the execution, whatever comes in between."""

import pytest

from chalicelib import approvals
from chalicelib.errors import Conflict, Forbidden
from chalicelib.ledger.approvals import APPROVED, DECLINED
from chalicelib.models import AWAITING, Run


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
    it = Run(run_id="r", trigger="request", requested_by="Jo", status=AWAITING, requested_at=clock(), matched=9)
    ledger.runs.create(it)
    return it


@pytest.fixture
def executions():
    return FakeExecutions("t-1", "t-2")


def ask(ledger, executions, token="t-1"):
    mails = []
    approvals.ask("r", token, 3_600_000, ledger, executions, mails.append)
    return mails


@pytest.mark.usefixtures("run")
def test_people_are_asked_once_however_often_the_task_is_delivered(ledger, executions):
    """The mail says how much waits, how to decide and what happens otherwise; never the token."""
    (mail,) = ask(ledger, executions)
    assert (mail.topic, mail.subject) == ("failed", "comms-reprocess: approve or reject a run of 9?")
    assert "POST /runs/r/approve" in mail.message
    assert "within 1 h" in mail.message
    assert "t-1" not in mail.message
    assert ask(ledger, executions, "t-2") == []
    approvals.decide("r", APPROVED, "anna", ledger, executions)
    assert executions.sent == [("t-2", "approved")]


@pytest.mark.usefixtures("run")
def test_whoever_asked_for_a_run_does_not_decide(ledger, executions):
    """Neither way; of a scheduled run anybody may."""
    ask(ledger, executions)
    for decision in (APPROVED, DECLINED):
        with pytest.raises(Forbidden):
            approvals.decide("r", decision, "Jo", ledger, executions)
    assert executions.sent == []


@pytest.mark.usefixtures("run")
def test_the_first_decision_stands(ledger, executions):
    """The same person may repeat it, which delivers it again if it has not been; nobody may turn it."""
    ask(ledger, executions)
    decided = approvals.decide("r", APPROVED, "anna", ledger, executions)
    assert (decided.status, decided.decision, decided.decided_by) == ("running", APPROVED, "anna")
    assert approvals.decide("r", APPROVED, "anna", ledger, executions) == decided
    for decision, by in ((DECLINED, "anna"), (DECLINED, "bert"), (APPROVED, "bert")):
        with pytest.raises(Conflict):
            approvals.decide("r", decision, by, ledger, executions)
    assert executions.sent == [("t-1", "approved")]


@pytest.mark.usefixtures("run")
def test_a_decision_that_was_written_but_not_delivered_is_delivered_by_the_next_call(ledger, executions):
    """The API may die between the two."""
    ask(ledger, executions)
    ledger.approvals.decide("r", APPROVED, "anna")
    approvals.decide("r", APPROVED, "anna", ledger, executions)
    assert executions.sent == [("t-1", "approved")]


@pytest.mark.usefixtures("run")
def test_an_approval_after_the_wait_is_told_and_the_run_ends_as_declined(ledger, executions):
    """Step Functions has given up, so what was written is overruled: nothing was sent."""
    ask(ledger, executions)
    executions.waiting.clear()
    with pytest.raises(Conflict, match="too late"):
        approvals.decide("r", APPROVED, "anna", ledger, executions)
    ledger.approvals.expire("r")
    assert approvals.refused(ledger.runs.read("r")) == "declined"


@pytest.mark.usefixtures("run")
def test_a_refusal_is_not_turned_into_an_expiry(ledger, executions):
    """Both come to the same state; the ledger knows which it was."""
    ask(ledger, executions)
    approvals.decide("r", DECLINED, "anna", ledger, executions)
    ledger.approvals.expire("r")
    assert "refused by anna" in approvals.told(ledger.runs.read("r"))


@pytest.mark.parametrize("status", ["running", "succeeded", "collecting"])
def test_a_run_that_does_not_wait_is_not_decided_about(ledger, clock, executions, status):
    """409, whatever it does instead."""
    ledger.runs.create(Run(run_id="r", trigger="request", requested_by="Jo", status=status, requested_at=clock()))
    with pytest.raises(Conflict, match=status):
        approvals.decide("r", APPROVED, "anna", ledger, executions)


@pytest.mark.usefixtures("run")
def test_a_run_that_has_not_asked_yet_is_not_decided_about(ledger, executions):
    """There is nothing to deliver a decision to; a moment later there is."""
    with pytest.raises(Conflict, match="try again"):
        approvals.decide("r", APPROVED, "anna", ledger, executions)
    assert ledger.runs.read("r").decision is None


@pytest.mark.usefixtures("run")
def test_a_stop_ends_the_wait_before_and_after_the_question(ledger, executions):
    """Whichever of the two comes second sees the other."""
    ledger.runs.halt("r", "hand:olga")
    approvals.end_wait("r", ledger, executions)
    assert executions.sent == []
    assert ask(ledger, executions) == []
    assert executions.sent == [("t-1", "declined")]
    ask(ledger, executions, "t-2")
    approvals.end_wait("r", ledger, executions)
    assert executions.sent[1:] == [("t-2", "declined")]

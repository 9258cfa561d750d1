"""The wait for approval: people are asked once, the first decision counts, and the execution receives it."""

import pytest

from chalicelib.errors import Conflict, Forbidden
from chalicelib.models.runs import ApprovalDecision, RunStatus
from chalicelib.notifications.phrases import with_addresses
from chalicelib.notifications.result import result_notification
from chalicelib.notifications.summary import Summary
from chalicelib.runs import approval, report
from chalicelib.runs.stop import stop_run
from chalicelib.settings import Settings
from tests.fakes import HOUR, FakeExecutions, FakeManifests, make_run

APPROVED, DECLINED = ApprovalDecision.APPROVED, ApprovalDecision.DECLINED


@pytest.fixture
def run(ledger):
    """A run of nine communications that Jo has requested and that waits for approval."""
    run = make_run("r", requested_by="Jo", status=RunStatus.AWAITING_APPROVAL, matched=9)
    ledger.runs.create(run)
    return run


@pytest.fixture
def executions():
    """Step Functions, with two task tokens of the run's approval task that wait."""
    return FakeExecutions("t-1", "t-2")


def ask(ledger, executions, token="t-1"):
    """Deliver the approval task with its token; return the mails that it sends."""
    mails = []
    approval.ask("r", token, HOUR, ledger, executions, mails.append)
    return mails


def close(ledger, run):
    """Close a run."""
    assert ledger.runs.change(run, status=RunStatus.FAILED)


@pytest.mark.usefixtures("run")
def test_people_are_asked_once_however_often_the_approval_task_is_delivered(ledger, executions):
    """The mail never contains the task token, and a decision goes to the token that was delivered last."""
    (mail,) = ask(ledger, executions)
    assert (mail.topic, mail.subject) == ("failed", "comms-reprocess: approve or reject a run of 9")
    assert "POST /runs/r/approve" in with_addresses(mail, None).message
    assert "within 1 h" in mail.message
    assert "t-1" not in mail.message
    assert ask(ledger, executions, "t-2") == []
    approval.decide("r", APPROVED, "anna", ledger, executions)
    assert executions.ended == [("t-2", "approved")]


@pytest.mark.parametrize("end", [lambda ledger, _: ledger.approvals.expire("r"), close])
def test_nobody_is_asked_about_a_run_that_has_ended_before_the_approval_task_is_delivered(ledger, executions, run, end):
    """Lambda was slow, and the wait timed out, or somebody stopped the execution: nobody could approve it any more."""
    end(ledger, run)
    assert ask(ledger, executions) == []
    with pytest.raises(Conflict):
        approval.decide("r", APPROVED, "anna", ledger, executions)


@pytest.mark.usefixtures("run")
def test_the_requester_of_a_run_may_neither_approve_nor_reject_it(ledger, executions):
    """A second person has to look at a large run."""
    ask(ledger, executions)
    for decision in (APPROVED, DECLINED):
        with pytest.raises(Forbidden):
            approval.decide("r", decision, "Jo", ledger, executions)
    assert executions.ended == []


@pytest.mark.usefixtures("run")
def test_only_the_first_decision_about_a_run_counts(ledger, executions):
    """The same person may repeat it; a different decision, or the same by somebody else, is a Conflict."""
    ask(ledger, executions)
    decided = approval.decide("r", APPROVED, "anna", ledger, executions)
    assert (decided.status, decided.decision, decided.decided_by) == ("running", APPROVED, "anna")
    assert approval.decide("r", APPROVED, "anna", ledger, executions) == decided
    for decision, by in ((DECLINED, "anna"), (DECLINED, "bert"), (APPROVED, "bert")):
        with pytest.raises(Conflict):
            approval.decide("r", decision, by, ledger, executions)
    assert executions.ended == [("t-1", "approved")]


@pytest.mark.usefixtures("run")
def test_repeating_a_decision_delivers_it_if_the_first_call_did_not(ledger, executions):
    """The API may die between writing a decision and sending it to Step Functions."""
    ask(ledger, executions)
    ledger.approvals.decide("r", APPROVED, "anna")
    approval.decide("r", APPROVED, "anna", ledger, executions)
    assert executions.ended == [("t-1", "approved")]


@pytest.mark.usefixtures("run")
def test_an_approval_after_the_timeout_is_refused_and_the_run_ends_as_declined(ledger, executions):
    """The execution has given up by then and has sent nothing, so the written approval is overruled."""
    ask(ledger, executions)
    executions.expire_waits(lambda: ledger.approvals.expire("r"))
    with pytest.raises(Conflict, match="too late"):
        approval.decide("r", APPROVED, "anna", ledger, executions)
    assert approval.closing_status(ledger.runs.read("r")) == "declined"


@pytest.mark.usefixtures("run")
def test_an_approval_that_the_sdk_delivered_twice_is_no_conflict(ledger, executions):
    """AWS has forgotten the task token by the second time, as it has after a timeout."""
    ask(ledger, executions)
    executions.expire_waits()
    decided = approval.decide("r", APPROVED, "anna", ledger, executions)
    assert (decided.status, decided.decision) == ("running", APPROVED)


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize(("decision", "ended"), [(APPROVED, RunStatus.SUCCEEDED), (DECLINED, RunStatus.DECLINED)])
def test_repeating_a_decision_about_a_run_that_has_ended_changes_nothing(ledger, executions, decision, ended):
    """A caller may repeat a call hours later, and AWS's SDK one that got through."""
    ask(ledger, executions)
    decided = approval.decide("r", decision, "anna", ledger, executions)
    closed = ledger.runs.change(decided, status=ended)
    assert approval.decide("r", decision, "anna", ledger, executions) == closed
    assert ledger.runs.read("r") == closed


@pytest.mark.usefixtures("run")
def test_expiring_a_rejected_run_keeps_the_rejection(ledger, executions):
    """Both lead to Report, and its mail must say who rejected the run."""
    ask(ledger, executions)
    approval.decide("r", DECLINED, "anna", ledger, executions)
    ledger.approvals.expire("r")
    run = ledger.runs.read("r")
    assert (run.decision, approval.closing_status(run)) == ("declined", "declined")
    assert "rejected by anna" in result_notification(run, Summary(), None).message


@pytest.mark.parametrize("status", ["running", "succeeded", "collecting"])
def test_deciding_about_a_run_that_does_not_wait_is_a_conflict(ledger, executions, status):
    """The message names the status of the run."""
    ledger.runs.create(make_run("r", requested_by="Jo", status=status))
    with pytest.raises(Conflict, match=status):
        approval.decide("r", APPROVED, "anna", ledger, executions)


@pytest.mark.usefixtures("run")
def test_deciding_before_people_have_been_asked_is_a_conflict(ledger, executions):
    """There is no task token to deliver a decision to yet, so none is written."""
    with pytest.raises(Conflict, match="try again"):
        approval.decide("r", APPROVED, "anna", ledger, executions)
    assert ledger.runs.read("r").decision is None


@pytest.mark.usefixtures("run")
def test_stopping_a_run_ends_its_wait_before_and_after_people_are_asked(ledger, executions):
    """Whichever comes second, the stop or the approval task, sees what the first has written."""
    ledger.runs.halt("r", "hand:olga")
    approval.end_wait("r", ledger, executions)
    assert executions.ended == []
    assert ask(ledger, executions) == []
    assert executions.ended == [("t-1", "declined")]
    ask(ledger, executions, "t-2")
    approval.end_wait("r", ledger, executions)
    assert executions.ended[1:] == [("t-2", "declined")]


@pytest.mark.usefixtures("run")
def test_the_mail_of_a_run_that_was_stopped_while_it_waited_says_so(ledger, executions):
    """And not that nobody has approved it in time."""
    ask(ledger, executions)
    stop_run("r", "olga", ledger, executions)
    mail = report.finish_run("r", None, ledger, FakeManifests(), Settings(resource_prefix="app-dev"), declined=True)
    assert ledger.runs.read("r").decision is None
    assert "It was stopped by olga. Nothing was sent." in mail.message
    assert "in time" not in mail.message


@pytest.mark.usefixtures("run")
def test_a_run_that_has_been_stopped_cannot_be_approved(ledger, executions):
    """Its wait ends in a moment."""
    ask(ledger, executions)
    ledger.runs.halt("r", "hand:olga")
    with pytest.raises(Conflict, match="stopped"):
        approval.decide("r", APPROVED, "anna", ledger, executions)
    assert ledger.runs.read("r").decision is None


def test_the_mail_about_an_approval_that_came_to_nothing_names_who_gave_it():
    """Step Functions did not receive it before the wait ended."""
    run = make_run("r", status=RunStatus.DECLINED, decision=ApprovalDecision.EXPIRED, decided_by="anna")
    message = result_notification(run, Summary(), None).message
    assert "It was approved by anna, but" in message
    assert "Nobody" not in message

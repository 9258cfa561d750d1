"""A run above the threshold waits for somebody else's word, end to end in the sandbox."""

import time

import pytest

from chalicelib.models import RunStatus
from tests.e2e.driver import PATIENCE, environment, executions, fail, finish, mails_about, start_run, wait_for_status

pytestmark = pytest.mark.usefixtures("tidy")

COOL_DOWN = 2.0


@pytest.fixture(autouse=True)
def low_threshold(system, approver):
    """Three communications may go at once; the test's own ones are gone afterwards."""
    with environment(system, "collector", APPROVAL_THRESHOLD="3"):
        yield
    finish(system, approver, start_run(system, approver, operation="send.sms"))
    system.application.wait_for_stats(PATIENCE, queued=0)


@pytest.fixture
def other_approver(system):
    return system.token("approver", "bert")


def waiting(system, token):
    """Four SMS that failed, and a run for them that waits, of which people know."""
    ids = fail(system, "sms", 4)
    run_id = start_run(system, token, operation="send.sms")
    wait_for_status(system, token, run_id, RunStatus.AWAITING_APPROVAL)
    system.mailbox.wait_for(lambda mail: run_id in mail.get_content(), PATIENCE)
    return ids, run_id


def sent(system, ids):
    return [system.application.communication(each)["sent"] for each in ids]


def result_of(system, run_id):
    """The two mails about a run: the question and the result."""
    system.mailbox.wait_for(lambda mail: f"Run {run_id}" in mail.get_content() and "ended as" in mail.get_content(), 60)
    question, result = mails_about(system, run_id)
    return question, result.get_content()


def test_a_run_above_the_threshold_is_sent_when_somebody_else_approves(system, approver, other_approver):
    """One mail asks, whoever asked for the run may not decide, somebody else may, and then it is sent."""
    ids, run_id = waiting(system, approver)
    own = system.call("POST", f"/runs/{run_id}/approve", approver)
    assert (own.status_code, own.json()["Code"]) == (403, "ForbiddenError")
    assert "somebody else" in own.json()["Message"]
    assert sent(system, ids) == [0] * 4

    answer = system.call("POST", f"/runs/{run_id}/approve", other_approver)
    assert (answer.status_code, answer.json()["decidedBy"]) == (200, "bert"), answer.text
    assert system.call("POST", f"/runs/{run_id}/approve", other_approver).status_code == 200
    assert system.call("POST", f"/runs/{run_id}/reject", other_approver).status_code == 409
    run = finish(system, approver, run_id)
    assert (run["status"], run["counts"], run["decision"]) == ("succeeded", {"accepted": 4}, "approved")
    system.application.wait_for_stats(PATIENCE, queued=0)
    assert sent(system, ids) == [1] * 4
    question, result = result_of(system, run_id)
    assert question["Subject"] == "comms-reprocess: approve or reject a run of 4"
    assert f"POST /runs/{run_id}/approve" in question.get_content()
    assert "It was approved by bert." in result
    assert "Token" not in system.call("GET", f"/runs/{run_id}", approver).text


def test_a_rejected_run_sends_nothing(system, approver, other_approver):
    """It ends as declined, nothing was sent, and the mail says who rejected it."""
    ids, run_id = waiting(system, approver)
    assert system.call("POST", f"/runs/{run_id}/reject", approver).status_code == 403
    assert system.call("POST", f"/runs/{run_id}/reject", other_approver).status_code == 200
    run = finish(system, approver, run_id)
    assert (run["status"], run["counts"], run["decision"]) == ("declined", {"not_attempted": 4}, "declined")
    assert sent(system, ids) == [0] * 4
    assert system.call("POST", f"/runs/{run_id}/approve", other_approver).status_code == 409
    assert "It was rejected by bert" in result_of(system, run_id)[1]


def test_a_run_that_nobody_approves_in_time_sends_nothing(system, approver, other_approver):
    """After APPROVAL_TIMEOUT it ends as declined; an approval after that is refused."""
    with environment(system, "collector", APPROVAL_THRESHOLD="3", APPROVAL_TIMEOUT="1s"):
        ids = fail(system, "sms", 4)
        run_id = start_run(system, approver, operation="send.sms")
        run = finish(system, approver, run_id)
    assert (run["status"], run["counts"], run["decision"]) == ("declined", {"not_attempted": 4}, "expired")
    assert sent(system, ids) == [0] * 4
    assert system.call("POST", f"/runs/{run_id}/approve", other_approver).status_code == 409
    assert "Nobody approved it in time" in result_of(system, run_id)[1]


def test_a_stop_ends_the_wait(system, approver):
    """A run that is stopped while it waits ends as stopped, at once, and has sent nothing."""
    ids, run_id = waiting(system, approver)
    assert system.call("POST", f"/runs/{run_id}/stop", approver).status_code == 200
    run = finish(system, approver, run_id)
    assert (run["status"], run["counts"]) == ("stopped", {"not_attempted": 4})
    assert sent(system, ids) == [0] * 4


def test_a_late_approval_sends_nothing_that_another_run_has_sent(system, approver, other_approver):
    """What was sent after the waiting run's list was read is left alone, although its cool-down is over."""
    ids, run_id = waiting(system, approver)
    with environment(system, "collector", APPROVAL_THRESHOLD="100"):
        other = finish(system, approver, start_run(system, approver, operation="send.sms"))
    assert other["counts"] == {"accepted": 4}
    system.application.wait_for_stats(PATIENCE, queued=0)
    payloads = system.application.stats()["payloads"]
    time.sleep(COOL_DOWN + 0.5)  # what is tested is what happens once this much time has passed
    assert system.call("POST", f"/runs/{run_id}/approve", other_approver).status_code == 200
    run = finish(system, approver, run_id)
    assert run["counts"] == {"skipped": 4}
    assert system.application.stats()["payloads"] == payloads
    assert sent(system, ids) == [1] * 4
    assert run_id in executions(system)

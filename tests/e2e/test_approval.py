"""A run above the threshold waits until somebody else approves or rejects it."""

import re
import time

import pytest

from chalicelib.models.runs import RunStatus
from tests.e2e.driver import (
    COOL_DOWN,
    PATIENCE,
    changed_environment,
    create_failed,
    executions,
    mails_about,
    sent_flags,
    start_run,
    wait_for_end,
    wait_for_status,
)


@pytest.fixture(autouse=True)
def low_threshold(system, approver):
    """Runs of more than three communications need approval. Afterwards, what the test has left is sent."""
    with changed_environment(system, "collector", APPROVAL_THRESHOLD="3"):
        yield
    wait_for_end(system, approver, start_run(system, approver, operation="send.sms"))
    system.application.wait_for_stats(PATIENCE, queued=0)


@pytest.fixture
def other_approver(system):
    """The token of an approver who has not requested the run."""
    return system.token("approver", "bert")


def create_waiting_run(system, token):
    """Create four SMS that failed, and a run for them that waits; people have been notified of it."""
    ids = create_failed(system, "sms", 4)
    run_id = start_run(system, token, operation="send.sms")
    wait_for_status(system, token, run_id, RunStatus.AWAITING_APPROVAL)
    system.mailbox.wait_for(lambda mail: run_id in mail.get_content(), PATIENCE)
    return ids, run_id


def approval_mails(system, run_id):
    """Wait for both mails about a run; return the mail that asks for approval, and the text of the result."""
    wait_for_result(system, run_id)
    question, result = mails_about(system, run_id)
    return question, result.get_content()


def wait_for_result(system, run_id):
    """Wait for the mail about the end of a run."""
    ended = f"Run {run_id} .* ended after"
    return system.mailbox.wait_for(lambda mail: re.search(ended, mail.get_content()), PATIENCE)


def test_a_run_above_the_threshold_is_sent_after_somebody_else_approves_it(system, approver, other_approver):
    """One mail asks for approval. Whoever requested the run may not decide."""
    ids, run_id = create_waiting_run(system, approver)
    own = system.call("POST", f"/runs/{run_id}/approve", approver)
    assert (own.status_code, own.json()["Code"]) == (403, "ForbiddenError")
    assert "somebody else" in own.json()["Message"]
    assert sent_flags(system, ids) == [0] * 4

    answer = system.call("POST", f"/runs/{run_id}/approve", other_approver)
    assert (answer.status_code, answer.json()["decidedBy"]) == (200, "bert"), answer.text
    assert system.call("POST", f"/runs/{run_id}/approve", other_approver).status_code == 200
    assert system.call("POST", f"/runs/{run_id}/reject", other_approver).status_code == 409
    run = wait_for_end(system, approver, run_id)
    assert (run["status"], run["counts"], run["decision"]) == ("succeeded", {"accepted": 4}, "approved")
    system.application.wait_for_stats(PATIENCE, queued=0)
    assert sent_flags(system, ids) == [1] * 4
    question, result = approval_mails(system, run_id)
    assert question["Subject"] == "comms-reprocess: approve or reject a run of 4"
    assert f"{system.api}/#/runs/{run_id}" in question.get_content().splitlines()
    assert "It was approved by bert." in result
    assert "Token" not in system.call("GET", f"/runs/{run_id}", approver).text


def test_a_rejected_run_sends_nothing(system, approver, other_approver):
    """It ends as `declined`, and the mail says who rejected it."""
    ids, run_id = create_waiting_run(system, approver)
    assert system.call("POST", f"/runs/{run_id}/reject", approver).status_code == 403
    assert system.call("POST", f"/runs/{run_id}/reject", other_approver).status_code == 200
    run = wait_for_end(system, approver, run_id)
    assert (run["status"], run["counts"], run["decision"]) == ("declined", {"not_attempted": 4}, "declined")
    assert sent_flags(system, ids) == [0] * 4
    assert system.call("POST", f"/runs/{run_id}/approve", other_approver).status_code == 409
    assert "It was rejected by bert" in approval_mails(system, run_id)[1]


def test_a_run_that_nobody_approves_in_time_sends_nothing(system, approver, other_approver):
    """After APPROVAL_TIMEOUT it ends as `declined`, and a later approval is refused.

    The second may be over before people are asked.
    """
    with changed_environment(system, "collector", APPROVAL_THRESHOLD="3", APPROVAL_TIMEOUT="1s"):
        ids = create_failed(system, "sms", 4)
        run_id = start_run(system, approver, operation="send.sms")
        run = wait_for_end(system, approver, run_id)
    assert (run["status"], run["counts"], run["decision"]) == ("declined", {"not_attempted": 4}, "expired")
    assert sent_flags(system, ids) == [0] * 4
    assert system.call("POST", f"/runs/{run_id}/approve", other_approver).status_code == 409
    assert "Nobody approved it in time" in wait_for_result(system, run_id).get_content()


def test_a_run_that_is_stopped_while_it_waits_for_approval_sends_nothing(system, approver):
    """It ends as `stopped` at once."""
    ids, run_id = create_waiting_run(system, approver)
    assert system.call("POST", f"/runs/{run_id}/stop", approver).status_code == 200
    run = wait_for_end(system, approver, run_id)
    assert (run["status"], run["counts"]) == ("stopped", {"not_attempted": 4})
    assert sent_flags(system, ids) == [0] * 4


def test_a_late_approval_sends_nothing_that_another_run_has_sent(system, approver, other_approver):
    """The other run read its list later. Its cool-down is over, which changes nothing."""
    ids, run_id = create_waiting_run(system, approver)
    with changed_environment(system, "collector", APPROVAL_THRESHOLD="100"):
        other = wait_for_end(system, approver, start_run(system, approver, operation="send.sms"))
    assert other["counts"] == {"accepted": 4}
    system.application.wait_for_stats(PATIENCE, queued=0)
    payloads = system.application.stats()["payloads"]
    time.sleep(COOL_DOWN + 0.5)  # the cool-down has to be over when the run is approved
    assert system.call("POST", f"/runs/{run_id}/approve", other_approver).status_code == 200
    run = wait_for_end(system, approver, run_id)
    assert run["counts"] == {"skipped": 4}
    assert system.application.stats()["payloads"] == payloads
    assert sent_flags(system, ids) == [1] * 4
    assert run_id in executions(system)

"""A run that cannot go on: it stands in nobody's way, people are notified once, and in the end it is closed."""

import contextlib
import itertools
import json

import pytest
from botocore.exceptions import ClientError

from chalicelib.errors import NotificationFailed
from chalicelib.models.batches import BatchRecord
from chalicelib.models.outcomes import Outcome, OutcomeRecord
from chalicelib.models.runs import ApprovalDecision, RunStatus
from chalicelib.models.selections import Selection
from chalicelib.runs import start, stop
from chalicelib.runs.recovery import COLLECTOR_LIFETIME, MAX_COLLECTIONS
from tests.fakes import make_run
from tests.integration.collector.fakes import MINUTE, Killed


def create_broken_run(deployment, number=1) -> str:
    """Start a scheduled run that cannot be reported: its execution is aborted, and S3 does not return its manifest."""
    deployment.add_failed("send.sms", f"broken-{number}")
    run_id = deployment.fire(number)
    deployment.executions.ended[run_id] = "ABORTED"
    deployment.unreadable.add(deployment.ledger.runs.read(run_id).manifest)
    return run_id


def fire_in_spite_of_errors(deployment, number: int) -> str:
    """Fire the schedule; the collector raises in the end what it could not do, which triggers its alarm."""
    with pytest.raises(ClientError):
        deployment.fire(number)
    return deployment.fired


def test_a_run_that_cannot_be_reported_keeps_no_other_run_from_starting(deployment):
    """Neither the next scheduled run nor a requested one, and a run that can be closed is closed."""
    deployment.add_failed("send.sms", "1")
    other = deployment.request("other").run_id
    create_broken_run(deployment)
    deployment.executions.ended[other] = "TIMED_OUT"
    deployment.clock.advance(15 * MINUTE)
    second = fire_in_spite_of_errors(deployment, 2)
    assert second in deployment.executions.started
    assert deployment.ledger.runs.read(other).status == "failed"
    assert deployment.request("asked").run_id in deployment.executions.started


def test_a_run_that_cannot_be_reported_is_given_up_after_some_tries(deployment, capsys):
    """It ends as `failed`, people are notified once, and `run-failed` goes off."""
    run_id = create_broken_run(deployment)
    deployment.lists.failed.clear()
    for number in range(MAX_COLLECTIONS):
        deployment.clock.advance(COLLECTOR_LIFETIME)
        fire_in_spite_of_errors(deployment, 10 + number)
        assert deployment.ledger.runs.read(run_id).status == "running"
    capsys.readouterr()
    deployment.clock.advance(COLLECTOR_LIFETIME)
    deployment.fire(20)
    deployment.fire(21)
    run = deployment.ledger.runs.read(run_id)
    assert (run.status, deployment.ledger.runs.open_runs()) == ("failed", [])
    assert "ABORTED" in run.error
    assert run.counts == {"unknown": 1}
    (mail,) = deployment.mails_about(run_id)
    assert (mail.topic, mail.subject) == ("failed", "comms-reprocess: a run could not be reported")
    assert runs_failed(capsys) == 1


def test_a_run_that_is_given_up_has_no_outcome_less_often_than_never(deployment):
    """Its counts are those of its progress, which AWS's SDK may have added twice."""
    run_id = create_broken_run(deployment)
    for _ in range(2):
        deployment.ledger.runs.add_progress(run_id, {"accepted": 1}, [])
    deployment.lists.failed.clear()
    for number in range(MAX_COLLECTIONS):
        deployment.clock.advance(COLLECTOR_LIFETIME)
        fire_in_spite_of_errors(deployment, 10 + number)
    deployment.clock.advance(COLLECTOR_LIFETIME)
    deployment.fire(20)
    assert deployment.ledger.runs.read(run_id).counts == {"accepted": 2}


def test_a_run_is_recovered_by_one_collector_at_a_time(deployment):
    """Otherwise tries would be used up within seconds, while S3 does not answer for a minute."""
    run_id = create_broken_run(deployment)
    for number in range(MAX_COLLECTIONS + 2):
        with contextlib.suppress(ClientError):
            deployment.fire(10 + number)
    run = deployment.ledger.runs.read(run_id)
    assert (run.status, run.recoveries) == ("running", 1)


def test_ten_lost_requests_are_invoked_once_each(deployment):
    """Every invoked collector recovers as well, and must not invoke those that have not begun yet."""
    lost = [f"lost-{number}" for number in range(10)]
    for run_id in lost:
        start.record_request(run_id, "olga", Selection(), deployment.ledger, deployment.manifests)
    deployment.clock.advance(COLLECTOR_LIFETIME)
    deployment.fire(1)
    invocations = 0
    while deployment.invoked and invocations < 100:
        invocations += 1
        deployment.collect_requested(deployment.invoked.pop(0))
    assert invocations == 10
    assert {deployment.ledger.runs.read(run_id).collections for run_id in lost} == {1}


def test_a_run_whose_manifest_is_gone_ends_as_failed_at_once(deployment):
    """It does not come back. What nobody recorded may have been sent, and the next scheduled run begins."""
    deployment.add_failed("send.sms", *map(str, range(7)))
    run_id = deployment.fire(1)
    deployment.executions.ended[run_id] = "FAILED"
    outcome = OutcomeRecord(operation="send.sms", primary_id="3", outcome=Outcome.ACCEPTED)
    deployment.ledger.runs.record_batch(run_id, BatchRecord(index=1, outcomes=[outcome] * 3, at=deployment.clock()))
    deployment.lose_manifest(run_id)
    deployment.clock.advance(15 * MINUTE)
    second = deployment.fire(2)
    assert second in deployment.executions.started
    run = deployment.ledger.runs.read(run_id)
    assert (run.status, run.counts) == ("failed", {"accepted": 3, "unknown": 4})
    assert run.error == "the execution ended as FAILED without a report: the manifest is gone"
    (mail,) = deployment.mails_about(run_id)
    assert (mail.topic, mail.subject) == ("failed", "comms-reprocess: failed, 3 of 7 accepted")
    assert "unknown: manifest_lost" in mail.message


@pytest.mark.parametrize("decision", ["approved", "declined", "stopped"])
def test_a_decision_that_did_not_reach_the_execution_is_delivered_by_the_next_collector(deployment, decision):
    """Step Functions may have throttled the call after the decision was written."""
    run = make_run("waits", status=RunStatus.AWAITING_APPROVAL, manifest="key", batches=1, matched=1)
    deployment.ledger.runs.create(run)
    deployment.executions.start(run)
    deployment.ledger.approvals.keep_token("waits", "token")
    deployment.executions.waiting.add("token")
    deployment.fire(1)
    assert deployment.executions.decisions == []
    if decision == "stopped":
        deployment.ledger.runs.halt("waits", "hand:anna")
    else:
        deployment.ledger.approvals.decide("waits", ApprovalDecision(decision), "anna")
    deployment.fire(2)
    deployment.fire(3)
    delivered = "approved" if decision == "approved" else "declined"
    assert deployment.executions.decisions == [("token", delivered)]


@pytest.mark.parametrize("kind", ["schedule", "request"])
def test_people_hear_of_an_unreadable_list_wherever_the_collector_is_killed(deployment, kind):
    """After any write: the run is closed, a later collector notifies them, and the next scheduled run may begin."""
    for number in itertools.count(1):
        deployment.mails.clear()
        deployment.ledger.incidents.end(0)
        deployment.lists.broken = True
        deployment.writes_left = number
        with contextlib.suppress(Killed):
            deployment.fire(number) if kind == "schedule" else deployment.request(f"asked-{number}")
        finished = deployment.writes_left > 0
        deployment.writes_left = None
        run_id = deployment.fired if kind == "schedule" else f"asked-{number}"
        deployment.lists.broken = False
        for later in range(MAX_COLLECTIONS + 2):
            deployment.clock.advance(COLLECTOR_LIFETIME)
            deployment.fire(1000 * number + later)
        assert deployment.mails_about(run_id) or not was_recorded(deployment, run_id)
        assert deployment.ledger.schedule.lock_holder()[0] == ""
        if finished:
            assert len(deployment.mails_about(run_id)) == 1
            return


def was_recorded(deployment, run_id: str) -> bool:
    return any(run.run_id == run_id for run in deployment.ledger.runs.page(10)[0])


def test_a_run_whose_name_an_earlier_execution_has_ends_as_failed(deployment):
    """The mail says what to do: nothing of this run is ever sent under that name."""
    deployment.add_failed("send.sms", "1")
    deployment.executions.names_taken.add("asked")
    run = deployment.request("asked")
    assert (run.status, run.counts) == ("failed", {"not_attempted": 1})
    (mail,) = deployment.mails_about("asked")
    assert (mail.topic, mail.subject) == ("failed", "comms-reprocess: a run never started")
    assert "use a new key" in mail.message


def test_two_collectors_that_close_the_same_run_send_one_mail(deployment):
    """The second begins while the first is sending."""
    deployment.add_failed("send.sms", "1")
    run_id = deployment.request("asked").run_id
    deployment.executions.ended[run_id] = "ABORTED"
    deployment.lists.failed.clear()
    deployment.meanwhile = lambda: deployment.fire(2)
    deployment.fire(1)
    assert len(deployment.mails_about(run_id)) == 1


def test_a_request_that_is_stopped_before_it_has_a_manifest_causes_one_mail(deployment):
    """Its requester need not be who stopped it, and its status alone tells nobody."""
    start.record_request("asked", "olga", Selection(), deployment.ledger, deployment.manifests)
    stop.stop_run("asked", "sam", deployment.ledger, deployment.executions)
    deployment.collect_requested("asked")
    deployment.fire(1)
    (mail,) = deployment.mails_about("asked")
    assert (mail.topic, mail.subject) == ("failed", "comms-reprocess: stopped, nothing was sent")
    assert "stopped by sam" in mail.message
    assert "requested by olga" in mail.message


@pytest.mark.parametrize("kind", ["schedule", "request", "recovered"])
def test_a_refused_mail_is_sent_by_the_next_collector_and_keeps_no_run_from_starting(deployment, kind):
    """The collector that SNS refused raises it, which triggers an alarm. The turn of the schedule ends all the same."""
    deployment.lists.broken = True
    if kind == "recovered":
        deployment.fire(1)
        deployment.mails.clear()
        deployment.lists.broken = False
    deployment.refuse_mails = True
    with pytest.raises(NotificationFailed, match="AuthorizationError"):
        deployment.request("asked") if kind == "request" else deployment.fire(2)
    assert deployment.ledger.runs.open_runs() == []
    assert deployment.ledger.schedule.lock_holder()[0] == ""
    deployment.refuse_mails = deployment.lists.broken = False
    deployment.clock.advance(MINUTE)
    deployment.fire(3)
    deployment.fire(4)
    subject = "recovered, nothing to send" if kind == "recovered" else "cannot list the failed communications"
    assert [mail.subject for mail in deployment.mails if subject in mail.subject] == [f"comms-reprocess: {subject}"]


def fire_and_kill(deployment):
    """Let the schedule's collector find something, and kill it before it has a manifest."""
    deployment.add_failed("send.sms", "1")
    deployment.writes_left = 2
    with pytest.raises(Killed):
        deployment.fire(1)
    deployment.writes_left = None


def test_the_next_firing_takes_the_turn_of_a_killed_collector(deployment):
    """With a schedule of 15 minutes. The run of the killed one is closed as well."""
    fire_and_kill(deployment)
    deployment.clock.advance(15 * MINUTE - 5_000)
    second = deployment.fire(2)
    assert second in deployment.executions.started
    (running,) = deployment.ledger.runs.open_runs()
    assert running.run_id == second


def test_a_collector_that_aws_invoked_again_is_alive_for_the_next_firing(deployment):
    """Lambda repeats an event whose collector has died, minutes later: its run must not be closed meanwhile."""
    fire_and_kill(deployment)
    time = deployment.clock()

    def next_firing():
        deployment.clock.advance(10 * MINUTE)
        deployment.fire(2)

    deployment.clock.advance(5 * MINUTE)
    deployment.lists.meanwhile = next_firing
    deployment.fire(1, at=time)
    (running,) = deployment.ledger.runs.open_runs()
    assert list(deployment.executions.started) == [running.run_id]
    assert deployment.mails == []


def test_the_same_event_twice_at_once_with_nothing_due_ends_twice_without_an_error(deployment):
    """The second delivery finds that the first has deleted the run."""
    deployment.lists.meanwhile = lambda: deployment.fire(1)
    deployment.fire(1)
    assert deployment.ledger.runs.open_runs() == []
    assert deployment.ledger.schedule.lock_holder()[0] == ""
    assert deployment.mails == []


def test_a_paused_schedule_has_not_completed(deployment, capsys):
    """`collector-missing` reminds people of a pause, which is easily forgotten."""
    deployment.ledger.schedule.pause("olga")
    deployment.fire(1)
    assert metrics(capsys, "CollectorCompleted") == [0.0]
    deployment.ledger.schedule.resume()
    deployment.fire(2)
    assert metrics(capsys, "CollectorCompleted") == [1.0]


def test_a_run_that_recovery_closes_counts_as_failed(deployment, capsys):
    """The alarm `run-failed` must not depend on who closes a run."""
    deployment.add_failed("send.sms", "1")
    deployment.executions.ended[deployment.fire(1)] = "ABORTED"
    start.record_request("lost", "olga", Selection(), deployment.ledger, deployment.manifests)
    for _ in range(MAX_COLLECTIONS):
        start.begin_requested("lost", deployment.ledger)
    deployment.clock.advance(COLLECTOR_LIFETIME)
    capsys.readouterr()
    deployment.fire(2)
    assert runs_failed(capsys) == 2


@pytest.mark.parametrize("kind", ["schedule", "request"])
def test_a_run_that_cannot_list_counts_as_failed_once(deployment, capsys, kind):
    """Whoever started it."""
    deployment.lists.broken = True
    deployment.fire(1) if kind == "schedule" else deployment.request("asked")
    assert runs_failed(capsys) == 1


def test_a_report_that_recovery_has_no_time_for_goes_on_in_the_next_collector(deployment):
    """What it has completed stays, and counts as progress: the run is not given up."""
    deployment.add_failed("send.sms", *map(str, range(50)))
    run_id = deployment.fire(1)
    deployment.executions.ended[run_id] = "ABORTED"
    deployment.lists.failed.clear()
    recorded = []
    deployment.recovery_time_left = lambda: 600_000 if count_batches() <= sum(recorded[-1:]) else 0

    def count_batches():
        return len(list(deployment.ledger.runs.batches(run_id)))

    while not deployment.ledger.runs.read(run_id).closed:
        deployment.clock.advance(MINUTE)
        deployment.fire(2 + len(recorded))
        recorded.append(count_batches())
    assert len(recorded) > MAX_COLLECTIONS
    assert recorded == sorted(recorded)
    run = deployment.ledger.runs.read(run_id)
    assert (run.status, run.counts) == ("failed", {"not_attempted": 50})
    assert len(deployment.mails_about(run_id)) == 1


def metrics(capsys, name: str) -> list[float]:
    """Return the values of a metric that were emitted since the last call."""
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    return [value for line in lines for value in line.get(name, [])]


def runs_failed(capsys) -> float:
    return sum(metrics(capsys, "RunsFailed"))

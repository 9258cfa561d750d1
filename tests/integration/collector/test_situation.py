"""What the collector writes about its scan: causes and counts, once for each scheduled run, whatever happens to it."""

import itertools

import pytest

from chalicelib.errors import NotificationFailed
from chalicelib.ledger.claims import Rules
from chalicelib.models.batches import Task
from chalicelib.models.communications import CauseKind, Communication, SkipReason
from chalicelib.runs.causes import Cause
from chalicelib.runs.recovery import COLLECTOR_LIFETIME
from tests.fakes import HOUR, attempt
from tests.integration.collector.fakes import Killed

RULES = Rules(cool_down=HOUR, honours_key=False, max_attempts=5, retention=90 * 24 * HOUR)


def put_on_worklist(deployment, primary_id, operation="send.sms"):
    """Let a person be needed for a communication, which the application has rejected."""
    listed = Communication(operation=operation, primary_id=primary_id, listed_at=deployment.clock())
    task = Task(run_id="earlier", index=0, communication=listed, requested_by="schedule")
    attempt(deployment.ledger.communications, task, "CommunicationRejected", RULES, "invalid_address")
    assert deployment.ledger.communications.move_to_worklist(listed, task.owner, "invalid_address")


def counts(deployment):
    """What the situation says: for each cause its operation, kind, reason, count, and how many are on the worklist."""
    causes = deployment.ledger.situations.read().causes
    return {(each.operation, each.kind, each.reason): (each.count, each.on_worklist) for each in causes}


def test_a_scheduled_run_writes_what_its_scan_saw(deployment):
    """What is listed, with what the ledger knows about it; the worklist also holds what is not listed any more."""
    put_on_worklist(deployment, "listed")
    put_on_worklist(deployment, "gone")
    deployment.clock.advance(2 * HOUR)
    deployment.add_failed("send.email", "1", "2", failure_reason="smtp_timeout", age=8 * 24 * HOUR)
    deployment.add_failed("send.sms", "listed", "3", "4")
    run_id = deployment.fire()
    situation = deployment.ledger.situations.read()
    assert counts(deployment) == {
        ("send.email", CauseKind.UNTRIED, "smtp_timeout"): (2, 0),
        ("send.sms", CauseKind.REJECTED, "invalid_address"): (1, 1),
        ("send.sms", CauseKind.UNTRIED, None): (2, 0),
    }
    assert (situation.run_id, situation.at, situation.complete) == (run_id, deployment.clock(), True)
    assert (situation.worklist, situation.oldest) == (2, deployment.clock() - 8 * 24 * HOUR)
    assert situation.skipped == {SkipReason.MANUAL: 1}
    assert [point.run_id for point in situation.scans] == [run_id]


def test_a_run_that_has_nothing_to_send_writes_it_too(deployment):
    """It leaves no run."""
    put_on_worklist(deployment, "1")
    deployment.add_failed("send.sms", "1")
    deployment.fire(1)
    assert counts(deployment) == {("send.sms", CauseKind.REJECTED, "invalid_address"): (1, 1)}


def test_a_run_that_fails_keeps_what_it_did_not_see(deployment):
    """Nobody knows what its lists contain."""
    deployment.add_failed("send.sms", "1", "2", failure_reason="quota")
    deployment.executions.ended[deployment.fire(1)] = "ABORTED"
    before = deployment.clock()
    deployment.clock.advance(HOUR)
    deployment.lists.broken = True
    deployment.fire(2)
    situation = deployment.ledger.situations.read()
    assert (situation.run_id, situation.complete, situation.last_complete) == (deployment.fired, False, before)
    assert counts(deployment) == {("send.sms", CauseKind.UNTRIED, "quota"): (2, 0)}


def test_a_list_that_fails_keeps_the_numbers_of_its_own_operation_only(deployment):
    """Those of the others are exact."""
    deployment.add_failed("send.email", "1", "2", "3", failure_reason="smtp_timeout")
    deployment.add_failed("send.sms", "1", "2", failure_reason="quota")
    deployment.executions.ended[deployment.fire(1)] = "ABORTED"
    deployment.clock.advance(HOUR)
    deployment.lists.failed["send.sms"].pop()
    deployment.lists.broken_after_first_page.add("send.email")
    deployment.fire(2)
    assert counts(deployment) == {
        ("send.email", CauseKind.UNTRIED, "smtp_timeout"): (3, 0),
        ("send.sms", CauseKind.UNTRIED, "quota"): (1, 0),
    }
    assert not deployment.ledger.situations.read().complete


def test_a_requested_run_writes_nothing(deployment):
    """It looks at a part of the lists only."""
    deployment.add_failed("send.sms", "1")
    deployment.request(operation="send.sms")
    assert deployment.ledger.situations.read() is None


def test_a_run_for_a_cause_does_not_count_what_nobody_can_read(deployment):
    """It has no cause that anybody knows."""
    deployment.add_failed("send.sms", "1", failure_reason="quota")
    deployment.add_failed("send.sms", "2")
    deployment.lists.unreadable = 1
    cause = Cause(operation="send.sms", kind=CauseKind.UNTRIED, reason="quota")
    run = deployment.request(cause=cause.id, operation="send.sms")
    assert (run.matched, run.skipped, deployment.manifest(run.run_id)) == (1, {}, ["1"])


@pytest.mark.parametrize("ids", [[], ["1", "2"]])
def test_wherever_a_collector_is_killed_each_run_counts_at_most_once(deployment, ids):
    """The same event again changes nothing, or writes what was missing; otherwise the next scan does."""
    deployment.add_failed("send.sms", *ids)
    for number in itertools.count(1):
        deployment.writes_left = number
        killed = True
        try:
            deployment.fire(number)
            killed = False
        except Killed:
            pass
        deployment.writes_left = None
        for event in (number, number, 1000 + number):
            deployment.clock.advance(COLLECTOR_LIFETIME)
            deployment.fire(event)
            for run_id in deployment.executions.started:
                deployment.executions.ended.setdefault(run_id, "ABORTED")
        situation = deployment.ledger.situations.read()
        assert len({point.run_id for point in situation.scans}) == len(situation.scans)
        assert [point.failing for point in situation.scans] == [len(ids)] * len(situation.scans)
        assert sum(cause.count for cause in situation.causes) == len(ids)
        if not killed:
            return


@pytest.mark.parametrize("ids", [[], ["1"]])
def test_a_situation_that_cannot_be_written_keeps_no_run_from_going_on(deployment, caplog, capsys, ids):
    """The error is logged, and the next scan writes what is the case then."""
    deployment.add_failed("send.sms", *ids)
    deployment.unwritable.add("SITUATION")
    run_id = deployment.fire(1)
    assert list(deployment.executions.started) == ([run_id] if ids else [])
    assert ids or deployment.ledger.schedule.lock_holder()[0] == ""
    assert [record.message for record in caplog.records] == ["survived"]
    assert '"CollectorCompleted":[1.0]' in capsys.readouterr().out
    deployment.unwritable.clear()
    deployment.executions.ended[run_id] = "ABORTED"
    deployment.clock.advance(HOUR)
    deployment.fire(2)
    assert sum(cause.count for cause in deployment.ledger.situations.read().causes) == len(ids)


def test_a_mail_that_is_refused_keeps_no_scan_from_being_written(deployment):
    """People look at the causes all the more then."""
    deployment.lists.broken = True
    deployment.refuse_mails = True
    with pytest.raises(NotificationFailed):
        deployment.fire()
    assert deployment.ledger.situations.read().run_id == deployment.fired

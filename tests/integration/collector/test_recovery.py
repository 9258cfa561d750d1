"""A collector may be killed after any write: later ones complete its run, close it, and notify people."""

import contextlib
import itertools

import pytest

from chalicelib.errors import ConfigurationError, NotificationFailed
from chalicelib.models.selections import Selection
from chalicelib.runs import start
from chalicelib.runs.recovery import COLLECTOR_LIFETIME, MAX_COLLECTIONS
from tests.integration.collector.fakes import MINUTE, Killed


@pytest.mark.parametrize("kind", ["schedule", "request"])
def test_later_collectors_complete_the_run_of_one_that_was_killed_after_any_write(deployment, kind):
    """Every communication is in a manifest, every run is closed, and the schedule lock is free."""
    for number in itertools.count(1):
        deployment.lists.failed.clear()
        ids = [f"{number}-{each}" for each in range(4)]
        deployment.add_failed("send.sms", *ids)
        known = set(deployment.executions.started)
        deployment.writes_left = number
        killed = True
        try:
            if kind == "schedule":
                deployment.fire(number)
            else:
                deployment.request(f"asked-{number}")
            killed = False
        except Killed:
            pass
        deployment.writes_left = None
        for later in range(MAX_COLLECTIONS + 2):
            deployment.clock.advance(COLLECTOR_LIFETIME)
            deployment.fire(1000 * number + later)
            for run_id in deployment.invoked:
                deployment.collect_requested(run_id)
            deployment.invoked.clear()
            for run_id in set(deployment.executions.started) - known:
                if not deployment.ledger.runs.read(run_id).closed:
                    deployment.complete(run_id)
        started = set(deployment.executions.started) - known
        collected = [each for run_id in started for each in deployment.manifest(run_id)]
        assert set(collected) == set(ids)
        assert deployment.ledger.runs.open_runs() == []
        assert deployment.ledger.schedule.lock_holder()[0] == ""
        if not killed:
            return


def test_a_run_whose_execution_ended_without_a_report_is_closed_and_reported_once(deployment):
    """The execution was stopped from outside. The manifest says what was not attempted."""
    deployment.add_failed("send.sms", "1", "2", "3", "4")
    first = deployment.fire(1)
    deployment.executions.ended[first] = "ABORTED"
    deployment.clock.advance(15 * MINUTE)
    deployment.fire(2)
    run = deployment.ledger.runs.read(first)
    assert (run.status, run.counts) == ("failed", {"not_attempted": 4})
    assert "ABORTED" in run.error
    assert [mail.topic for mail in deployment.mails] == ["failed"]
    assert len(deployment.executions.started) == 2
    deployment.fire(3)
    assert len(deployment.mails) == 1


@pytest.mark.parametrize("failure", ["ended without its report", "never started"])
def test_a_recovery_that_was_killed_after_any_write_is_completed_by_the_next_one(deployment, failure):
    """The run is closed, and people are notified at least once."""
    for number in itertools.count(1):
        deployment.mails.clear()
        if failure == "never started":
            run_id = f"lost-{number}"
            start.record_request(run_id, "olga", Selection(), deployment.ledger, deployment.manifests)
            for _ in range(MAX_COLLECTIONS):
                start.begin_requested(run_id, deployment.ledger)
        else:
            deployment.add_failed("send.sms", f"{number}-1", f"{number}-2")
            run_id = deployment.request(f"asked-{number}").run_id
            deployment.executions.ended[run_id] = "ABORTED"
        deployment.lists.failed.clear()
        deployment.clock.advance(COLLECTOR_LIFETIME)
        deployment.writes_left = number
        with contextlib.suppress(Killed):
            deployment.recovery.recover_open_runs()
        finished = deployment.writes_left > 0
        deployment.writes_left = None
        deployment.clock.advance(COLLECTOR_LIFETIME)  # until then, the killed one may be alive
        deployment.recovery.recover_open_runs()
        assert deployment.ledger.runs.read(run_id).status == "failed"
        assert any(run_id in mail.message for mail in deployment.mails)
        if finished:
            assert len(deployment.mails) == 1
            return


def test_a_refused_mail_fails_the_collector_but_does_not_block_the_next_scheduled_run(deployment):
    """The open runs are closed before the collector fails, which triggers an alarm."""
    deployment.add_failed("send.sms", "1")
    first = deployment.fire(1)
    deployment.executions.ended[first] = "ABORTED"
    start.record_request("lost", "olga", Selection(), deployment.ledger, deployment.manifests)
    for _ in range(MAX_COLLECTIONS):
        start.begin_requested("lost", deployment.ledger)
    deployment.clock.advance(COLLECTOR_LIFETIME)
    deployment.refuse_mails = True
    with pytest.raises(NotificationFailed, match="AuthorizationError"):
        deployment.fire(2)
    assert {deployment.ledger.runs.read(run_id).status for run_id in (first, "lost")} == {"failed"}
    assert deployment.fired in deployment.executions.started
    with pytest.raises(NotificationFailed, match="AuthorizationError"):
        deployment.fire(3)  # tries again


def test_a_collector_that_never_ran_for_a_request_is_invoked_again_a_few_times(deployment):
    """After MAX_COLLECTIONS times, the run has failed and people are notified."""
    start.record_request("lost", "olga", Selection(), deployment.ledger, deployment.manifests)
    for number in range(MAX_COLLECTIONS + 1):
        deployment.clock.advance(COLLECTOR_LIFETIME)
        deployment.fire(number)
        for run_id in deployment.invoked:
            again = start.begin_requested(run_id, deployment.ledger)
            assert again.collections == number + 1
        deployment.invoked.clear()
    assert deployment.ledger.runs.read("lost").status == "failed"
    assert [mail.subject for mail in deployment.mails] == ["comms-reprocess: a run never started"]


@pytest.mark.parametrize("kind", ["schedule", "request"])
def test_a_configuration_that_cannot_be_read_fails_the_run_but_not_recovery(deployment, kind):
    """The mail names what is wrong. The next scheduled run within REMIND_AFTER fails without another one."""
    deployment.add_failed("send.sms", "1")
    first = deployment.fire(1)
    deployment.executions.ended[first] = "ABORTED"
    deployment.misconfigured = True
    deployment.clock.advance(15 * MINUTE)
    second = deployment.fire(2) if kind == "schedule" else deployment.request("asked").run_id
    deployment.fire(3)
    if kind == "request":
        deployment.mails.pop()  # about the schedule, which could not list either
    listing, recovered = deployment.mails
    runs = [deployment.ledger.runs.read(run_id) for run_id in (first, second)]
    assert [run.status for run in runs] == ["failed", "failed"]
    assert runs[1].error == "application.toml: APPLICATION_URL is not set"
    assert listing.subject == "comms-reprocess: cannot list the failed communications"
    assert "APPLICATION_URL is not set" in listing.message
    assert recovered.subject == "comms-reprocess: failed, 0 of 1 accepted"
    assert deployment.ledger.runs.open_runs() == []
    assert deployment.ledger.schedule.lock_holder()[0] == ""


def test_a_configuration_that_cannot_be_read_leaves_a_run_with_a_manifest_to_recovery(deployment):
    """Its execution may be under way, so it must not be closed."""
    deployment.add_failed("send.sms", "1")
    first = deployment.fire(1)
    deployment.misconfigured = True
    with pytest.raises(ConfigurationError):
        deployment.fire(1)  # the same event, delivered again
    assert deployment.ledger.runs.read(first).status == "running"


def test_a_paused_schedule_needs_no_configuration(deployment):
    """The collector ends without an error, so only `collector-missing` reminds people of the pause."""
    deployment.ledger.schedule.pause("olga")
    deployment.misconfigured = True
    deployment.fire(1)
    assert deployment.mails == []

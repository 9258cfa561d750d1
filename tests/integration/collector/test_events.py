"""What the collector does with an event: what it selects, what it starts, and whom it notifies."""

import pytest

from chalicelib.models.communications import Communication
from chalicelib.models.selections import Selection
from chalicelib.notifications import messages
from chalicelib.runs import start, stop
from tests.fakes import make_run
from tests.integration.collector.fakes import MINUTE


def test_eligible_communications_of_all_sources_enter_the_manifest_in_batches(deployment):
    """The run is then `running`, and no mail is sent."""
    deployment.add_failed("send.email", "1", "2", "3", "4")
    deployment.add_failed("send.sms", "5")
    run_id = deployment.fire()
    assert deployment.manifest(run_id) == ["1", "2", "3", "4", "5"]
    run = deployment.ledger.runs.read(run_id)
    assert (run.status, run.batches, run.matched, run.skipped, run.truncated) == ("running", 3, 5, {}, False)
    assert not deployment.mails


def test_a_scheduled_run_with_nothing_to_send_leaves_no_run_no_execution_and_no_mail(deployment):
    """The next scheduled run may begin."""
    deployment.fire(1)
    assert (deployment.executions.started, deployment.mails, deployment.ledger.runs.open_runs()) == ({}, [], [])
    deployment.add_failed("send.sms", "1")
    assert deployment.manifest(deployment.fire(2)) == ["1"]


def test_skipped_communications_are_counted_by_skip_reason(deployment):
    """They do not enter the manifest, except those that the run moves to the worklist."""
    deployment.add_failed("send.email", "fresh", age=MINUTE)
    deployment.add_failed("send.email", "stale", age=8 * 24 * 60 * MINUTE)
    deployment.add_failed("send.sms", "manual", "eligible")
    manual = Communication(operation="send.sms", primary_id="manual", listed_at=deployment.clock())
    assert deployment.ledger.communications.move_to_worklist(manual, "somebody", "rejected")
    run_id = deployment.fire()
    # `record` moves a stale communication to the worklist, so it enters one manifest.
    assert deployment.manifest(run_id) == ["stale", "eligible"]
    run = deployment.ledger.runs.read(run_id)
    assert (run.matched, run.skipped) == (4, {"too_fresh": 1, "manual": 1})


def test_a_run_with_include_manual_leaves_the_worklist_as_it_is_until_it_sends(deployment):
    """It may be rejected, stopped, or unable to list everything: then nothing may be off the worklist."""
    manual = Communication(operation="send.sms", primary_id="manual", listed_at=deployment.clock())
    assert deployment.ledger.communications.move_to_worklist(manual, "somebody", "rejected")
    before = deployment.ledger.worklist.read(*manual.key)
    deployment.clock.advance(1)
    deployment.add_failed("send.sms", "manual", "new")
    run = deployment.request(include_manual=True)
    found = [each for batch in deployment.manifests.read(run.manifest) for each in batch.communications]
    assert [(each.primary_id, each.retry) for each in found] == [("manual", True), ("new", False)]
    assert deployment.ledger.worklist.read(*manual.key) == before


def test_only_one_scheduled_run_is_under_way_at_a_time(deployment):
    """A requested run may overlap with it."""
    deployment.add_failed("send.sms", "1")
    first = deployment.fire(1)
    deployment.add_failed("send.sms", "2")
    deployment.fire(2)
    assert list(deployment.executions.started) == [first]
    assert deployment.request().status == "running"
    deployment.complete(first)
    third = deployment.fire(3)
    assert third in deployment.executions.started


def test_an_event_that_is_delivered_twice_starts_one_execution(deployment):
    """Both deliveries belong to the same run."""
    deployment.add_failed("send.sms", "1")
    assert deployment.fire(1) == deployment.fire(1)
    assert len(deployment.executions.started) == 1


def test_an_event_delivered_again_after_its_run_has_ended_does_not_keep_the_schedule_lock(deployment):
    """It starts nothing either."""
    deployment.add_failed("send.sms", "1")
    first = deployment.fire(1)
    deployment.complete(first)
    assert deployment.fire(1) == first
    assert deployment.ledger.schedule.lock_holder()[0] == ""
    assert len(deployment.executions.started) == 1


@pytest.mark.parametrize(
    ("selection", "chosen"),
    [
        ({"operation": "send.sms"}, ["b1", "s1"]),
        ({"created_by": "bob"}, ["b2", "b1"]),
        ({"primary_ids": ["s1", "e1", "none"]}, ["e1", "s1"]),
        ({"limit": 3}, ["e1", "b2", "b1"]),
        ({"created_after": "2026-11-20T11:30:00Z"}, ["b1"]),
        ({"created_before": "2026-11-20T11:30:00Z"}, ["e1", "b2", "s1"]),
    ],
)
def test_only_communications_that_match_the_selection_enter_the_manifest(deployment, selection, chosen):
    """The application ignores the filters and lists everything."""
    deployment.add_failed("send.email", "e1", created_by="alice")
    deployment.add_failed("send.email", "b2", created_by="bob")
    deployment.add_failed("send.sms", "b1", created_by="bob", age=20 * MINUTE)
    deployment.add_failed("send.sms", "s1", created_by="alice")
    run = deployment.request(**selection)
    assert deployment.manifest(run.run_id) == chosen
    assert run.matched == len(chosen)
    assert run.not_found == (["none"] if "primary_ids" in selection else [])
    assert run.truncated == ("limit" in selection)


def test_a_run_that_reaches_a_limit_is_truncated(deployment):
    """The limits are MAX_PER_RUN and the collector's remaining time."""
    deployment.add_failed("send.sms", *map(str, range(60)))
    run = deployment.ledger.runs.read(deployment.fire())
    assert (run.matched, run.truncated) == (50, True)
    deployment.complete(run.run_id)
    run = deployment.ledger.runs.read(deployment.fire(2, time_left=lambda: 1_000))
    assert (run.matched, run.truncated) == (2, True)


def test_an_unreadable_list_causes_one_mail_reminders_and_one_mail_when_it_recovers(deployment):
    """Ten failed schedules cause one mail. The next ones follow after REMIND_AFTER and after the recovery."""
    deployment.lists.broken = True
    for number in range(10):
        run_id = deployment.fire(number)
        deployment.clock.advance(15 * MINUTE)
    assert [mail.subject for mail in deployment.mails] == ["comms-reprocess: cannot list the failed communications"]
    assert "send.email" in deployment.mails[0].message
    assert deployment.ledger.runs.read(run_id).status == "failed"
    deployment.clock.advance(6 * 60 * MINUTE)
    deployment.fire(11)
    assert len(deployment.mails) == 2
    deployment.lists.broken = False
    deployment.fire(12)
    assert deployment.mails[2].subject == "comms-reprocess: recovered, nothing to send"
    deployment.fire(13)
    assert len(deployment.mails) == 3


def test_every_requested_run_that_cannot_read_a_list_causes_a_mail(deployment):
    """Whoever requested it has to know, even if people were notified about the incident."""
    deployment.lists.broken = True
    deployment.fire(1)
    assert deployment.request("one").status == "failed"
    assert deployment.request("two").status == "failed"
    assert len(deployment.mails) == 3


def test_a_list_that_fails_does_not_keep_the_other_lists_from_being_sent(deployment):
    """What was read of it before is sent too. The run says which list failed, and does not look like a whole one."""
    deployment.add_failed("send.email", "1", "2", "3")
    deployment.add_failed("send.sms", "4")
    deployment.lists.broken_after_first_page = {"send.email"}
    run_id = deployment.fire()
    assert deployment.manifest(run_id) == ["1", "2", "4"]
    errors = ["send.email: the list answered 503, not 200"]
    assert deployment.ledger.runs.read(run_id).list_errors == errors
    mail = deployment.complete(run_id)
    run = deployment.ledger.runs.read(run_id)
    assert (run.status, run.list_errors, run.truncated) == ("partial", errors, False)
    assert (mail.topic, mail.subject) == ("failed", "comms-reprocess: partial, 3 of 3 accepted, not all lists read")
    assert "These lists could not be read to their end, so the run lacks what they hold." in mail.message
    assert errors[0] in mail.message


def test_a_list_that_fails_for_days_causes_one_mail_whatever_the_other_lists_give_to_send(deployment):
    """It is the same incident in runs that send something and in runs that do not. It ends when all can be read."""
    deployment.add_failed("send.email", "too-fresh", age=MINUTE)
    deployment.lists.broken_after_first_page = {"send.email"}
    mails = []
    for number in range(6):
        deployment.lists.failed["send.sms"] = []
        if number % 2:
            deployment.add_failed("send.sms", f"sms-{number}")
            mails.append(deployment.complete(deployment.fire(number)))
        else:
            assert deployment.ledger.runs.read(deployment.fire(number)).status == "failed"
        deployment.clock.advance(MINUTE)
    mails += deployment.mails
    assert [mail.topic for mail in mails].count("failed") == 1
    deployment.lists.broken_after_first_page.clear()
    assert deployment.complete(deployment.fire(7)).subject == "comms-reprocess: recovered, 1 of 1 accepted"


def test_requested_ids_are_not_reported_as_not_listed_if_a_list_failed(deployment):
    """They may be on the pages that could not be read."""
    deployment.add_failed("send.email", "1", "2", "3")
    deployment.lists.broken_after_first_page = {"send.email"}
    run = deployment.request(primary_ids=["1", "3"])
    assert (deployment.manifest(run.run_id), run.not_found, run.not_found_count) == (["1"], [], 0)
    assert run.list_errors


def test_a_mail_that_asks_for_approval_says_which_lists_are_missing():
    """Whoever approves the run knows that it is not the whole selection."""
    run = make_run(matched=3, list_errors=["send.email: the list answered 503, not 200"])
    message = messages.approval_request(run, 60_000).message
    assert message.endswith("\n  send.email: the list answered 503, not 200")


def test_unreadable_records_are_counted_as_skipped(deployment):
    """The run's outcomes still add up to what matched."""
    deployment.add_failed("send.sms", "1")
    deployment.lists.unreadable = 2
    run_id = deployment.fire()
    run = deployment.ledger.runs.read(run_id)
    assert (run.matched, run.skipped, run.eligible) == (3, {"unreadable": 2}, 1)
    mail = deployment.complete(run_id)
    assert (deployment.ledger.runs.read(run_id).status, mail.topic) == ("succeeded", "succeeded")
    assert "skipped: unreadable" in mail.message


def test_a_run_that_is_stopped_before_it_is_collected_starts_no_execution(deployment):
    """It is `stopped` at once."""
    deployment.add_failed("send.sms", "1")
    start.record_request("asked", "olga", Selection(), deployment.ledger, deployment.manifests)
    assert stop.stop_run("asked", "sam", deployment.ledger, deployment.executions).status == "stopped"
    deployment.collect_requested("asked")
    assert deployment.executions.started == {}

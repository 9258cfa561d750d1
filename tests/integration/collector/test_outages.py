"""Outages: the scans of the schedule see when one begins, whom it hits, and when it is settled."""

import contextlib
import itertools
from pathlib import Path

import msgspec
import pytest

from chalicelib.models.communications import Communication
from chalicelib.models.notifications import Incident
from chalicelib.models.runs import RunStatus
from chalicelib.runs.outage_queries import list_affected
from chalicelib.runs.watch import Watch
from tests.fakes import HOUR, make_run
from tests.integration.collector.fakes import MINUTE, Killed

EMAILS = [str(number) for number in range(30)]
MANY = 10_000


@pytest.fixture
def quiet(deployment):
    return after_quiet_hour(deployment)


def after_quiet_hour(deployment):
    """Return a deployment that has made four scans of a quiet hour, each of which found one failure."""
    deployment.add_failed("send.sms", "usual")
    for number in range(4):
        quarter(deployment, number)
    return deployment


def quarter(deployment, number) -> str:
    """Fire the schedule a quarter of an hour later; what that run takes is accepted."""
    deployment.clock.advance(15 * MINUTE)
    run_id = deployment.fire(number)
    if run_id in deployment.executions.started:
        deployment.send(run_id)
        deployment.report(run_id)
    return run_id


def outage(deployment):
    return deployment.ledger.outages.newest()


def states(deployment):
    """What has become of each communication that the outage has hit."""
    rows, _ = list_affected(outage(deployment), deployment.ledger, deployment.manifests, MANY, (0, 0))
    return {row.primary_id: row.state for row in rows}


def subjects(deployment):
    return [mail.subject.removeprefix("comms-reprocess: ") for mail in deployment.mails]


def test_a_quiet_hour_is_no_outage(quiet):
    assert outage(quiet) is None
    assert quiet.ledger.situations.read().scans[-1].complete


def test_the_story_of_an_outage(quiet):
    """Failures rise, they are sent again, all but two arrive, and one of these is dismissed."""
    quiet.mails.clear()
    quiet.add_failed("send.email", *EMAILS)
    run_id = quarter(quiet, 5)
    began = outage(quiet)
    assert (began.reason, began.usual, began.hit, began.waiting) == ("failures_rose", 0, 30, 30)
    assert began.by_operation == {"send.email": 30}
    assert subjects(quiet)[0] == "failures are rising: 30 waiting, usually 0"
    assert set(states(quiet).values()) == {"sent"}

    quarter(quiet, 6)
    sent = outage(quiet)
    assert (sent.over_at, sent.sent, sent.waiting, sent.run_ids) == (quiet.clock(), 30, 0, [run_id])
    assert sent.settled_at is None

    quiet.lists.failed.clear()
    quiet.add_failed("send.email", "3", "4")
    quiet.clock.advance(60 * MINUTE)
    for number in range(quiet.settings.max_attempts):  # then they go to the worklist
        quarter(quiet, 7 + number)
        quiet.clock.advance(60 * MINUTE)
    assert quiet.ledger.worklist.dismiss("send.email", "4", "olga", "too late") is None
    quarter(quiet, 99)
    settled = outage(quiet)
    assert settled.outage_id == began.outage_id
    assert (settled.recovered, settled.on_worklist, settled.dismissed) == (28, 1, 1)
    assert settled.settled_at == quiet.clock()
    assert subjects(quiet)[-1] == "settled: 30 were hit, 28 recovered"
    assert states(quiet) == dict.fromkeys(EMAILS, "recovered") | {"3": "on_worklist", "4": "dismissed"}


def test_what_was_sent_again_may_have_arrived_until_a_scan_has_looked(quiet):
    """After the cool-down, too: nobody knows that it failed again. No scan looks once the outage is settled."""
    quiet.add_failed("send.email", *EMAILS)
    quarter(quiet, 5)
    quiet.clock.advance(2 * 60 * MINUTE)
    assert set(states(quiet).values()) == {"sent"}


def test_what_people_had_before_is_not_hit(quiet):
    quiet.add_failed("send.email", *EMAILS)
    for primary_id in EMAILS[:5]:
        listed = Communication(operation="send.email", primary_id=primary_id, listed_at=quiet.clock())
        assert quiet.ledger.communications.move_to_worklist(listed, "earlier#0", "expired")
    quiet.clock.advance(1)
    quarter(quiet, 5)
    assert outage(quiet).by_operation["send.email"] == 25


def fails(deployment, number, answer="ApplicationUnavailable") -> int:
    """Fire the schedule a quarter of an hour later; nothing that its run takes is accepted. Return when it ends."""
    deployment.clock.advance(15 * MINUTE)
    run_id = deployment.fire(number)
    deployment.send(run_id, lambda: answer)
    deployment.clock.advance(MINUTE)
    deployment.report(run_id)
    return deployment.clock()


def test_trouble_of_a_run_begins_one_without_another_mail(deployment):
    """The mail of the run has told. The outage has begun when that run ended, and that run belongs to it."""
    deployment.add_failed("send.email", "1", "2")
    since, run_id = fails(deployment, 1), deployment.fired
    assert outage(deployment) is None
    quarter(deployment, 2)
    assert (outage(deployment).reason, outage(deployment).began_at) == ("nothing_accepted", since)
    assert (outage(deployment).hit, outage(deployment).run_ids) == (2, [run_id])
    assert not any("rising" in subject for subject in subjects(deployment))


def test_a_run_whose_communications_were_rejected_is_no_trouble_of_the_application(deployment):
    """One bad address is enough for a run of one. The mail of the run tells of it."""
    deployment.add_failed("send.email", "1")
    fails(deployment, 1, "CommunicationRejected")
    quarter(deployment, 2)
    assert outage(deployment) is None


def test_trouble_that_follows_another_incident_has_not_begun_with_that(deployment):
    """People have known of an incident for days, which was about single communications."""
    days_ago = deployment.clock() - 3 * 24 * 60 * MINUTE
    deployment.ledger.incidents.write(Incident(kind="partial", since=days_ago, notified_at=days_ago))
    deployment.add_failed("send.email", "1", "2")
    since = fails(deployment, 1)
    quarter(deployment, 2)
    assert outage(deployment).began_at == since


def test_an_incident_that_may_return_does_not_prolong_an_outage(deployment):
    """People hear that it is over hours later, but the runs go well."""
    now = deployment.clock()
    known = Incident(kind="nothing_accepted", since=now, notified_at=now, met_at=now, returned=True)
    deployment.ledger.incidents.write(known)
    deployment.add_failed("send.email", "1", "2")
    fails(deployment, 1)
    quarter(deployment, 2)
    assert outage(deployment).over_at is None
    quarter(deployment, 3)
    assert deployment.ledger.incidents.read().kind == "nothing_accepted"
    assert outage(deployment).over_at == deployment.clock()


def test_runs_that_found_nothing_are_not_counted(quiet):
    """Their items are deleted, so nobody could look them up."""
    quiet.lists.failed.clear()
    quiet.add_failed("send.email", *EMAILS)
    run_id = quarter(quiet, 5)
    for number in range(6, 9):
        # Each run is recorded a moment before its scan begins.
        quiet.calls_left, quiet.interrupt_with = 3, lambda: quiet.clock.advance(1)
        quarter(quiet, number)
    assert (outage(quiet).run_ids, outage(quiet).run_count) == ([run_id], 1)


def test_an_event_that_is_delivered_twice_at_once_begins_one_outage(quiet):
    """The second collector ends while the first one is at work."""
    quiet.add_failed("send.email", *EMAILS)
    quiet.clock.advance(14 * MINUTE)
    sent = quiet.clock()

    def second():
        quiet.clock.advance(1000)
        quiet.fire(5, at=sent)
        quiet.clock.advance(1000)

    quiet.lists.meanwhile = second
    quiet.fire(5, at=sent)
    assert len(quiet.ledger.outages.page(10)[0]) == 1
    assert (outage(quiet).hit, len(states(quiet))) == (30, 30)
    assert len([subject for subject in subjects(quiet) if "rising" in subject]) == 1


def test_an_outage_that_goes_on_for_many_scans_is_kept_in_few_objects(quiet):
    """They are merged in their order. Each scan reads them all, and their keys have to fit into an item."""
    quiet.add_failed("send.email", *EMAILS, age=0)
    hit = list(EMAILS)
    for number in range(60):
        hit.append(f"later-{number}")
        quiet.add_failed("send.email", hit[-1], age=0)
        quiet.clock.advance(1000)
        quiet.fire(1000 + number)
    assert len(outage(quiet).parts) < 20
    assert (list(states(quiet)), outage(quiet).hit) == (hit, len(hit))


def test_an_outage_goes_on_without_what_the_bucket_has_deleted(quiet):
    """It deletes everything after 90 days. Otherwise the outage would stay open for ever, and be the last one."""
    quiet.add_failed("send.email", *EMAILS, age=0)
    quiet.fire(5)
    [part] = outage(quiet).parts
    quiet.s3.delete_object(Bucket=quiet.manifests.bucket, Key=part)
    quiet.add_failed("send.email", "31", age=0)
    quiet.fire(6)
    assert part not in outage(quiet).parts
    quiet.lists.failed.clear()
    quiet.clock.advance(15 * MINUTE)
    quiet.fire(7)
    assert outage(quiet).settled_at == quiet.clock()


def test_an_incomplete_scan_settles_nothing(quiet):
    """Nobody knows what the rest of the list contains."""
    quiet.add_failed("send.email", *EMAILS)
    quarter(quiet, 5)
    quiet.lists.broken = True
    quarter(quiet, 6)
    assert (outage(quiet).hit, outage(quiet).recovered, outage(quiet).settled_at) == (30, 0, None)
    assert "recovered" not in states(quiet).values()


def test_a_requested_run_changes_no_outage(quiet):
    quiet.add_failed("send.email", *EMAILS)
    quiet.request(operation="send.email")
    assert outage(quiet) is None


def test_wherever_a_collector_dies_each_is_hit_once(new_deployment):
    """Lambda invokes it again. Then what was hit is complete, and the mail was sent: twice only if it died after SNS
    had it, and before it noted that.
    """
    twice = 0
    for number in itertools.count(1):
        deployment = after_quiet_hour(new_deployment())
        deployment.lists.failed.clear()
        deployment.add_failed("send.email", *EMAILS)
        deployment.clock.advance(15 * MINUTE)
        deployment.mails.clear()
        deployment.writes_left = number
        with contextlib.suppress(Killed):
            deployment.fire(5)
        finished = deployment.writes_left > 0
        deployment.writes_left = None
        deployment.fire(5)
        assert (outage(deployment).hit, len(states(deployment))) == (30, 30)
        deployment.clock.advance(15 * MINUTE)
        deployment.fire(6)
        assert (outage(deployment).hit, len(states(deployment))) == (30, 30)
        mails = len([subject for subject in subjects(deployment) if "rising" in subject])
        assert mails in (1, 2)
        twice += mails == 2
        if finished:
            break
    assert (number > 8, twice) == (True, 1)


def test_numbers_that_cannot_be_written_keep_no_run_from_its_work(quiet):
    quiet.add_failed("send.email", *EMAILS)
    quiet.unwritable.add("OUTAGE")
    run_id = quarter(quiet, 5)
    assert quiet.ledger.runs.read(run_id).status == RunStatus.SUCCEEDED
    assert outage(quiet) is None
    quiet.unwritable.clear()
    quarter(quiet, 6)
    assert quiet.ledger.situations.read().complete


def test_a_file_that_cannot_be_closed_keeps_no_run_from_its_work(quiet):
    """The disk may be full: closing a file writes what is left of it."""
    run = make_run("full", trigger="schedule")
    with Watch(run, quiet.ledger, quiet.manifests, lambda: 0) as watch:
        affected = watch._outage._affected
        affected.close()
        affected.file = Path("/dev/full").open("wb")  # noqa: SIM115 (closed by the watch)
        affected.file.write(b"-")
    assert affected.file.closed


# -- while no run may begin


def test_a_paused_schedule_still_sees_what_fails(quiet):
    """An outage begins, and nothing is sent."""
    quiet.ledger.schedule.pause("olga")
    quiet.add_failed("send.email", *EMAILS)
    quiet.mails.clear()
    started = len(quiet.executions.started)
    quarter(quiet, 5)
    assert len(quiet.executions.started) == started
    assert quiet.ledger.situations.read().by_operation["send.email"].failing == 30
    assert outage(quiet).waiting == 30
    assert subjects(quiet) == ["failures are rising: 30 waiting, usually 0"]
    assert [run.status for run in quiet.ledger.runs.page(1)[0]] != ["collecting"]


def test_while_a_run_is_sent_the_numbers_go_on(quiet):
    """It has accepted a part so far."""
    quiet.add_failed("send.email", *EMAILS)
    quiet.clock.advance(15 * MINUTE)
    first = quiet.fire(5)
    assert outage(quiet).waiting == 30
    quiet.send(first)
    quiet.clock.advance(15 * MINUTE)
    assert quiet.fire(6) not in quiet.executions.started
    assert (outage(quiet).sent, outage(quiet).waiting) == (30, 0)
    assert quiet.ledger.situations.read().scans[-1].sent == 30


def test_while_a_collector_reads_the_lists_no_other_one_does(quiet):
    """Nor if the application wants to be left alone."""
    before = quiet.ledger.situations.read()
    quiet.lists.meanwhile = lambda: quiet.fire(6)
    quiet.add_failed("send.email", "1")
    quiet.clock.advance(15 * MINUTE)
    run_id = quiet.fire(5)
    assert [scan.run_id for scan in quiet.ledger.situations.read().scans][len(before.scans) :] == [run_id]


def test_an_application_that_wants_to_be_left_alone_is(quiet):
    quiet.ledger.pacing.change(lambda pace, now: (None, msgspec.structs.replace(pace, blocked_until=now + HOUR)))
    before = quiet.ledger.situations.read()
    quarter(quiet, 5)
    assert quiet.ledger.situations.read() == before


def test_a_broken_configuration_is_told_by_the_next_run(quiet):
    quiet.ledger.schedule.pause("olga")
    quiet.misconfigured = True
    quarter(quiet, 5)
    quiet.ledger.schedule.resume()
    run_id = quarter(quiet, 6)
    assert quiet.ledger.runs.read(run_id).status == RunStatus.FAILED

"""Outages: the scans of the schedule see when one begins, whom it hits, and when it is settled."""

import contextlib
import itertools

import pytest

from chalicelib.models import Communication, Incident, RunStatus
from chalicelib.runs.outage_queries import list_affected
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
    # The usual one was sent before, and may still arrive.
    assert (began.reason, began.usual, began.hit, began.waiting, began.sent) == ("failures_rose", 0, 31, 30, 1)
    assert began.by_operation == {"send.email": 30, "send.sms": 1}
    assert subjects(quiet)[0] == "failures are rising: 30 waiting, usually 0"
    assert set(states(quiet).values()) == {"sent"}

    quarter(quiet, 6)
    sent = outage(quiet)
    assert (sent.over_at, sent.sent, sent.waiting, sent.run_ids) == (quiet.clock(), 30, 1, [run_id])
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
    assert (settled.recovered, settled.on_worklist, settled.dismissed) == (29, 1, 1)
    assert settled.settled_at == quiet.clock()
    assert subjects(quiet)[-1] == "settled: 31 were hit, 29 recovered"
    assert states(quiet) == dict.fromkeys([*EMAILS, "usual"], "recovered") | {"3": "on_worklist", "4": "dismissed"}


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


def test_trouble_of_a_run_begins_one_without_another_mail(deployment):
    """The mail of the run has told. The outage has begun with that incident."""
    deployment.ledger.incidents.write(Incident(kind="nothing_accepted", since=deployment.clock(), notified_at=0))
    since = deployment.clock()
    deployment.add_failed("send.email", "1", "2")
    quarter(deployment, 1)
    assert (outage(deployment).reason, outage(deployment).began_at) == ("nothing_accepted", since)
    assert outage(deployment).hit == 2
    assert not any("rising" in subject for subject in subjects(deployment))


def test_an_incomplete_scan_settles_nothing(quiet):
    """Nobody knows what the rest of the list contains."""
    quiet.add_failed("send.email", *EMAILS)
    quarter(quiet, 5)
    quiet.lists.broken = True
    quarter(quiet, 6)
    assert (outage(quiet).hit, outage(quiet).recovered, outage(quiet).settled_at) == (31, 0, None)
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
        deployment.add_failed("send.email", *EMAILS)
        deployment.clock.advance(15 * MINUTE)
        deployment.mails.clear()
        deployment.writes_left = number
        with contextlib.suppress(Killed):
            deployment.fire(5)
        finished = deployment.writes_left > 0
        deployment.writes_left = None
        deployment.fire(5)
        assert (outage(deployment).hit, len(states(deployment))) == (31, 31)
        deployment.clock.advance(15 * MINUTE)
        deployment.fire(6)
        assert (outage(deployment).hit, len(states(deployment))) == (31, 31)
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

"""The run after one that the application slowed down."""

import msgspec
import pytest

from chalicelib import run_ids, times
from chalicelib.ledger.pace import Pace, SetPace
from chalicelib.models.runs import RunStatus, Trigger
from chalicelib.names import AwsLocation
from chalicelib.runs.next_run import following, next_run_at
from chalicelib.runs.start import begin_scheduled
from chalicelib.settings import Settings
from tests.fakes import HOUR, NOON, make_run

MINUTE = 60_000
LOCATION = AwsLocation("aws", "eu-central-1", "123456789012")
LEFT = {"accepted": 80, "deferred": 1, "not_attempted": 19}
SLOWED = Pace(lowered_at=NOON + MINUTE, blocked_until=NOON + 3 * MINUTE, reason="http_429")


def after(
    counts=LEFT,
    pace=SLOWED,
    status=RunStatus.PARTIAL,
    halt_reason=None,
    now=NOON + 2 * MINUTE,
    trigger=Trigger.SCHEDULE,
    schedule="rate(15 minutes)",
):
    settings = Settings(resource_prefix="comms-test", schedule=schedule)
    return next_run_at(make_run(trigger=trigger), status, halt_reason, counts, pace, settings, now)


def test_the_next_run_begins_when_the_application_said():
    """Not a quarter of an hour later. Also if the run was halted because of that."""
    assert after() == NOON + 3 * MINUTE
    assert after(status=RunStatus.STOPPED, halt_reason="overloaded") == NOON + 3 * MINUTE


def test_the_next_run_begins_at_once_if_the_application_takes_more_already():
    """Some seconds later."""
    assert after(now=NOON + 10 * MINUTE) == NOON + 10 * MINUTE + 5_000


@pytest.mark.parametrize(
    "run",
    [
        {"counts": {"accepted": 100}},
        {"counts": {"accepted": 99, "failed": 1}},
        {"pace": msgspec.structs.replace(SLOWED, lowered_at=NOON - 1)},
        {"status": RunStatus.STOPPED, "halt_reason": "by:olga"},
        {"status": RunStatus.STOPPED, "halt_reason": "breaker"},
        {"status": RunStatus.STOPPED, "halt_reason": "misconfigured:http_401"},
        {"status": RunStatus.FAILED},
        {"status": RunStatus.DECLINED},
        {"trigger": Trigger.REQUEST},
        {"schedule": "cron(0 8-18 * * ? *)"},
    ],
    ids=[
        "all_sent",
        "nothing_left",
        "not_slowed_down",
        "stopped",
        "down",
        "misconfigured",
        "failed",
        "declined",
        "requested",
        "hours",
    ],
)
def test_every_other_run_is_followed_by_the_schedule(run):
    """Whoever stopped a run did so for a reason, and an application that is down needs time.

    A requested run is not to start one of everything, and a cron expression says when to send.
    """
    assert after(**run) is None


def test_a_run_of_which_nothing_was_accepted_is_followed_early_only_if_the_application_named_a_time():
    """Otherwise the runs would follow each other as fast as they fail."""
    nothing = {"deferred": 100}
    assert after(nothing) == NOON + 3 * MINUTE
    assert after(nothing, now=NOON + 3 * MINUTE - 59_000) is None


def test_a_run_at_a_pace_that_was_set_by_hand_is_followed_at_once():
    """It leaves what did not fit into its time."""
    by_hand = Pace(set_pace=SetPace(rate=100, by="alice", at=NOON, until=NOON + HOUR))
    assert after(pace=by_hand) == NOON + 2 * MINUTE + 5_000


def test_the_event_of_the_next_run_is_the_same_whenever_the_report_is_repeated(ledger, clock):
    """So it starts one run, however often."""
    run = make_run(next_run_at=NOON + MINUTE)
    first = following(run, LOCATION, ledger)["nextRun"]
    clock.now = NOON + MINUTE // 2
    second = following(run, LOCATION, ledger)["nextRun"]
    assert first["event"] == second["event"]
    assert (first["waitSeconds"], second["waitSeconds"]) == (60, 30)
    clock.now = NOON + HOUR
    assert following(run, LOCATION, ledger)["nextRun"]["waitSeconds"] == 0
    assert following(make_run(), LOCATION, ledger) == {}


def test_the_event_of_the_next_run_starts_a_scheduled_run(ledger, clock):
    """One that nobody can tell from the schedule's: it takes whatever is eligible then."""
    event = following(make_run(next_run_at=NOON + MINUTE), LOCATION, ledger)["nextRun"]["event"]
    clock.now = NOON + MINUTE
    run = begin_scheduled(run_ids.for_schedule(event["id"], event["time"]), ledger, executions=None)
    assert run.trigger == Trigger.SCHEDULE
    assert run_ids.PATTERN.fullmatch(run.run_id)
    assert run.run_id.startswith(times.format_iso(NOON + MINUTE)[:4])


@pytest.mark.parametrize(("seconds", "begins"), [(60, True), (61, False)])
def test_the_schedule_begins_no_run_while_the_application_wants_to_be_left_alone(ledger, seconds, begins):
    """A shorter block is waited for in the run."""
    pace = Pace(blocked_until=NOON + seconds * 1000)
    ledger.pacing.change(lambda *_: (None, pace))
    assert (begin_scheduled("20261120T120000Z-1", ledger, executions=None) is not None) == begins

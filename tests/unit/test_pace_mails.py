"""The mails about runs that the application, or somebody's pace, slowed down or stopped."""

import itertools

import msgspec
import pytest

from chalicelib.ledger.pace import SetPace
from chalicelib.ledger.pace_feedback import lower
from chalicelib.models.batches import BatchRecord
from chalicelib.models.notifications import Incident, NotifyReason, Topic
from chalicelib.models.outcomes import Outcome, OutcomeReason, OutcomeRecord
from chalicelib.models.runs import Trigger
from chalicelib.notifications import messages
from chalicelib.runs.report import report
from chalicelib.settings import Settings
from tests.fakes import HOUR, NOON, FakeManifests, make_run

MINUTE = 60_000
SETTINGS = Settings(resource_prefix="comms-test", remind_after="6h")

ACCEPTED = {"outcome": Outcome.ACCEPTED}
REFUSED = {"outcome": Outcome.DEFERRED, "reason": "http_429", "refused": True}
PACED = {"outcome": Outcome.NOT_ATTEMPTED, "reason": OutcomeReason.PACED}


def slow_down(ledger, reason="http_429"):
    """Let the application refuse what came too fast."""
    ledger.pacing.change(lambda pace, now: (None, lower(pace, pace.epoch, reason, None, now)))


class Schedule:
    """Scheduled runs on the real ledger, one after the other."""

    def __init__(self, ledger, clock) -> None:
        self.ledger, self._clock = ledger, clock
        self._numbers = itertools.count(1)

    def begin(self):
        """Begin a run an hour after the last one."""
        self._clock.advance(HOUR)
        self.run_id = f"run-{next(self._numbers)}"
        self.ledger.runs.create(make_run(self.run_id, trigger=Trigger.SCHEDULE, requested_at=self._clock(), batches=1))

    def end(self, *outcomes, halt_reason=None, keep_mail=False):
        """End it with these outcomes, and return its mail."""
        records = [
            OutcomeRecord(operation="send.email", primary_id=str(number), **outcome)
            for number, outcome in enumerate(outcomes)
        ]
        self.ledger.runs.change(self.run, matched=len(records))
        self.ledger.runs.record_batch(self.run_id, BatchRecord(index=0, outcomes=records, at=self._clock()))
        if halt_reason:
            self.ledger.runs.halt(self.run_id, halt_reason)
        return self.report(keep_mail=keep_mail)

    def report(self, *, keep_mail=False):
        return report(self.run_id, None, self.ledger, FakeManifests(), SETTINGS, keep_mail=keep_mail)

    @property
    def run(self):
        return self.ledger.runs.read(self.run_id)

    def stop_overloaded(self):
        """Stop a run because the application refuses everything for a quarter of an hour."""
        self.begin()
        self.ledger.pacing.refused(self.ledger.pacing.read().epoch, "http_503", 15 * MINUTE)
        return self.end(ACCEPTED, REFUSED | {"reason": "http_503"}, PACED, halt_reason="overloaded")


@pytest.fixture
def schedule(ledger, clock):
    return Schedule(ledger, clock)


def paragraph(mail, beginning):
    """Return the paragraph of a mail that begins so."""
    [found] = [each for each in mail.message.split("\n\n") if each.startswith(beginning)]
    return found


def test_the_mail_of_a_paced_run_says_how_fast_it_was_and_why(schedule, clock):
    """And what that means for what was not sent. A repeated report returns the same mail."""
    schedule.begin()
    slow_down(schedule.ledger)
    mail = schedule.end(ACCEPTED, ACCEPTED, REFUSED, PACED, PACED, PACED)
    assert mail.subject == "comms-reprocess: partial, 2 of 6 accepted"
    assert paragraph(mail, "Paced") == (
        "Paced at 4.5 a second: the application answered http_429 at higher rates.\n"
        "POSTs that the application refused as too fast: 1\n"
        "No turn before the run ended: 3. A later run takes them.\n"
        "The next run begins at 2026-11-20T13:00:05Z."
    )
    clock.advance(MINUTE)
    assert schedule.report() == mail


def test_the_mail_says_when_the_applications_answers_became_slow(schedule, clock):
    """Nothing was refused then."""
    schedule.begin()
    slow = {"reason": "slow_answers", "lowered_at": clock(), "rate": 12_340}
    schedule.ledger.pacing.change(lambda pace, _: (None, msgspec.structs.replace(pace, **slow)))
    mail = schedule.end(ACCEPTED)
    assert paragraph(mail, "Paced") == (
        "Paced at 12.34 a second: the application's answers became slow at higher rates."
    )


def test_the_mail_says_who_has_set_the_pace_and_until_when(schedule, clock):
    """The name may contain anything."""
    schedule.begin()
    by_hand = SetPace(rate=150, by="ali:ce", at=clock(), until=clock() + HOUR)
    schedule.ledger.pacing.change(lambda pace, _: (None, msgspec.structs.replace(pace, set_pace=by_hand)))
    mail = schedule.end(ACCEPTED)
    assert paragraph(mail, "Paced") == "Paced at 0.15 a second, as set by ali:ce until 2026-11-20T14:00:00Z."


def test_the_mail_does_not_blame_a_pace_by_hand_that_is_over(schedule, clock):
    """It expired before the run; nobody has reserved anything since."""
    by_hand = SetPace(rate=2_500, by="olga", at=clock(), until=clock() + MINUTE)
    schedule.ledger.pacing.change(lambda pace, _: (None, msgspec.structs.replace(pace, set_pace=by_hand)))
    schedule.begin()
    mail = schedule.end(ACCEPTED, PACED)
    assert "Paced at" not in mail.message
    assert (schedule.run.pace, schedule.run.next_run_at) == (None, None)


@pytest.mark.parametrize("keep_mail", [False, True], ids=["the schedule is paused", "the execution died"])
def test_the_mail_announces_no_next_run_that_nobody_will_start(schedule, ledger, keep_mail):
    """A paused schedule starts none, and recovery reports a run whose execution can start none any more."""
    schedule.begin()
    ledger.pacing.refused(0, "http_429", 120_000)
    if not keep_mail:
        ledger.schedule.pause("olga")
    mail = schedule.end(ACCEPTED, PACED, keep_mail=keep_mail)
    assert "The next run begins at" not in mail.message
    assert schedule.run.next_run_at is None


def test_the_mail_of_a_run_that_nothing_slowed_down_does_not_mention_the_pace(schedule):
    """Nor what slowed an earlier one down."""
    schedule.begin()
    slow_down(schedule.ledger)
    schedule.end(ACCEPTED)
    schedule.begin()
    assert "Paced" not in schedule.end(ACCEPTED).message
    assert schedule.run.pace is None


def test_the_mail_of_a_run_without_a_turn_says_so_whatever_slowed_it_down(schedule):
    """Others may have taken all turns, at a pace that is older than the run."""
    schedule.begin()
    mail = schedule.end(ACCEPTED, PACED)
    assert paragraph(mail, "No turn") == "No turn before the run ended: 1. A later run takes them."


def test_the_mail_of_an_overloaded_run_says_until_when_the_application_needs_a_pause(schedule):
    """There is nothing to do."""
    mail = schedule.stop_overloaded()
    assert mail.subject == "comms-reprocess: stopped: the application needs a pause, 1 of 3 accepted"
    assert paragraph(mail, "Run run-1").splitlines()[1] == (
        "It was stopped because the application needs a pause until 2026-11-20T13:15:00Z (http_503). There is nothing "
        "to do: what was not sent is still listed, and a run after the pause sends it. If this happens again and "
        "again, ask the application's owners."
    )
    assert paragraph(mail, "POSTs") == (
        "POSTs that the application refused as too fast: 1\n"
        "No turn before the run ended: 1. A later run takes them.\n"
        "The next run begins at 2026-11-20T13:15:00Z."
    )


def test_a_pause_that_began_before_the_run_is_named_as_well(schedule, ledger):
    """A requested run may begin during a pause. It says that it is over, even with a pace that somebody has set."""
    slow_down(ledger, "too_busy")
    by_hand = SetPace(rate=150, by="alice", at=0, until=2**50)
    blocked = {"blocked_until": NOON + 2 * HOUR, "set_pace": by_hand}
    ledger.pacing.change(lambda pace, _: (None, msgspec.structs.replace(pace, **blocked)))
    schedule.begin()
    mail = schedule.end({"outcome": Outcome.NOT_ATTEMPTED}, halt_reason="overloaded")
    assert "needs a pause until 2026-11-20T14:00:00Z (too_busy). There is nothing to do" in mail.message
    assert paragraph(mail, "Run run-1").endswith("Nothing was sent.")


def test_an_overloaded_application_is_an_incident_that_begins_reminds_and_recovers(schedule):
    """Like any other, of a kind of its own."""
    assert schedule.stop_overloaded().topic == Topic.FAILED
    assert (schedule.run.incident, schedule.run.notify_reason) == ("overloaded", NotifyReason.BEGAN)
    assert {schedule.stop_overloaded().topic for _ in range(5)} == {Topic.NONE}
    reminder = schedule.stop_overloaded()
    assert reminder.subject == "comms-reprocess: still stopped: the application needs a pause, 1 of 3 accepted"
    schedule.begin()
    mail = schedule.end(REFUSED)
    assert mail.subject == "comms-reprocess: partial, 0 of 1 accepted"  # it changed
    schedule.begin()
    recovered = schedule.end(ACCEPTED)
    assert (recovered.topic, recovered.subject) == (Topic.SUCCEEDED, "comms-reprocess: recovered, 1 of 1 accepted")
    assert schedule.ledger.incidents.read() is None


def test_the_mail_that_nothing_is_left_to_send_names_the_pause(clock):
    """The collector sends it, so there is no run."""
    known = Incident(kind="overloaded", since=clock() - HOUR, notified_at=clock() - HOUR)
    assert "(the application needed a pause) is over" in messages.recovered(known, clock()).message


def test_the_mail_of_a_run_that_the_breaker_stopped_is_true_of_a_canary(schedule):
    """It was sent in vain with a handful, and perhaps in one batch."""
    schedule.begin()
    mail = schedule.end({"outcome": Outcome.DEFERRED, "reason": "no_connection"}, halt_reason="breaker")
    assert paragraph(mail, "Run run-1").splitlines()[1] == (
        "It was stopped because the application accepted nothing of what was sent to it last: it seems to be down. "
        "The next run sends a few first, and everything else only if those are accepted."
    )


@pytest.mark.parametrize("halt_reason", [None, "overloaded"])
def test_the_longest_mail_about_the_pace_is_one_that_sns_accepts(schedule, clock, halt_reason):
    """With a code and a name as long as they may be, and everything else that a mail may have."""
    schedule.begin()
    schedule.ledger.pacing.refused(0, "r" * 100, 15 * MINUTE)
    by_hand = SetPace(rate=9_999_990, by="n" * 256, at=clock(), until=clock() + HOUR)
    schedule.ledger.pacing.change(lambda pace, _: (None, msgspec.structs.replace(pace, set_pace=by_hand)))
    expired = {"outcome": Outcome.SKIPPED, "reason": "expired", "manual": True}
    mail = schedule.end(ACCEPTED, REFUSED, PACED, expired, halt_reason=halt_reason)
    assert mail.subject.isascii()
    assert mail.subject.isprintable()
    assert len(mail.subject) < 100
    assert len(mail.message.encode()) < 10_000
    assert ("9999.99 a second" in mail.message, "r" * 100 in mail.message) == (not halt_reason, bool(halt_reason))

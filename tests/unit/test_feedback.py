"""What the pace learns from a batch that has ended."""

import itertools

import msgspec
import pytest

from chalicelib.ledger.claims import Rules
from chalicelib.ledger.pace import START, Lease, Limits, Pace, Turn
from chalicelib.ledger.pacing import PaceContended, Pacing
from chalicelib.models.batches import Batch, Task, TaskResult
from chalicelib.models.communications import Communication
from chalicelib.models.outcomes import Outcome
from chalicelib.runs.record import finish_batch
from chalicelib.settings import Settings
from tests.fakes import HOUR, NOON, attempt, make_run

RULES = Rules(cool_down=HOUR, honours_key=True, max_attempts=5, retention=24 * HOUR)
SETTINGS = Settings(resource_prefix="comms-test")
MINUTE = 60_000


def listed(primary_id):
    return Communication(operation="send.email", primary_id=primary_id, listed_at=NOON)


class Application:
    """A run on the real ledger, whose batches end as the test says."""

    def __init__(self, ledger):
        self.ledger = ledger
        self.batches = 0
        ledger.runs.create(make_run())

    def knows(self, **fields):
        """Begin with a pace."""
        self.ledger.pacing.change(lambda *_: (None, Pace(**fields)))

    @property
    def pace(self):
        return self.ledger.pacing.read()

    @property
    def halt_reason(self):
        return self.ledger.runs.halt_reason("run")

    def end_batch(self, *answers, turn, post_ms=200, began=True):
        """Record a batch, with an answer (and its reason) for each communication."""
        index, self.batches = self.batches, self.batches + 1
        communications = [listed(f"{index}-{number}") for number in range(len(answers))]
        results = []
        for communication, (answer, reason) in zip(communications, answers, strict=True):
            if answer == "skipped":
                results.append(
                    TaskResult(
                        operation="send.email",
                        primary_id=communication.primary_id,
                        outcome=Outcome.SKIPPED,
                        reason=reason,
                    )
                )
                continue
            task = Task(run_id="run", index=index, communication=communication, requested_by="bob")
            attempt(self.ledger.communications, task, answer, RULES, reason)
            if answer == "accepted":
                result = {"primary_id": communication.primary_id, "outcome": "accepted", "post_ms": post_ms}
                results.append(TaskResult(operation="send.email", **result))
        batch = Batch(index=index, communications=communications)
        finish_batch("run", batch, results, turn, self.ledger, Limits(), SETTINGS, began=began)


ACCEPTED = ("accepted", None)
FAILED = ("ApplicationError", "http_500")
REJECTED = ("CommunicationRejected", "invalid_address")
NOT_FOUND = ("CommunicationRejected", "http_404")
TIMEOUT = ("OutcomeUnknown", "no_answer_in_time")
NO_SECRET = ("ApplicationUnavailable", "secret_unavailable")
SKIPPED = ("skipped", "in_flight")
OVERLOADED = ("ApplicationOverloaded", "http_429")


@pytest.fixture
def application(ledger):
    return Application(ledger)


def test_a_batch_that_went_well_and_did_not_wait_tells_nothing(application, table):
    """It costs no write: an application without a limit is the usual case."""
    application.knows(heard_at=NOON)
    before = table.get("PACE", "PACE")
    application.end_batch(ACCEPTED, ACCEPTED, turn=Turn(waits=[0, 0], heard_at=NOON))
    assert table.get("PACE", "PACE") == before


def test_the_last_good_answer_is_noted_every_minute(application, clock):
    """It vouches for the application for ten."""
    application.knows(heard_at=NOON)
    clock.now = NOON + MINUTE
    application.end_batch(ACCEPTED, turn=Turn(waits=[0], rate=START, heard_at=NOON))
    assert application.pace.heard_at == NOON + MINUTE


def test_batches_that_had_to_wait_and_went_well_raise_the_pace(application):
    """Until something is refused, it doubles."""
    application.knows(heard_at=NOON)
    turn = Turn(waits=[0] * 20, rate=START, limited=True, heard_at=NOON)
    application.end_batch(*[ACCEPTED] * 20, turn=turn)
    assert application.pace.rate == 2 * START


@pytest.mark.parametrize("batch", [[FAILED, ACCEPTED], [REJECTED, ACCEPTED], [TIMEOUT, *[ACCEPTED] * 19]])
def test_a_single_bad_recipient_is_not_congestion(application, batch):
    """The pace stays."""
    application.knows(heard_at=NOON)
    application.end_batch(*batch, turn=Turn(waits=[0] * len(batch), rate=START, heard_at=NOON))
    assert (application.pace.rate, application.pace.blocked_until) == (START, 0)


def test_several_timeouts_in_a_batch_are(application, clock):
    """Everybody stays away for a while."""
    application.knows(heard_at=NOON)
    application.end_batch(TIMEOUT, TIMEOUT, *[ACCEPTED] * 8, turn=Turn(waits=[0] * 10, rate=START, heard_at=NOON))
    assert application.pace.rate < START
    assert application.pace.blocked_until > clock()
    assert application.pace.reason == "no_answer_in_time"


def test_answers_that_are_much_slower_than_usual_are_too(application):
    """Though it refuses nothing. Nobody has to stay away."""
    application.knows(heard_at=NOON, usual_ms=200)
    turn = Turn(waits=[0] * 20, rate=START, limited=True, heard_at=NOON)
    application.end_batch(*[ACCEPTED] * 20, turn=turn, post_ms=3_000)
    assert application.pace.rate < START
    assert application.pace.blocked_until == 0
    assert application.pace.reason == "slow_answers"


CANARY = Turn(waits=[0], rate=START, leased=True)


def test_a_canary_that_comes_back_lets_five_and_then_twenty_follow(application):
    """Then the application counts as working."""
    application.knows(canary=1)
    allowed = []
    for size in (1, 5, 20):
        allowed.append(application.pace.canary)
        application.end_batch(*[ACCEPTED] * size, turn=CANARY)
    assert [*allowed, application.pace.canary] == [1, 5, 20, 0]


@pytest.mark.parametrize("answer", [FAILED, TIMEOUT, NOT_FOUND])
def test_six_sends_that_fail_alike_halt_a_run_that_has_sent_nothing_else(application, answer):
    """One alone may be at fault itself, so five follow it. The next run begins with one again."""
    application.knows(canary=1)
    application.end_batch(answer, turn=CANARY)
    assert (application.halt_reason, application.pace.canary) == (None, 5)
    application.end_batch(*[answer] * 5, turn=CANARY)
    assert (application.halt_reason, application.pace.canary) == ("breaker", 1)


def test_two_bad_communications_do_not_slow_down_an_application_that_works(application):
    """Somebody requested them, while it takes hundreds from another run. It has to fail for longer than that."""
    application.knows(heard_at=NOON, rate=200_000)
    turn = Turn(waits=[0], rate=200_000, heard_at=NOON)
    application.end_batch(FAILED, turn=turn)
    application.end_batch(FAILED, turn=turn)
    assert application.halt_reason is None
    assert (application.pace.rate, application.pace.canary) == (200_000, 0)


@pytest.mark.parametrize("answer", [REJECTED, NO_SECRET, OVERLOADED])
def test_only_answers_that_speak_of_the_application_halt_a_run(application, answer):
    """Not rejected recipients, not what AWS refused. One that asks for less is up."""
    application.knows(canary=1)
    application.end_batch(answer, turn=CANARY)
    application.end_batch(*[answer] * 5, turn=CANARY)
    assert application.halt_reason is None


def test_a_run_that_the_breaker_halts_leaves_an_application_that_has_to_prove_itself(application):
    """After an outage it is weak: one, then five, then twenty, and no faster than one that nobody knows."""
    application.knows(heard_at=NOON, rate=500_000, sustained=400_000, refused=600_000)
    for _ in range(SETTINGS.breaker_batches):
        application.end_batch(*[FAILED] * 5, turn=Turn(waits=[0] * 5, rate=500_000, heard_at=NOON))
    assert application.halt_reason == "breaker"
    assert (application.pace.canary, application.pace.rate, application.pace.refused) == (1, START, 0)


@pytest.mark.parametrize("answers", [[ACCEPTED], [FAILED], [OVERLOADED]])
def test_a_batch_that_has_ended_is_no_longer_under_way(application, answers):
    """However it ended."""
    application.knows(canary=5, leases={"run#0": Lease(size=1, until=NOON + HOUR)})
    application.end_batch(*answers, turn=CANARY)
    assert application.pace.leases == {}


def test_a_canary_of_which_nothing_was_sent_says_nothing_and_stands_in_nobodys_way(application):
    """What it held was skipped: five may follow, but no more."""
    application.knows(canary=1, leases={"run#0": Lease(size=1, until=NOON + HOUR)})
    application.end_batch(SKIPPED, turn=CANARY)
    application.end_batch(*[SKIPPED] * 5, turn=CANARY)
    assert (application.pace.canary, application.pace.leases, application.pace.heard_at) == (5, {}, 0)


def test_a_batch_that_cannot_tell_the_pace_is_recorded_all_the_same(application, table, clock):
    """And then told again. Otherwise the report would complete it, and what it skipped would lose its reason."""
    application.knows(canary=1)
    other, count = Pacing(table, clock), itertools.count(1)

    def others_change_it():
        other.change(lambda pace, _: (None, msgspec.structs.replace(pace, next_free=next(count))))
        return clock.now

    application.ledger.pacing = Pacing(table, others_change_it, lambda _: None)
    with pytest.raises(PaceContended):
        application.end_batch(SKIPPED, ACCEPTED, turn=CANARY)
    [record] = application.ledger.runs.batches("run")
    assert [(each.outcome, each.reason) for each in record.outcomes] == [("skipped", "in_flight"), ("accepted", None)]


def test_a_child_of_an_earlier_version_teaches_nothing(application, table):
    """It had no turn. A batch of a halted run had none either."""
    application.end_batch(FAILED, turn=None)
    application.end_batch(FAILED, turn=Turn(halted="by:olga"), began=False)
    assert table.get("PACE", "PACE") is None

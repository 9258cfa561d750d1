"""Sending one communication: claim, POST, answer."""

import pytest

from chalicelib import times
from chalicelib.application.config import Configuration, Reprocess, Source
from chalicelib.errors import OutcomeUnknown, ReprocessError
from chalicelib.models import Communication, Outcome, Task, TaskResult
from chalicelib.runs.reprocess import reprocess_communication, rules_for
from chalicelib.settings import Settings
from tests.fakes import (
    ACCEPTED,
    ANSWER_LOST,
    BEHAVIOURS,
    BROKE_AFTERWARDS,
    NOON,
    REJECTED,
    UNAVAILABLE,
    FakeApplication,
)

DAY = 86_400_000
SETTINGS = Settings(resource_prefix="comms-test")

OUTCOMES = {
    "answer_lost": "OutcomeUnknown",
    "connection_cut": "OutcomeUnknown",
    "unavailable": "ApplicationUnavailable",
    "broke": "ApplicationError",
    "broke_afterwards": "ApplicationError",
    "rejected": "CommunicationRejected",
    "misconfigured": "ApplicationMisconfigured",
}


def configuration(*, honours_key=False):
    return Configuration(
        sources=[
            Source(
                operation="send.email",
                list="https://a.example/emails/failed",
                cool_down="1h",
                max_age="7d",
                failed_at="failed_at",
            )
        ],
        reprocess=Reprocess(url="https://a.example/communications", honours_idempotency_key=honours_key),
    )


def task(run="run", since=NOON, listed_at=NOON):
    it = Communication(operation="send.email", primary_id="7", listed_at=listed_at, created_by="author", since=since)
    return Task(run_id=run, index=3, communication=it, requested_by="somebody")


class Dies(BaseException):
    """The Lambda is killed."""


class Case:
    """One ledger, one application."""

    def __init__(self, communications, clock, *script):
        self.ledger = communications
        self.clock = clock
        self.application = FakeApplication(clock, *script)

    def run(self, of=None, send=None, *, honours_key=False):
        return reprocess_communication(
            of or task(),
            self.ledger,
            send or self.application.reprocess,
            configuration(honours_key=honours_key),
            SETTINGS,
            self.clock,
        )

    @property
    def state(self):
        return self.ledger.read([task().communication])["send.email", "7"]


@pytest.fixture
def case(communications, clock):
    return lambda *script: Case(communications, clock, *script)


def outcome(kind, reason=None, post_ms=None):
    return TaskResult(operation="send.email", primary_id="7", outcome=Outcome(kind), reason=reason, post_ms=post_ms)


SENT = outcome("accepted", post_ms=0)


def test_the_post_carries_what_the_application_asks_for_and_nothing_else(case):
    """Four fields, the key of the claim, the run."""
    it = case(ACCEPTED)
    assert it.run() == SENT
    [post] = it.application.posts
    assert post.payload == {
        "primaryId": "7",
        "operation": "send.email",
        "createdBy": "author",
        "created": times.format_iso(NOON),
    }
    assert post.key
    assert post.run_id == "run"


def test_the_claim_stands_before_the_post(case):
    """Whoever dies while sending leaves word in the ledger."""
    it = case()
    seen = []
    it.run(send=lambda *_: seen.append(it.state.status))
    assert seen == ["sending"]
    assert it.state.status == "accepted"


@pytest.mark.parametrize(("behaviour", "error"), OUTCOMES.items())
def test_every_error_is_written_down_and_raised(case, behaviour, error):
    """The ledger has the answer before the state machine hears of it, by the name that it decides on."""
    it = case(BEHAVIOURS[behaviour])
    with pytest.raises(ReprocessError) as raised:
        it.run()
    assert type(raised.value).__name__ == it.state.answer == error
    assert it.state.reason == raised.value.reason


def test_another_runs_communication_is_skipped_with_the_reason(case):
    """A refused claim is no failure, and nothing is sent."""
    it = case(ACCEPTED)
    it.run()
    assert it.run(task("other")) == outcome("skipped", "cool_down")
    assert len(it.application.posts) == 1


def test_a_repeated_delivery_returns_what_was_settled(case):
    """AWS may deliver a task twice; the second learns the outcome."""
    it = case(ACCEPTED)
    assert [it.run(), it.run()] == [SENT, outcome("accepted")]
    assert len(it.application.posts) == 1


@pytest.mark.parametrize("honours_key", [True, False], ids=["keys honoured", "keys not honoured"])
@pytest.mark.parametrize("behaviour", [ANSWER_LOST, BROKE_AFTERWARDS], ids=["answer lost", "500 after it was sent"])
def test_a_retry_never_sends_twice(case, behaviour, honours_key):
    """Perhaps it was sent: with keys the same POST again, byte by byte; without them none."""
    it = case(behaviour, ACCEPTED)
    with pytest.raises(ReprocessError) as raised:
        it.run(honours_key=honours_key)
    again = it.run(honours_key=honours_key)
    posts = it.application.posts
    if honours_key:
        assert again == SENT
        assert (posts[0].payload, posts[0].key) == (posts[1].payload, posts[1].key)
    else:
        assert again == outcome(raised.value.outcome, raised.value.reason)
        assert len(posts) == 1


@pytest.mark.parametrize("honours_key", [True, False], ids=["keys honoured", "keys not honoured"])
def test_a_retry_after_unavailable_sends(case, honours_key):
    """What surely was not processed may be sent at once, whatever the application makes of keys."""
    it = case(UNAVAILABLE, UNAVAILABLE, ACCEPTED)
    for _ in range(2):
        with pytest.raises(ReprocessError):
            it.run(honours_key=honours_key)
    assert it.run(honours_key=honours_key) == SENT
    assert len({post.key for post in it.application.posts}) == 1
    assert it.state.attempts == 1


def test_a_lambda_killed_after_the_post_leaves_it_unknown(case):
    """Where keys are not honoured, the retry of a dead Lambda sends nothing."""
    it = case()

    def send_and_die(*post):
        it.application.reprocess(*post)
        raise Dies

    with pytest.raises(Dies):
        it.run(send=send_and_die)
    assert it.run() == outcome("unknown")
    assert len(it.application.posts) == 1


def test_an_error_that_nobody_foresaw_leaves_the_claim_as_it_is(case):
    """A mistake of ours must not free what may have been sent."""
    it = case()

    def send_and_fail(*post):
        it.application.reprocess(*post)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        it.run(send=send_and_fail)
    assert it.state.status == "sending"


def test_what_is_too_old_is_not_sent(case):
    """A stale reminder is left alone, without a claim; just within its age it is sent."""
    it = case(ACCEPTED)
    assert it.run(task(since=NOON - 7 * DAY - 1)) == outcome("skipped", "expired")
    assert it.ledger.read([task().communication]) == {}
    assert it.run(task(since=NOON - 7 * DAY)) == SENT


def test_age_counts_when_it_is_sent(case, clock):
    """A run that waited for days sends nothing stale."""
    it = case(ACCEPTED)
    clock.advance(8 * DAY)
    assert it.run() == outcome("skipped", "expired")


def test_without_a_time_of_failure_nothing_is_too_old(case):
    """A record whose time is empty has no age."""
    assert case(ACCEPTED).run(task(since=None)) == SENT


def test_an_accepted_post_is_measured(case, clock):
    """In milliseconds, without the claim and the answer; a clock that is set back never makes it negative."""
    it = case(ACCEPTED, ACCEPTED)

    def send_for(milliseconds):
        def send(*post):
            it.application.reprocess(*post)
            clock.advance(milliseconds)

        return send

    assert it.run(send=send_for(250)) == outcome("accepted", post_ms=250)
    clock.advance(2 * DAY)
    assert it.run(task("later", since=None, listed_at=clock()), send=send_for(-50)) == SENT


def test_a_rejected_one_is_rejected_again(case):
    """A retry of what the application will never take returns its reason."""
    it = case(REJECTED)
    with pytest.raises(ReprocessError):
        it.run()
    assert it.run() == outcome("rejected", "no_such_address")


def test_losing_a_race_against_another_delivery_is_an_unknown_outcome(clock):
    """The state machine asks again later: by its name, this error is retried."""

    class Elsewhere:
        def claim(self, *_):
            raise OutcomeUnknown("claimed_elsewhere")

    application = FakeApplication(clock)
    with pytest.raises(OutcomeUnknown):
        Case(Elsewhere(), clock).run()
    assert application.posts == []


def test_the_rules_come_from_source_application_and_settings():
    """Durations in milliseconds."""
    rules = rules_for(configuration().source("send.email"), configuration(honours_key=True), SETTINGS)
    assert (rules.cool_down, rules.honours_key, rules.max_attempts, rules.retention) == (3_600_000, True, 5, 90 * DAY)

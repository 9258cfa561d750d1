"""Sending one communication: claim it, POST it, record the answer."""

from types import SimpleNamespace

import msgspec
import pytest

from chalicelib import times
from chalicelib.application.config import Configuration, Reprocess, Source
from chalicelib.errors import ApplicationOverloaded, OutcomeUnknown, ReprocessError
from chalicelib.ledger.pace import Pace
from chalicelib.models.batches import Task, TaskResult
from chalicelib.models.communications import Communication
from chalicelib.models.outcomes import Outcome
from chalicelib.runs.reprocess import reprocess_communication, rules_for
from chalicelib.settings import Settings
from tests.fakes import (
    ACCEPTED,
    ANSWER_LOST,
    BEHAVIOURS,
    DAY,
    ERROR_500_AFTER_PROCESSING,
    HOUR,
    NOON,
    OVERLOADED,
    REJECTED,
    UNAVAILABLE,
    Behaviour,
    FakeApplication,
    FakePacing,
)

SETTINGS = Settings(resource_prefix="comms-test")

# The error that `reprocess` raises for each behaviour of the application.
ERRORS = {
    "answer_lost": "OutcomeUnknown",
    "connection_cut": "OutcomeUnknown",
    "unavailable": "ApplicationUnavailable",
    "overloaded": "ApplicationOverloaded",
    "error_500": "ApplicationError",
    "error_500_after_processing": "ApplicationError",
    "rejected": "CommunicationRejected",
    "redirected": "UnexpectedRedirect",
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
    """Return a run's task for the communication, which failed at `since`."""
    communication = Communication(
        operation="send.email", primary_id="7", listed_at=listed_at, created_by="author", since=since
    )
    return Task(run_id=run, index=3, communication=communication, requested_by="somebody")


TASK = task()


class LambdaKilled(BaseException):
    """The Lambda is killed: no `except` of ours may catch this."""


class Harness:
    """Calls `reprocess_communication` with a ledger, and with an application that behaves as `script` says."""

    def __init__(self, communications, clock, *script):
        self.communications = communications
        self.clock = clock
        self.application = FakeApplication(clock, *script)
        self.pacing = FakePacing(clock)

    def reprocess(self, task=TASK, send=None, *, honours_key=False):
        ledger = SimpleNamespace(communications=self.communications, clock=self.clock, pacing=self.pacing)
        configured = configuration(honours_key=honours_key)
        return reprocess_communication(task, ledger, send or self.application.reprocess, configured, SETTINGS)

    @property
    def posts(self):
        return self.application.posts

    @property
    def state(self):
        """What the ledger knows about the communication."""
        return self.communications.read([TASK.communication])["send.email", "7"]


@pytest.fixture
def make_harness(communications, clock):
    """Return a function that makes a Harness with a script."""
    return lambda *script: Harness(communications, clock, *script)


def outcome(kind, reason=None, post_ms=None):
    return TaskResult(operation="send.email", primary_id="7", outcome=Outcome(kind), reason=reason, post_ms=post_ms)


SENT = outcome("accepted", post_ms=0)


def test_the_post_has_the_four_fields_of_the_payload_and_nothing_else(make_harness):
    """It is sent with the claim's key and the run's id."""
    harness = make_harness(ACCEPTED)
    assert harness.reprocess() == SENT
    [post] = harness.posts
    assert post.payload == {
        "primaryId": "7",
        "operation": "send.email",
        "createdBy": "author",
        "created": times.format_iso(NOON),
    }
    assert post.key
    assert post.run_id == "run"


def test_the_claim_is_written_before_the_post(make_harness):
    """If the Lambda dies while sending, the ledger knows about the try."""
    harness = make_harness()
    statuses = []
    harness.reprocess(send=lambda *_: statuses.append(harness.state.status))
    assert statuses == ["sending"]
    assert harness.state.status == "accepted"


@pytest.mark.parametrize(("behaviour", "error"), ERRORS.items())
def test_every_reprocess_error_is_written_to_the_ledger_and_raised(make_harness, behaviour, error):
    """The ledger has the answer before the state machine decides by the exception's name."""
    harness = make_harness(BEHAVIOURS[behaviour])
    with pytest.raises(ReprocessError) as raised:
        harness.reprocess()
    assert type(raised.value).__name__ == harness.state.answer == error
    assert harness.state.reason == raised.value.reason


def test_an_overloaded_applications_wait_reaches_the_caller(make_harness):
    """The ledger keeps the reason only: what the wait means, the caller decides."""
    with pytest.raises(ApplicationOverloaded) as raised:
        make_harness(OVERLOADED).reprocess()
    assert (raised.value.reason, raised.value.retry_after) == ("http_429", 30_000)


def test_a_refused_claim_is_skipped_with_its_reason_and_sends_nothing(make_harness):
    """It is not a failure: another run has sent the communication."""
    harness = make_harness(ACCEPTED)
    harness.reprocess()
    assert harness.reprocess(task("other")) == outcome("skipped", "cool_down")
    assert len(harness.posts) == 1


def test_a_repeated_delivery_returns_the_settled_outcome_and_sends_nothing(make_harness):
    """AWS may deliver a task twice."""
    harness = make_harness(ACCEPTED)
    assert [harness.reprocess(), harness.reprocess()] == [SENT, outcome("accepted")]
    assert len(harness.posts) == 1


@pytest.mark.parametrize("honours_key", [True, False], ids=["keys honoured", "keys not honoured"])
@pytest.mark.parametrize(
    "behaviour", [ANSWER_LOST, ERROR_500_AFTER_PROCESSING], ids=["answer lost", "500 after processing"]
)
def test_a_retry_in_doubt_repeats_the_same_post_or_sends_nothing_without_keys(make_harness, behaviour, honours_key):
    """The first POST may have been processed; where keys are honoured, the second is the same, byte by byte."""
    harness = make_harness(behaviour, ACCEPTED)
    with pytest.raises(ReprocessError) as raised:
        harness.reprocess(honours_key=honours_key)
    again = harness.reprocess(honours_key=honours_key)
    posts = harness.posts
    if honours_key:
        assert again == SENT
        assert (posts[0].payload, posts[0].key) == (posts[1].payload, posts[1].key)
    else:
        assert again == outcome(raised.value.outcome, raised.value.reason)
        assert len(posts) == 1


@pytest.mark.parametrize("honours_key", [True, False], ids=["keys honoured", "keys not honoured"])
@pytest.mark.parametrize("behaviour", [UNAVAILABLE, OVERLOADED], ids=["unavailable", "overloaded"])
def test_a_retry_after_certainly_not_processed_sends_again(make_harness, behaviour, honours_key):
    """This is safe whether keys are honoured or not."""
    harness = make_harness(behaviour, behaviour, ACCEPTED)
    for _ in range(2):
        with pytest.raises(ReprocessError):
            harness.reprocess(honours_key=honours_key)
    assert harness.reprocess(honours_key=honours_key) == SENT
    assert len({post.key for post in harness.posts}) == 1
    assert harness.state.attempts == 1


def test_a_lambda_killed_after_its_post_leaves_the_outcome_unknown(make_harness):
    """Where keys are not honoured, the retry of a dead Lambda sends nothing."""
    harness = make_harness()

    def send_and_die(*post):
        harness.application.reprocess(*post)
        raise LambdaKilled

    with pytest.raises(LambdaKilled):
        harness.reprocess(send=send_and_die)
    assert harness.reprocess() == outcome("unknown")
    assert len(harness.posts) == 1


def test_an_unexpected_exception_leaves_the_claim_as_it_is(make_harness):
    """A bug of ours must not free what may have been sent."""
    harness = make_harness()

    def send_and_fail(*post):
        harness.application.reprocess(*post)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        harness.reprocess(send=send_and_fail)
    assert harness.state.status == "sending"


def test_a_communication_older_than_max_age_is_skipped_without_a_claim(make_harness):
    """A stale reminder must not be sent; at exactly that age it still is."""
    harness = make_harness(ACCEPTED)
    assert harness.reprocess(task(since=NOON - 7 * DAY - 1)) == outcome("skipped", "expired")
    assert harness.communications.read([TASK.communication]) == {}
    assert harness.reprocess(task(since=NOON - 7 * DAY)) == SENT


def test_the_age_of_a_communication_is_checked_when_it_is_sent(make_harness, clock):
    """A run that waited for days sends nothing stale."""
    harness = make_harness(ACCEPTED)
    clock.advance(8 * DAY)
    assert harness.reprocess() == outcome("skipped", "expired")


def test_a_communication_without_a_time_of_failure_never_expires(make_harness):
    """A record whose time is empty has no age."""
    assert make_harness(ACCEPTED).reprocess(task(since=None)) == SENT


def test_an_accepted_outcome_says_how_long_the_post_took(make_harness, clock):
    """In milliseconds, without claim and answer; never negative, even if the clock is set back."""
    harness = make_harness(ACCEPTED, ACCEPTED)

    def send_for(milliseconds):
        def send(*post):
            harness.application.reprocess(*post)
            clock.advance(milliseconds)

        return send

    assert harness.reprocess(send=send_for(250)) == outcome("accepted", post_ms=250)
    clock.advance(2 * DAY)
    assert harness.reprocess(task("later", since=None, listed_at=clock()), send=send_for(-50)) == SENT


def test_a_retry_after_a_rejection_returns_the_rejection_and_its_reason(make_harness):
    """The application will never accept the communication."""
    harness = make_harness(REJECTED)
    with pytest.raises(ReprocessError):
        harness.reprocess()
    assert harness.reprocess() == outcome("rejected", "no_such_address")


def test_losing_the_claim_to_another_delivery_raises_outcome_unknown_and_sends_nothing(clock):
    """The state machine retries an error of this name later."""

    class ClaimedElsewhere:
        """A ledger in which another delivery of the task claims first."""

        def claim(self, *_):
            raise OutcomeUnknown("claimed_elsewhere")

    harness = Harness(ClaimedElsewhere(), clock)
    with pytest.raises(OutcomeUnknown):
        harness.reprocess()
    assert harness.posts == []


def test_the_rules_of_a_claim_come_from_source_application_and_settings():
    """Durations are in milliseconds."""
    rules = rules_for(configuration().source("send.email"), configuration(honours_key=True), SETTINGS)
    assert (rules.cool_down, rules.honours_key, rules.max_attempts, rules.retention) == (3_600_000, True, 5, 90 * DAY)


# -- a run that retries what is on the worklist


def retrying_task(clock, run="retrying"):
    """Return the task of a run with `includeManual` that lists the communication now."""
    listed = msgspec.structs.replace(TASK.communication, listed_at=clock(), since=clock(), retry=True)
    return Task(run_id=run, index=0, communication=listed, requested_by="olga")


def reprocess_with(ledger, task, application):
    """Send a task's communication with the real ledger, whose worklist matters here."""
    return reprocess_communication(task, ledger, application.reprocess, configuration(), SETTINGS)


@pytest.fixture
def on_worklist(ledger, clock):
    """A communication that was rejected an hour and more ago."""
    with pytest.raises(ReprocessError):
        reprocess_with(ledger, TASK, FakeApplication(clock, REJECTED))
    assert ledger.communications.move_to_worklist(TASK.communication, TASK.owner, "no_such_address")
    clock.advance(HOUR + 1)


@pytest.mark.usefixtures("on_worklist")
def test_a_run_retries_what_is_on_the_worklist_when_it_claims_it(ledger, clock):
    """The decision is its requester's; a repetition of the task sends nothing."""
    application, task = FakeApplication(clock), retrying_task(clock)
    clock.advance(HOUR)
    assert reprocess_with(ledger, task, application) == SENT
    entry = ledger.worklist.read(*task.communication.key)
    assert [(each.action, each.by) for each in entry.decisions] == [("retry", "olga")]
    assert (entry.status, entry.attempts) == ("accepted", 1)
    assert reprocess_with(ledger, task, application) == outcome("accepted")
    assert len(application.posts) == 1


@pytest.mark.usefixtures("on_worklist")
def test_a_run_leaves_alone_what_somebody_decided_after_it_listed(ledger, clock):
    """Dismissed since, or dismissed and restored: the run knows nothing of that."""
    application, task = FakeApplication(clock), retrying_task(clock)
    clock.advance(1)
    ledger.worklist.dismiss(*task.communication.key, "olga", "gone")
    assert reprocess_with(ledger, task, application) == outcome("skipped", "dismissed")
    ledger.worklist.restore(*task.communication.key, "olga")
    assert reprocess_with(ledger, task, application) == outcome("skipped", "manual")
    assert application.posts == []


@pytest.mark.usefixtures("on_worklist")
def test_two_runs_that_retry_the_same_communication_send_it_once(ledger, clock):
    """Both have listed it on the worklist."""
    application = FakeApplication(clock)
    first, second = retrying_task(clock, "first"), retrying_task(clock, "second")
    clock.advance(1)
    assert reprocess_with(ledger, first, application) == SENT
    assert reprocess_with(ledger, second, application) == outcome("skipped", "cool_down")
    assert len(application.posts) == 1


@pytest.mark.usefixtures("on_worklist")
def test_what_a_run_retried_and_could_not_send_is_back_on_the_worklist_once_recorded(ledger, clock):
    """A late repetition of its task finds it there, and must not retry it once more."""
    application, task = FakeApplication(clock, REJECTED), retrying_task(clock)
    clock.advance(1)
    with pytest.raises(ReprocessError):
        reprocess_with(ledger, task, application)
    assert ledger.communications.move_to_worklist(task.communication, task.owner, "no_such_address")
    clock.advance(3 * HOUR)
    assert reprocess_with(ledger, task, application) == outcome("rejected", "no_such_address")
    assert len(application.posts) == 1


# -- the pace


def test_a_refusal_lowers_the_pace_for_everybody(communications, clock):
    """At once, and not when the batch ends: nobody may send until the application has said."""
    harness = Harness(communications, clock, OVERLOADED)
    with pytest.raises(ApplicationOverloaded):
        harness.reprocess()
    assert harness.pacing.pace.blocked_until == clock() + 30_000
    assert harness.pacing.pace.reason == "http_429"


def test_an_answer_that_names_a_time_blocks_everybody_whatever_it_means(communications, clock):
    """With `doubtful = [503]`, a 503 is an unknown outcome."""
    harness = Harness(communications, clock, Behaviour(processed=True, error=OutcomeUnknown("http_503", 20_000)))
    with pytest.raises(OutcomeUnknown):
        harness.reprocess()
    assert harness.pacing.pace.blocked_until == clock() + 20_000


@pytest.mark.parametrize("behaviour", [UNAVAILABLE, REJECTED, ERROR_500_AFTER_PROCESSING, ANSWER_LOST])
def test_any_other_answer_to_one_communication_does_not_lower_the_pace(communications, clock, behaviour):
    """A single bad recipient is not congestion."""
    harness = Harness(communications, clock, behaviour)
    with pytest.raises(ReprocessError):
        harness.reprocess()
    assert harness.pacing.pace == Pace()


def test_what_waited_for_its_turn_is_not_sent_after_a_block(communications, clock):
    """Its reservation is void. It is not even claimed, so no attempt counts, and a later run takes it."""
    harness = Harness(communications, clock, ACCEPTED)
    harness.pacing.refused(0, "http_429", 30_000)
    result = harness.reprocess(msgspec.structs.replace(TASK, epoch=0, limited=True))
    assert (result.outcome, result.reason) == (Outcome.NOT_ATTEMPTED, "paced")
    assert harness.posts == []
    assert communications.read([TASK.communication]) == {}


@pytest.mark.parametrize("limited", [True, False])
def test_what_has_a_reservation_is_sent(communications, clock, limited):
    """One that did not wait for its turn does not even look."""
    harness = Harness(communications, clock, ACCEPTED)
    harness.pacing.refused(0, "http_429", 30_000)
    epoch = harness.pacing.pace.epoch if limited else 0
    harness.reprocess(msgspec.structs.replace(TASK, epoch=epoch, limited=limited))
    assert len(harness.posts) == 1


def test_a_pace_that_cannot_be_written_hides_no_answer(communications, clock, caplog):
    """The communication ends as what the application said, and the log says what failed."""

    class Throttled(FakePacing):
        def refused(self, *_):
            raise RuntimeError("ProvisionedThroughputExceededException")

    harness = Harness(communications, clock, OVERLOADED)
    harness.pacing = Throttled(clock)
    with pytest.raises(ApplicationOverloaded):
        harness.reprocess()
    assert "ProvisionedThroughputExceededException" in caplog.text
    assert communications.read([TASK.communication])["send.email", "7"].answer == "ApplicationOverloaded"

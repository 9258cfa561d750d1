"""How a batch ends: outcomes from results and ledger, the worklist, the breaker."""

import pytest

from chalicelib.errors import REPROCESS_ERRORS
from chalicelib.ledger.claims import Rules
from chalicelib.models import (
    Batch,
    BatchRecord,
    Communication,
    Outcome,
    OutcomeRecord,
    Run,
    RunStatus,
    Task,
    TaskResult,
    Trigger,
)
from chalicelib.runs.record import count, record_batch
from chalicelib.settings import Settings
from tests.fakes import NOON

HOUR = 3_600_000
RULES = Rules(cool_down=HOUR, honours_key=True, max_attempts=2, retention=24 * HOUR)
SETTINGS = Settings(resource_prefix="comms-test", max_attempts=2, breaker_batches=2)

OPERATION = "send.email"


def batch(*ids, index=0, at=NOON):
    return Batch(index=index, communications=[listed(each, at) for each in ids])


def listed(primary_id, at=NOON):
    return Communication(operation=OPERATION, primary_id=primary_id, listed_at=at, created_by="ada@personal.example")


def result(primary_id, outcome=None, reason=None, error=None):
    return TaskResult(
        operation=OPERATION,
        primary_id=primary_id,
        outcome=Outcome(outcome) if outcome else None,
        reason=reason,
        error=error,
    )


def outcome(primary_id, kind, reason=None, **flags):
    return OutcomeRecord(operation=OPERATION, primary_id=primary_id, outcome=Outcome(kind), reason=reason, **flags)


class Case:
    """One run on the real ledger."""

    def __init__(self, ledger, clock):
        self.ledger, self.clock = ledger, clock
        ledger.runs.create(
            Run(
                run_id="run",
                trigger=Trigger.REQUEST,
                requested_by="bob",
                status=RunStatus.RUNNING,
                requested_at=clock(),
            )
        )

    def attempt(self, primary_id, answer=None, reason="a_code", *, run="run", index=0, at=NOON):
        """Claim and POST; without an answer the Lambda died."""
        task = Task(run_id=run, index=index, communication=listed(primary_id, at), requested_by="bob")
        claim = self.ledger.communications.claim(task, RULES)
        if answer:
            self.ledger.communications.record_answer(claim, answer, reason, RULES)

    def record(self, batch, *results, began=True):
        return record_batch("run", batch, list(results), self.ledger, SETTINGS, began=began)

    def state(self, primary_id):
        it = listed(primary_id)
        return self.ledger.communications.read([it])[OPERATION, primary_id]

    @property
    def recorded(self):
        return list(self.ledger.runs.batches("run"))

    @property
    def halt_reason(self):
        return self.ledger.runs.halt_reason("run")


@pytest.fixture
def case(ledger, clock):
    return Case(ledger, clock)


# -- outcomes


def test_each_communication_ends_with_one_outcome_in_the_batchs_order(case):
    """What was tried is told by the ledger, what was skipped by the results; nothing is missing."""
    case.attempt("1", "accepted", None)
    case.attempt("2", "ApplicationUnavailable", "http_503")
    record = case.record(batch("1", "2", "3"), result("3", "skipped", "cool_down"), result("1", "accepted"))
    assert record == BatchRecord(
        index=0,
        at=NOON,
        outcomes=[
            outcome("1", "accepted"),
            outcome("2", "deferred", "http_503"),
            outcome("3", "skipped", "cool_down"),
        ],
    )
    assert case.recorded == [record]


@pytest.mark.parametrize("answer", REPROCESS_ERRORS)
def test_every_error_ends_as_its_outcome(case, answer):
    """The state machine hands over an error's name; the ledger knows the reason."""
    case.attempt("1", answer, "a_code")
    [it] = case.record(batch("1"), result("1", error=answer)).outcomes
    assert (it.outcome, it.reason) == (REPROCESS_ERRORS[answer].outcome, "a_code")


def test_what_nobody_claimed_is_deferred_when_its_lambda_failed(case):
    """Throttled, or dead before its claim: the next run takes it."""
    [it] = case.record(batch("1"), result("1", error="Lambda.TooManyRequestsException")).outcomes
    assert it == outcome("1", "deferred", "lambda_failed")


def test_what_was_claimed_by_a_lambda_that_died_is_unknown(case):
    """It may have been sent."""
    case.attempt("1")
    [it] = case.record(batch("1"), result("1", error="Sandbox.Timedout")).outcomes
    assert it == outcome("1", "unknown", "died_while_sending")


def test_results_may_be_missing(case):
    """When the Map itself broke, the ledger still tells what was tried."""
    case.attempt("1", "accepted", None)
    outcomes = case.record(batch("1", "2")).outcomes
    assert outcomes == [outcome("1", "accepted"), outcome("2", "deferred", "lambda_failed")]


def test_a_batch_of_a_halted_run_was_not_attempted(case):
    """Unless a duplicate of its child had begun."""
    case.attempt("1", "accepted", None)
    outcomes = case.record(batch("1", "2"), began=False).outcomes
    assert outcomes == [outcome("1", "accepted"), outcome("2", "not_attempted")]


def test_a_doubt_is_not_reported_as_unavailable(case):
    """A first try without an answer and a second that was refused end as unknown."""
    case.attempt("1")
    case.attempt("1", "ApplicationUnavailable")
    [it] = case.record(batch("1"), result("1", error="ApplicationUnavailable")).outcomes
    assert it.outcome == "unknown"


def test_an_accepted_delivery_counts_although_a_newer_one_superseded_it(case):
    """Its answer came back to the state machine, though not into the ledger."""
    case.attempt("1")
    [it] = case.record(batch("1"), result("1", "accepted")).outcomes
    assert it == outcome("1", "accepted")


def test_what_expired_between_two_tries_was_not_skipped(case):
    """The first try may have been sent, so it is unknown, and nobody is told that it was left alone."""
    case.attempt("1")
    [it] = case.record(batch("1"), result("1", "skipped", "expired")).outcomes
    assert it == outcome("1", "unknown", "died_while_sending")


def test_what_another_run_did_since_is_its_own_affair(case):
    """Each run tells of its own try, though the communication has moved on."""
    case.attempt("1", "ApplicationUnavailable", "http_503")
    case.attempt("1", "accepted", None, run="other")
    [it] = case.record(batch("1"), result("1", "skipped", "cool_down")).outcomes
    assert it == outcome("1", "deferred", "http_503")


def test_a_relapse_is_recorded(case, clock):
    """The application had accepted it, and listed it as failed again."""
    case.attempt("1", "accepted", None, run="earlier")
    later = clock.advance(HOUR + 1)
    case.attempt("1", "accepted", None, at=later)
    [it] = case.record(batch("1", at=later), result("1", "accepted")).outcomes
    assert it == outcome("1", "accepted", relapsed=True)


# -- once


def test_a_repeated_delivery_changes_nothing(case):
    """The first record is the truth, and counts once."""
    case.attempt("1", "accepted", None)
    first = case.record(batch("1", "2"), result("1", "accepted"), result("2", "skipped", "cool_down"))
    case.record(batch("1", "2"), result("2", error="Lambda.Unknown"))
    assert case.recorded == [first]
    assert case.ledger.runs.read("run").counts == {"accepted": 1, "skipped": 1}


def test_progress_adds_up_over_batches(case):
    """The run's counters grow with each batch."""
    for index in range(2):
        case.record(batch("1", "2", index=index), result("1", "skipped", "cool_down"))
    assert case.ledger.runs.read("run").counts == {"skipped": 2, "deferred": 2}


def test_outcomes_are_counted_by_kind():
    """The state machine is handed numbers, not ids."""
    assert count([outcome("1", "accepted"), outcome("2", "accepted"), outcome("3", "failed")]) == {
        "accepted": 2,
        "failed": 1,
    }


# -- the worklist


def test_a_rejected_one_goes_to_the_worklist(case):
    """Nothing but a person can help it."""
    case.attempt("1", "CommunicationRejected", "no_such_address")
    [it] = case.record(batch("1")).outcomes
    assert it == outcome("1", "rejected", "no_such_address", manual=True)
    assert (case.state("1").status, case.state("1").manual_reason) == ("manual", "no_such_address")


def test_a_failed_one_goes_to_the_worklist_at_its_last_attempt(case, clock):
    """Before that the next run tries again."""
    case.attempt("1", "ApplicationError", run="earlier")
    later = clock.advance(HOUR + 1)
    case.attempt("1", "ApplicationError", "http_500", at=later)
    case.attempt("2", "ApplicationError", "http_500", at=later)
    assert case.record(batch("1", "2", at=later)).outcomes == [
        outcome("1", "failed", "http_500", manual=True),
        outcome("2", "failed", "http_500"),
    ]


@pytest.mark.parametrize("reason", ["expired", "relapsed", "attempts_used_up"])
def test_what_no_run_will_send_any_more_goes_to_the_worklist(case, reason):
    """Left alone for ever it would be lost."""
    [it] = case.record(batch("1"), result("1", "skipped", reason)).outcomes
    assert it == outcome("1", "skipped", reason, manual=True)
    assert case.state("1").manual_reason == reason


@pytest.mark.parametrize("reason", ["cool_down", "in_flight", "duplicate", "manual", "dismissed"])
def test_what_is_merely_skipped_does_not(case, reason):
    """Others see to it, or a person has spoken."""
    [it] = case.record(batch("1"), result("1", "skipped", reason)).outcomes
    assert not it.manual
    assert case.ledger.communications.read([listed("1")]) == {}


def test_what_another_run_is_sending_does_not_go_to_the_worklist(case):
    """This run's old listing calls it too old, while the other's POST is on its way."""
    case.attempt("1", run="other")
    [it] = case.record(batch("1"), result("1", "skipped", "expired")).outcomes
    assert it == outcome("1", "skipped", "expired")


def test_dying_after_the_hand_over_loses_nothing(case):
    """The record that is put afterwards tells that it was this batch which handed over."""
    case.attempt("1", "CommunicationRejected", "no_such_address")
    case.ledger.communications.move_to_worklist(listed("1"), "run#0", "no_such_address")
    [it] = case.record(batch("1")).outcomes
    assert it.manual


# -- the breaker


def unsuccessful_batch(case, index, *, began=True):
    case.attempt(f"tried-{index}", "ApplicationUnavailable", index=index)
    case.record(batch(f"tried-{index}", index=index), began=began)


def test_unsuccessful_batches_halt_the_run(case):
    """Nothing accepted in so many batches: the application seems to be down."""
    unsuccessful_batch(case, 1)
    assert case.halt_reason is None
    unsuccessful_batch(case, 2)
    assert case.halt_reason == "breaker"


def test_a_batch_with_an_accepted_one_resets_the_count(case):
    """An application that takes some is not down."""
    unsuccessful_batch(case, 1)
    case.attempt("fruit", "accepted", index=2)
    case.attempt("other", "ApplicationError", index=2)
    case.record(batch("fruit", "other", index=2))
    unsuccessful_batch(case, 3)
    assert case.halt_reason is None


def test_a_repeated_delivery_is_one_unsuccessful_batch(case):
    """The same batch twice is no further sign."""
    unsuccessful_batch(case, 1)
    case.record(batch("tried-1", index=1))
    assert case.halt_reason is None


def test_a_batch_in_which_nothing_was_attempted_does_not_count(case):
    """What was skipped says nothing about the application."""
    for index in range(3):
        case.record(batch("1", index=index), result("1", "skipped", "cool_down"))
    assert case.halt_reason is None


def test_a_batch_that_is_completed_afterwards_does_not_halt_a_run_that_is_over(case):
    """Report completes what died: there is nothing left to protect the application from."""
    for index in range(3):
        unsuccessful_batch(case, index, began=False)
    assert case.halt_reason is None


@pytest.mark.parametrize("began", [True, False], ids=["by its child", "by Report"])
def test_a_misconfigured_application_halts_at_once(case, began):
    """It is our fault, and the same for every other communication; the reason names the answer."""
    case.attempt("1", "ApplicationMisconfigured", "http_401")
    case.attempt("2", "accepted")
    case.record(batch("1", "2"), began=began)
    assert case.halt_reason == "misconfigured:http_401"


def test_the_first_reason_to_halt_stays(case):
    """A person's stop is not overwritten by the breaker."""
    case.ledger.runs.halt("run", "hand:bob")
    unsuccessful_batch(case, 1)
    unsuccessful_batch(case, 2)
    assert case.halt_reason == "hand:bob"

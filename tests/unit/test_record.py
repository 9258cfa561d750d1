"""The end of a batch: its outcomes from results and ledger, the worklist, and the breaker."""

import pytest

from chalicelib.errors import REPROCESS_ERRORS
from chalicelib.ledger.claims import Rules
from chalicelib.ledger.pace import Pace
from chalicelib.models.batches import Batch, BatchRecord, Task, TaskResult
from chalicelib.models.communications import Communication
from chalicelib.models.outcomes import Outcome, OutcomeRecord
from chalicelib.runs.record import count, record_batch
from chalicelib.settings import Settings
from tests.fakes import HOUR, NOON, attempt, make_run

RULES = Rules(cool_down=HOUR, honours_key=True, max_attempts=2, retention=24 * HOUR)
SETTINGS = Settings(resource_prefix="comms-test", max_attempts=2, breaker_batches=2)

OPERATION = "send.email"


def batch(*ids, index=0, at=NOON):
    """Return a batch of communications that were listed at `at`."""
    return Batch(index=index, communications=[listed(each, at) for each in ids])


def listed(primary_id, at=NOON):
    """Return a communication as it is in a list that was read at `at`."""
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


class RunDriver:
    """Drives one run on the real ledger: attempts its communications, and records its batches."""

    def __init__(self, ledger):
        self.ledger = ledger
        ledger.runs.create(make_run())

    def attempt(self, primary_id, answer=None, reason="a_code", *, run="run", index=0, at=NOON):
        """Claim and POST a communication; without an answer, the Lambda died."""
        task = Task(run_id=run, index=index, communication=listed(primary_id, at), requested_by="bob")
        attempt(self.ledger.communications, task, answer, RULES, reason)

    def record(self, batch, *results, began=True):
        """Record a batch with the results that the state machine hands over."""
        return record_batch("run", batch, list(results), self.ledger, SETTINGS, began=began)

    def state(self, primary_id):
        """Return what the ledger knows about a communication."""
        return self.ledger.communications.read([listed(primary_id)])[OPERATION, primary_id]

    @property
    def batch_records(self):
        return list(self.ledger.runs.batches("run"))

    @property
    def halt_reason(self):
        return self.ledger.runs.halt_reason("run")


@pytest.fixture
def driver(ledger):
    return RunDriver(ledger)


# -- outcomes


def test_each_communication_of_a_batch_gets_one_outcome_in_the_batchs_order(driver):
    """What was tried comes from the ledger, and what was skipped from the results."""
    driver.attempt("1", "accepted", None)
    driver.attempt("2", "ApplicationOverloaded", "http_503")
    record = driver.record(batch("1", "2", "3"), result("3", "skipped", "cool_down"), result("1", "accepted"))
    assert record == BatchRecord(
        index=0,
        at=NOON,
        outcomes=[
            outcome("1", "accepted"),
            outcome("2", "deferred", "http_503", refused=True),
            outcome("3", "skipped", "cool_down"),
        ],
    )
    assert driver.batch_records == [record]


@pytest.mark.parametrize("answer", REPROCESS_ERRORS)
def test_every_reprocess_error_is_recorded_as_its_outcome(driver, answer):
    """The state machine hands over only the error's name; the reason comes from the ledger."""
    driver.attempt("1", answer, "a_code")
    [recorded] = driver.record(batch("1"), result("1", error=answer)).outcomes
    assert (recorded.outcome, recorded.reason) == (REPROCESS_ERRORS[answer].outcome, "a_code")


def test_a_communication_that_the_application_refused_as_too_fast_is_recorded_as_refused(driver):
    """Whatever its reason is: the application may have a code of its own."""
    driver.attempt("1", "ApplicationOverloaded", "too_busy")
    driver.attempt("2", "ApplicationUnavailable", "http_408")
    driver.record(batch("1", "2"))
    first, second = driver.batch_records[0].outcomes
    assert first == outcome("1", "deferred", "too_busy", refused=True)
    assert second == outcome("2", "deferred", "http_408")


def test_a_communication_whose_lambda_failed_before_its_claim_is_deferred(driver):
    """It died early, so the next run sends the communication."""
    [recorded] = driver.record(batch("1"), result("1", error="Runtime.ExitError")).outcomes
    assert recorded == outcome("1", "deferred", "lambda_failed")


def test_a_communication_whose_lambda_was_throttled_is_deferred_with_a_reason_of_its_own(driver):
    """The account's limit is to blame, which is for people to raise."""
    [recorded] = driver.record(batch("1"), result("1", error="Lambda.TooManyRequestsException")).outcomes
    assert recorded == outcome("1", "deferred", "lambda_throttled")


def test_a_communication_whose_lambda_died_after_its_claim_is_unknown(driver):
    """It may have been sent."""
    driver.attempt("1")
    [recorded] = driver.record(batch("1"), result("1", error="Sandbox.Timedout")).outcomes
    assert recorded == outcome("1", "unknown", "died_while_sending")


def test_outcomes_come_from_the_ledger_where_results_are_missing(driver):
    """There are none if the Map itself failed."""
    driver.attempt("1", "accepted", None)
    outcomes = driver.record(batch("1", "2")).outcomes
    assert outcomes == [outcome("1", "accepted"), outcome("2", "deferred", "lambda_failed")]


def test_a_batch_that_did_not_begin_is_not_attempted_except_for_what_was_claimed(driver):
    """A duplicate of its child may have begun before the run was halted."""
    driver.attempt("1", "accepted", None)
    outcomes = driver.record(batch("1", "2"), began=False).outcomes
    assert outcomes == [outcome("1", "accepted"), outcome("2", "not_attempted")]


def test_unavailable_after_a_try_without_an_answer_is_recorded_as_unknown(driver):
    """The first POST may have been processed."""
    driver.attempt("1")
    driver.attempt("1", "ApplicationUnavailable")
    [recorded] = driver.record(batch("1"), result("1", error="ApplicationUnavailable")).outcomes
    assert recorded.outcome == "unknown"


def test_an_accepted_result_counts_although_the_ledger_has_no_answer(driver):
    """A newer delivery may have superseded the one that was accepted; its answer still reached the state machine."""
    driver.attempt("1")
    [recorded] = driver.record(batch("1"), result("1", "accepted")).outcomes
    assert recorded == outcome("1", "accepted")


def test_a_communication_that_expired_after_a_first_try_is_unknown_and_not_skipped(driver):
    """The first try may have been sent, so `skipped` would be wrong."""
    driver.attempt("1")
    [recorded] = driver.record(batch("1"), result("1", "skipped", "expired")).outcomes
    assert recorded == outcome("1", "unknown", "died_while_sending")


def test_a_batch_records_its_own_try_although_another_run_has_sent_since(driver):
    """Each run reports its own outcome, wherever the communication is now."""
    driver.attempt("1", "ApplicationUnavailable", "http_503")
    driver.attempt("1", "accepted", None, run="other")
    [recorded] = driver.record(batch("1"), result("1", "skipped", "cool_down")).outcomes
    assert recorded == outcome("1", "deferred", "http_503")


def test_a_relapse_is_recorded_with_its_outcome(driver, clock):
    """The application had accepted the communication, and listed it as failed again."""
    driver.attempt("1", "accepted", None, run="earlier")
    later = clock.advance(HOUR + 1)
    driver.attempt("1", "accepted", None, at=later)
    [recorded] = driver.record(batch("1", at=later), result("1", "accepted")).outcomes
    assert recorded == outcome("1", "accepted", relapsed=True)


# -- once


def test_recording_a_batch_again_changes_nothing(driver):
    """The first record is the truth, and counts once, whatever the second results say."""
    driver.attempt("1", "accepted", None)
    first = driver.record(batch("1", "2"), result("1", "accepted"), result("2", "skipped", "cool_down"))
    driver.record(batch("1", "2"), result("2", error="Lambda.Unknown"))
    assert driver.batch_records == [first]
    assert driver.ledger.runs.read("run").counts == {"accepted": 1, "skipped": 1}


def test_the_counts_of_a_run_add_up_over_its_batches(driver):
    """They show progress before the run is closed."""
    for index in range(2):
        driver.record(batch("1", "2", index=index), result("1", "skipped", "cool_down"))
    assert driver.ledger.runs.read("run").counts == {"skipped": 2, "deferred": 2}


def test_count_returns_the_number_of_each_outcome():
    """The state machine is handed numbers, not ids."""
    assert count([outcome("1", "accepted"), outcome("2", "accepted"), outcome("3", "failed")]) == {
        "accepted": 2,
        "failed": 1,
    }


# -- the worklist


def test_a_rejected_communication_goes_to_the_worklist(driver):
    """Another POST would be rejected as well."""
    driver.attempt("1", "CommunicationRejected", "no_such_address")
    [recorded] = driver.record(batch("1")).outcomes
    assert recorded == outcome("1", "rejected", "no_such_address", manual=True)
    assert (driver.state("1").status, driver.state("1").manual_reason) == ("manual", "no_such_address")


def test_a_failed_communication_goes_to_the_worklist_after_its_last_attempt(driver, clock):
    """Before that, the next run tries again."""
    driver.attempt("1", "ApplicationError", run="earlier")
    later = clock.advance(HOUR + 1)
    driver.attempt("1", "ApplicationError", "http_500", at=later)
    driver.attempt("2", "ApplicationError", "http_500", at=later)
    assert driver.record(batch("1", "2", at=later)).outcomes == [
        outcome("1", "failed", "http_500", manual=True),
        outcome("2", "failed", "http_500"),
    ]


@pytest.mark.parametrize("reason", ["expired", "relapsed", "attempts_used_up"])
def test_a_skipped_communication_that_no_run_will_ever_send_goes_to_the_worklist(driver, reason):
    """Otherwise it would stay unsent, and nobody would know."""
    [recorded] = driver.record(batch("1"), result("1", "skipped", reason)).outcomes
    assert recorded == outcome("1", "skipped", reason, manual=True)
    assert driver.state("1").manual_reason == reason


@pytest.mark.parametrize("reason", ["cool_down", "in_flight", "duplicate", "manual", "dismissed"])
def test_a_communication_skipped_for_any_other_reason_stays_off_the_worklist(driver, reason):
    """Another run sends it, or a person has already decided."""
    [recorded] = driver.record(batch("1"), result("1", "skipped", reason)).outcomes
    assert not recorded.manual
    assert driver.ledger.communications.read([listed("1")]) == {}


def test_a_communication_that_another_run_is_sending_stays_off_the_worklist(driver):
    """By this run's older listing it has expired, but the other run's POST is on its way."""
    driver.attempt("1", run="other")
    [recorded] = driver.record(batch("1"), result("1", "skipped", "expired")).outcomes
    assert recorded == outcome("1", "skipped", "expired")


def test_a_repetition_records_what_was_moved_to_the_worklist_before_the_first_try_died(driver):
    """The batch moved it to the worklist, so its record has to say so."""
    driver.attempt("1", "CommunicationRejected", "no_such_address")
    driver.ledger.communications.move_to_worklist(listed("1"), "run#0", "no_such_address")
    [recorded] = driver.record(batch("1")).outcomes
    assert recorded.manual


def test_what_was_tried_and_then_had_no_turn_ends_as_what_the_try_says(driver):
    """A block that came in between keeps the retry from POSTing, not the first POST."""
    paced = [result(each, "not_attempted", "paced") for each in ("1", "2", "3")]
    driver.attempt("1")
    driver.attempt("2", "ApplicationError", "http_500")
    recorded = driver.record(batch("1", "2", "3"), *paced).outcomes
    assert recorded == [
        outcome("1", "unknown", "died_while_sending"),
        outcome("2", "failed", "http_500"),
        outcome("3", "not_attempted", "paced"),
    ]


# -- the breaker


def record_unsuccessful_batch(driver, index, *, began=True):
    """Record a batch in which one communication was tried and the application was unavailable."""
    driver.attempt(f"tried-{index}", "ApplicationUnavailable", index=index)
    driver.record(batch(f"tried-{index}", index=index), began=began)


def test_breaker_batches_without_anything_accepted_halt_the_run(driver):
    """The application seems to be down."""
    record_unsuccessful_batch(driver, 1)
    assert driver.halt_reason is None
    record_unsuccessful_batch(driver, 2)
    assert driver.halt_reason == "breaker"


def test_the_first_two_batches_of_a_run_halt_it_whatever_the_setting_while_nobody_knows_the_application(driver):
    """They hold one communication and five: a run whose first sends fail alike stops after a handful."""
    driver.ledger.pacing.change(lambda *_: (None, Pace(canary=1)))
    patient = Settings(resource_prefix="comms-test", breaker_batches=5)
    for index in range(2):
        driver.attempt(f"{index}", "ApplicationUnavailable", index=index)
        record_batch("run", batch(f"{index}", index=index), [], driver.ledger, patient)
        assert driver.halt_reason == (None, "breaker")[index]


def test_a_batch_with_an_accepted_communication_resets_the_breaker(driver):
    """An application that accepts some is not down."""
    record_unsuccessful_batch(driver, 1)
    driver.attempt("accepted", "accepted", index=2)
    driver.attempt("failed", "ApplicationError", index=2)
    driver.record(batch("accepted", "failed", index=2))
    record_unsuccessful_batch(driver, 3)
    assert driver.halt_reason is None


def test_recording_an_unsuccessful_batch_again_does_not_count_twice(driver):
    """The same batch is no further sign that the application is down."""
    record_unsuccessful_batch(driver, 1)
    driver.record(batch("tried-1", index=1))
    assert driver.halt_reason is None


def test_a_batch_in_which_nothing_was_attempted_does_not_count_for_the_breaker(driver):
    """What was skipped says nothing about the application."""
    for index in range(3):
        driver.record(batch("1", index=index), result("1", "skipped", "cool_down"))
    assert driver.halt_reason is None


@pytest.mark.parametrize(
    ("answer", "reason", "result_of"),
    [
        ("CommunicationRejected", "no_such_address", {"error": "CommunicationRejected"}),
        ("ApplicationUnavailable", "secret_unavailable", {"error": "ApplicationUnavailable"}),
        ("ApplicationOverloaded", "http_429", {"error": "ApplicationOverloaded"}),
        (None, None, {"error": "Sandbox.Timedout"}),
    ],
    ids=[
        "rejected recipients",
        "throttled reads of the secret",
        "an overloaded application",
        "Lambdas that died while sending",
    ],
)
def test_what_does_not_say_that_the_application_is_down_does_not_count_for_the_breaker(
    driver, answer, reason, result_of
):
    """The application may be well: it answered about the recipients, asked for fewer, or was not even asked."""
    for index in range(3):
        driver.attempt(f"{index}", answer, reason, index=index)
        driver.record(batch(f"{index}", index=index), result(f"{index}", **result_of))
    assert driver.halt_reason is None


def test_an_overload_neither_counts_for_the_breaker_nor_resets_it(driver):
    """Nothing was accepted, so the application may have gone down since."""
    record_unsuccessful_batch(driver, 1)
    driver.attempt("overloaded", "ApplicationOverloaded", "http_503", index=2)
    driver.record(batch("overloaded", index=2))
    assert driver.halt_reason is None
    record_unsuccessful_batch(driver, 3)
    assert driver.halt_reason == "breaker"


def test_what_an_earlier_version_called_unavailable_still_counts_for_the_breaker(driver):
    """It had no other name for 429 and 503, and its items keep that name."""
    for index in range(2):
        driver.attempt(f"{index}", "ApplicationUnavailable", "http_429", index=index)
        driver.record(batch(f"{index}", index=index), result(f"{index}", error="ApplicationUnavailable"))
    assert driver.halt_reason == "breaker"


@pytest.mark.parametrize("error", ["Lambda.TooManyRequestsException", "Sandbox.Timedout"])
def test_lambdas_that_were_throttled_or_died_before_a_claim_do_not_count_for_the_breaker(driver, error):
    """The application was not asked."""
    for index in range(3):
        driver.record(batch(f"{index}", index=index), result(f"{index}", error=error))
    assert driver.halt_reason is None


def test_one_answer_that_speaks_of_the_application_is_enough_for_the_breaker(driver):
    """Rejected recipients in the same batch do not show that it accepts anything."""
    for index in (1, 2):
        driver.attempt(f"failed-{index}", "ApplicationError", "http_500", index=index)
        driver.attempt(f"rejected-{index}", "CommunicationRejected", index=index)
        driver.record(batch(f"failed-{index}", f"rejected-{index}", index=index))
    assert driver.halt_reason == "breaker"


def test_batches_that_report_completes_do_not_halt_the_run(driver):
    """The run is over, so there is nothing left to protect the application from."""
    for index in range(3):
        record_unsuccessful_batch(driver, index, began=False)
    assert driver.halt_reason is None


def test_a_redirect_halts_the_run_at_once_and_its_outcome_is_unknown(driver):
    """The application may have processed it and then redirected, so it is left alone for its cool-down."""
    driver.attempt("1", "UnexpectedRedirect", "http_303")
    [recorded] = driver.record(batch("1"), result("1", error="UnexpectedRedirect")).outcomes
    assert recorded == outcome("1", "unknown", "http_303")
    assert driver.halt_reason == "misconfigured:http_303"
    assert (driver.state("1").status, driver.state("1").until) == ("unknown", NOON + HOUR)


@pytest.mark.parametrize("began", [True, False], ids=["by its child", "by Report"])
def test_a_misconfigured_application_halts_the_run_at_once(driver, began):
    """Every other communication would be refused as well; the halt reason contains the answer's code."""
    driver.attempt("1", "ApplicationMisconfigured", "http_401")
    driver.attempt("2", "accepted")
    driver.record(batch("1", "2"), began=began)
    assert driver.halt_reason == "misconfigured:http_401"


def test_the_breaker_does_not_overwrite_a_persons_stop(driver):
    """The mail of the run names the person."""
    driver.ledger.runs.halt("run", "hand:bob")
    record_unsuccessful_batch(driver, 1)
    record_unsuccessful_batch(driver, 2)
    assert driver.halt_reason == "hand:bob"

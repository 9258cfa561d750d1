"""The end of a run: every communication is accounted for, the run is closed, and there is one notification."""

from collections import Counter

import pytest

from chalicelib.errors import ListingFailed
from chalicelib.ledger.claims import Rules
from chalicelib.models.batches import Batch, BatchRecord, Task, TaskResult
from chalicelib.models.communications import Communication
from chalicelib.models.notifications import Incident
from chalicelib.models.outcomes import Outcome, OutcomeRecord
from chalicelib.models.runs import ApprovalDecision, RunStatus, Trigger, WorseRun
from chalicelib.notifications import messages
from chalicelib.notifications.result import result_notification
from chalicelib.notifications.summary import MAX_REASONS, OTHER, Summary
from chalicelib.runs.collection import LIST_ERRORS_KEPT, NOT_FOUND_KEPT
from chalicelib.runs.record import record_batch
from chalicelib.runs.report import report
from chalicelib.settings import Settings
from tests.fakes import HOUR, NOON, FakeManifests, attempt, make_run

RULES = Rules(cool_down=HOUR, honours_key=True, max_attempts=5, retention=24 * HOUR)
SETTINGS = Settings(resource_prefix="comms-test")

AUTHOR = "ada@personal.example"


def listed(primary_id, at=NOON):
    """Return a communication as it is in a list that was read at `at`."""
    return Communication(operation="send.email", primary_id=primary_id, listed_at=at, created_by=AUTHOR)


def skipped(primary_id, reason="cool_down"):
    """Return the result of a communication that `reprocess` skipped."""
    return TaskResult(operation="send.email", primary_id=primary_id, outcome=Outcome.SKIPPED, reason=reason)


def failed(reason):
    """Return how a communication ended that failed for a reason."""
    return OutcomeRecord(operation="send.email", primary_id="1", outcome=Outcome.FAILED, reason=reason)


class RunDriver:
    """Drives one run on the real ledger: begins it, attempts its communications, records its batches, and reports."""

    def __init__(self, ledger, client):
        self.ledger = ledger
        self.client = client

    def begin(self, *batches, **fields):
        """Create the run of these batches, each a list of ids; `fields` are further fields of the run."""
        self.batches = [
            Batch(index=index, communications=[listed(each) for each in ids]) for index, ids in enumerate(batches)
        ]
        matched = sum(map(len, batches)) + sum(fields.get("skipped", {}).values())
        run = make_run(**{"manifest": "key", "batches": len(batches), "matched": matched} | fields)
        assert self.ledger.runs.create(run)

    def attempt(self, primary_id, answer=None, reason=None):
        """Claim and POST a communication of the run, and return the claim; without an answer, the Lambda died."""
        [index] = [each.index for each in self.batches if listed(primary_id) in each.communications]
        task = Task(run_id="run", index=index, communication=listed(primary_id), requested_by="bob")
        return attempt(self.ledger.communications, task, answer, RULES, reason)

    def record(self, index, *results):
        """Record a batch, as its child workflow does."""
        record_batch("run", self.batches[index], list(results), self.ledger, SETTINGS)

    def accept_all(self):
        """Let the application accept every communication, and record every batch."""
        for batch in self.batches:
            for communication in batch.communications:
                self.attempt(communication.primary_id, "accepted")
            self.record(batch.index)

    def report(self, failure=None):
        """Report the run and return its notification."""
        return report("run", failure, self.ledger, FakeManifests({"key": self.batches}), SETTINGS)

    @property
    def run(self):
        return self.ledger.runs.read("run")


@pytest.fixture
def driver(ledger, dynamodb):
    return RunDriver(ledger, dynamodb)


def test_a_run_with_only_accepted_and_skipped_communications_has_succeeded(driver, clock):
    """Its mail goes to the topic `succeeded`."""
    driver.begin(["1", "2"], ["3"], skipped={"too_fresh": 4})
    driver.accept_all()
    clock.advance(90_000)
    mail = driver.report()
    assert (driver.run.status, driver.run.counts) == ("succeeded", {"accepted": 3, "skipped": 4})
    assert driver.run.ended_at == NOON + 90_000
    assert mail.topic == "succeeded"
    assert mail.subject == "comms-reprocess: 3 of 3 accepted"
    assert "Run run (requested by bob) ended after 1.5 min: succeeded." in mail.message
    assert "7 matched:" in mail.message


@pytest.mark.parametrize(
    ("answer", "outcome", "status"),
    [("accepted", "accepted", "accepted"), ("CommunicationRejected", "rejected", "manual")],
)
def test_a_report_reads_again_what_was_recorded_while_it_was_being_sent(driver, answer, outcome, status):
    """AWS may deliver a child twice, and record the delivery that may not send while the other one is sending."""
    driver.begin(["1", "2"])
    driver.attempt("2", "accepted")
    claim = driver.attempt("1")
    driver.record(0, TaskResult(operation="send.email", primary_id="1", outcome=Outcome.UNKNOWN))
    driver.ledger.communications.record_answer(claim, answer, "a_code", RULES)
    mail = driver.report()
    assert driver.run.counts == Counter(["accepted", outcome])
    assert driver.ledger.worklist.read("send.email", "1").status == status
    assert {each.outcome for batch in driver.ledger.runs.batches("run") for each in batch.outcomes} == {
        "accepted",
        outcome,
    }
    assert driver.report() == mail


def test_a_report_reads_again_what_one_delivery_left_because_of_the_pace_while_the_other_was_sending(driver):
    """Both had a turn, but the reservation of one was void."""
    driver.begin(["1"])
    paced = TaskResult(operation="send.email", primary_id="1", outcome=Outcome.NOT_ATTEMPTED, reason="paced")
    driver.record(0, paced)
    driver.attempt("1", "accepted")
    driver.report()
    assert driver.run.counts == {"accepted": 1}


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ("ApplicationError", "failed"),
        ("CommunicationRejected", "rejected"),
        ("OutcomeUnknown", "unknown"),
        ("ApplicationUnavailable", "deferred"),
        ("ApplicationOverloaded", "deferred"),
    ],
)
def test_a_run_with_any_other_outcome_is_partial(driver, answer, outcome):
    """Its mail goes to the topic `failed`, whose readers act."""
    driver.begin(["1", "2"])
    driver.attempt("1", "accepted")
    driver.attempt("2", answer, "a_code")
    driver.record(0)
    mail = driver.report()
    assert (driver.run.status, driver.run.counts) == ("partial", {"accepted": 1, outcome: 1})
    worklist = ", 1 new on the worklist" if outcome == "rejected" else ""
    assert (mail.topic, mail.subject) == ("failed", f"comms-reprocess: partial, 1 of 2 accepted{worklist}")
    assert f"{outcome}: a_code" in mail.message


def test_a_halted_run_ends_as_stopped_and_its_mail_says_why(driver):
    """The batches that had not begun are accounted for as well."""
    driver.begin(["1"], ["2"], ["3"])
    driver.attempt("1", "ApplicationMisconfigured", "http_401")
    driver.record(0)
    mail = driver.report()
    assert (driver.run.status, driver.run.counts) == ("stopped", {"deferred": 1, "not_attempted": 2})
    assert mail.topic == "failed"
    assert mail.subject == "comms-reprocess: stopped: the application answered http_401, 0 of 3 accepted"
    assert "It was stopped because the application answered http_401: check auth.secret" in mail.message


def test_the_mail_says_what_to_do_about_throttled_lambdas(driver):
    """Nobody should look for the cause in the application."""
    driver.begin(["1", "2"])
    driver.attempt("1", "accepted")
    driver.record(0, TaskResult(operation="send.email", primary_id="2", error="Lambda.TooManyRequestsException"))
    message = driver.report().message
    assert "deferred: lambda_throttled" in message
    assert "AWS Lambda refused to send 1, because too many functions were running at once: lower CONCURRENCY" in message


def test_the_mail_of_a_stopped_run_names_the_person_who_stopped_it(driver):
    """Readers can tell it from a run that the breaker has halted."""
    driver.begin(["1"])
    driver.ledger.runs.halt("run", "hand:carol")
    mail = driver.report()
    assert mail.subject == "comms-reprocess: stopped by a person, 0 of 1 accepted"
    assert "It was stopped by carol." in mail.message


def test_a_run_whose_execution_failed_ends_as_failed(driver):
    """The mail names AWS's error; what was accepted before stays accepted."""
    driver.begin(["1"], ["2"])
    driver.attempt("1", "accepted")
    driver.record(0)
    mail = driver.report("States.ItemReaderFailed")
    assert (driver.run.status, driver.run.error) == ("failed", "States.ItemReaderFailed")
    assert driver.run.counts == {"accepted": 1, "not_attempted": 1}
    assert "The run itself failed: States.ItemReaderFailed." in mail.message


def test_report_completes_the_batches_whose_child_died(driver):
    """Manifest and ledger show what was answered, what died while sending, and what was never claimed."""
    driver.begin(["1"], ["2", "3", "4"])
    driver.attempt("1", "accepted")
    driver.record(0)
    driver.attempt("2", "accepted")
    driver.attempt("3")
    driver.report()
    records = list(driver.ledger.runs.batches("run"))
    assert [record.index for record in records] == [0, 1]
    assert [(each.outcome, each.reason) for each in records[1].outcomes] == [
        ("accepted", None),
        ("unknown", "died_while_sending"),
        ("not_attempted", None),
    ]
    assert driver.run.counts == {"accepted": 2, "unknown": 1, "not_attempted": 1}


def test_report_moves_a_rejected_communication_of_a_dead_child_to_the_worklist(driver):
    """RecordBatch, which would have done so, never ran."""
    driver.begin(["1"])
    driver.attempt("1", "CommunicationRejected", "no_such_address")
    mail = driver.report()
    state = driver.ledger.communications.read([listed("1")])["send.email", "1"]
    assert state.status == "manual"
    assert "New on the worklist, for a person to decide: 1\n  send.email '1': no_such_address" in mail.message


def test_a_run_whose_children_all_died_is_partial_and_not_stopped_by_the_breaker(driver):
    """Dead children say nothing about the application."""
    driver.begin(*([str(number)] for number in range(5)))
    for number in range(5):
        driver.attempt(str(number))
    driver.report()
    assert (driver.run.status, driver.run.counts) == ("partial", {"unknown": 5})


def test_a_batch_that_is_recorded_after_the_report_changes_nothing(driver):
    """A child that outlives the report must not contradict the mail."""
    driver.begin(["1"])
    driver.report()
    driver.attempt("1", "accepted")
    driver.record(0)
    assert driver.run.counts == {"not_attempted": 1}
    [record] = driver.ledger.runs.batches("run")
    assert record.outcomes[0].outcome == "not_attempted"


def test_a_repeated_report_returns_the_same_notification(driver, clock):
    """The state machine may call Report again, and people who get two mails must get the same."""
    driver.begin(["1"], ["2"], skipped={"manual": 1})
    driver.attempt("1", "CommunicationRejected", "no_such_address")
    driver.record(0)
    first = driver.report()
    run = driver.run
    clock.advance(HOUR)
    assert driver.report() == first
    assert driver.run == run


def test_a_report_that_died_before_it_closed_the_run_is_finished_by_the_next_call(driver):
    """Some batches are completed already by then."""
    driver.begin(["1"], ["2"])
    record_batch("run", driver.batches[1], [], driver.ledger, SETTINGS, began=False)
    driver.report()
    assert driver.run.counts == {"not_attempted": 2}


def test_a_run_whose_outcomes_do_not_add_up_has_failed(driver):
    """Whatever the cause, a communication without an outcome is a failure of the run."""
    driver.begin(["1"], matched=3)
    driver.accept_all()
    mail = driver.report()
    assert driver.run.status == "failed"
    assert "the outcomes do not add up: 1 of 3" in mail.message


def calls_of_report(driver):
    """Report, and return how often each operation of DynamoDB was called."""
    calls = Counter()
    events, kind = driver.client.meta.events, "before-call.dynamodb"
    events.register(kind, lambda model, **_: calls.update([model.name]), unique_id="count")
    driver.report()
    events.unregister(kind, unique_id="count")
    return calls


def test_report_reads_the_ledger_once_for_several_batches_whose_children_died(driver):
    """A run that was rejected has thousands of them. Each is written once, and every batch is read once."""
    driver.begin(*([str(number)] for number in range(10)))
    driver.attempt("4", "accepted")
    driver.record(4)
    calls = calls_of_report(driver)
    assert driver.run.counts == {"accepted": 1, "not_attempted": 9}
    assert (calls["BatchGetItem"], calls["PutItem"]) == (2, 9)
    assert calls["Query"] == 2  # the batches, and the earlier runs that turned out worse
    assert calls["UpdateItem"] == 1


def test_report_reads_the_ledger_once_for_what_died_in_several_recorded_batches(driver):
    """An account that throttles Lambda leaves one in each of thousands of batches."""
    driver.begin(*([f"{number}-dead", f"{number}-sent"] for number in range(10)))
    for number in range(10):
        driver.attempt(f"{number}-sent", "accepted")
        driver.record(number)
    calls = calls_of_report(driver)
    assert driver.run.counts == {"accepted": 10, "deferred": 10}
    assert (calls["BatchGetItem"], calls["PutItem"], calls["Query"]) == (1, 0, 2)


@pytest.mark.parametrize("died", [(), (0,), (1, 2), (0, 1, 2)])
def test_the_outcomes_add_up_to_matched_whichever_children_died(driver, died):
    """Every matched communication ends with exactly one outcome."""
    driver.begin(["1", "2"], ["3", "4"], ["5"], skipped={"cool_down": 2, "too_fresh": 3})
    driver.attempt("1", "accepted")
    driver.attempt("2")
    driver.attempt("3", "ApplicationError", "http_500")
    for index in {0, 1, 2} - set(died):
        driver.record(index, skipped("4"), skipped("5", "duplicate"))
    driver.report()
    assert sum(driver.run.counts.values()) == driver.run.matched == 10
    assert driver.run.status == "partial"


def test_the_report_of_a_scheduled_run_releases_the_schedule_lock(driver):
    """It also removes the run from the open ones."""
    driver.begin(["1"], trigger=Trigger.SCHEDULE)
    driver.ledger.schedule.acquire_lock("run")
    driver.accept_all()
    assert not driver.ledger.schedule.acquire_lock("next")
    mail = driver.report()
    assert driver.ledger.runs.open_runs() == []
    assert driver.ledger.schedule.acquire_lock("next")
    assert "Run run (scheduled) ended" in mail.message


# -- the mail


def test_the_subject_of_a_mail_is_one_line_of_fewer_than_100_ascii_characters(driver):
    """Amazon SNS refuses any other."""
    driver.begin([str(number) for number in range(20)], matched=10**37)
    subject = driver.report().subject
    assert len(subject) < 100
    assert subject.isascii()
    assert subject.isprintable()


def test_the_mail_contains_no_personal_data(driver):
    """It has ids and reason codes only, and not even the author, whom the ledger knows."""
    driver.begin(["1", "2", "3"])
    driver.attempt("1", "CommunicationRejected", "no_such_address")
    driver.attempt("2", "OutcomeUnknown", "no_answer_in_time")
    driver.record(0)
    assert AUTHOR not in driver.report().message


def test_the_mail_names_the_first_ten_new_on_the_worklist_and_counts_all(driver):
    """It stays readable when a thousand need a person."""
    ids = [f"id-{number:02d}" for number in range(12)]
    driver.begin(ids)
    for each in ids:
        driver.attempt(each, "CommunicationRejected", "no_such_address")
    driver.record(0)
    message = driver.report().message
    assert "for a person to decide: 12" in message
    assert "id-09" in message
    assert "id-10" not in message
    assert "... and 2 more" in message


def test_reasons_that_are_all_different_are_counted_up_to_a_limit():
    """An application whose reasons contain an id must not make the report run out of memory."""
    summary = Summary()
    for index in range(2 * MAX_REASONS):
        reasons = [f"code-{index}", "code-0"]
        summary.add(BatchRecord(index=index, outcomes=[failed(each) for each in reasons], at=NOON))
    assert len(summary.reasons) == MAX_REASONS + 1
    assert sum(summary.reasons.values()) == summary.counts["failed"] == 4 * MAX_REASONS
    assert summary.reasons.most_common(2) == [
        (("failed", "code-0"), 2 * MAX_REASONS + 1),
        (("failed", OTHER), MAX_REASONS),
    ]
    run = make_run(status=RunStatus.PARTIAL)
    assert f"{MAX_REASONS:>7}  failed: other" in result_notification(run, summary, None).message


def test_a_line_break_in_an_id_is_escaped_in_the_mail(driver):
    """Ids are the application's, and must not be able to forge lines."""
    driver.begin(["1\nAll went well."])
    driver.attempt("1\nAll went well.", "CommunicationRejected", "no_such_address")
    driver.record(0)
    assert "\nAll went well." not in driver.report().message


def test_the_mail_mentions_relapses_missing_ids_and_limits(driver, clock):
    """People have to learn about every limit, and about communications that fail again and again."""
    driver.begin(["1"], truncated=True, not_found=["99"], not_found_count=1)
    for run_id in ("earlier", "run"):
        task = Task(run_id=run_id, index=0, communication=listed("1", at=clock()), requested_by="bob")
        attempt(driver.ledger.communications, task, "accepted", RULES, None)
        clock.advance(HOUR + 1)
    driver.record(0)
    message = driver.report().message
    assert "Accepted before, but listed as failed again: 1" in message
    assert "Requested ids that are not listed as failed, and were not sent: 1 ('99')" in message
    assert "The run reached a limit" in message


# -- the schedule


def test_people_are_not_notified_again_about_the_same_incident_of_the_schedule(driver):
    """Otherwise there would be a mail every quarter of an hour; the run is closed all the same."""
    driver.ledger.incidents.write(Incident(kind="partial", since=NOON, notified_at=NOON))
    driver.begin(["1", "2"], trigger=Trigger.SCHEDULE)
    driver.attempt("1", "accepted")
    driver.attempt("2", "OutcomeUnknown", "no_answer_in_time")
    driver.record(0)
    assert driver.report().topic == "none"
    assert driver.run.status == "partial"


def test_a_repeated_report_of_a_scheduled_run_returns_the_same_notification(driver):
    """The first call has already written down that people know about the incident."""
    driver.begin(["1"], trigger=Trigger.SCHEDULE)
    first = driver.report()
    assert first.topic == "failed"
    assert driver.report() == first


def test_people_are_notified_when_an_incident_ends(driver):
    """The mail comes with the next run that succeeds, and only once."""
    driver.ledger.incidents.write(Incident(kind="partial", since=NOON, notified_at=NOON))
    driver.begin(["1"], trigger=Trigger.SCHEDULE)
    driver.accept_all()
    assert (driver.report().topic, driver.run.notify_reason) == ("succeeded", "recovered")
    assert driver.ledger.incidents.read() is None


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("listing", "the lists could not be read"),
        ("nothing_accepted", "the application accepted nothing"),
        ("misconfigured:http_401", "the application answered http_401"),
        ("misconfigured:secret_unreadable", "the secret could not be read"),
        ("hand:olga", "stopped by olga"),
        ("partial", "runs ended as partial"),
    ],
)
def test_the_mail_that_an_incident_is_over_says_in_words_what_it_was(kind, words):
    """The ledger keeps the incident's kind, which is a code."""
    mail = messages.recovered(Incident(kind=kind, since=NOON, notified_at=NOON), NOON + 2 * HOUR)
    assert f"The incident that began 2 h ago ({words}) is over" in mail.message


def test_the_mail_shows_the_first_ids_that_are_not_listed_and_that_there_are_more():
    """A request may name a thousand."""
    run = make_run(status=RunStatus.SUCCEEDED, not_found=["1", "2"], not_found_count=150)
    assert "and were not sent: 150 ('1', '2', ...)" in result_notification(run, Summary(), None).message


def worst_run(**fields):
    """A run whose texts are all as long as they can be."""
    control = "\1" * 512
    error = str(ListingFailed("x" * 10_000))
    return make_run(
        matched=10**9,
        requested_by="x" * 256,
        decision=ApprovalDecision.APPROVED,
        decided_by="x" * 256,
        not_found=[control] * NOT_FOUND_KEPT,
        not_found_count=1000,
        truncated=True,
        truncated_count=10**12,
        list_errors=[error] * (LIST_ERRORS_KEPT + 1),
        error="; ".join([error] * (LIST_ERRORS_KEPT + 1)),
        worse_runs=[WorseRun(run_id="r" * 80, accepted=10**9, relapsed=10**8 + 1)] * 10,
        **fields,
    )


def worst_summary():
    """Sums whose ids and reasons are as long as they can be."""
    summary = Summary()
    outcomes = [
        OutcomeRecord(
            operation="o" * 100,
            primary_id="\1" * 512,
            outcome=outcome,
            reason=f"{number:0100}",
            relapsed=True,
            manual=True,
        )
        for number, outcome in enumerate(list(Outcome) * 20)
    ]
    summary.add(BatchRecord(index=0, outcomes=outcomes, at=NOON))
    return summary


@pytest.mark.parametrize(
    "mail",
    [
        result_notification(worst_run(status=RunStatus.PARTIAL), worst_summary(), "misconfigured:" + "x" * 100),
        messages.listing_failed(worst_run(status=RunStatus.FAILED)),
        messages.approval_request(worst_run(), 60_000),
        messages.recovered(Incident(kind="misconfigured:" + "x" * 100, since=0, notified_at=0), NOON),
    ],
    ids=["result", "listing failed", "approval", "recovered"],
)
def test_sns_accepts_the_longest_mail_that_there_can_be(mail):
    """At most 262,144 bytes; a subject is one line of ASCII with fewer than 100 characters (API Reference, Publish)."""
    assert len(mail.message.encode()) < 262_144 / 2
    assert mail.message.replace("\n", "").isprintable()
    assert len(mail.subject) < 100
    assert mail.subject.isascii()
    assert mail.subject.isprintable()

"""The end of a run: every communication accounted for, the run closed, one notification."""

import pytest

from chalicelib.ledger.claims import Rules
from chalicelib.models import Batch, Communication, Incident, Outcome, Run, RunStatus, Task, TaskResult, Trigger
from chalicelib.runs.record import record_batch
from chalicelib.runs.report import report
from chalicelib.settings import Settings
from tests.fakes import NOON, FakeManifests

HOUR = 3_600_000
RULES = Rules(cool_down=HOUR, honours_key=True, max_attempts=5, retention=24 * HOUR)
SETTINGS = Settings(resource_prefix="comms-test")

PERSON = "ada@personal.example"


def listed(primary_id, operation="send.email"):
    return Communication(operation=operation, primary_id=primary_id, listed_at=NOON, created_by=PERSON)


class Case:
    """A run of these batches, each a list of ids, on the real ledger."""

    def __init__(self, ledger, clock):
        self.ledger, self.clock = ledger, clock

    def begin(self, *batches, trigger=Trigger.REQUEST, skipped=None, **more):
        self.batches = [
            Batch(index=index, communications=[listed(each) for each in ids]) for index, ids in enumerate(batches)
        ]
        matched = sum(map(len, batches)) + sum((skipped or {}).values())
        run = Run(
            run_id="run",
            trigger=trigger,
            requested_by="bob",
            status=RunStatus.RUNNING,
            requested_at=NOON,
            manifest="key",
            batches=len(batches),
            skipped=skipped or {},
            **{"matched": matched} | more,
        )
        assert self.ledger.runs.create(run)
        return self

    def attempt(self, primary_id, answer=None, reason=None):
        [index] = [each.index for each in self.batches if listed(primary_id) in each.communications]
        task = Task(run_id="run", index=index, communication=listed(primary_id), requested_by="bob")
        claim = self.ledger.communications.claim(task, RULES)
        if answer:
            self.ledger.communications.record_answer(claim, answer, reason, RULES)

    def record(self, index, *results):
        record_batch("run", self.batches[index], list(results), self.ledger, SETTINGS)

    def all_accepted(self):
        for each in self.batches:
            for it in each.communications:
                self.attempt(it.primary_id, "accepted")
            self.record(each.index)

    def report(self, failure=None):
        manifests = FakeManifests("key", self.batches)
        return report("run", failure, self.ledger, manifests, SETTINGS)

    @property
    def run(self):
        return self.ledger.runs.read("run")

    def skip(self, primary_id, reason="cool_down"):
        return TaskResult(operation="send.email", primary_id=primary_id, outcome=Outcome.SKIPPED, reason=reason)


@pytest.fixture
def case(ledger, clock):
    return Case(ledger, clock)


def test_when_all_went_through_the_run_has_succeeded(case, clock):
    """Nothing but accepted and skipped: the good news go to the topic for good news."""
    case.begin(["1", "2"], ["3"], skipped={"too_fresh": 4})
    case.all_accepted()
    clock.advance(90_000)
    mail = case.report()
    assert (case.run.status, case.run.counts) == ("succeeded", {"accepted": 3, "skipped": 4})
    assert case.run.ended_at == NOON + 90_000
    assert mail.topic == "succeeded"
    assert mail.subject == "comms-reprocess: 3 of 3 accepted"
    assert "Run run (requested by bob) ended as succeeded after 1.5 min." in mail.message
    assert "7 matched:" in mail.message


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ("ApplicationError", "failed"),
        ("CommunicationRejected", "rejected"),
        ("OutcomeUnknown", "unknown"),
        ("ApplicationUnavailable", "deferred"),
    ],
)
def test_anything_else_makes_it_partial(case, answer, outcome):
    """One communication that did not go through is news for the topic of failures."""
    case.begin(["1", "2"])
    case.attempt("1", "accepted")
    case.attempt("2", answer, "a_code")
    case.record(0)
    mail = case.report()
    assert (case.run.status, case.run.counts) == ("partial", {"accepted": 1, outcome: 1})
    assert (mail.topic, mail.subject) == ("failed", "comms-reprocess: partial, 1 of 2 accepted")
    assert f"{outcome}: a_code" in mail.message


def test_a_halted_run_is_stopped_and_says_why(case):
    """The batches that had not begun are accounted for as well."""
    case.begin(["1"], ["2"], ["3"])
    case.attempt("1", "ApplicationMisconfigured", "http_401")
    case.record(0)
    mail = case.report()
    assert (case.run.status, case.run.counts) == ("stopped", {"deferred": 1, "not_attempted": 2})
    assert mail.topic == "failed"
    assert "refused this service (http_401): check auth.secret" in mail.message


def test_a_stop_by_hand_names_who_stopped_it(case):
    """The mail says that it was a person."""
    case.begin(["1"])
    case.ledger.runs.halt("run", "hand:carol")
    assert "It was stopped by carol." in case.report().message


def test_when_the_run_itself_broke_it_has_failed(case):
    """The mail names AWS's error; what was accepted before stays accepted."""
    case.begin(["1"], ["2"])
    case.attempt("1", "accepted")
    case.record(0)
    mail = case.report("States.ItemReaderFailed")
    assert (case.run.status, case.run.error) == ("failed", "States.ItemReaderFailed")
    assert case.run.counts == {"accepted": 1, "not_attempted": 1}
    assert "The run itself failed: States.ItemReaderFailed." in mail.message


def test_batches_whose_child_died_are_completed(case):
    """From manifest and ledger: answered, died while sending, never claimed."""
    case.begin(["1"], ["2", "3", "4"])
    case.attempt("1", "accepted")
    case.record(0)
    case.attempt("2", "accepted")
    case.attempt("3")
    case.report()
    records = list(case.ledger.runs.batches("run"))
    assert [record.index for record in records] == [0, 1]
    assert [(each.outcome, each.reason) for each in records[1].outcomes] == [
        ("accepted", None),
        ("unknown", "died_while_sending"),
        ("not_attempted", None),
    ]
    assert case.run.counts == {"accepted": 2, "unknown": 1, "not_attempted": 1}


def test_a_rejected_one_of_a_dead_child_still_goes_to_the_worklist(case):
    """Report does what RecordBatch could not."""
    case.begin(["1"])
    case.attempt("1", "CommunicationRejected", "no_such_address")
    mail = case.report()
    state = case.ledger.communications.read([listed("1")])["send.email", "1"]
    assert state.status == "manual"
    assert "1 need a person and are new on the worklist:\n  send.email '1': no_such_address" in mail.message


def test_a_run_whose_children_all_died_was_not_stopped_by_the_breaker(case):
    """It ran to its end; that many children died is no word about the application."""
    case.begin(*([str(number)] for number in range(5)))
    for number in range(5):
        case.attempt(str(number))
    case.report()
    assert (case.run.status, case.run.counts) == ("partial", {"unknown": 5})


def test_a_late_record_is_refused(case):
    """A child that outlives the report does not change what people were mail."""
    case.begin(["1"])
    case.report()
    case.attempt("1", "accepted")
    case.record(0)
    assert case.run.counts == {"not_attempted": 1}
    [record] = case.ledger.runs.batches("run")
    assert record.outcomes[0].outcome == "not_attempted"


def test_a_repeated_report_returns_the_same_notification(case, clock):
    """The state machine may call it again; whoever is told twice is told the same."""
    case.begin(["1"], ["2"], skipped={"manual": 1})
    case.attempt("1", "CommunicationRejected", "no_such_address")
    case.record(0)
    first = case.report()
    run = case.run
    clock.advance(HOUR)
    assert case.report() == first
    assert case.run == run


def test_a_report_killed_before_it_closed_the_run_is_taken_up(case):
    """Some batches are completed already when it is called again."""
    case.begin(["1"], ["2"])
    record_batch("run", case.batches[1], [], case.ledger, SETTINGS, began=False)
    case.report()
    assert case.run.counts == {"not_attempted": 2}


def test_outcomes_that_do_not_add_up_are_said(case):
    """Whatever the reason: a communication that nobody can account for is a failure of the run."""
    case.begin(["1"], matched=3)
    case.all_accepted()
    mail = case.report()
    assert case.run.status == "failed"
    assert "the outcomes do not add up: 1 of 3" in mail.message


@pytest.mark.parametrize("died", [(), (0,), (1, 2), (0, 1, 2)])
def test_matched_is_the_sum_of_the_outcomes_whatever_died(case, died):
    """Every matched communication ends with exactly one outcome."""
    case.begin(["1", "2"], ["3", "4"], ["5"], skipped={"cool_down": 2, "too_fresh": 3})
    case.attempt("1", "accepted")
    case.attempt("2")
    case.attempt("3", "ApplicationError", "http_500")
    for index in {0, 1, 2} - set(died):
        case.record(index, case.skip("4"), case.skip("5", "duplicate"))
    case.report()
    assert sum(case.run.counts.values()) == case.run.matched == 10
    assert case.run.status == "partial"


def test_a_scheduled_run_makes_way_for_the_next(case):
    """Once it is closed it is no longer its turn, and it is no longer among the open ones."""
    case.begin(["1"], trigger=Trigger.SCHEDULE)
    case.ledger.schedule.acquire_lock("run")
    case.all_accepted()
    assert not case.ledger.schedule.acquire_lock("next")
    mail = case.report()
    assert case.ledger.runs.open_runs() == []
    assert case.ledger.schedule.acquire_lock("next")
    assert "Run run (scheduled) ended" in mail.message


# -- the mail


def test_the_subject_is_one_short_line_of_ascii(case):
    """Amazon SNS refuses any other."""
    case.begin([str(number) for number in range(20)], matched=10**37)
    subject = case.report().subject
    assert len(subject) < 100
    assert subject.isascii()
    assert subject.isprintable()


def test_the_mail_holds_no_personal_data(case):
    """Ids and reason codes only: not even the author, whom the ledger does know."""
    case.begin(["1", "2", "3"])
    case.attempt("1", "CommunicationRejected", "no_such_address")
    case.attempt("2", "OutcomeUnknown", "no_answer_in_time")
    case.record(0)
    assert PERSON not in case.report().message


def test_the_mail_names_the_first_of_the_worklist_and_counts_the_rest(case):
    """A mail stays readable when a thousand need a person."""
    ids = [f"id-{number:02d}" for number in range(12)]
    case.begin(ids)
    for each in ids:
        case.attempt(each, "CommunicationRejected", "no_such_address")
    case.record(0)
    message = case.report().message
    assert "12 need a person" in message
    assert "id-09" in message
    assert "id-10" not in message
    assert "... and 2 more" in message


def test_an_id_cannot_forge_lines_of_the_mail(case):
    """Ids are the application's; a line break in one is shown, not made."""
    case.begin(["1\nAll went well."])
    case.attempt("1\nAll went well.", "CommunicationRejected", "no_such_address")
    case.record(0)
    assert "\nAll went well." not in case.report().message


def test_relapses_missing_ids_and_limits_are_mentioned(case, clock):
    """Never a silent cap, and never a silent circle."""
    case.begin(["1"], truncated=True, not_found=["99"], not_found_count=1)
    task = Task(run_id="earlier", index=0, communication=listed("1"), requested_by="bob")
    claim = case.ledger.communications.claim(task, RULES)
    case.ledger.communications.record_answer(claim, "accepted", None, RULES)
    clock.advance(HOUR + 1)
    again = Communication(operation="send.email", primary_id="1", listed_at=clock())
    claim = case.ledger.communications.claim(
        Task(run_id="run", index=0, communication=again, requested_by="bob"), RULES
    )
    case.ledger.communications.record_answer(claim, "accepted", None, RULES)
    case.record(0)
    message = case.report().message
    assert "1 had been accepted before and are listed as failed again." in message
    assert "1 of the requested ids are not listed as failed and were not sent: '99'" in message
    assert "The run reached a limit" in message


# -- the schedule


def test_the_same_incident_of_the_schedule_is_notified_once(case):
    """What people know of is not told again every quarter of an hour; the run is closed all the same."""
    case.ledger.incidents.write(Incident(kind="partial", since=NOON, notified_at=NOON))
    case.begin(["1", "2"], trigger=Trigger.SCHEDULE)
    case.attempt("1", "accepted")
    case.attempt("2", "OutcomeUnknown", "no_answer_in_time")
    case.record(0)
    assert case.report().topic == "nobody"
    assert case.run.status == "partial"


def test_a_repeated_report_of_the_schedule_returns_the_same_mail(case):
    """Though the first has noted already what people know."""
    case.begin(["1"], trigger=Trigger.SCHEDULE)
    first = case.report()
    assert first.topic == "failed"
    assert case.report() == first


def test_the_end_of_an_incident_is_notified(case):
    """The next run that goes through says so, once."""
    case.ledger.incidents.write(Incident(kind="partial", since=NOON, notified_at=NOON))
    case.begin(["1"], trigger=Trigger.SCHEDULE)
    case.all_accepted()
    assert (case.report().topic, case.run.notify_reason) == ("succeeded", "recovered")
    assert case.ledger.incidents.read() is None

"""The proof that a cause is fixed: what counts as failed again, which batch may begin, and how far a run comes."""

import random

import msgspec
import pytest

from chalicelib.api.serializers.runs import run_view
from chalicelib.application.config import Configuration, Reprocess, Source
from chalicelib.ledger import Ledger
from chalicelib.ledger.claims import Rules
from chalicelib.ledger.pace import CANARY, WINDOW_S, Turn
from chalicelib.manifests import ManifestWriter
from chalicelib.models.batches import Batch, Task, TaskResult
from chalicelib.models.communications import CauseKind, Communication
from chalicelib.models.outcomes import Outcome
from chalicelib.models.runs import Proof, Run, RunStatus
from chalicelib.models.selections import Selection
from chalicelib.runs import proof
from chalicelib.runs.causes import Cause
from chalicelib.runs.record import finish_batch, record_batch
from chalicelib.runs.report import report
from chalicelib.runs.turn import TurnRequest, limits_of, take_turn
from chalicelib.settings import Settings
from tests.conftest import RETENTION
from tests.fakes import HOUR, NOON, FakeManifests, InterruptedTable, attempt, make_run

OPERATION = "send.email"
SOURCE = Source(operation=OPERATION, list="https://a.example/emails/failed", cool_down="1h")
CONFIGURATION = Configuration(sources=[SOURCE], reprocess=Reprocess(url="https://a.example/communications"))
RULES = Rules(cool_down=HOUR, honours_key=True, max_attempts=5, retention=24 * HOUR)
SETTINGS = Settings(resource_prefix="comms-test")

TEMPLATE = Proof(cause="0" * 16, kind=CauseKind.REJECTED, reason="no_such_template", sizes=list(CANARY))
REJECTED = ("CommunicationRejected", "no_such_template")
ACCEPTED = ("accepted", None)


# -- what counts as failed again


@pytest.mark.parametrize(
    ("kind", "reason", "outcome", "code", "again"),
    [
        (CauseKind.REJECTED, "no_template", Outcome.REJECTED, "no_template", True),
        (CauseKind.REJECTED, "no_template", Outcome.FAILED, "no_template", True),
        (CauseKind.REJECTED, "no_template", Outcome.REJECTED, "invalid_address", False),
        (CauseKind.FAILED, "http_500", Outcome.UNKNOWN, "no_answer_in_time", False),
        (CauseKind.UNKNOWN, "died_while_sending", Outcome.UNKNOWN, "died_while_sending", True),
        (CauseKind.FAILED, None, Outcome.FAILED, "http_500", True),
        (CauseKind.FAILED, None, Outcome.REJECTED, "http_422", False),
        (CauseKind.FAILED, "http_500", Outcome.DEFERRED, "http_500", False),
        *[
            (kind, "smtp_timeout", outcome, "http_500", True)
            for kind in (CauseKind.UNTRIED, CauseKind.EXPIRED, CauseKind.RELAPSED, CauseKind.DEFERRED)
            for outcome in (Outcome.FAILED, Outcome.REJECTED, Outcome.UNKNOWN)
        ],
        *[
            (kind, "smtp_timeout", outcome, "smtp_timeout", False)
            for kind in (CauseKind.UNTRIED, CauseKind.FAILED)
            for outcome in (Outcome.ACCEPTED, Outcome.DEFERRED, Outcome.SKIPPED, Outcome.NOT_ATTEMPTED)
        ],
    ],
)
def test_what_fails_again_has_the_same_code_or_was_sent_in_vain(kind, reason, outcome, code, again):
    """A cause that is no answer to a POST has no code that an answer could repeat. What was not sent proves nothing."""
    assert proof.is_same_cause(Proof(cause="0" * 16, kind=kind, reason=reason), outcome, code) is again


def test_a_proof_is_about_the_cause_of_the_first_communication():
    """Its first batches are no larger than any other."""
    cause = Cause(operation=OPERATION, kind=CauseKind.FAILED, reason="http_500")
    assert proof.proof_of(Selection(cause=cause.id, prove=True), cause, 10) == Proof(
        cause=cause.id, kind=CauseKind.FAILED, reason="http_500", sizes=[1, 5, 10]
    )
    assert proof.proof_of(Selection(cause=cause.id), cause, 10) is None


def test_without_a_known_cause_whatever_fails_counts():
    """A run that is to prove something never goes on unproved."""
    unknown = proof.proof_of(Selection(cause="0" * 16, prove=True), None, 20)
    assert proof.is_same_cause(unknown, Outcome.FAILED, "http_500")


# -- how far it has come


@pytest.mark.parametrize(
    ("counts", "stage"),
    [
        ({}, 1),
        ({"accepted": 1}, 1),
        ({"accepted": 2}, 5),
        ({"accepted": 3, "rejected": 3, "not_attempted": 994}, 5),
        ({"accepted": 6, "skipped": 20}, 20),
        ({"accepted": 27}, "all"),
    ],
)
def test_the_stage_is_the_size_of_the_batch_that_the_last_one_was_in(counts, stage):
    """What was not attempted is not a part of it, and neither is what the collector has skipped."""
    counts |= {"skipped": counts.get("skipped", 0) + 50}
    run = make_run(proof=TEMPLATE, counts=counts, skipped={"cool_down": 50}, status=RunStatus.STOPPED)
    assert proof.state_of(run).stage == stage


def test_a_run_under_way_shows_how_far_its_proof_has_come(ledger):
    """The counters of its batches say so before it has ended."""
    ledger.runs.create(make_run(proof=TEMPLATE, skipped={"cool_down": 7}))
    ledger.runs.add_progress("run", {"accepted": 1}, [])
    ledger.runs.add_progress("run", {"accepted": 2, "rejected": 3}, [], failed_again=3)
    view = run_view(ledger.runs.read("run"))
    assert msgspec.to_builtins(view.proof) == {
        "cause": "0" * 16,
        "stage": 5,
        "sent": 6,
        "failedAgain": 3,
        "stopped": True,
    }


def test_any_other_run_proves_nothing():
    """Neither does one of an earlier version."""
    assert run_view(make_run()).proof is None


# -- a run, child by child


class RunDriver:
    """A run that proves a fix, on the real ledger: its children ask, send and record when the test says so."""

    def __init__(self, table, clock):
        self.table = InterruptedTable(table)
        self.ledger = Ledger(self.table, clock, RETENTION)
        # The application has answered just now, so the pace lets everything begin at once.
        self.ledger.pacing.change(lambda pace, _: (None, msgspec.structs.replace(pace, heard_at=NOON, rate=10**7)))

    def begin(self, number):
        """Create the run of so many communications, in batches as the collector makes them."""
        listed = [Communication(operation=OPERATION, primary_id=str(each), listed_at=NOON) for each in range(number)]
        with ManifestWriter(20, CANARY) as manifest:
            for each in listed:
                manifest.add(each)
            manifest.finish()
            self.batches = msgspec.json.decode(manifest.file.read(), type=list[Batch])
        fields = {"manifest": "key", "batches": len(self.batches), "matched": number, "proof": TEMPLATE}
        assert self.ledger.runs.create(make_run(**fields))
        self.ledger.runs.begin_proof("run", TEMPLATE)

    def ask(self, index, second=0, turn=None):
        """Ask for a batch's turn, so many seconds after noon."""
        entered_at = f"2026-11-20T12:{second // 60:02d}:{second % 60:02d}Z"
        size = len(self.batches[index].communications)
        request = TurnRequest(run_id="run", index=index, size=size, entered_at=entered_at, turn=turn or Turn())
        return take_turn(request, self.ledger, CONFIGURATION, lambda _: None)

    def send(self, index, *answers):
        """Let the application answer a batch: one of the answers for each communication, the last for all others."""
        given = iter(answers)
        answer = answers[-1]
        for communication in self.batches[index].communications:
            answer = next(given, answer)
            task = Task(run_id="run", index=index, communication=communication, requested_by="bob")
            attempt(self.ledger.communications, task, answer[0], RULES, answer[1])

    def record(self, index, turn, results=()):
        """Record a batch, as its child does in the end."""
        limits, began = limits_of(CONFIGURATION), not turn.halted
        batch = self.batches[index]
        finish_batch("run", batch, list(results), turn, self.ledger, limits, SETTINGS, began=began)

    def carry_out(self, index, *answers):
        """Carry out a batch from its turn to its record."""
        turn = self.ask(index)
        assert turn.ask_after is None
        if not turn.halted:
            self.send(index, *answers)
        self.record(index, turn)

    def report(self):
        return report("run", None, self.ledger, FakeManifests({"key": self.batches}), SETTINGS)

    @property
    def run(self) -> Run:
        return self.ledger.runs.read("run")

    @property
    def halt_reason(self):
        return self.ledger.runs.halt_reason("run")

    @property
    def switch(self):
        return self.ledger.runs.read_switch("run")


@pytest.fixture
def driver(table, clock):
    return RunDriver(table, clock)


def test_until_the_fix_is_proved_each_batch_waits_for_the_one_before_it(driver):
    """However many children there are at once. What waits takes no time of the pace."""
    driver.begin(1_000)
    for index in range(3):
        reserved = driver.ledger.pacing.read()
        waiting = [driver.ask(each) for each in range(index + 1, 6)]
        assert {(turn.ask_after, tuple(turn.waits)) for turn in waiting} == {(2, ())}
        assert driver.ledger.pacing.read() == reserved
        driver.carry_out(index, ACCEPTED)
    assert all(driver.ask(index).waits for index in range(3, 52))


def test_a_run_that_proves_nothing_does_not_wait(driver):
    """Only the pace does."""
    driver.begin(40)
    driver.ledger.runs.create(make_run("other"))
    request = TurnRequest(run_id="other", index=3, size=20, entered_at="2026-11-20T12:00:00Z")
    turn = take_turn(request, driver.ledger, CONFIGURATION, lambda _: None)
    assert (turn.ask_after, turn.proof) == (None, None)


def test_a_fix_that_holds_sends_everything_and_says_so(driver):
    """And the run shows how far it came."""
    driver.begin(30)
    for index in range(len(driver.batches)):
        driver.carry_out(index, ACCEPTED)
    mail = driver.report()
    assert (driver.run.status, driver.run.counts) == ("succeeded", {"accepted": 30})
    assert mail.subject == "comms-reprocess: 30 of 30 accepted"
    assert "The fix holds: all 30 accepted." in mail.message
    assert proof.state_of(driver.run) == proof.ProofState(
        cause=TEMPLATE.cause, stage="all", sent=30, failed_again=0, stopped=False
    )


def test_an_application_that_fails_every_second_one_gets_six_of_a_thousand(driver):
    """The one succeeds by chance, the five do not: nothing else is sent, and the mail says how far it came."""
    driver.begin(1_000)
    driver.carry_out(0, ACCEPTED)
    driver.carry_out(1, REJECTED, ACCEPTED, REJECTED, ACCEPTED, REJECTED)
    assert driver.halt_reason == "unproven:no_such_template"
    for index in range(2, len(driver.batches)):
        driver.carry_out(index, REJECTED)
    mail = driver.report()
    assert (driver.run.status, driver.run.counts) == (
        "stopped",
        {"accepted": 3, "rejected": 3, "not_attempted": 994},
    )
    assert driver.run.failed_again == 3
    assert mail.topic == "failed"
    assert mail.subject == ("comms-reprocess: stopped: not fixed yet, 3 of 6 failed again, 3 new on the worklist")
    assert "3 of the 6 that it sent failed again (no_such_template). It sent nothing else." in mail.message
    assert "The fix holds" not in mail.message
    assert proof.state_of(driver.run).stage == 5


def test_what_fails_for_another_cause_does_not_stop_the_proof(driver):
    """It is no news about the fix, and the mail says that as well."""
    driver.begin(20)
    driver.carry_out(0, ACCEPTED)
    driver.carry_out(1, ("CommunicationRejected", "invalid_address"), ACCEPTED)
    driver.carry_out(2, ACCEPTED)
    mail = driver.report()
    assert (driver.run.status, driver.run.failed_again) == ("partial", 0)
    assert "None of the 20 that were sent failed again for the same cause." in mail.message


def test_what_fails_again_after_the_first_batches_stops_the_run_as_well(driver):
    """What is in flight then is finished."""
    driver.begin(100)
    for index in range(3):
        driver.carry_out(index, ACCEPTED)
    in_flight = driver.ask(4)
    driver.carry_out(3, REJECTED, ACCEPTED)
    driver.send(4, ACCEPTED)
    driver.record(4, in_flight)
    driver.carry_out(5, ACCEPTED)
    mail = driver.report()
    assert driver.run.counts == {"accepted": 65, "rejected": 1, "not_attempted": 34}
    assert mail.subject.startswith("comms-reprocess: stopped: not fixed yet, 1 of 66 failed again")
    assert proof.state_of(driver.run).stage == "all"


def test_a_batch_of_which_nothing_was_sent_proves_nothing(driver):
    """Otherwise a run whose first 26 have expired would send all others at once. It goes on, batch by batch."""
    driver.begin(200)
    for index in range(3):
        turn = driver.ask(index)
        skipped = [
            TaskResult(operation=OPERATION, primary_id=each.primary_id, outcome=Outcome.SKIPPED, reason="cool_down")
            for each in driver.batches[index].communications
        ]
        driver.record(index, turn, skipped)
    assert driver.ask(4).ask_after
    driver.carry_out(3, ACCEPTED)
    driver.carry_out(4, ACCEPTED)
    assert driver.ask(6).ask_after
    driver.carry_out(5, ACCEPTED)
    assert driver.ask(10).ask_after is None


def test_a_child_that_died_lets_nothing_else_begin_and_the_run_ends_within_a_minute(driver):
    """Nobody knows what came of its communications; the report finds out, and says that some failed again."""
    driver.begin(100)
    driver.carry_out(0, ACCEPTED)
    driver.ask(1)
    driver.send(1, REJECTED)
    waiting = driver.ask(2)
    assert driver.ask(2, WINDOW_S - 2, waiting).ask_after
    assert driver.ask(2, WINDOW_S, waiting).halted == "unproven"
    assert driver.ask(3).halted == "unproven"
    mail = driver.report()
    assert driver.run.counts == {"accepted": 1, "rejected": 5, "not_attempted": 94}
    assert (driver.run.status, driver.run.failed_again) == ("stopped", 5)
    assert mail.subject.startswith("comms-reprocess: stopped: nothing proved for a minute, 5 of 6 failed again")


def test_a_proof_that_takes_too_long_says_so(driver):
    """Nothing has failed again, but nothing more is known either."""
    driver.begin(100)
    driver.carry_out(0, ACCEPTED)
    waiting = driver.ask(2)
    driver.record(2, driver.ask(2, WINDOW_S, waiting))
    mail = driver.report()
    assert driver.run.counts == {"accepted": 1, "not_attempted": 99}
    assert mail.subject == "comms-reprocess: stopped: nothing proved for a minute, 1 of 100 accepted"
    assert "It was stopped because it proved nothing for a minute: it sent 1" in mail.message


def test_a_run_that_somebody_stops_says_who_did(driver):
    """A proof has no other reason then."""
    driver.begin(100)
    driver.carry_out(0, ACCEPTED)
    driver.ledger.runs.halt("run", "hand:olga")
    assert driver.ask(1).halted == "hand:olga"
    mail = driver.report()
    assert mail.subject == "comms-reprocess: stopped by a person, 1 of 100 accepted"
    assert "None of the 1 that were sent failed again" in mail.message


def test_a_misconfigured_application_is_named_as_such(driver):
    """A redirect is no answer about the cause, whatever was to be fixed."""
    driver.begin(100)
    driver.ledger.runs.begin_proof("run", msgspec.structs.replace(TEMPLATE, kind=CauseKind.UNTRIED))
    driver.carry_out(0, ("UnexpectedRedirect", "http_303"))
    assert driver.halt_reason == "misconfigured:http_303"


@pytest.mark.parametrize("answers", [[ACCEPTED], [REJECTED, ACCEPTED]])
@pytest.mark.parametrize("update", [1, 2, 3])
def test_a_record_that_dies_between_two_writes_opens_no_batch_too_early_and_can_be_repeated(driver, answers, update):
    """Whatever fails again halts the run before the next batch may begin."""
    driver.begin(100)
    driver.carry_out(0, ACCEPTED)
    turn = driver.ask(1)
    driver.send(1, *answers)

    def die():
        raise ConnectionError

    driver.table.before_update(update, die)
    with pytest.raises(ConnectionError):
        record_batch("run", driver.batches[1], [], driver.ledger, SETTINGS, proof=turn.proof)
    if REJECTED in answers:
        assert not driver.ask(2).waits
    record_batch("run", driver.batches[1], [], driver.ledger, SETTINGS, proof=turn.proof)
    expected = "unproven:no_such_template" if REJECTED in answers else None
    assert driver.halt_reason == driver.ask(2).halted == expected


def test_a_repeated_record_counts_no_batch_twice(driver):
    """Three batches have to prove the fix, not one of them three times."""
    driver.begin(100)
    driver.carry_out(0, ACCEPTED)
    for _ in range(3):
        driver.record(0, driver.ask(0))
    assert driver.switch.proved == {0}
    assert driver.ask(2).ask_after


def test_once_the_fix_is_proved_its_switch_does_not_grow(driver):
    """A run may have fifty thousand batches, and an item at most 400 KB (Amazon DynamoDB Developer Guide)."""
    driver.begin(50)
    for index in range(len(driver.batches)):
        driver.carry_out(index, ACCEPTED)
    assert driver.switch.recorded == driver.switch.proved == {0, 1, 2}


def test_the_proof_begins_once_however_often_it_is_collected(driver):
    """A collector that is late does not forget what has been proved since."""
    driver.begin(100)
    driver.carry_out(0, ACCEPTED)
    driver.ledger.runs.begin_proof("run", TEMPLATE)
    assert driver.switch.proved == {0}


class Children:
    """The children of a run in no particular order: any may be delivered twice, and the given ones die unrecorded."""

    def __init__(self, driver, chance, at_once, *, dying=()):
        self.driver, self.chance, self.at_once, self.dying = driver, chance, at_once, dying
        self.waiting = [index for index in range(len(driver.batches)) for _ in range(1 + (chance.random() < 0.3))]
        self.sent = set()

    def run(self, answer):
        """Let all children take turns until each has ended; `answer` says what the application does with an id."""
        active, second = [], 0
        while active or self.waiting:
            while self.waiting and len(active) < self.at_once:
                active.append((self.waiting.pop(0), second, Turn()))
            second += 1
            child = active.pop(self.chance.randrange(len(active)))
            again = self.step(*child, second, answer)
            active += [again] if again else []

    def step(self, index, began, turn, second, answer):
        """Let a child ask, and carry out what it is told; return it if it has to ask again."""
        told = self.driver.ask(index, second, turn)
        if told.ask_after:
            return index, began, told
        if not told.halted and index not in self.sent:
            self.sent.add(index)
            ids = [each.primary_id for each in self.driver.batches[index].communications]
            self.driver.send(index, *map(answer, ids))
        if index not in self.dying:
            self.driver.record(index, told)
        return None


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("at_once", [1, 4])
def test_children_at_once_twice_and_in_any_order_send_at_most_six_in_vain(driver, seed, at_once):
    """Whichever of them comes first, and whichever is repeated."""
    driver.begin(150)
    children = Children(driver, random.Random(seed), at_once)
    children.run(lambda primary_id: REJECTED if int(primary_id) % 2 else ACCEPTED)
    assert children.sent <= {0, 1}
    driver.report()
    assert driver.run.counts["not_attempted"] >= 144
    assert driver.run.failed_again == 3


@pytest.mark.parametrize("died", [0, 1, 2])
def test_whichever_child_dies_nothing_is_sent_after_it(driver, died):
    """Its batch may have failed again, and nobody has seen it."""
    driver.begin(150)
    children = Children(driver, random.Random(died), 4, dying=(died,))
    children.run(lambda _: ACCEPTED)
    assert children.sent == set(range(died + 1))
    driver.report()
    assert driver.run.status == RunStatus.STOPPED


def test_the_answer_of_an_earlier_version_to_a_batch_has_no_proof():
    """What its children pass on is read as before."""
    old = {"since": "", "after": 0, "waits": [0], "epoch": 0, "limited": False}
    assert msgspec.convert(old, Turn).proof is None


@pytest.mark.parametrize("kind", [CauseKind.UNTRIED, CauseKind.RELAPSED, CauseKind.EXPIRED])
def test_of_what_failed_after_it_was_accepted_the_mail_promises_no_more_than_it_knows(driver, kind):
    """Only the application's list shows whether the communications arrive."""
    driver.begin(6)
    driver.ledger.runs.change(driver.run, proof=msgspec.to_builtins(msgspec.structs.replace(TEMPLATE, kind=kind)))
    for index in range(2):
        driver.carry_out(index, ACCEPTED)
    assert "The fix holds so far: all 6 accepted. Whether they arrive now" in driver.report().message


def test_an_answer_without_a_code_halts_the_run_under_its_kind(driver):
    """A halted run always says why."""
    driver.begin(6)
    without_code = msgspec.structs.replace(TEMPLATE, kind=CauseKind.FAILED, reason=None)
    driver.ledger.runs.begin_proof("run", without_code)
    driver.carry_out(0, ("ApplicationError", None))
    assert driver.halt_reason == "unproven:failed"

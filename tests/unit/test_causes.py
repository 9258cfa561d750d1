"""Causes: why a listed communication is failing, from what the ledger and the list know about it."""

import pytest

from chalicelib.application.reason_codes import as_code
from chalicelib.errors import (
    ApplicationError,
    ApplicationOverloaded,
    CommunicationRejected,
    OutcomeUnknown,
)
from chalicelib.ledger.claims import ACCEPTED, Rules, State
from chalicelib.ledger.communications import Communications
from chalicelib.models.batches import Task
from chalicelib.models.communications import CauseKind, Communication, CommunicationStatus
from chalicelib.runs.causes import Cause, cause_of, cause_on_worklist
from tests.fakes import HOUR, NOON

RULES = Rules(cool_down=HOUR, honours_key=True, max_attempts=3, retention=24 * HOUR)


def listed(at=NOON, failure_reason="smtp_timeout"):
    return Communication(operation="send.email", primary_id="7", listed_at=at, failure_reason=failure_reason)


def cause(kind, reason=None):
    return Cause(operation="send.email", kind=kind, reason=reason)


@pytest.fixture
def tried(communications: Communications, clock):
    """Send the communication with an answer, and return its state."""

    def send(answer=None, reason=None):
        task = Task(
            run_id="later" if clock() > NOON else "run", index=0, communication=listed(clock()), requested_by="somebody"
        )
        claim = communications.claim(task, RULES)
        assert isinstance(claim, State)
        if answer:
            communications.record_answer(claim, answer, reason, RULES)
        return communications.read([listed()])["send.email", "7"]

    return send


def test_what_nobody_has_tried_has_the_code_of_the_list():
    assert cause_of(listed(), None) == cause(CauseKind.UNTRIED, "smtp_timeout")
    assert cause_of(listed(failure_reason=None), None) == cause(CauseKind.UNTRIED)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ApplicationError, CauseKind.FAILED),
        (CommunicationRejected, CauseKind.REJECTED),
        (OutcomeUnknown, CauseKind.UNKNOWN),
        (ApplicationOverloaded, CauseKind.DEFERRED),
    ],
)
def test_the_last_answer_says_more_than_the_list(tried, error, kind):
    state = tried(error.__name__, "http_999")
    assert cause_of(listed(NOON + 1), state) == cause(kind, "http_999")


def test_what_was_accepted_is_no_cause_until_its_cool_down_is_over(tried):
    state = tried(ACCEPTED)
    assert cause_of(listed(state.until), state) is None
    assert cause_of(listed(state.until + 1), state) == cause(CauseKind.RELAPSED, "smtp_timeout")


def test_what_died_while_sending_is_unknown_once_it_cannot_arrive_any_more(tried):
    state = tried()
    assert cause_of(listed(state.until), state) is None
    assert cause_of(listed(state.until + 1), state) == cause(CauseKind.UNKNOWN, "died_while_sending")


def test_unavailable_after_a_relapse_is_deferred(tried, clock):
    accepted = tried(ACCEPTED)
    clock.now = accepted.until + 1
    state = tried(ApplicationOverloaded.__name__, "http_429")
    assert state.status == CommunicationStatus.ACCEPTED
    assert cause_of(listed(clock()), state) == cause(CauseKind.DEFERRED, "http_429")


@pytest.mark.parametrize(
    ("reason", "kind", "code"),
    [
        ("expired", CauseKind.EXPIRED, "smtp_timeout"),
        ("relapsed", CauseKind.RELAPSED, "smtp_timeout"),
        ("attempts_used_up", CauseKind.UNTRIED, "smtp_timeout"),
    ],
)
def test_on_the_worklist_the_code_of_the_list_is_kept(communications, reason, kind, code):
    """The worklist has the same cause for it as a scan, although it does not know the list."""
    assert communications.move_to_worklist(listed(), "run#0", reason)
    state = communications.read([listed()])["send.email", "7"]
    assert cause_on_worklist(state) == cause_of(listed(failure_reason="another"), state) == cause(kind, code)


def test_a_code_that_the_list_gives_since_then_is_another_cause_nowhere(communications):
    """An earlier version has not kept it, or the source had no `failure_reason`. Otherwise `GET /causes` would name a
    cause that nothing on the worklist has.
    """
    assert communications.move_to_worklist(listed(failure_reason=None), "run#0", "expired")
    state = communications.read([listed()])["send.email", "7"]
    assert cause_of(listed(), state) == cause_on_worklist(state) == cause(CauseKind.EXPIRED)


@pytest.mark.parametrize(
    ("answers", "kind", "code"),
    [
        ([OutcomeUnknown, ApplicationOverloaded], CauseKind.UNKNOWN, "http_429"),
        ([OutcomeUnknown, ApplicationError], CauseKind.FAILED, "http_500"),
        ([None], CauseKind.UNKNOWN, "died_while_sending"),
    ],
)
def test_a_doubt_stays_one_on_the_worklist(communications, clock, tried, answers, kind, code):
    """The cause is what the run has reported, before and after it was handed over."""
    for answer in answers:
        reason = "http_429" if answer is ApplicationOverloaded else "http_500"
        state = tried(answer.__name__ if answer else None, reason)
    later = listed(state.until + HOUR + 1)
    assert cause_of(later, state) == cause(kind, code)
    clock.now = later.listed_at
    assert communications.move_to_worklist(later, "later#0", "attempts_used_up")
    state = communications.read([listed()])["send.email", "7"]
    assert cause_of(later, state) == cause_on_worklist(state) == cause(kind, code)


def test_a_rejected_one_keeps_its_code_on_the_worklist(communications, tried):
    tried(CommunicationRejected.__name__, "invalid_address")
    assert communications.move_to_worklist(listed(NOON + 1), "run#0", "invalid_address")
    state = communications.read([listed()])["send.email", "7"]
    assert cause_on_worklist(state) == cause(CauseKind.REJECTED, "invalid_address")


def test_what_somebody_dismissed_or_retried_is_no_cause_of_the_worklist(ledger, clock):
    def state():
        return ledger.communications.read([listed()])["send.email", "7"]

    ledger.communications.move_to_worklist(listed(), "run#0", "expired")
    assert ledger.worklist.dismiss("send.email", "7", "olga", "too late") is None
    assert cause_of(listed(), state()) is None
    assert cause_on_worklist(state()) is None
    ledger.worklist.restore("send.email", "7", "olga")
    clock.advance(1)
    assert ledger.worklist.retry("send.email", "7", "olga", HOUR) is None
    assert cause_of(listed(failure_reason=None), state()) == cause(CauseKind.UNTRIED)
    assert cause_on_worklist(state()) is None


def test_an_id_is_stable_and_differs_in_each_part():
    ids = {
        Cause(operation=operation, kind=kind, reason=reason).id
        for operation in ("send.email", "send.sms")
        for kind in (CauseKind.FAILED, CauseKind.UNTRIED)
        for reason in (None, "none", "http_500")
    }
    assert len(ids) == 12
    assert cause(CauseKind.FAILED, "http_500").id == "1d81d3119c8e0049"


@pytest.mark.parametrize("code", ["smtp_timeout", "E.5:x-1", "a" * 100])
def test_a_code_is_kept(code):
    assert as_code(code) == code


@pytest.mark.parametrize(
    "found",
    [None, "", True, 550, [], {}, "Mailbox of jane@example.com is full", "a" * 101, "550", "a\n", "é"],
)
def test_what_may_be_personal_is_no_code(found):
    assert as_code(found) is None

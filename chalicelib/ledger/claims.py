"""The rules of a claim, without the table: what stands in the ledger for a communication, and what may follow.

A claim is pessimistic: it is written before the POST and assumes that the POST will reach the application. The
answer then relaxes what the claim assumed. See docs/design.md, "Never twice, never lost".
"""

from typing import Any

import msgspec

from chalicelib.errors import (
    REPROCESS_ERRORS,
    ApplicationError,
    ApplicationMisconfigured,
    ApplicationUnavailable,
    CommunicationRejected,
    OutcomeUnknown,
)
from chalicelib.models import Record

ACCEPTED = "accepted"

# How many history entries a communication keeps.
HISTORY = 20

# A person's word, or a communication waiting for one: nobody may send it.
_RULED = ("manual", "dismissed")

# Answers after which the application has surely not processed the POST.
_NOT_PROCESSED = (ApplicationUnavailable.__name__, ApplicationMisconfigured.__name__)
# Answers that leave it open, so that only an application that honours keys may be asked again.
_PERHAPS_PROCESSED = (ApplicationError.__name__, OutcomeUnknown.__name__)


class Rules(Record, frozen=True):
    """What the claim needs to know of a source and of the application. Durations in milliseconds."""

    cool_down: int
    honours_key: bool
    max_attempts: int
    retention: int


class Entry(Record, frozen=True):
    """One line of a communication's history: which owner tried, when, and the answer (`sending` until there is one)."""

    owner: str
    at: int
    answer: str
    reason: str | None = None


class State(Record, frozen=True):
    """What the ledger holds of a communication. Times in milliseconds since 1970.

    `until` is the end of the cool-down; `key`, `created` and `created_by` are those of the POST while its outcome is
    in doubt; `previous_until` and `attempts_before` are what an answer "surely not processed" brings back.
    `retried_at` is when a person last put it back into the pool.
    """

    operation: str
    primary_id: str
    status: str = "open"
    attempts: int = 0
    owner: str = ""
    claim_id: str = ""
    until: int = 0
    key: str | None = None
    created: str | None = None
    created_by: str | None = None
    answer: str | None = None
    reason: str | None = None
    in_doubt: bool = False
    previous_until: int = 0
    attempts_before: int = 0
    previous_status: str = "open"
    history: list[Entry] = []
    manual_by: str | None = None
    manual_reason: str | None = None
    manual_since: int | None = None
    retried_at: int | None = None

    @property
    def relapsed(self) -> bool:
        """Whether the last claim found it accepted before: the application took it and lists it as failed again."""
        return self.previous_status == ACCEPTED

    def entry_of(self, owner: str) -> Entry | None:
        """Return the history entry of an owner, or None if that one never claimed it (or too long ago)."""
        return next((entry for entry in reversed(self.history) if entry.owner == owner), None)


class Decided(Record, frozen=True):
    """No POST: what this owner's earlier try has settled already."""

    outcome: str
    reason: str | None = None


class Refused(Record, frozen=True):
    """No POST: somebody else's claim, or a person's word, stands against it."""

    reason: str


def outcome_of(answer: str) -> str:
    """Return the outcome that an answer, `accepted` or the name of an error, stands for at the end of a run."""
    return REPROCESS_ERRORS[answer].outcome if answer in REPROCESS_ERRORS else answer


def standing_against(state: State, listed_at: int, max_attempts: int) -> str | None:
    """Return the reason why a communication must be left alone, or None if a claim may succeed."""
    if state.status in _RULED:
        return state.status
    if state.until >= listed_at:
        return "in_flight" if state.status == "sending" else "cool_down"
    if state.attempts >= max_attempts:
        return "relapsed" if state.status == ACCEPTED else "attempts_used_up"
    return None


def repetition(state: State, rules: Rules) -> Decided | Refused | None:
    """Return what an owner that claims again has settled already, or None if it may POST again with the same key."""
    answer = state.answer or OutcomeUnknown.__name__
    if answer in _NOT_PROCESSED or (answer in _PERHAPS_PROCESSED and rules.honours_key):
        # AWS may deliver a task again long after its batch was recorded, and handed over to a person.
        return Refused(reason=state.status) if state.status in _RULED else None
    return Decided(outcome=outcome_of(answer), reason=state.reason)


def claimed_again(state: State, claim_id: str, now: int, rules: Rules) -> dict[str, Any]:
    """Return the attributes that change when the same owner claims again.

    Without an answer the first POST may still be on its way, so what it assumed becomes what an answer "surely not
    processed" to this one falls back to: a later "unavailable" does not end the doubt.
    """
    pending = state.status == "sending"
    return {
        "status": "sending",
        "claimId": claim_id,
        "attempts": state.attempts_before + 1,
        "until": now + rules.cool_down,
        "previousUntil": state.until if pending else state.previous_until,
        "inDoubt": state.in_doubt or pending,
        "answer": None,
        "reason": None,
    }


def answered(state: State, answer: str, reason: str | None, now: int, rules: Rules) -> dict[str, Any]:
    """Return the attributes that change when the answer to a claim's POST is known (None: the attribute goes)."""
    # What the history tells of this owner's tries together: "unavailable" after an unknown one is still unknown.
    sum_up = OutcomeUnknown.__name__ if state.in_doubt and answer in _NOT_PROCESSED else answer
    last = Entry(owner=state.owner, at=now, answer=sum_up, reason=reason)
    history = [*state.history[:-1], last][-HISTORY:]
    return {
        "answer": answer,
        "reason": reason,
        "history": msgspec.to_builtins(history),
        **_relaxed(state, answer, now, rules),
    }


def _relaxed(state: State, answer: str, now: int, rules: Rules) -> dict[str, Any]:
    """Return what an answer relaxes of the assumptions that the claim made."""
    if answer == ACCEPTED:
        return {"status": ACCEPTED, "until": now + rules.cool_down, "inDoubt": False, **_KEY_ENDS}
    if answer == CommunicationRejected.__name__:
        return {"status": "open", "inDoubt": False, **_KEY_ENDS}
    if answer in _NOT_PROCESSED and not state.in_doubt:
        return {"status": _before(state), "until": state.previous_until, "attempts": state.attempts_before}
    doubtful = {"status": "unknown" if state.in_doubt or answer == OutcomeUnknown.__name__ else "open"}
    if answer in _NOT_PROCESSED:
        return {**doubtful, "until": state.previous_until}
    if answer == ApplicationError.__name__ and rules.honours_key:
        return {**doubtful, "until": state.previous_until, "inDoubt": True}
    until = now + rules.cool_down
    return {**doubtful, "until": until, "previousUntil": until, "inDoubt": True}


def _before(state: State) -> str:
    """Return the status to which a claim that came to nothing goes back; of an owner that died, all is in doubt."""
    return "unknown" if state.previous_status == "sending" else state.previous_status


_KEY_ENDS = {"key": None, "created": None, "createdBy": None}

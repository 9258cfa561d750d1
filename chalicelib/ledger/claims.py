"""The rules of a claim, without the table: what the ledger says about a communication, and what may follow.

A claim is pessimistic: it is written before the POST and assumes that the POST will reach the application. The answer
then relaxes what the claim assumed. See docs/design.md, "Never twice, never lost".
"""

from typing import Any

import msgspec

from chalicelib.errors import (
    REPROCESS_ERRORS,
    ApplicationError,
    ApplicationMisconfigured,
    ApplicationOverloaded,
    ApplicationUnavailable,
    CommunicationRejected,
    OutcomeUnknown,
    UnexpectedRedirect,
)
from chalicelib.models.base import Record
from chalicelib.models.communications import CommunicationStatus, SkipReason
from chalicelib.models.outcomes import Outcome

# What an answer is called in the ledger: `accepted`, the name of a ReprocessError, or `sending` until it arrives.
ACCEPTED = Outcome.ACCEPTED.value
SENDING = CommunicationStatus.SENDING.value

# How many history entries a communication keeps.
HISTORY = 20

# Statuses that only people change: no run may send these.
_FOR_PEOPLE = (CommunicationStatus.MANUAL, CommunicationStatus.DISMISSED)

# Answers after which the application has certainly not processed the POST.
_NOT_PROCESSED = (
    ApplicationUnavailable.__name__,
    ApplicationOverloaded.__name__,
    ApplicationMisconfigured.__name__,
)
# Answers that leave it open, so that only an application that honours keys may be sent it again.
_PERHAPS_PROCESSED = (ApplicationError.__name__, OutcomeUnknown.__name__)
_IN_DOUBT = (SENDING, UnexpectedRedirect.__name__, *_PERHAPS_PROCESSED)


class Rules(Record, frozen=True):
    """What a claim has to know about the source and the application. Durations in milliseconds."""

    cool_down: int
    honours_key: bool
    max_attempts: int
    retention: int


class HistoryEntry(Record, frozen=True):
    """One line of a communication's history: which owner tried it, when, and the answer (`sending`: none yet)."""

    owner: str
    at: int
    answer: str
    reason: str | None = None


class State(Record, frozen=True):
    """What the ledger knows about a communication. Times in milliseconds since 1970.

    `until` is the end of the cool-down. `key`, `created` and `created_by` are those of the POST for as long as its
    outcome is in doubt. `in_doubt` is about the tries of its owner; `doubt_until` is until when a POST with that key,
    whoever owned it, may still be processed. `previous_until`, `previous_status` and `attempts_before` are what an
    answer "certainly not processed" restores. `retried_at` is when somebody last retried it. `failure_reason` is the
    code that the list gave when it went to the worklist. `relapse_counted` is the owner of the last try whose relapse
    its run has counted: those before it are counted too.
    """

    operation: str
    primary_id: str
    status: CommunicationStatus = CommunicationStatus.OPEN
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
    doubt_until: int = 0
    previous_until: int = 0
    attempts_before: int = 0
    previous_status: CommunicationStatus = CommunicationStatus.OPEN
    history: list[HistoryEntry] = []
    manual_by: str | None = None
    manual_reason: str | None = None
    manual_since: int | None = None
    retried_at: int | None = None
    failure_reason: str | None = None
    relapse_counted: str | None = None

    @property
    def relapsed(self) -> bool:
        """Whether the last claim found it accepted: the application took it, and lists it as failed again."""
        return self.previous_status == CommunicationStatus.ACCEPTED

    def entry_of(self, owner: str) -> HistoryEntry | None:
        """Return what an owner's tries add up to, or None if that owner never claimed it, or too long ago.

        An owner has a second entry if another one tried in between.
        """
        entries = [entry for entry in self.history if entry.owner == owner]
        if not entries:
            return None
        last, doubtful = entries[-1], any(entry.answer in _IN_DOUBT for entry in entries)
        return msgspec.structs.replace(last, answer=_summed_up(last.answer, in_doubt=doubtful))


class AlreadySettled(Record, frozen=True):
    """No POST: an earlier attempt of the same owner has settled the outcome."""

    outcome: Outcome
    reason: str | None = None


class ClaimRefused(Record, frozen=True):
    """No POST: another claim or a person's decision forbids it."""

    reason: SkipReason


def outcome_of(answer: str) -> Outcome:
    """Return the outcome that an answer (`accepted` or the name of an error) stands for at the end of a run."""
    return REPROCESS_ERRORS[answer].outcome if answer in REPROCESS_ERRORS else Outcome(answer)


def refusal_reason(state: State, listed_at: int, max_attempts: int) -> SkipReason | None:
    """Return why a communication must be left alone, or None if a claim may succeed."""
    if state.status in _FOR_PEOPLE:
        return SkipReason(state.status)
    if state.until >= listed_at:
        return SkipReason.IN_FLIGHT if state.status == CommunicationStatus.SENDING else SkipReason.COOL_DOWN
    if state.attempts >= max_attempts:
        accepted = state.status == CommunicationStatus.ACCEPTED
        return SkipReason.RELAPSED if accepted else SkipReason.ATTEMPTS_USED_UP
    return None


def uncounted_relapses(state: State, listed_at: int) -> list[str]:
    """Return the owners of the accepted tries that have relapsed and are not counted yet, oldest first.

    `listed_at` is when the application listed the communication as failed. What was accepted and then tried again has
    relapsed too: nobody may claim it before it is listed after its cool-down. Which status it has now does not matter.
    """
    last = len(state.history) - 1
    relapsed = [
        entry.owner
        for number, entry in enumerate(state.history)
        if entry.answer == ACCEPTED and (number < last or state.until < listed_at)
    ]
    if state.relapse_counted in relapsed:
        return relapsed[relapsed.index(state.relapse_counted) + 1 :]
    return relapsed


def settled_before(state: State, rules: Rules) -> AlreadySettled | ClaimRefused | None:
    """Return what an owner that claims again has settled already, or None if it may POST again with the same key."""
    answer = state.answer or OutcomeUnknown.__name__
    if answer in _NOT_PROCESSED or (answer in _PERHAPS_PROCESSED and rules.honours_key):
        # AWS may deliver a task again long after its batch was recorded and its communication handed to a person.
        return ClaimRefused(reason=SkipReason(state.status)) if state.status in _FOR_PEOPLE else None
    return AlreadySettled(outcome=outcome_of(answer), reason=state.reason)


def changes_of_repeated_claim(state: State, claim_id: str, now: int, rules: Rules) -> dict[str, Any]:
    """Return the attributes that change when the same owner claims again (None: the attribute is removed).

    Without an answer the first POST may still be on its way. So what that claim assumed becomes what an answer
    "certainly not processed" to the new POST restores: a later "unavailable" does not end the doubt. The history's
    entry is open again: if this try dies, the answer to an earlier one must not pass for its own.
    """
    pending = state.status == CommunicationStatus.SENDING
    reopened = HistoryEntry(owner=state.owner, at=now, answer=SENDING)
    return {
        "status": CommunicationStatus.SENDING,
        "claimId": claim_id,
        "attempts": state.attempts_before + 1,
        "until": now + rules.cool_down,
        "previousUntil": state.until if pending else state.previous_until,
        "inDoubt": state.in_doubt or pending,
        "history": _with_last(state, reopened),
        "answer": None,
        "reason": None,
    }


def changes_of_answer(state: State, answer: str, reason: str | None, now: int, rules: Rules) -> dict[str, Any]:
    """Return the attributes that change with the answer to a claim's POST (None: the attribute is removed)."""
    summed_up = _summed_up(answer, in_doubt=state.in_doubt)
    entry = HistoryEntry(owner=state.owner, at=now, answer=summed_up, reason=reason)
    return {
        "answer": answer,
        "reason": reason,
        "history": _with_last(state, entry),
        **_relaxed(state, answer, now, rules),
    }


def _summed_up(answer: str, *, in_doubt: bool) -> str:
    """Return what the last answer to an owner stands for: "unavailable" after an unknown outcome is still unknown."""
    return OutcomeUnknown.__name__ if in_doubt and answer in _NOT_PROCESSED else answer


def _with_last(state: State, entry: HistoryEntry) -> list[Any]:
    """Return the history with another last entry, which is that of the claim's owner."""
    history: list[Any] = msgspec.to_builtins([*state.history[:-1], entry][-HISTORY:])
    return history


def _relaxed(state: State, answer: str, now: int, rules: Rules) -> dict[str, Any]:
    """Return what an answer relaxes of what the claim assumed."""
    until = now + rules.cool_down
    if answer == ACCEPTED:
        return {"status": CommunicationStatus.ACCEPTED, "until": until, **_DOUBT_ENDS}
    if answer == CommunicationRejected.__name__:
        return {"status": CommunicationStatus.OPEN, **_DOUBT_ENDS}
    if answer in _NOT_PROCESSED and not state.in_doubt:
        return {"status": _before(state), "until": state.previous_until, "attempts": state.attempts_before}
    unknown = state.in_doubt or outcome_of(answer) == Outcome.UNKNOWN
    status = {"status": CommunicationStatus.UNKNOWN if unknown else CommunicationStatus.OPEN}
    if answer in _NOT_PROCESSED:
        return {**status, "until": state.previous_until}
    doubt = {"inDoubt": True, "doubtUntil": until}
    if answer == ApplicationError.__name__ and rules.honours_key:
        return {**status, "until": state.previous_until, **doubt}
    return {**status, "until": until, "previousUntil": until, **doubt}


def _before(state: State) -> CommunicationStatus:
    """Return the status that a claim without effect falls back to; after an owner that died, the outcome is unknown."""
    died = state.previous_status == CommunicationStatus.SENDING
    return CommunicationStatus.UNKNOWN if died else state.previous_status


_DOUBT_ENDS = {"inDoubt": False, "doubtUntil": None, "key": None, "created": None, "createdBy": None}

"""Why communications are failing: all that fail alike have one cause. No I/O here."""

import hashlib

import msgspec

from chalicelib.ledger.claims import SENDING, State, outcome_of
from chalicelib.models.base import Record
from chalicelib.models.communications import CauseKind, Communication, CommunicationStatus, SkipReason
from chalicelib.models.outcomes import Outcome, OutcomeReason

# Reasons for the worklist that are kinds themselves; the others are codes of the application's.
_KINDS = {SkipReason.EXPIRED: CauseKind.EXPIRED, SkipReason.RELAPSED: CauseKind.RELAPSED}


class Cause(Record, frozen=True):
    """What some communications have in common that the application lists as failed. `reason` is a code, if known."""

    operation: str
    kind: CauseKind
    reason: str | None = None

    @property
    def id(self) -> str:
        """The same text for the same cause, always."""
        parts = msgspec.json.encode((self.operation, self.kind, self.reason))
        return hashlib.sha256(parts).hexdigest()[:16]


def cause_of(listed: Communication, state: State | None) -> Cause | None:
    """Return why a listed communication is failing; None if it is not, as far as the ledger knows.

    That is one which was sent and may still arrive, or which somebody has dismissed. The application's answer to our
    last POST says why; if there is none, the list does. Of what is on the worklist, the list as it was then: there is
    no other where the worklist is looked through.
    """
    if state is None:
        return Cause(operation=listed.operation, kind=CauseKind.UNTRIED, reason=listed.failure_reason)
    answer = _last_answer(state)
    kind = _kind(state, answer, listed.listed_at)
    if kind is None:
        return None
    died = kind == CauseKind.UNKNOWN and answer == SENDING
    listed_reason = None if state.status == CommunicationStatus.MANUAL else listed.failure_reason
    reason = OutcomeReason.DIED_WHILE_SENDING if died else state.reason or state.failure_reason or listed_reason
    return Cause(operation=listed.operation, kind=kind, reason=reason)


def cause_on_worklist(entry: State) -> Cause | None:
    """Return why a communication is failing that is on the worklist. None if it is not there any more."""
    if entry.status != CommunicationStatus.MANUAL:
        return None
    return cause_of(Communication(operation=entry.operation, primary_id=entry.primary_id, listed_at=0), entry)


def _last_answer(state: State) -> str | None:
    """Return what the tries of the last owner add up to, as its run has reported; None if nobody has tried."""
    entry = state.entry_of(state.owner)
    if entry:
        return entry.answer
    return SENDING if state.status == CommunicationStatus.SENDING else state.answer


def _kind(state: State, answer: str | None, listed_at: int) -> CauseKind | None:
    """Return what is wrong with a communication in the ledger that a list still contained at `listed_at`."""
    if state.status == CommunicationStatus.DISMISSED:
        return None
    is_manual = state.status == CommunicationStatus.MANUAL
    if is_manual and state.manual_reason in _KINDS:
        return _KINDS[SkipReason(state.manual_reason)]
    may_still_arrive = state.until >= listed_at and not is_manual
    return _kind_when_tried(answer, may_still_arrive=may_still_arrive) if answer else CauseKind.UNTRIED


def _kind_when_tried(answer: str, *, may_still_arrive: bool) -> CauseKind | None:
    if answer == SENDING:
        return None if may_still_arrive else CauseKind.UNKNOWN
    outcome = outcome_of(answer)
    if outcome == Outcome.ACCEPTED:
        return None if may_still_arrive else CauseKind.RELAPSED
    return CauseKind(outcome)

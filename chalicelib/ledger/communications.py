"""The communications in the ledger: their claims and answers, their history, and the way to the worklist."""

import uuid
from collections.abc import Iterable
from typing import Any

import msgspec

from chalicelib import times
from chalicelib.errors import OutcomeUnknown
from chalicelib.ledger import claims
from chalicelib.ledger.claims import AlreadySettled, ClaimRefused, HistoryEntry, Rules, State
from chalicelib.ledger.table import ConditionFailed, Item, Table, change_of
from chalicelib.models.batches import Task
from chalicelib.models.communications import Communication, CommunicationStatus, SkipReason

# Nobody else holds it now or held it after the list was read, and it is not for people to decide.
_CLAIMABLE = (
    "(attribute_not_exists(#owner) OR #owner <> :owner)"
    " AND (attribute_not_exists(#status) OR NOT #status IN (:manual, :dismissed))"
    " AND (attribute_not_exists(#until) OR #until < :listedAt)"
    " AND (attribute_not_exists(#attempts) OR #attempts < :maxAttempts)"
)

# The right-hand sides see the item as it was, so one write both counts and remembers what was there before.
_CLAIM = (
    "SET #operation = :operation, #primaryId = :primaryId, #owner = :owner, #claimId = :claimId,"
    " #previousStatus = if_not_exists(#status, :open), #status = :sending,"
    " #previousUntil = if_not_exists(#until, :zero), #until = :until,"
    " #attemptsBefore = if_not_exists(#attempts, :zero), #attempts = if_not_exists(#attempts, :zero) + :one,"
    " #key = if_not_exists(#key, :key), #created = if_not_exists(#created, :created),"
    " #createdBy = if_not_exists(#createdBy, :createdBy), #inDoubt = :no, #expiresAt = :expiresAt,"
    " #history = list_append(if_not_exists(#history, :nothing), :entry)"
    " REMOVE #answer, #reason"
)

_MOVE_TO_WORKLIST = (
    "SET #operation = :operation, #primaryId = :primaryId, #status = :manual, #worklist = :manual,"
    " #manualBy = :owner, #manualReason = :reason, #manualSince = :now, #failureReason = :failureReason"
    " REMOVE #expiresAt"
)
_MAY_MOVE_TO_WORKLIST = (
    "(attribute_not_exists(#status) OR NOT #status IN (:manual, :dismissed))"
    " AND (attribute_not_exists(#until) OR #until < :listedAt"
    " OR (#owner = :owner AND NOT #status IN (:sending, :accepted)))"
)


def key_of(operation: str, primary_id: str) -> tuple[str, str]:
    """Return the table's key of a communication's item."""
    return f"COMM#{operation}#{primary_id}", "COMM"


class Communications:
    """The communications in one deployment's table."""

    def __init__(self, table: Table, clock: times.Clock) -> None:
        self._table = table
        self._clock = clock

    def read(self, communications: Iterable[Communication]) -> dict[tuple[str, str], State]:
        """Return the states of those communications that the ledger knows, by (operation, primaryId)."""
        keys = {key_of(*communication.key) for communication in communications}
        states = map(_state, self._table.batch_get(sorted(keys)))
        return {(state.operation, state.primary_id): state for state in states}

    def claim(self, task: Task, rules: Rules) -> State | AlreadySettled | ClaimRefused:
        """Make this task's owner the only one that may POST the communication now, or say why it may not.

        One conditional write. A State is a claim: POST with its `key`, `created` and `created_by`.
        """
        claim_id = uuid.uuid4().hex
        try:
            return self._claim_first(task, claim_id, rules)
        except ConditionFailed as refusal:
            state = _state(refusal.item)
        if state.claim_id == claim_id:
            # The SDK repeated this very write because it had not heard that it succeeded.
            return state
        if state.owner != task.owner:
            return ClaimRefused(reason=_why_refused(state, task, rules))
        return claims.settled_before(state, rules) or self._claim_again(state, claim_id, rules)

    def _claim_first(self, task: Task, claim_id: str, rules: Rules) -> State:
        communication, now = task.communication, self._clock()
        entry = HistoryEntry(owner=task.owner, at=now, answer=claims.SENDING)
        values = {
            "operation": communication.operation,
            "primaryId": communication.primary_id,
            "owner": task.owner,
            "claimId": claim_id,
            "open": CommunicationStatus.OPEN,
            "sending": CommunicationStatus.SENDING,
            "manual": CommunicationStatus.MANUAL,
            "dismissed": CommunicationStatus.DISMISSED,
            "until": now + rules.cool_down,
            "listedAt": communication.listed_at,
            "maxAttempts": rules.max_attempts,
            "key": uuid.uuid4().hex,
            "created": times.format_iso(now),
            "createdBy": communication.created_by or task.requested_by,
            "expiresAt": (now + rules.retention) // 1000,
            "entry": [msgspec.to_builtins(entry)],
            "nothing": [],
            "zero": 0,
            "one": 1,
            "no": False,
        }
        return _state(self._table.update_and_get(key_of(*communication.key), _CLAIM, values, _CLAIMABLE))

    def _claim_again(self, state: State, claim_id: str, rules: Rules) -> State:
        changes = claims.changes_of_repeated_claim(state, claim_id, self._clock(), rules)
        try:
            return _state(self._table.update_and_get(*_change(state, changes)))
        except ConditionFailed as refusal:
            if refusal.item.get("claimId") == claim_id:
                return _state(refusal.item)
            # Another delivery of this very task was faster and is sending: the state machine will ask again.
            raise OutcomeUnknown("claimed_elsewhere") from None

    def record_answer(self, claim: State, answer: str, reason: str | None, rules: Rules) -> None:
        """Record the answer to a claim's POST, unless another delivery of the same task has claimed meanwhile.

        `answer` is `accepted` or the name of an error. A refused write is no failure: either a repetition of this very
        write succeeded, or the newer claim of the same owner will write its own answer.
        """
        changes = claims.changes_of_answer(claim, answer, reason, self._clock(), rules)
        try:
            self._table.update(*_change(claim, changes))
        except ConditionFailed:
            return

    def worklist_size(self, at_most: int) -> int:
        """Return how many communications are on the worklist; counting stops soon after `at_most`."""
        return self._table.count_index("worklist", CommunicationStatus.MANUAL, at_most)

    def move_to_worklist(self, communication: Communication, owner: str, reason: str) -> bool:
        """Hand a communication to a person; return whether this owner did so, now or before.

        Refused while somebody may be sending it, if another delivery of the owner's task got it accepted meanwhile, and
        if it is for people to decide already. A claim that is older than its cool-down does not count: its owner has
        died, and what is `sending` for ever must not be lost.
        """
        values: Item = {
            "operation": communication.operation,
            "primaryId": communication.primary_id,
            "owner": owner,
            "reason": reason,
            "now": self._clock(),
            "listedAt": communication.listed_at,
            "manual": CommunicationStatus.MANUAL,
            "dismissed": CommunicationStatus.DISMISSED,
            "sending": CommunicationStatus.SENDING,
            "accepted": CommunicationStatus.ACCEPTED,
            "failureReason": communication.failure_reason,
        }
        try:
            self._table.update(key_of(*communication.key), _MOVE_TO_WORKLIST, values, _MAY_MOVE_TO_WORKLIST)
        except ConditionFailed as refusal:
            state = _state(refusal.item)
            return state.status == CommunicationStatus.MANUAL and state.manual_by == owner
        return True


def _change(state: State, changes: Item) -> tuple[tuple[str, str], str, Item, str]:
    """Return the update that changes attributes (None removes one) of a communication still as `state` says."""
    expected = {"claimId": state.claim_id, "status": state.status}
    return key_of(state.operation, state.primary_id), *change_of(changes, expected)


def _why_refused(state: State, task: Task, rules: Rules) -> SkipReason:
    if state.owner.startswith(f"{task.run_id}#"):
        return SkipReason.DUPLICATE
    reason = claims.refusal_reason(state, task.communication.listed_at, rules.max_attempts)
    # None: what refused it has ended since; the next run can take it.
    return reason or SkipReason.IN_FLIGHT


def _state(item: dict[str, Any]) -> State:
    return msgspec.convert(item, State)

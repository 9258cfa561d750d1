"""What the ledger holds of each communication: the claim, the answer, the worklist, the history."""

import uuid
from collections.abc import Iterable
from typing import Any

import msgspec

from chalicelib import times
from chalicelib.errors import OutcomeUnknown
from chalicelib.ledger import claims
from chalicelib.ledger.claims import Decided, Entry, Refused, Rules, State
from chalicelib.ledger.table import ConditionFailed, Item, Table
from chalicelib.models import Communication, Task

# Somebody else neither holds it now nor held it after the list was read, and no person has ruled on it.
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


def key_of(operation: str, primary_id: str) -> tuple[str, str]:
    """Return the key of a communication's item."""
    return f"COMM#{operation}#{primary_id}", "COMM"


class Communications:
    """The communications of one deployment's table."""

    def __init__(self, table: Table, clock: times.Clock) -> None:
        self._table = table
        self._clock = clock

    def read(self, communications: Iterable[Communication]) -> dict[tuple[str, str], State]:
        """Return what is known, by (operation, primaryId), of those of the communications that are known at all."""
        keys = {key_of(each.operation, each.primary_id) for each in communications}
        states = map(_state, self._table.batch_get(sorted(keys)))
        return {(state.operation, state.primary_id): state for state in states}

    def claim(self, task: Task, rules: Rules) -> State | Decided | Refused:
        """Make this task's owner the only one that may POST the communication now, or say why it may not.

        One conditional write. A State is a claim: POST with its `key`, `created` and `created_by`.
        """
        claim_id = uuid.uuid4().hex
        try:
            return self._claim_first(task, claim_id, rules)
        except ConditionFailed as refusal:
            state = _state(refusal.item)
        if state.claim_id == claim_id:
            # The SDK repeated this very write, as it had not heard that it got through.
            return state
        if state.owner != task.owner:
            return Refused(reason=_why_refused(state, task, rules))
        return claims.repetition(state, rules) or self._claim_again(state, claim_id, rules)

    def _claim_first(self, task: Task, claim_id: str, rules: Rules) -> State:
        it, now = task.communication, self._clock()
        values = {
            "operation": it.operation,
            "primaryId": it.primary_id,
            "owner": task.owner,
            "claimId": claim_id,
            "open": "open",
            "sending": "sending",
            "manual": "manual",
            "dismissed": "dismissed",
            "until": now + rules.cool_down,
            "listedAt": it.listed_at,
            "maxAttempts": rules.max_attempts,
            "key": uuid.uuid4().hex,
            "created": times.iso(now),
            "createdBy": it.created_by or task.requested_by,
            "expiresAt": (now + rules.retention) // 1000,
            "entry": [msgspec.to_builtins(Entry(owner=task.owner, at=now, answer="sending"))],
            "nothing": [],
            "zero": 0,
            "one": 1,
            "no": False,
        }
        return _state(self._table.update(key_of(it.operation, it.primary_id), _CLAIM, values, _CLAIMABLE))

    def _claim_again(self, state: State, claim_id: str, rules: Rules) -> State:
        changes = claims.claimed_again(state, claim_id, self._clock(), rules)
        try:
            return self._change(state, changes)
        except ConditionFailed as refusal:
            if refusal.item.get("claimId") == claim_id:
                return _state(refusal.item)
            # Another delivery of this very task moved first and is at it: the state machine asks again later.
            raise OutcomeUnknown("claimed_elsewhere") from None

    def answer(self, claim: State, answer: str, reason: str | None, rules: Rules) -> None:
        """Write the answer to a claim's POST, unless another delivery of the same task has claimed meanwhile.

        `answer` is `accepted` or the name of an error. That the write is refused is no failure: either a repetition
        of this very write got through, or the newer claim of the same owner will write its own answer.
        """
        changes = claims.answered(claim, answer, reason, self._clock(), rules)
        try:
            self._change(claim, changes)
        except ConditionFailed:
            return

    def _change(self, state: State, changes: Item) -> State:
        """Change attributes (None removes one) of a communication that still is as `state` says."""
        settings = [f"#{name} = :new{name}" for name, value in changes.items() if value is not None]
        removals = [f"#{name}" for name, value in changes.items() if value is None]
        values = {f"new{name}": value for name, value in changes.items() if value is not None}
        values |= {"oldClaim": state.claim_id, "oldStatus": state.status}
        expression = f"SET {', '.join(settings)}" + (f" REMOVE {', '.join(removals)}" if removals else "")
        key = key_of(state.operation, state.primary_id)
        return _state(self._table.update(key, expression, values, "#claimId = :oldClaim AND #status = :oldStatus"))

    def worklist_size(self, at_most: int) -> int:
        """Return how many communications need a person; it is not counted much further than `at_most`."""
        return self._table.count_index("worklist", "manual", at_most)

    def to_worklist(self, it: Communication, owner: str, reason: str) -> bool:
        """Hand a communication over to a person; return whether it is this owner that did so, now or before.

        Refused while anybody may be sending it, and when a person has ruled on it already. Whoever claimed it before
        the end of the cool-down has died: what is `sending` for ever must not be lost.
        """
        values = {
            "operation": it.operation,
            "primaryId": it.primary_id,
            "owner": owner,
            "reason": reason,
            "now": self._clock(),
            "listedAt": it.listed_at,
            "manual": "manual",
            "dismissed": "dismissed",
            "sending": "sending",
        }
        try:
            self._table.update(key_of(it.operation, it.primary_id), _TO_WORKLIST, values, _MAY_GO_TO_WORKLIST)
        except ConditionFailed as refusal:
            state = _state(refusal.item)
            return state.status == "manual" and state.manual_by == owner
        return True


_TO_WORKLIST = (
    "SET #operation = :operation, #primaryId = :primaryId, #status = :manual, #worklist = :manual,"
    " #manualBy = :owner, #manualReason = :reason, #manualSince = :now REMOVE #expiresAt"
)
_MAY_GO_TO_WORKLIST = (
    "(attribute_not_exists(#status) OR NOT #status IN (:manual, :dismissed))"
    " AND (attribute_not_exists(#until) OR #until < :listedAt OR (#owner = :owner AND #status <> :sending))"
)


def _why_refused(state: State, task: Task, rules: Rules) -> str:
    if state.owner.startswith(f"{task.run_id}#"):
        return "duplicate"
    against = claims.standing_against(state, task.communication.listed_at, rules.max_attempts)
    # None: what stood against it has ended since; it is due again in the next run.
    return against or "in_flight"


def _state(item: dict[str, Any]) -> State:
    return msgspec.convert(item, State)

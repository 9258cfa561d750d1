"""What people decide about communications: retry, dismiss or restore. Every decision is kept."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import field

from chalicelib import times
from chalicelib.ledger.claims import State
from chalicelib.ledger.communications import key_of
from chalicelib.ledger.table import ConditionFailed, Item, Table
from chalicelib.models import CommunicationStatus, PageKey, Record


class Action(StrEnum):
    """What a person decided."""

    RETRY = "retry"
    DISMISS = "dismiss"
    RESTORE = "restore"


class Refusal(StrEnum):
    """Why a decision cannot be carried out."""

    UNKNOWN = "unknown"
    SENDING = "sending"
    COOL_DOWN = "cool_down"
    NOT_ON_WORKLIST = "not_on_worklist"
    NOT_DISMISSED = "not_dismissed"
    ALREADY_DISMISSED = "already_dismissed"
    # No source lists the operation any more, so nothing says how long its cool-down is.
    NO_SOURCE = "no_source"


# What belongs to earlier attempts, the key above all: a retry is a new send, with a new key. Without owner and
# claim, nothing that an earlier run delivers late can go on with its own attempt.
_FORGOTTEN = (
    "#worklist, #manualBy, #manualReason, #manualSince, #key, #created, #createdBy, #owner, #claimId, #answer, #reason,"
    " #inDoubt, #previousUntil, #previousStatus, #attemptsBefore"
)

_APPEND = "#rulings = list_append(if_not_exists(#rulings, :none), :decision)"
_RETRY = (
    "SET #status = :open, #attempts = :zero, #until = :until, #retriedAt = :now, #expiresAt = :expiresAt, "
    f"{_APPEND} REMOVE {_FORGOTTEN}"
)
_MAY_RETRY = "#status = :manual AND #manualSince = :since AND (attribute_not_exists(#until) OR #until < :asOf)"
_DISMISS = f"SET #status = :dismissed, #worklist = :dismissed, #manualSince = :now, {_APPEND} REMOVE #expiresAt"
_MAY_DISMISS = "attribute_exists(#status) AND NOT #status IN (:sending, :dismissed)"
_RESTORE = f"SET #status = :manual, #worklist = :manual, #manualSince = :now, {_APPEND}"


class Decision(Record, frozen=True):
    """What a person decided, when (milliseconds since 1970), and their note."""

    action: Action = field(name="did")
    by: str
    at: int
    note: str | None = field(default=None, name="why")


class WorklistEntry(State, frozen=True):
    """A communication as people see it: its state, and what people have decided about it."""

    decisions: list[Decision] = field(default_factory=list, name="rulings")


class Worklist:
    """The communications in one deployment's table that are, or were, for people to decide."""

    def __init__(self, table: Table, clock: times.Clock, retention: int) -> None:
        self._table = table
        self._clock = clock
        self._retention = retention

    def read(self, operation: str, primary_id: str) -> WorklistEntry | None:
        """Return what is known about a communication, None if nothing is."""
        item = self._table.get(*key_of(operation, primary_id))
        return _entry(item) if item else None

    def page(
        self, status: CommunicationStatus, size: int, after: PageKey | None, *, equal: Mapping[str, str]
    ) -> tuple[list[WorklistEntry], PageKey | None]:
        """Return at most `size` manual or dismissed communications, longest there first, and the next page's key.

        Eventually consistent. `equal` may hold `manualReason` and `operation`.
        """
        items, key = self._table.page(("worklist", status, "manualSince"), size, after, equal=dict(equal))
        return [_entry(item) for item in items], key

    def retry(
        self, operation: str, primary_id: str, by: str, cool_down: int, *, listed_at: int | None = None
    ) -> Refusal | None:
        """Make a manual communication eligible again, with fresh attempts; return why not, or None if it was done.

        No run whose listing is older may send it. A run that retries for its requester passes in `listed_at` the time
        of the listing that its own claim rests on.
        """
        now = self._clock()
        as_of = now if listed_at is None else listed_at
        state = self.read(operation, primary_id)
        refusal = retry_refusal(state, as_of, cool_down)
        if state is None or refusal:
            return refusal
        values = {
            "open": CommunicationStatus.OPEN,
            "manual": CommunicationStatus.MANUAL,
            "zero": 0,
            "until": as_of - 1,
            "asOf": as_of,
            "since": state.manual_since,
            "now": now,
            "expiresAt": (now + self._retention) // 1000,
        }
        decision = Decision(action=Action.RETRY, by=by, at=now)
        done = self._decide(operation, primary_id, _RETRY, _MAY_RETRY, values, decision)
        return None if done else Refusal.NOT_ON_WORKLIST

    def dismiss(self, operation: str, primary_id: str, by: str, note: str) -> Refusal | None:
        """Keep a communication from ever being sent; return why not, or None if it was done."""
        now = self._clock()
        values = {"dismissed": CommunicationStatus.DISMISSED, "sending": CommunicationStatus.SENDING, "now": now}
        decision = Decision(action=Action.DISMISS, by=by, at=now, note=note)
        if self._decide(operation, primary_id, _DISMISS, _MAY_DISMISS, values, decision):
            return None
        state = self.read(operation, primary_id)
        if state is None:
            return Refusal.UNKNOWN
        return Refusal.SENDING if state.status == CommunicationStatus.SENDING else Refusal.ALREADY_DISMISSED

    def restore(self, operation: str, primary_id: str, by: str) -> Refusal | None:
        """Put a dismissed communication back on the worklist; return why not, or None if it was done."""
        now = self._clock()
        values = {"dismissed": CommunicationStatus.DISMISSED, "manual": CommunicationStatus.MANUAL, "now": now}
        decision = Decision(action=Action.RESTORE, by=by, at=now)
        if self._decide(operation, primary_id, _RESTORE, "#status = :dismissed", values, decision):
            return None
        return Refusal.NOT_DISMISSED if self.read(operation, primary_id) else Refusal.UNKNOWN

    def _decide(
        self, operation: str, primary_id: str, changes: str, condition: str, values: Item, decision: Decision
    ) -> bool:
        values = values | {"decision": [msgspec.to_builtins(decision)], "none": []}
        try:
            self._table.update(key_of(operation, primary_id), changes, values, condition)
        except ConditionFailed:
            return False
        return True


def retry_refusal(state: State | None, as_of: int, cool_down: int) -> Refusal | None:
    """Return why a communication cannot be retried at a time, or None if it can.

    A retry is a POST with another key, so nothing that was sent before may still be on its way. An earlier POST in
    doubt counts for a whole cool-down, even where the application honours keys and the claim itself was free at once.
    """
    if state is None:
        return Refusal.UNKNOWN
    if state.status == CommunicationStatus.SENDING:
        return Refusal.SENDING
    if state.status != CommunicationStatus.MANUAL:
        return Refusal.NOT_ON_WORKLIST
    last = state.history[-1].at if state.history and state.in_doubt else 0
    return Refusal.COOL_DOWN if state.until >= as_of or (last and last + cool_down >= as_of) else None


def _entry(item: dict[str, Any]) -> WorklistEntry:
    return msgspec.convert(item, WorklistEntry)

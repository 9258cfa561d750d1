"""What people decide about communications: back into the pool, never again, or back on the worklist. On the record."""

from collections.abc import Mapping
from typing import Any

import msgspec

from chalicelib import times
from chalicelib.ledger.claims import State
from chalicelib.ledger.communications import key_of
from chalicelib.ledger.table import ConditionFailed, Item, Position, Table
from chalicelib.models import Record

MANUAL, DISMISSED = "manual", "dismissed"

# Why a person's word is refused; the API's words for each are in chalicelib.worklist.
UNKNOWN, SENDING, COOL_DOWN, NOT_MANUAL, NOT_DISMISSED, ALREADY = (
    "unknown",
    "sending",
    "cool_down",
    "not_on_worklist",
    "not_dismissed",
    "dismissed_already",
)

# All that belongs to earlier tries, the key above all: a person's retry is a new send, with a key of its own. Without
# owner and claim, whatever an earlier run still delivers late cannot continue its own try.
_FORGOTTEN = (
    "#worklist, #manualBy, #manualReason, #manualSince, #key, #created, #createdBy, #owner, #claimId, #answer, #reason,"
    " #inDoubt, #previousUntil, #previousStatus, #attemptsBefore"
)

_RULING = "#rulings = list_append(if_not_exists(#rulings, :none), :ruling)"
_RETRY = (
    "SET #status = :open, #attempts = :zero, #until = :until, #retriedAt = :now, #expiresAt = :expiresAt, "
    f"{_RULING} REMOVE {_FORGOTTEN}"
)
_MAY_RETRY = "#status = :manual AND #manualSince = :since AND (attribute_not_exists(#until) OR #until < :asOf)"
_DISMISS = f"SET #status = :dismissed, #worklist = :dismissed, #manualSince = :now, {_RULING} REMOVE #expiresAt"
_MAY_DISMISS = "attribute_exists(#status) AND NOT #status IN (:sending, :dismissed)"
_RESTORE = f"SET #status = :manual, #worklist = :manual, #manualSince = :now, {_RULING}"


class Ruling(Record, frozen=True):
    """What a person decided: `retry`, `dismiss` or `restore`; when (milliseconds since 1970), and why."""

    did: str
    by: str
    at: int
    why: str | None = None


class Standing(State, frozen=True):
    """A communication as people see it: what the ledger holds, and what has been decided about it."""

    rulings: list[Ruling] = []


class Worklist:
    """The communications of one deployment's table that people have, or had, to do with."""

    def __init__(self, table: Table, clock: times.Clock, retention: int) -> None:
        self._table = table
        self._clock = clock
        self._retention = retention

    def read(self, operation: str, primary_id: str) -> Standing | None:
        """Return what is known of a communication, None if nothing is."""
        item = self._table.get(*key_of(operation, primary_id))
        return _standing(item) if item else None

    def page(
        self, status: str, size: int, after: Position | None, *, equal: Mapping[str, str]
    ) -> tuple[list[Standing], Position | None]:
        """Return at most `size` of the manual or dismissed ones, longest there first, and where the page ends.

        Eventually consistent. `equal` takes `manualReason` and `operation`.
        """
        items, position = self._table.page(("worklist", status, "manualSince"), size, after, equal=dict(equal))
        return [_standing(item) for item in items], position

    def retry(
        self, operation: str, primary_id: str, by: str, cool_down: int, *, listed_at: int | None = None
    ) -> str | None:
        """Put a manual one back into the pool, with fresh attempts; return why not, None if it is done.

        What rests on a listing from before this may not send it. A run that retries for its requester says with
        `listed_at` which listing its own claim rests on.
        """
        now = self._clock()
        as_of = now if listed_at is None else listed_at
        state = self.read(operation, primary_id)
        against = against_retry(state, as_of, cool_down)
        if state is None or against:
            return against
        values = {
            "open": "open",
            "manual": MANUAL,
            "zero": 0,
            "until": as_of - 1,
            "asOf": as_of,
            "since": state.manual_since,
            "now": now,
            "expiresAt": (now + self._retention) // 1000,
        }
        done = self._rule(operation, primary_id, _RETRY, _MAY_RETRY, values, Ruling(did="retry", by=by, at=now))
        return None if done else NOT_MANUAL

    def dismiss(self, operation: str, primary_id: str, by: str, why: str) -> str | None:
        """Let a communication never be sent again; return why not, None if it is done."""
        now = self._clock()
        values = {"dismissed": DISMISSED, "sending": "sending", "now": now}
        ruling = Ruling(did="dismiss", by=by, at=now, why=why)
        if self._rule(operation, primary_id, _DISMISS, _MAY_DISMISS, values, ruling):
            return None
        state = self.read(operation, primary_id)
        if state is None:
            return UNKNOWN
        return SENDING if state.status == "sending" else ALREADY

    def restore(self, operation: str, primary_id: str, by: str) -> str | None:
        """Bring a dismissed one back to the worklist; return why not, None if it is done."""
        now = self._clock()
        values = {"dismissed": DISMISSED, "manual": MANUAL, "now": now}
        ruling = Ruling(did="restore", by=by, at=now)
        if self._rule(operation, primary_id, _RESTORE, "#status = :dismissed", values, ruling):
            return None
        return NOT_DISMISSED if self.read(operation, primary_id) else UNKNOWN

    def _rule(
        self, operation: str, primary_id: str, changes: str, condition: str, values: Item, ruling: Ruling
    ) -> bool:
        values = values | {"ruling": [msgspec.to_builtins(ruling)], "none": []}
        try:
            self._table.update(key_of(operation, primary_id), changes, values, condition)
        except ConditionFailed:
            return False
        return True


def against_retry(state: State | None, as_of: int, cool_down: int) -> str | None:
    """Return why a communication cannot be put back into the pool at a time, None if it can.

    A retry is a POST with another key, so nothing sent before may still be on its way: an earlier POST in doubt counts
    for a cool-down, even where the application honours keys and the claim itself was free at once.
    """
    if state is None:
        return UNKNOWN
    if state.status == "sending":
        return SENDING
    if state.status != MANUAL:
        return NOT_MANUAL
    last = state.history[-1].at if state.history and state.in_doubt else 0
    return COOL_DOWN if state.until >= as_of or (last and last + cool_down >= as_of) else None


def _standing(item: dict[str, Any]) -> Standing:
    return msgspec.convert(item, Standing)

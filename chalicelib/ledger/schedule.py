"""Whether the schedule may start runs, and which scheduled run is under way.

The pause is kept here and not in EventBridge, because `chalice deploy` enables its rule again.
"""

import msgspec

from chalicelib import times
from chalicelib.ledger.table import ConditionFailed, Table
from chalicelib.models.base import Record

_PAUSE = ("SCHEDULE", "PAUSE")
_LOCK = ("SCHEDULE", "TURN")


class Pause(Record, frozen=True):
    """Who paused the schedule, and when (milliseconds since 1970)."""

    by: str
    at: int


class Schedule:
    """The schedule of one deployment's table."""

    def __init__(self, table: Table, clock: times.Clock) -> None:
        self._table = table
        self._clock = clock

    def paused(self) -> Pause | None:
        """Return who paused the schedule, or None if it may start runs."""
        item = self._table.get(*_PAUSE)
        return msgspec.convert(item, Pause) if item else None

    def pause(self, by: str) -> None:
        """Keep the schedule from starting runs. If it is paused already, the first pause stays."""
        pk, sk = _PAUSE
        self._table.put_new({"pk": pk, "sk": sk, "by": by, "at": self._clock()})

    def resume(self) -> None:
        """Let the schedule start runs again."""
        self._table.delete(*_PAUSE)

    # -- the lock: one scheduled run at a time

    def acquire_lock(self, run_id: str, instead_of: str = "") -> bool:
        """Lock the schedule for a run, unless a run other than `instead_of` holds the lock; return whether it did."""
        condition = "attribute_not_exists(pk) OR #runId IN (:none, :runId, :insteadOf)"
        values = {"runId": run_id, "none": "", "insteadOf": instead_of, "now": self._clock()}
        try:
            self._table.update(_LOCK, "SET #runId = :runId, #since = :now", values, condition)
        except ConditionFailed:
            return False
        return True

    def lock_holder(self) -> tuple[str, int]:
        """Return the run that holds the lock (`""`: none), and since when in milliseconds since 1970."""
        item = self._table.get(*_LOCK) or {}
        return str(item.get("runId", "")), int(item.get("since", 0))

    def release_lock(self, run_id: str) -> None:
        """Let the next scheduled run begin, if this run still holds the lock."""
        try:
            self._table.update(_LOCK, "SET #runId = :none", {"none": "", "runId": run_id}, "#runId = :runId")
        except ConditionFailed:
            return

"""What the ledger holds of each run: its item, its switch, its batches, and which scheduled run is under way."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from chalicelib import times
from chalicelib.errors import RunNotFound
from chalicelib.ledger.table import ConditionFailed, Item, Position, Table
from chalicelib.models import CLOSED, BatchRecord, Run

# A run's id is the name of its execution (AWS Step Functions API reference, StartExecution).
MAX_RUN_ID = 80

# The one item that says which scheduled run is under way.
_TURN = ("SCHEDULE", "TURN")


def run_key(run_id: str) -> tuple[str, str]:
    """Return the key of a run's item."""
    return f"RUN#{run_id}", "RUN"


def switch_key(run_id: str) -> tuple[str, str]:
    """Return the key of a run's switch, which `statemachine.json` reads by this very name."""
    return f"RUN#{run_id}", "SWITCH"


class Runs:
    """The runs of one deployment's table."""

    def __init__(self, table: Table, clock: times.Clock, retention: int) -> None:
        self._table = table
        self._clock = clock
        self._retention = retention

    def create(self, run: Run) -> bool:
        """Write a run's item; return False if there is one of that id already."""
        item = msgspec.to_builtins(run) | {
            "pk": run_key(run.run_id)[0],
            "sk": "RUN",
            "runs": "RUN",
            "open": "OPEN",
            "expiresAt": self._expiry(),
        }
        return self._table.put_new(item)

    def read(self, run_id: str) -> Run:
        """Return a run. RunNotFound if there is none."""
        item = self._table.get(*run_key(run_id)) if len(run_id) <= MAX_RUN_ID else None
        if item is None:
            raise RunNotFound(f"there is no run {run_id[:MAX_RUN_ID]!r}")
        return _run(item)

    def open_runs(self) -> list[Run]:
        """Return the runs that have not ended, oldest first; eventually consistent."""
        return [_run(item) for item in self._table.query_index("open", "OPEN")]

    def page(self, size: int, after: Position | None) -> tuple[list[Run], Position | None]:
        """Return at most `size` runs after a position, newest first, and where the page ends; eventually consistent."""
        items, position = self._table.page(("runs", "RUN", "requestedAt"), size, after, oldest_first=False)
        return [_run(item) for item in items], position

    def change(self, run: Run, **attributes: Any) -> Run | None:
        """Set attributes of a run that still has the status of `run`; None if it has moved on.

        A status at which a run ends also takes it from the open ones and sets when it ended.
        """
        values = dict(attributes)
        expression = "SET " + ", ".join(f"#{name} = :{name}" for name in values)
        condition = "#status = :oldStatus"
        if values.get("status", run.status) in CLOSED:
            values["endedAt"] = self._clock()
            expression += ", #endedAt = :endedAt REMOVE #open"
        try:
            return _run(
                self._table.update(run_key(run.run_id), expression, values | {"oldStatus": run.status}, condition)
            )
        except ConditionFailed:
            return None

    def forget(self, run: Run) -> None:
        """Delete the item of a scheduled run that found nothing to do."""
        self._table.delete(*run_key(run.run_id))

    # -- whose turn it is

    def take_turn(self, run_id: str, instead_of: str = "") -> bool:
        """Make `run_id` the scheduled run that is under way, if none or `instead_of` is; return whether it is now."""
        condition = "attribute_not_exists(pk) OR #runId IN (:none, :runId, :insteadOf)"
        values = {"runId": run_id, "none": "", "insteadOf": instead_of, "now": self._clock()}
        try:
            self._table.update(_TURN, "SET #runId = :runId, #since = :now", values, condition)
        except ConditionFailed:
            return False
        return True

    def turn(self) -> tuple[str, int]:
        """Return which scheduled run is under way (`""`: none) and since when."""
        item = self._table.get(*_TURN) or {}
        return str(item.get("runId", "")), int(item.get("since", 0))

    def end_turn(self, run_id: str) -> None:
        """Let the next scheduled run begin, if it is still the turn of this one."""
        try:
            self._table.update(_TURN, "SET #runId = :none", {"none": "", "runId": run_id}, "#runId = :runId")
        except ConditionFailed:
            return

    # -- batches and progress

    def record_batch(self, run_id: str, record: BatchRecord) -> bool:
        """Put the outcomes of a batch, once; return False if they are there already."""
        item = msgspec.to_builtins(record) | {
            "pk": run_key(run_id)[0],
            "sk": _batch_key(record.index),
            "expiresAt": self._expiry(),
        }
        return self._table.put_new(item)

    def batches(self, run_id: str, first: int = 0) -> Iterator[BatchRecord]:
        """Yield the recorded batches of a run, by index, from the first one wanted."""
        for item in self._table.query(run_key(run_id)[0], "BATCH#", _batch_key(first) if first else None):
            yield msgspec.convert(item, BatchRecord)

    def progress(self, run_id: str, counts: Mapping[str, int]) -> None:
        """Add to the counters of a run: progress for those who watch, never what a decision rests on."""
        values = {f"n_{outcome}": number for outcome, number in counts.items()}
        added = ", ".join(f"#n_{outcome} :n_{outcome}" for outcome in counts)
        self._table.update(run_key(run_id), f"ADD {added}", values)

    # -- the switch

    def halt(self, run_id: str, reason: str) -> None:
        """Let no further batch of a run begin; the first reason stays."""
        try:
            self._table.update(
                switch_key(run_id),
                "SET #halted = :yes, #reason = :reason, #expiresAt = :expiresAt",
                {"yes": True, "reason": reason, "expiresAt": self._expiry()},
                "attribute_not_exists(#halted)",
            )
        except ConditionFailed:
            return

    def halted(self, run_id: str) -> str | None:
        """Return why no further batch of a run begins, or None if they do."""
        item = self._table.get(*switch_key(run_id)) or {}
        return item.get("reason") if item.get("halted") else None

    def barren(self, run_id: str, index: int) -> int:
        """Note that nothing of a batch was accepted; return how many such batches came since the last accepted one."""
        item = self._table.update(
            switch_key(run_id),
            "SET #expiresAt = :expiresAt ADD #barren :index",
            {"index": {index}, "expiresAt": self._expiry()},
        )
        return len(item["barren"])

    def fruitful(self, run_id: str) -> None:
        """Note that something of a batch was accepted: the barren ones before it count no more."""
        self._table.update(
            switch_key(run_id), "SET #expiresAt = :expiresAt REMOVE #barren", {"expiresAt": self._expiry()}
        )

    def _expiry(self) -> int:
        return (self._clock() + self._retention) // 1000


def _batch_key(index: int) -> str:
    return f"BATCH#{index:06d}"


def _run(item: Item) -> Run:
    counts = {name.removeprefix("n_"): value for name, value in item.items() if name.startswith("n_")}
    return msgspec.convert({"counts": counts} | item, Run)

"""The pace in the ledger: one item for all runs, each change of which is one conditional write."""

import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from chalicelib import times
from chalicelib.ledger.pace import Pace
from chalicelib.ledger.pace_feedback import refused
from chalicelib.ledger.table import ConditionFailed, Item, Table, change_of

_KEY = ("PACE", "PACE")

# In seconds: the longest pauses between tries to change the item, while other functions change it at the same time.
# Each is a random part of that.
_PAUSES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8)

T = TypeVar("T")


class PaceContended(Exception):
    """Others changed the pace each time that this function tried to."""


class Pacing:
    """The pace in one deployment's table. `sleep` takes seconds."""

    def __init__(self, table: Table, clock: times.Clock, sleep: Callable[[float], None] = time.sleep) -> None:
        self._table = table
        self._clock = clock
        self._sleep = sleep

    def read(self) -> Pace:
        """Return the pace, strongly consistent."""
        return _pace(self._table.get(*_KEY) or {})

    def change(self, rule: Callable[[Pace, int], tuple[T, Pace]]) -> T:
        """Apply a rule, which gets the pace and the time, and returns a result and the pace after it.

        It is applied again to what others have written in between, so it must do nothing else. PaceContended if that
        goes on for too long.
        """
        for pause in _PAUSES:
            self._sleep(random.uniform(0, pause))  # noqa: S311 (no secret depends on it)
            # What a refused write returns is no use after a pause: others have changed it since.
            item = self._table.get(*_KEY) or {}
            before = _pace(item)
            result, after = rule(before, self._clock())
            if after == before or self._write(item, after):
                return result
        raise PaceContended("too many functions changed the pace at the same time")

    def refused(self, epoch: int, reason: str, retry_after: int | None) -> None:
        """Note that the application answered "too fast" to a POST of an epoch; `retry_after` is in milliseconds."""
        self.change(lambda pace, now: (None, refused(pace, epoch, reason, retry_after, now)))

    def _write(self, item: Item, after: Pace) -> bool:
        """Write the pace after a change; False if others have changed the item meanwhile."""
        before = {name: value for name, value in item.items() if name not in ("pk", "sk")}
        wanted: dict[str, Any] = msgspec.to_builtins(after) | {"version": int(before.get("version", 0)) + 1}
        changes = {name: wanted.get(name) for name in (*wanted, *before) if wanted.get(name) != before.get(name)}
        try:
            self._table.update(_KEY, *change_of(changes, {"version": before.get("version")}))
        except ConditionFailed:
            return False
        return True


def _pace(item: Item) -> Pace:
    return msgspec.convert({name: value for name, value in item.items() if name not in ("pk", "sk")}, Pace)

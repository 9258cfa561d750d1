"""Whether the schedule may begin runs: kept here and not in EventBridge's rule, which each deployment enables again."""

import msgspec

from chalicelib import times
from chalicelib.ledger.table import Table
from chalicelib.models import Record

_KEY = ("SCHEDULE", "PAUSE")


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
        """Return who paused the schedule, or None if it may begin runs."""
        item = self._table.get(*_KEY)
        return msgspec.convert(item, Pause) if item else None

    def pause(self, by: str) -> None:
        """Let the schedule begin no further run; paused again, the first pause stays."""
        self._table.put_new({"pk": _KEY[0], "sk": _KEY[1], "by": by, "at": self._clock()})

    def resume(self) -> None:
        """Let the schedule begin runs again."""
        self._table.delete(*_KEY)

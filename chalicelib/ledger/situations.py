"""What the last scan of the schedule saw: one item, which each scan replaces."""

from collections.abc import Callable

import msgspec

from chalicelib.ledger.table import ConditionFailed, Item, Table, change_of
from chalicelib.models.base import Record
from chalicelib.models.communications import CauseKind

_KEY = ("SITUATION", "SITUATION")


class KnownCause(Record, frozen=True):
    """A cause, and how many communications fail for it. Times in milliseconds since 1970.

    `on_worklist` of `count` need a person. `first_seen` and `last_seen` are the first and the last scan that saw it.
    `trend` has the counts of the last scans, oldest first. `example` is the primaryId of one. `folded`: it adds up many
    rare causes of the same operation and kind, so that its reason is none of the application's.
    """

    id: str
    operation: str
    kind: CauseKind
    first_seen: int
    last_seen: int
    trend: list[int]
    reason: str | None = None
    count: int = 0
    on_worklist: int = 0
    example: str | None = None
    folded: bool = False


class OperationCounts(Record, frozen=True):
    """How many communications of an operation the application lists; each counts once.

    `failing` have a cause, and so have those `on_worklist`, which need a person. `sent` may still arrive.
    """

    failing: int = 0
    on_worklist: int = 0
    sent: int = 0
    dismissed: int = 0


class ScanPoint(Record, frozen=True):
    """The sums of one scan. `at` is when it began, in milliseconds since 1970."""

    at: int
    run_id: str
    failing: int = 0
    on_worklist: int = 0
    sent: int = 0
    complete: bool = False


class Situation(Record, frozen=True):
    """What the last scan saw, and what is kept of the scans before it. Times in milliseconds since 1970.

    `at` is when it began. It is `complete` if all lists were read from their first page to their end, as the scan at
    `last_complete` did. Otherwise the numbers of the operations whose lists were not are lower bounds. `oldest` is
    since when the oldest failure that it saw has been waiting, leaving out what is for people to decide. `worklist` is
    the size of the worklist in the ledger, whatever the lists contain. `capped`: some causes are folded into one.
    """

    run_id: str
    at: int
    complete: bool = False
    last_complete: int | None = None
    oldest: int | None = None
    worklist: int = 0
    skipped: dict[str, int] = {}
    by_operation: dict[str, OperationCounts] = {}
    causes: list[KnownCause] = []
    capped: bool = False
    scans: list[ScanPoint] = []

    def cause(self, cause_id: str) -> KnownCause | None:
        """Return a cause, None if it is not known."""
        return next((each for each in self.causes if each.id == cause_id), None)


class Situations:
    """The situation in one deployment's table."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def read(self) -> Situation | None:
        """Return the situation, None before the first scan."""
        return _situation(self._table.get(*_KEY))

    def change(self, rule: Callable[[Situation | None], Situation]) -> None:
        """Apply a rule to the situation. It is applied again to what others have written in between."""
        item = self._table.get(*_KEY)
        while (after := rule(before := _situation(item))) != before:
            changes = {"runId": after.run_id, "at": after.at, "situation": msgspec.to_builtins(after)}
            expected = {"runId": before and before.run_id, "at": before and before.at}
            try:
                self._table.update(_KEY, *change_of(changes, expected))
            except ConditionFailed as meanwhile:
                item = meanwhile.item
            else:
                return


def _situation(item: Item | None) -> Situation | None:
    # In an attribute of its own: `worklist` at the top would put the item into the index of that name.
    return msgspec.convert(item["situation"], Situation) if item else None

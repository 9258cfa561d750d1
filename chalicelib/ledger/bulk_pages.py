"""The pages of bulk runs: what each has pinned of the worklist, before anything is done about it."""

import msgspec

from chalicelib import times
from chalicelib.ledger.runs import run_key
from chalicelib.ledger.table import Table
from chalicelib.models.base import PageKey, Record


class PinnedEntry(Record, frozen=True):
    """A communication as a bulk run found it: on the worklist `since` a time, in milliseconds since 1970."""

    operation: str
    primary_id: str
    since: int


class BulkPage(Record, frozen=True):
    """The entries that a bulk run decides about together, as of `at` (milliseconds since 1970).

    Page 0 is the beginning, and empty. The next page begins after `next_key` (None: with the first entry); the `last`
    has no next one.
    """

    index: int
    at: int
    entries: list[PinnedEntry] = []
    next_key: PageKey | None = None
    last: bool = False


class BulkPages:
    """The pages of bulk runs in one deployment's table."""

    def __init__(self, table: Table, clock: times.Clock, retention: int) -> None:
        self._table = table
        self._clock = clock
        self._retention = retention

    def pin(self, run_id: str, page: BulkPage) -> BulkPage:
        """Keep a page, and return it; if that page of the run has been pinned before, return what was."""
        pk, sk = _key(run_id, page.index)
        expiry = (self._clock() + self._retention) // 1000
        if self._table.put_new(msgspec.to_builtins(page) | {"pk": pk, "sk": sk, "expiresAt": expiry}):
            return page
        return self.read(run_id, page.index)

    def read(self, run_id: str, index: int) -> BulkPage:
        """Return a page that has been pinned, or page 0."""
        item = self._table.get(*_key(run_id, index)) if index else {"index": 0, "at": 0}
        return msgspec.convert(item, BulkPage)


def _key(run_id: str, index: int) -> tuple[str, str]:
    return run_key(run_id)[0], f"PAGE#{index:06d}"

"""The mails that are due: each is kept with the run or the outage that it is about, until SNS has accepted it."""

import uuid
from collections.abc import Iterator

import msgspec

from chalicelib import times
from chalicelib.ledger.runs import MAIL_DUE, RUN, UNSETTLED
from chalicelib.ledger.table import ConditionFailed, Item, Table
from chalicelib.models.notifications import Notification

# In milliseconds: longer than a call of SNS with all of its repetitions. Whoever took a mail earlier has died.
_LONGEST_SENDING = 2 * 60_000


_TAKE = "SET #mailTakenAt = :now, #mailTakenBy = :caller"
# The SDK may repeat a write that has succeeded, so the same caller may take it again.
_MAY_TAKE = (
    "attribute_exists(#mail)"
    " AND (attribute_not_exists(#mailTakenAt) OR #mailTakenAt < :before OR #mailTakenBy = :caller)"
)


class Mails:
    """The mails in one deployment's table, each in the item with a certain key.

    `Runs.change` adds one in the write that closes its run, `Outages.write` in the one that begins or settles an
    outage.
    """

    def __init__(self, table: Table, clock: times.Clock) -> None:
        self._table = table
        self._clock = clock

    def due(self) -> Iterator[tuple[str, str]]:
        """Yield the keys of the items whose mail is due, oldest first; eventually consistent."""
        for item in self._table.query_index("open", MAIL_DUE):
            yield item["pk"], item["sk"]

    def take(self, key: tuple[str, str]) -> Notification | None:
        """Return the mail that is due in an item, for the caller to send; None if there is none, or somebody has it.

        If the caller dies, somebody else may take it after two minutes: a mail is sent at least once, and hardly ever
        twice.
        """
        now = self._clock()
        values = {"now": now, "caller": uuid.uuid4().hex, "before": now - _LONGEST_SENDING}
        try:
            item = self._table.update_and_get(key, _TAKE, values, _MAY_TAKE)
        except ConditionFailed:
            return None
        return msgspec.convert(item["mail"], Notification)

    def give_back(self, key: tuple[str, str]) -> None:
        """Let the next collector send a mail that SNS has refused."""
        self._update(key, "REMOVE #mailTakenAt, #mailTakenBy", {})

    def mark_sent(self, key: tuple[str, str]) -> None:
        """Forget a mail that SNS has accepted. If it is about a run, that may not be settled yet."""
        removed = "REMOVE #mail, #mailTakenAt, #mailTakenBy"
        if key[1] == RUN:
            self._update(key, f"SET #open = :unsettled {removed}", {"unsettled": UNSETTLED})
        else:
            self._update(key, f"{removed}, #open", {})

    def _update(self, key: tuple[str, str], expression: str, values: Item) -> None:
        try:
            self._table.update(key, expression, values, "attribute_exists(#mail)")
        except ConditionFailed:
            return

"""The mails that are due: each is kept with the run that it is about, until SNS has accepted it."""

import uuid
from collections.abc import Iterator

import msgspec

from chalicelib import times
from chalicelib.ledger.runs import MAIL_DUE, UNSETTLED, run_key
from chalicelib.ledger.table import ConditionFailed, Item, Table
from chalicelib.models import Notification

# In milliseconds: longer than a call of SNS with all of its repetitions. Whoever took a mail earlier has died.
_LONGEST_SENDING = 2 * 60_000


_TAKE = "SET #mailTakenAt = :now, #mailTakenBy = :caller"
# The SDK may repeat a write that has succeeded, so the same caller may take it again.
_MAY_TAKE = (
    "attribute_exists(#mail)"
    " AND (attribute_not_exists(#mailTakenAt) OR #mailTakenAt < :before OR #mailTakenBy = :caller)"
)


class Mails:
    """The mails in one deployment's table. `Runs.change` adds one in the write that closes its run."""

    def __init__(self, table: Table, clock: times.Clock) -> None:
        self._table = table
        self._clock = clock

    def due(self) -> Iterator[str]:
        """Yield the ids of the runs whose mail is due, oldest first; eventually consistent."""
        for item in self._table.query_index("open", MAIL_DUE):
            yield item["runId"]

    def take(self, run_id: str) -> Notification | None:
        """Return the mail that is due about a run, for the caller to send; None if there is none, or somebody has it.

        If the caller dies, somebody else may take it after two minutes: a mail is sent at least once, and hardly ever
        twice.
        """
        now = self._clock()
        values = {"now": now, "caller": uuid.uuid4().hex, "before": now - _LONGEST_SENDING}
        try:
            item = self._table.update_and_get(run_key(run_id), _TAKE, values, _MAY_TAKE)
        except ConditionFailed:
            return None
        return msgspec.convert(item["mail"], Notification)

    def give_back(self, run_id: str) -> None:
        """Let the next collector send a mail that SNS has refused."""
        self._update(run_id, "REMOVE #mailTakenAt, #mailTakenBy", {})

    def mark_sent(self, run_id: str) -> None:
        """Forget a mail that SNS has accepted. Its run may not be settled yet."""
        expression = "SET #open = :unsettled REMOVE #mail, #mailTakenAt, #mailTakenBy"
        self._update(run_id, expression, {"unsettled": UNSETTLED})

    def _update(self, run_id: str, expression: str, values: Item) -> None:
        try:
            self._table.update(run_key(run_id), expression, values, "attribute_exists(#mail)")
        except ConditionFailed:
            return

"""The outages in the ledger: one item each, in one partition, ordered by when they began."""

import msgspec

from chalicelib import times
from chalicelib.ledger.runs import MAIL_DUE
from chalicelib.ledger.table import ConditionFailed, Item, Table, change_of
from chalicelib.models.notifications import Notification
from chalicelib.models.outages import Outage

_PK = "OUTAGE"

# The attribute that each field of an Outage is stored as.
_ATTRIBUTES = dict.fromkeys(Outage.__struct_encode_fields__)


class Outages:
    """The outages in one deployment's table. One scheduled scan at a time writes them."""

    def __init__(self, table: Table, clock: times.Clock, retention: int) -> None:
        self._table = table
        self._clock = clock
        self._retention = retention

    def newest(self) -> Outage | None:
        """Return the outage that began last, None if there is none. No other one can be open."""
        return next(iter(self.page(1)[0]), None)

    def read(self, outage_id: str) -> Outage | None:
        """Return an outage, None if there is none of that id."""
        item = self._table.get(_PK, outage_id)
        return _outage(item) if item else None

    def page(self, size: int, before: str | None = None) -> tuple[list[Outage], str | None]:
        """Return at most `size` outages, newest first, and the id that the next page begins before (None: the last)."""
        items = self._table.latest(_PK, size + 1, before)
        outages = [_outage(item) for item in items[:size]]
        return outages, outages[-1].outage_id if len(items) > size else None

    def write(self, outage: Outage, known: Outage | None, mail: Notification | None = None) -> bool:
        """Write what a scan has made of an outage, unless another scan has done so since `known` was read.

        Return whether it did. `mail` is due then, and is part of the same write (see chalicelib.ledger.mails).
        """
        scan = known.scan if known and known.outage_id == outage.outage_id else None
        changes: Item = _ATTRIBUTES | msgspec.to_builtins(outage)
        changes["expiresAt"] = (self._clock() + self._retention) // 1000
        if mail:
            changes |= {"mail": msgspec.to_builtins(mail), "open": MAIL_DUE, "requestedAt": self._clock()}
        try:
            self._table.update((_PK, outage.outage_id), *change_of(changes, {"scan": scan}))
        except ConditionFailed as refusal:
            # The SDK may repeat a write that has succeeded.
            return bool(refusal.item.get("scan") == outage.scan)
        return True


def _outage(item: Item) -> Outage:
    return msgspec.convert(item, Outage)

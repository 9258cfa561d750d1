"""The item that says which trouble of the schedule people have been told of."""

import msgspec

from chalicelib.alerts import Alert
from chalicelib.ledger.table import Table

_KEY = ("ALERT", "schedule")


class Alerts:
    """The alert of one deployment's table. Scheduled runs follow one another, so nobody else writes meanwhile."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def read(self) -> Alert | None:
        """Return the trouble that people know of, if any."""
        item = self._table.get(*_KEY)
        return msgspec.convert(item, Alert) if item else None

    def write(self, alert: Alert | None) -> None:
        """Note what people have been told; None: that all is well again."""
        if alert is None:
            self._table.delete(*_KEY)
            return
        values = msgspec.to_builtins(alert)
        self._table.update(_KEY, "SET " + ", ".join(f"#{name} = :{name}" for name in values), values)

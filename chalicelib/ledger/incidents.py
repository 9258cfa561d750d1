"""The incident of the schedule that people have been notified about."""

import msgspec

from chalicelib.ledger.table import Table
from chalicelib.models.notifications import Incident

_PK, _SK = "ALERT", "schedule"

# When the last incident ended.
_ENDED = "ended"


class Incidents:
    """The incident in one deployment's table. Only one scheduled run at a time writes it."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def read(self) -> Incident | None:
        """Return the incident that people know about, if there is one."""
        item = self._table.get(_PK, _SK)
        return msgspec.convert(item, Incident) if item else None

    def write(self, incident: Incident) -> None:
        """Note what people know now."""
        self._table.put({"pk": _PK, "sk": _SK} | msgspec.to_builtins(incident))

    def end(self, now: int) -> None:
        """Note that people know that the incident is over. May be repeated."""
        self._table.put({"pk": _PK, "sk": _ENDED, "at": now})
        self._table.delete(_PK, _SK)

    def ended_at(self) -> int:
        """Return when the last incident ended, 0 if there was none."""
        item = self._table.get(_PK, _ENDED)
        return int(item["at"]) if item else 0

"""The incident of the schedule that people have been notified about."""

import msgspec

from chalicelib.ledger.table import Table
from chalicelib.models import Incident

_PK, _SK = "ALERT", "schedule"


class Incidents:
    """The incident in one deployment's table. Only one scheduled run at a time writes it."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def read(self) -> Incident | None:
        """Return the incident that people know about, if there is one."""
        item = self._table.get(_PK, _SK)
        return msgspec.convert(item, Incident) if item else None

    def write(self, incident: Incident | None) -> None:
        """Note what people know now; None: that the incident is over."""
        if incident is None:
            self._table.delete(_PK, _SK)
        else:
            self._table.put({"pk": _PK, "sk": _SK} | msgspec.to_builtins(incident))

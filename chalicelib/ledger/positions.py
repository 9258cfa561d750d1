"""The item that says where the next scheduled run goes on."""

import msgspec

from chalicelib.ledger.table import Table
from chalicelib.positions import Position

_KEY = ("SCHEDULE", "POSITION")


class Positions:
    """The position of one deployment's table. Scheduled runs follow one another, so nobody else writes meanwhile."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def read(self) -> Position | None:
        """Return where to go on, or None: from the first page of the first source."""
        item = self._table.get(*_KEY)
        return msgspec.convert(item, Position) if item else None

    def write(self, position: Position | None) -> None:
        """Note where to go on."""
        self._table.delete(*_KEY)
        if position:
            pk, sk = _KEY
            self._table.put_new({"pk": pk, "sk": sk} | msgspec.to_builtins(position))

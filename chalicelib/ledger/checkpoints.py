"""Where the next scheduled run resumes."""

import msgspec

from chalicelib.ledger.table import Table
from chalicelib.models.selections import Checkpoint

_PK, _SK = "SCHEDULE", "POSITION"


class Checkpoints:
    """The checkpoint in one deployment's table. Only one scheduled run at a time writes it."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def read(self) -> Checkpoint | None:
        """Return where to resume, or None: at the first page of the first source."""
        item = self._table.get(_PK, _SK)
        return msgspec.convert(item, Checkpoint) if item else None

    def write(self, checkpoint: Checkpoint | None) -> None:
        """Note where to resume."""
        if checkpoint is None:
            self._table.delete(_PK, _SK)
        else:
            self._table.put({"pk": _PK, "sk": _SK} | msgspec.to_builtins(checkpoint))

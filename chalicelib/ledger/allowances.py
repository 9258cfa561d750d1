"""What each requester has started without approval within the last hour."""

from chalicelib import times
from chalicelib.ledger.table import Table
from chalicelib.models.runs import Run

_HOUR = times.parse_duration("1h")

_PREFIX = "STARTED#"


class Allowances:
    """The allowances in one deployment's table. The same for everybody, so only what was used of them is kept."""

    def __init__(self, table: Table, clock: times.Clock) -> None:
        self._table = table
        self._clock = clock

    def take(self, run: Run, communications: int, allowance: int) -> bool:
        """Count a run that its requester is about to start; False, and not counted, if that exceeds the allowance.

        It is written before the others are read, all strongly consistent. So of two runs at once at least one sees the
        other, and together they never start more than the allowance; they may both be refused. A run whose collector
        dies here counts although it has not started, at most for an hour.
        """
        pk, sk = _partition(run.requested_by), f"{_PREFIX}{self._clock():013d}#{run.run_id}"
        expiry = (self._clock() + 2 * _HOUR) // 1000
        self._table.put(
            {"pk": pk, "sk": sk, "runId": run.run_id, "communications": communications, "expiresAt": expiry}
        )
        if self.used(run.requested_by) <= allowance:
            return True
        self._table.delete(pk, sk)
        return False

    def used(self, requested_by: str) -> int:
        """Return how many communications somebody has started without approval within the last hour."""
        since = f"{_PREFIX}{self._clock() - _HOUR:013d}"
        items = self._table.query(_partition(requested_by), _PREFIX, since)
        # By run: a run that was collected again is there twice.
        return sum({item["runId"]: item["communications"] for item in items}.values())


def _partition(requested_by: str) -> str:
    return f"REQUESTER#{requested_by}"

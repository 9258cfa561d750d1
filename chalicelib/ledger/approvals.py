"""What the ledger holds of a run that waits for approval: the task token, which never leaves here, and the decision."""

from chalicelib import times
from chalicelib.ledger.runs import run_key
from chalicelib.ledger.table import ConditionFailed, Table
from chalicelib.models import AWAITING

APPROVED, DECLINED, EXPIRED = "approved", "declined", "expired"

# The first decision stands; the same one again, by the same person, only delivers it again.
_MAY_DECIDE = (
    "(#status = :awaiting AND attribute_not_exists(#decision)) OR (#decision = :decision AND #decidedBy = :by)"
)


class Approvals:
    """The waits for approval of one deployment's table."""

    def __init__(self, table: Table, clock: times.Clock, retention: int) -> None:
        self._table = table
        self._clock = clock
        self._retention = retention

    def keep_token(self, run_id: str, token: str) -> bool:
        """Keep the token by which the execution's wait ends; return whether people have been asked already."""
        values = {"token": token, "expiresAt": (self._clock() + self._retention) // 1000}
        item = self._table.update(_key(run_id), "SET #token = :token, #expiresAt = :expiresAt", values)
        return "askedAt" in item

    def asked(self, run_id: str) -> None:
        """Note that people have been asked."""
        self._table.update(_key(run_id), "SET #askedAt = :now", {"now": self._clock()})

    def token(self, run_id: str) -> str | None:
        """Return the token by which the execution's wait ends, None if it does not wait yet."""
        token: str | None = (self._table.get(*_key(run_id)) or {}).get("token")
        return token

    def decide(self, run_id: str, decision: str, by: str) -> bool:
        """Write a decision down; return False if the run waits no more, or somebody else has decided already."""
        status = "running" if decision == APPROVED else AWAITING
        values = {"decision": decision, "by": by, "now": self._clock(), "new": status, "awaiting": AWAITING}
        changes = "SET #decision = :decision, #decidedBy = :by, #decidedAt = :now, #status = :new"
        try:
            self._table.update(run_key(run_id), changes, values, _MAY_DECIDE)
        except ConditionFailed as refusal:
            run = refusal.item
            return (run.get("decision"), run.get("decidedBy")) == (decision, by)
        return True

    def expire(self, run_id: str) -> None:
        """Write down that nobody's approval reached the execution in time, even if one was given; a refusal stays."""
        values = {"expired": EXPIRED, "declined": DECLINED, "now": self._clock()}
        try:
            self._table.update(
                run_key(run_id),
                "SET #decision = :expired, #decidedAt = :now",
                values,
                "attribute_not_exists(#decision) OR NOT #decision IN (:expired, :declined)",
            )
        except ConditionFailed:
            return


def _key(run_id: str) -> tuple[str, str]:
    return run_key(run_id)[0], "APPROVAL"

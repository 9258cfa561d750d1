"""A run's wait for approval: the execution's task token, which never leaves the ledger, and people's decision."""

from chalicelib import times
from chalicelib.ledger.runs import run_key
from chalicelib.ledger.table import ConditionFailed, Table
from chalicelib.models.runs import ApprovalDecision, RunStatus

# The first decision stands, and nothing moves a run that has ended.
_MAY_DECIDE = "#status = :awaiting AND attribute_not_exists(#decision)"


class Approvals:
    """The waits for approval in one deployment's table."""

    def __init__(self, table: Table, clock: times.Clock, retention: int) -> None:
        self._table = table
        self._clock = clock
        self._retention = retention

    def keep_token(self, run_id: str, token: str) -> bool:
        """Keep the task token that ends the execution's wait; return whether people have been asked already."""
        values = {"token": token, "expiresAt": (self._clock() + self._retention) // 1000}
        item = self._table.update_and_get(_key(run_id), "SET #token = :token, #expiresAt = :expiresAt", values)
        return "askedAt" in item

    def mark_asked(self, run_id: str) -> None:
        """Note that people have been asked."""
        self._table.update(_key(run_id), "SET #askedAt = :now", {"now": self._clock()})

    def token(self, run_id: str) -> str | None:
        """Return the task token that ends the execution's wait, None if it is not waiting yet."""
        token: str | None = (self._table.get(*_key(run_id)) or {}).get("token")
        return token

    def decide(self, run_id: str, decision: ApprovalDecision, by: str) -> bool:
        """Record a decision; False if the run no longer waits, or somebody else decided first.

        The same decision again by the same person writes nothing, and is accepted, so that it can be delivered again.
        """
        awaiting = RunStatus.AWAITING_APPROVAL
        status = RunStatus.RUNNING if decision == ApprovalDecision.APPROVED else awaiting
        values = {"decision": decision, "by": by, "now": self._clock(), "new": status, "awaiting": awaiting}
        changes = "SET #decision = :decision, #decidedBy = :by, #decidedAt = :now, #status = :new"
        try:
            self._table.update(run_key(run_id), changes, values, _MAY_DECIDE)
        except ConditionFailed as refusal:
            run = refusal.item
            return (run.get("decision"), run.get("decidedBy")) == (decision, by)
        return True

    def expire(self, run_id: str) -> None:
        """Record that no approval reached the execution in time, even if one was given. A rejection stays."""
        expired, declined = ApprovalDecision.EXPIRED, ApprovalDecision.DECLINED
        values = {"expired": expired, "declined": declined, "now": self._clock()}
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

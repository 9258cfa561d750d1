"""Shows what happened: counters over all communications, and everything about a single one."""

from typing import Any

from sandbox.application.database import Database

_STATS = """
    SELECT count(*) AS total,
        coalesce(sum(state = 'queued'), 0) AS queued,
        coalesce(sum(state = 'failed'), 0) AS failed,
        coalesce(sum(sent), 0) AS sent,
        coalesce(sum(claimed_until IS NOT NULL), 0) AS in_flight,
        coalesce(sum(interrupted), 0) AS interrupted,
        (SELECT count(*) FROM deliveries) AS deliveries,
        (SELECT count(*) FROM (SELECT 1 FROM deliveries GROUP BY communication_id HAVING count(*) > 1))
            AS delivered_twice,
        (SELECT count(*) FROM payloads) AS payloads,
        (SELECT count(*) FROM payloads WHERE refused) AS refused,
        (SELECT count(DISTINCT communication_id) FROM payloads WHERE two_keys) AS two_keys,
        (SELECT count(*) FROM (SELECT 1 FROM payloads WHERE communication_id IS NOT NULL
            GROUP BY communication_id, idempotency_key HAVING count(DISTINCT body) > 1)) AS changed_bodies
    FROM communications
"""


class Overview:
    """Read-only queries."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def stats(self) -> dict[str, int]:
        """Return the counters.

        `interrupted` counts attempts that ended because the process was killed; at most that many communications were
        sent twice. `refused` counts POSTs that were refused for lack of capacity. `two_keys` counts communications that
        were posted with a second key although the first was accepted and they had not finally failed since.
        `changed_bodies` counts keys that were posted with more than one body.
        """
        with self._database.transaction() as connection:
            return dict(connection.execute(_STATS).fetchone())

    def communication(self, communication_id: str, operation: str | None) -> dict[str, Any] | None:
        """Return a communication with its deliveries and the POSTs for it; None if it does not exist."""
        query = "SELECT * FROM communications WHERE id = :id AND coalesce(:operation, operation) = operation"
        with self._database.transaction() as connection:
            row = connection.execute(query, {"id": communication_id, "operation": operation}).fetchone()
            if row is None:
                return None
            deliveries = connection.execute("SELECT * FROM deliveries WHERE communication_id = ?", [communication_id])
            payloads = connection.execute("SELECT * FROM payloads WHERE communication_id = ?", [communication_id])
            return {
                **dict(row),
                "deliveries": [dict(delivery) for delivery in deliveries],
                "payloads": [dict(payload) for payload in payloads],
            }

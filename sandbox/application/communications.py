"""The table of communications: created, queued, claimed by a worker, then sent or finally failed."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from sandbox.application.database import Database, timestamp
from sandbox.application.queues import MessageBody, QueueMessage

# Far longer than a provider may need. Claims are released when the process starts again; this is the last resort.
_CLAIM_SECONDS = 120

_CURRENT = """
    id = :id AND operation = :operation AND ticket = :ticket AND state = 'queued'
    AND (claimed_until IS NULL OR claimed_until < :now)
"""
_CLAIM = f"""
    UPDATE communications SET claimed_until = :now + :seconds WHERE {_CURRENT} AND attempted_at IS NULL
    RETURNING id, operation, recipient, subject, body, never_send
"""  # noqa: S608 (constants only)
_REQUEUE = f"""
    UPDATE communications SET
        rounds = rounds + (attempted_at IS NOT NULL), attempted_at = NULL, claimed_until = NULL,
        ticket = ticket + 1, enqueued_at = NULL, lost = 0,
        state = iif(rounds + (attempted_at IS NOT NULL) < :rounds, 'queued', 'failed'),
        failed_at = iif(rounds + (attempted_at IS NOT NULL) < :rounds, NULL, :timestamp),
        accepted_key = iif(rounds + (attempted_at IS NOT NULL) < :rounds, accepted_key, NULL)
    WHERE {_CURRENT}
"""  # noqa: S608 (constants only)


class NewCommunication(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A communication to create. `created` lets it look older than it is."""

    recipient: str
    body: str
    created_by: str
    subject: str = ""
    created: datetime | None = None


@dataclass(frozen=True)
class ClaimedCommunication:
    """A communication that one worker, and no other, sends now."""

    id: str
    operation: str
    recipient: str
    subject: str
    body: str
    never_send: bool


class Communications:
    """What creators, workers and the requeuer do with the table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, operation: str, new: Iterable[NewCommunication]) -> list[str]:
        """Insert rows, which the outbox will queue; return their ids."""
        with self._database.transaction() as connection:
            query = "SELECT count(*) FROM communications WHERE operation = ?"
            (count,) = connection.execute(query, [operation]).fetchone()
            rows = [
                (_new_id(operation, number), operation, *_fields(each)) for number, each in enumerate(new, count + 1)
            ]
            columns = "id, operation, recipient, subject, body, created_by, created"
            connection.executemany(f"INSERT INTO communications ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)", rows)  # noqa: S608 (constants only)
        return [row[0] for row in rows]

    def to_enqueue(self, limit: int, max_in_queue: int) -> list[QueueMessage]:
        """Return up to `limit` messages for the main queue, so that it never holds more than `max_in_queue`."""
        query = """SELECT id, operation, created_by, ticket FROM communications
                   WHERE state = 'queued' AND enqueued_at IS NULL LIMIT min(:limit, max(0, :max_in_queue - (
                       SELECT count(*) FROM communications
                       WHERE state = 'queued' AND enqueued_at > 0 AND attempted_at IS NULL)))"""
        with self._database.transaction() as connection:
            rows = connection.execute(query, {"limit": limit, "max_in_queue": max_in_queue}).fetchall()
        return [
            QueueMessage(MessageBody(id_, operation, created_by, timestamp()), ticket)
            for id_, operation, created_by, ticket in rows
        ]

    def mark_enqueued(self, messages: Sequence[QueueMessage]) -> None:
        """Record that the main queue has these messages."""
        self._update("UPDATE communications SET enqueued_at = :now WHERE id = :id AND ticket = :ticket", messages)

    def claim(self, message: QueueMessage) -> ClaimedCommunication | None:
        """Claim a message's communication; None if the message is outdated, was tried, or is claimed already."""
        with self._database.transaction() as connection:
            rows = connection.execute(_CLAIM, _values(message, seconds=_CLAIM_SECONDS)).fetchall()
        return ClaimedCommunication(**dict(rows[0])) if rows else None

    def is_outdated(self, message: QueueMessage) -> bool:
        """Return whether nothing is left to do for a message, so that it may be deleted."""
        query = "SELECT 1 FROM communications WHERE id = :id AND ticket = :ticket AND state = 'queued'"
        with self._database.transaction() as connection:
            return connection.execute(query, _values(message)).fetchone() is None

    def mark_delivered(self, communication_id: str, provider_message_id: str) -> None:
        """Record that the provider accepted a communication: `sent = 1`."""
        with self._database.transaction() as connection:
            delivery = (communication_id, provider_message_id, timestamp())
            connection.execute("INSERT INTO deliveries VALUES (?, ?, ?)", delivery)
            connection.execute(
                """UPDATE communications SET sent = 1, state = 'sent', claimed_until = NULL, failed_at = NULL,
                   error = NULL, error_code = NULL WHERE id = ?""",
                [communication_id],
            )

    def record_failed_attempt(self, message: QueueMessage, error: str, code: str) -> None:
        """Release the claim. The round is counted once the message has been in the dead letter queue."""
        query = """UPDATE communications SET
                   claimed_until = NULL, attempted_at = :now, error = :error, error_code = :code
                   WHERE id = :id AND ticket = :ticket AND state = 'queued'"""
        self._update(query, [message], error=error, code=code)

    def last_attempt(self, messages: Sequence[QueueMessage]) -> float:
        """Return when the latest failed attempt of these messages was, as a Unix time; 0 if none was made."""
        query = "SELECT attempted_at FROM communications WHERE id = :id AND ticket = :ticket"
        with self._database.transaction() as connection:
            rows = [connection.execute(query, _values(message)).fetchone() for message in messages]
        return max((row["attempted_at"] or 0.0 for row in rows if row), default=0.0)

    def requeue(self, messages: Sequence[QueueMessage], rounds: int) -> None:
        """Queue communications for their next round; after `rounds` they have finally failed.

        A message whose attempt never ended, because the process died, does not count as a round.
        """
        self._update(_REQUEUE, messages, rounds=rounds, timestamp=timestamp())

    def release_claims(self) -> None:
        """Queue again what a process was sending when it died: nobody knows whether the provider accepted it."""
        query = """UPDATE communications SET claimed_until = NULL, interrupted = interrupted + 1,
                   ticket = ticket + 1, enqueued_at = NULL WHERE claimed_until IS NOT NULL"""
        with self._database.transaction() as connection:
            connection.execute(query)

    def requeue_lost(self, after: float) -> None:
        """Queue again what was enqueued more than `after` seconds ago: the queue must have lost its message.

        Or it is only slow. So that it does not fill up for ever with what is outdated, the time doubles with each loss.
        """
        query = """UPDATE communications SET ticket = ticket + 1, lost = lost + 1, enqueued_at = NULL
                   WHERE state = 'queued' AND enqueued_at < :now - :after * (1 << lost)
                   AND (claimed_until IS NULL OR claimed_until < :now)"""
        with self._database.transaction() as connection:
            connection.execute(query, {"now": time.time(), "after": after})

    def _update(self, query: str, messages: Sequence[QueueMessage], **values: object) -> None:
        with self._database.transaction() as connection:
            connection.executemany(query, [_values(message, **values) for message in messages])


def _new_id(operation: str, number: int) -> str:
    """Return an id. Those of SMS contain characters that must be quoted in a URL, as some applications' ids do."""
    return str(100_000 + number) if operation == "send.email" else f"sms/2026#{number}"


def _fields(new: NewCommunication) -> tuple[str, str, str, str, str]:
    return new.recipient, new.subject, new.body, new.created_by, timestamp(new.created)


def _values(message: QueueMessage, **values: object) -> dict[str, object]:
    known = {"id": message.body.primary_id, "operation": message.body.operation, "ticket": message.ticket}
    return known | {"now": time.time()} | values

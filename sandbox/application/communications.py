"""The rows of the communications: created, queued, claimed by a worker, sent or finally failed."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from sandbox.application.database import Database, timestamp
from sandbox.application.queues import Entry, Ticketed

# Far longer than a provider may take: a claim is freed when the process starts again, this is only the last resort.
_CLAIM_SECONDS = 120

_CURRENT = """
    id = :id AND operation = :operation AND ticket = :ticket AND state = 'queued'
    AND (claimed_until IS NULL OR claimed_until < :now)
"""
_CLAIM = f"""
    UPDATE communications SET claimed_until = :now + :seconds WHERE {_CURRENT} AND attempted_at IS NULL
    RETURNING id, operation, recipient, subject, body, doomed
"""  # noqa: S608 (constants only)
_REQUEUE = f"""
    UPDATE communications SET
        rounds = rounds + (attempted_at IS NOT NULL), attempted_at = NULL, claimed_until = NULL,
        ticket = ticket + 1, enqueued_at = NULL,
        state = iif(rounds + (attempted_at IS NOT NULL) < :rounds, 'queued', 'failed'),
        failed_at = iif(rounds + (attempted_at IS NOT NULL) < :rounds, NULL, :timestamp),
        accepted_key = iif(rounds + (attempted_at IS NOT NULL) < :rounds, accepted_key, NULL)
    WHERE {_CURRENT}
"""  # noqa: S608 (constants only)


class NewCommunication(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """What somebody wants sent; `created` is for pretending that it was long ago."""

    recipient: str
    body: str
    created_by: str
    subject: str = ""
    created: datetime | None = None


@dataclass(frozen=True)
class Claimed:
    """A communication that one worker, and no other, sends now."""

    id: str
    operation: str
    recipient: str
    subject: str
    body: str
    doomed: bool


class Communications:
    """The table, as creators, workers and the requeuer use it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, operation: str, wanted: Iterable[NewCommunication]) -> list[str]:
        """Write rows that the outbox will queue; return their ids."""
        with self._database.transaction() as tables:
            query = "SELECT count(*) FROM communications WHERE operation = ?"
            (count,) = tables.execute(query, [operation]).fetchone()
            rows = [
                (_new_id(operation, number), operation, *_fields(new)) for number, new in enumerate(wanted, count + 1)
            ]
            columns = "id, operation, recipient, subject, body, created_by, created"
            tables.executemany(f"INSERT INTO communications ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)", rows)  # noqa: S608 (constants only)
        return [row[0] for row in rows]

    def to_enqueue(self, at_once: int, in_queue: int) -> list[Ticketed]:
        """Return queued rows that have no queue entry yet, none while `in_queue` others wait in the main queue."""
        query = """SELECT id, operation, created_by, ticket FROM communications
                   WHERE state = 'queued' AND enqueued_at IS NULL LIMIT min(:at_once, max(0, :in_queue - (
                       SELECT count(*) FROM communications
                       WHERE state = 'queued' AND enqueued_at > 0 AND attempted_at IS NULL)))"""
        with self._database.transaction() as tables:
            rows = tables.execute(query, {"at_once": at_once, "in_queue": in_queue}).fetchall()
        return [Ticketed(Entry(id_, operation, by, timestamp()), ticket) for id_, operation, by, ticket in rows]

    def enqueued(self, entries: Sequence[Ticketed]) -> None:
        """Note that rows have their queue entry."""
        self._update("UPDATE communications SET enqueued_at = :now WHERE id = :id AND ticket = :ticket", entries)

    def claim(self, entry: Ticketed) -> Claimed | None:
        """Let the caller send it, unless this queueing is somebody else's, was tried already or is over."""
        with self._database.transaction() as tables:
            rows = tables.execute(_CLAIM, _values(entry, seconds=_CLAIM_SECONDS)).fetchall()
        return Claimed(**dict(rows[0])) if rows else None

    def is_over(self, entry: Ticketed) -> bool:
        """Tell whether an entry's queueing has ended: the entry may be thrown away."""
        query = "SELECT 1 FROM communications WHERE id = :id AND ticket = :ticket AND state = 'queued'"
        with self._database.transaction() as tables:
            return tables.execute(query, _values(entry)).fetchone() is None

    def delivered(self, communication_id: str, provider_message_id: str) -> None:
        """Write down that the provider took it: `sent = 1`."""
        with self._database.transaction() as tables:
            delivery = (communication_id, provider_message_id, timestamp())
            tables.execute("INSERT INTO deliveries VALUES (?, ?, ?)", delivery)
            tables.execute(
                """UPDATE communications SET sent = 1, state = 'sent', claimed_until = NULL, failed_at = NULL,
                   error = NULL WHERE id = ?""",
                [communication_id],
            )

    def attempt_failed(self, entry: Ticketed, error: str) -> None:
        """Free the claim; the round is counted when the entry has been through the dead letter queue."""
        query = """UPDATE communications SET claimed_until = NULL, attempted_at = :now, error = :error
                   WHERE id = :id AND ticket = :ticket AND state = 'queued'"""
        self._update(query, [entry], error=error)

    def attempted_at(self, entries: Sequence[Ticketed]) -> float:
        """Return when the latest of the attempts that these entries stand for failed; 0 if none was made."""
        query = "SELECT attempted_at FROM communications WHERE id = :id AND ticket = :ticket"
        with self._database.transaction() as tables:
            rows = [tables.execute(query, _values(entry)).fetchone() for entry in entries]
        return max((row["attempted_at"] or 0.0 for row in rows if row), default=0.0)

    def requeue(self, entries: Sequence[Ticketed], rounds: int) -> None:
        """Give rows their next round, or fail them finally after `rounds`; an entry whose attempt died is no round."""
        self._update(_REQUEUE, entries, rounds=rounds, timestamp=timestamp())

    def free_claims(self) -> None:
        """Queue again what a process that died was sending: nobody knows whether the provider took it."""
        query = """UPDATE communications SET claimed_until = NULL, interrupted = interrupted + 1,
                   ticket = ticket + 1, enqueued_at = NULL WHERE claimed_until IS NOT NULL"""
        with self._database.transaction() as tables:
            tables.execute(query)

    def requeue_lost(self, after: float) -> None:
        """Queue again the rows whose entry has not come to anything for so long that the queue must have lost it."""
        query = """UPDATE communications SET ticket = ticket + 1, enqueued_at = NULL
                   WHERE state = 'queued' AND enqueued_at < :now - :after
                   AND (claimed_until IS NULL OR claimed_until < :now)"""
        with self._database.transaction() as tables:
            tables.execute(query, {"now": time.time(), "after": after})

    def _update(self, query: str, entries: Sequence[Ticketed], **values: object) -> None:
        with self._database.transaction() as tables:
            tables.executemany(query, [_values(entry, **values) for entry in entries])


def _new_id(operation: str, number: int) -> str:
    """Ids are opaque to others, and those of SMS need care in a URL."""
    return str(100_000 + number) if operation == "send.email" else f"sms/2026#{number}"


def _fields(new: NewCommunication) -> tuple[str, str, str, str, str]:
    return new.recipient, new.subject, new.body, new.created_by, timestamp(new.created)


def _values(entry: Ticketed, **values: object) -> dict[str, object]:
    known = {"id": entry.entry.primary_id, "operation": entry.entry.operation, "ticket": entry.ticket}
    return known | {"now": time.time()} | values

"""The application's SQLite file: its tables, one connection, and the time as it is written there."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

# `ticket` numbers the queueings of a communication. A queue entry carries the ticket it was made for, so one that
# arrives twice or late is recognised. `accepted_key` is the key whose POST was accepted, until it finally failed again.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS communications (
    id TEXT PRIMARY KEY,
    operation TEXT NOT NULL,
    recipient TEXT NOT NULL,
    subject TEXT NOT NULL,
    body TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created TEXT NOT NULL,
    sent INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'failed', 'sent')),
    rounds INTEGER NOT NULL DEFAULT 0,
    failed_at TEXT,
    error TEXT,
    ticket INTEGER NOT NULL DEFAULT 1,
    enqueued_at REAL,
    claimed_until REAL,
    attempted_at REAL,
    accepted_key TEXT,
    doomed INTEGER NOT NULL DEFAULT 0,
    interrupted INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS communications_failed ON communications (operation, state, failed_at, id);
CREATE INDEX IF NOT EXISTS communications_queued ON communications (state, enqueued_at);
CREATE TABLE IF NOT EXISTS deliveries (
    communication_id TEXT NOT NULL,
    provider_message_id TEXT NOT NULL,
    at TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS deliveries_communication ON deliveries (communication_id);
CREATE TABLE IF NOT EXISTS payloads (
    number INTEGER PRIMARY KEY,
    communication_id TEXT,
    idempotency_key TEXT,
    run_id TEXT,
    body TEXT NOT NULL,
    at TEXT NOT NULL,
    status INTEGER,
    answer TEXT,
    answered INTEGER,
    two_keys INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS payloads_communication ON payloads (communication_id, idempotency_key);
"""


class Database:
    """One connection that threads take turns at: no "database is locked", and what commits later is later."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        # WAL with NORMAL outlives the death of the process; only a power failure could undo a commit
        self._connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;" + _SCHEMA)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit what is done inside, or nothing of it if it raises."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()


def timestamp(moment: datetime | None = None) -> str:
    """Write a time (now by default) so that sorting the text sorts the times; one without a zone is UTC."""
    moment = moment or datetime.now(UTC)
    moment = moment.astimezone(UTC) if moment.tzinfo else moment
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")

"""The application's SQLite database: its tables, its one connection, and the format of its timestamps."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

# `ticket` counts how often a communication was queued. A queue message carries the ticket that it was created with, so
# a message that arrives twice or late is recognised. `lost` is how often in a row its message seemed to be lost.
# `error` is about the last attempt, and its list has `error_code`. `accepted_key` is the idempotency key of the POST
# that was accepted, until the communication has finally failed again. `never_send` is 1 if every attempt is to fail,
# which the switch `accepts_but_never_sends` asks for. `refused` is 1 for a POST for which there was no capacity.
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
    error_code TEXT,
    ticket INTEGER NOT NULL DEFAULT 1,
    lost INTEGER NOT NULL DEFAULT 0,
    enqueued_at REAL,
    claimed_until REAL,
    attempted_at REAL,
    accepted_key TEXT,
    never_send INTEGER NOT NULL DEFAULT 0,
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
    two_keys INTEGER NOT NULL DEFAULT 0,
    refused INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS payloads_communication ON payloads (communication_id, idempotency_key);
"""


class Database:
    """One connection for all threads, under a lock: SQLite never says "database is locked"."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        # WAL with NORMAL survives a killed process; only a power failure could undo a commit.
        self._connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;" + _SCHEMA)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit at the end of the block, or roll back if it raises."""
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
    """Format a time (by default now) so that text order is time order; a time without a zone is UTC."""
    moment = moment or datetime.now(UTC)
    moment = moment.astimezone(UTC) if moment.tzinfo else moment
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")

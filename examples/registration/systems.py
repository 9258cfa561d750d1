"""The outside world: a system in which people are registered, or the mail provider, as a process of its own.

`python systems.py --database file` serves it with switches that break it on purpose. Its rules are what the state
machine relies on: a key is processed once, and a cancelled key never again, not even if it arrives after its
cancellation.
"""

import argparse
import json
import os
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from flask import Flask, Response, request
from flask.typing import ResponseReturnValue
from werkzeug.serving import WSGIRequestHandler, make_server

_SCHEMA = """
CREATE TABLE IF NOT EXISTS registrations (
    key TEXT PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('registered', 'cancelled')),
    email TEXT
);
CREATE UNIQUE INDEX IF NOT EXISTS one_for_each_address ON registrations (email) WHERE state = 'registered';
CREATE TABLE IF NOT EXISTS mails (
    key TEXT PRIMARY KEY,
    recipient TEXT NOT NULL,
    subject TEXT NOT NULL,
    text TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS calls (
    method TEXT NOT NULL,
    key TEXT NOT NULL,
    step TEXT NOT NULL CHECK (step IN ('arrived', 'processed', 'denied'))
);
"""

# The switches: seconds to wait before and after writing, the status to answer instead of writing, and after it. The
# reason in an answer instead of writing has at least `length` characters; with `cut`, the answer breaks off. A call
# that is `overtaken` waits until its key is cancelled.
_SWITCHES = {"slow", "slow_after", "status", "status_after", "length", "cut", "overtaken"}

_CHECK_S = 0.05

Switches = dict[str, float]


class Database:
    """One connection for all threads, under a lock."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, check_same_thread=False)
        self._connection.executescript("PRAGMA journal_mode = WAL;" + _SCHEMA)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit at the end of the block, or roll back if it raises."""
        with self._lock, self._connection:
            yield self._connection


class SwitchBoard:
    """The switches of each method: for every call, or as a list for the next calls one by one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._switches: dict[str, Switches | list[Switches]] = {}

    def set(self, switches: dict[str, Switches | list[Switches]]) -> None:
        """Replace all switches. ValueError names one that does not exist."""
        calls = [call for each in switches.values() for call in (each if isinstance(each, list) else [each])]
        if unknown := {name for call in calls for name in call} - _SWITCHES:
            raise ValueError(f"there is no switch {min(unknown)}")
        with self._lock:
            self._switches = switches

    def next_call(self, method: str) -> Switches:
        """Return the switches that break this call."""
        with self._lock:
            switches = self._switches.get(method, {})
            if isinstance(switches, list):
                return switches.pop(0) if switches else {}
            return switches


def create_app(database: Database, switchboard: SwitchBoard) -> Flask:
    """Return the web application."""
    app = Flask(__name__)

    def breakable(key: str, process: Any) -> ResponseReturnValue:
        switches = switchboard.next_call(request.method)
        with database.transaction() as connection:
            _note(connection, key, "arrived")
        time.sleep(switches.get("slow", 0))
        while "overtaken" in switches and not _is_cancelled(database, key):
            time.sleep(_CHECK_S)
        if "status" in switches:
            return _broken(switches), int(switches["status"])
        with database.transaction() as connection:
            _note(connection, key, "processed")
            if "status_after" in switches:
                _note(connection, key, "denied")
            body, status = process(connection, key)
        time.sleep(switches.get("slow_after", 0))
        return body, int(switches.get("status_after", status))

    app.add_url_rule("/registrations/<key>", "register", lambda key: breakable(key, _register), methods=["PUT"])
    app.add_url_rule("/registrations/<key>", "cancel", lambda key: breakable(key, _cancel), methods=["DELETE"])
    app.add_url_rule("/mails/<key>", "mail", lambda key: breakable(key, _send), methods=["PUT"])

    @app.post("/switches")
    def switch() -> ResponseReturnValue:
        switchboard.set(request.get_json())
        return {}

    return app


def _note(connection: sqlite3.Connection, key: str, step: str) -> None:
    connection.execute("INSERT INTO calls VALUES (?, ?, ?)", (request.method, key, step))


def _is_cancelled(database: Database, key: str) -> bool:
    with database.transaction() as connection:
        known = connection.execute("SELECT state FROM registrations WHERE key = ?", (key,)).fetchone()
    return bool(known == ("cancelled",))


def _broken(switches: Switches) -> Response:
    """Return an answer with a reason; if it is cut, it promises more than there is."""
    text = json.dumps({"error": "broken".ljust(int(switches.get("length", 0)), "!")})
    response = Response(text, content_type="application/json")
    if "cut" in switches:
        response.headers["Content-Length"] = str(len(text) + 1)
    return response


def _register(connection: sqlite3.Connection, key: str) -> tuple[dict[str, str], int]:
    """Register once for each key, and once for each address."""
    known = connection.execute("SELECT state FROM registrations WHERE key = ?", (key,)).fetchone()
    if known:
        return ({}, 200) if known[0] == "registered" else ({"error": "cancelled"}, 410)
    try:
        row = (key, request.get_json()["email"])
        connection.execute("INSERT INTO registrations (key, state, email) VALUES (?, 'registered', ?)", row)
    except sqlite3.IntegrityError:
        return {"error": "email_taken"}, 409
    return {}, 201


def _cancel(connection: sqlite3.Connection, key: str) -> tuple[dict[str, str], int]:
    """Cancel a key, also one that has not arrived yet: it is remembered, so that it is refused when it does."""
    connection.execute(
        "INSERT INTO registrations (key, state) VALUES (?, 'cancelled')"
        " ON CONFLICT (key) DO UPDATE SET state = 'cancelled', email = NULL",
        (key,),
    )
    return {}, 200


def _send(connection: sqlite3.Connection, key: str) -> tuple[dict[str, str], int]:
    """Send a mail once for each key."""
    mail = request.get_json()
    row = (key, mail["to"], mail["subject"], mail["text"])
    connection.execute("INSERT OR IGNORE INTO mails VALUES (?, ?, ?, ?)", row)
    return {}, 202


class _QuietRequestHandler(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing: only errors matter."""


def main() -> None:
    """Serve until SIGTERM, or until stdin is closed: by then, the process that started this one has ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", type=Path, required=True, help="SQLite file, created if it does not exist")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: any free port)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    threading.Thread(target=_exit_at_eof, daemon=True).start()
    app = create_app(Database(options.database), SwitchBoard())
    server = make_server("127.0.0.1", options.port, app, threaded=True, request_handler=_QuietRequestHandler)
    print(json.dumps({"url": f"http://127.0.0.1:{server.port}"}), flush=True)
    server.serve_forever()


def _exit_at_eof() -> NoReturn:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(0)


if __name__ == "__main__":
    main()

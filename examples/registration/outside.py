"""Starts the systems of the outside world, breaks them, and reads their databases."""

import socket
import sqlite3
import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Self

import requests

from examples.registration.systems import Switches
from sandbox.service import BackgroundService, CompositeService

_PROGRAM = Path(__file__).with_name("systems.py")
_TIMEOUT_S = 30.0

SYSTEMS = ("directory", "products", "promotions")


class System(BackgroundService):
    """A process of systems.py on `port`, with its database and its log in `folder`."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.port = 0
        self._database = folder / f"{name}.db"
        self._log = folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Self:
        """Start it, and return when it answers."""
        command = [sys.executable, str(_PROGRAM), "--database", str(self._database), "--port", str(self.port)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        assert self._process.stdout
        if not self._process.stdout.readline():
            raise RuntimeError(f"{self.name} did not start: see {self._log}")
        return self

    def stop(self) -> None:
        """Kill it, like a crash."""
        if process := self._process:
            self._process = None
            process.kill()
            process.communicate()

    def repair(self) -> None:
        """Turn all switches off, and start it if it is down."""
        if self._process is None:
            self.start()
        self.switch()

    def switch(self, **methods: Switches | list[Switches]) -> None:
        """Replace all switches.

        `switch(PUT={"status_after": 500})` breaks each PUT, `switch(PUT=[{"status_after": 500}])` one, `switch()` none.
        """
        with requests.Session() as session:
            session.trust_env = False  # loopback needs no proxy
            session.post(f"{self.url}/switches", json=methods, timeout=_TIMEOUT_S).raise_for_status()

    def rows(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        """Return what a query of its database finds, whether it runs or not."""
        with closing(sqlite3.connect(self._database, timeout=_TIMEOUT_S)) as database:
            return database.execute(query, values).fetchall()

    def registered(self, email: str) -> int:
        """Return how many registrations an address has."""
        return len(self.rows("SELECT key FROM registrations WHERE state = 'registered' AND email = ?", email))

    def state(self, key: str) -> str | None:
        """Return what it knows of a key: registered, cancelled, or None."""
        found = self.rows("SELECT state FROM registrations WHERE key = ?", key)
        return str(found[0][0]) if found else None

    def calls(self, method: str, key: str, step: str = "processed") -> int:
        """Return how often this method for a key has arrived, was processed, or was processed and denied."""
        return len(self.rows("SELECT key FROM calls WHERE method = ? AND key = ? AND step = ?", method, key, step))

    def texts(self, recipient: str) -> list[str]:
        """Return the texts of the mails to an address."""
        return [str(row[0]) for row in self.rows("SELECT text FROM mails WHERE recipient = ?", recipient)]

    def mails(self, recipient: str) -> list[str]:
        """Return the subjects of the mails to an address."""
        return [str(row[0]) for row in self.rows("SELECT subject FROM mails WHERE recipient = ?", recipient)]


def _reserved_port() -> socket.socket:
    """Bind a free port without listening: nobody else gets it while a system is down, and calls are refused."""
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    return reserved


class World(CompositeService):
    """The three systems and the mail provider, with their files in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.systems = {name: System(name, folder) for name in SYSTEMS}
        self.mail = System("mail", folder)

    @property
    def all(self) -> list[System]:
        """All of them."""
        return [*self.systems.values(), self.mail]

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables by which the functions find them."""
        return {f"{system.name.upper()}_URL": system.url for system in self.all}

    def _start_all(self, stack: ExitStack) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        for system in self.all:
            system.port = stack.enter_context(_reserved_port()).getsockname()[1]
            stack.enter_context(system)

    def repair(self) -> None:
        """Turn all switches off, and start again what is down."""
        for system in self.all:
            system.repair()

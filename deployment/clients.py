"""The boto3 clients of one command, and read-only ones, with which a plan is made."""

import functools
from collections.abc import Callable
from typing import Any

from chalicelib import aws_clients

# Methods with these prefixes change nothing. `exceptions` and `meta` are attributes of a client.
_READS = ("describe_", "get_", "list_", "head_", "exceptions", "meta")
# A step waits for what these have changed, so its plan ends here.
_AWAITED = ("update_table",)
# Nobody uses the answers of these, so a plan can go on as if the call had been made.
_SETS = ("put_", "set_", "update_", "subscribe")


Wrap = Callable[[Any], Any]
Make = Callable[[str], Any]


class WouldCreate(Exception):
    """The step would create something, and needs it for what comes next: its plan ends here."""


class WouldChange(Exception):
    """The step would change something, and wait for it: its plan ends here."""


class ReadOnlyClient:
    """A client that makes no call which changes anything. It notes the call's name and arguments in `noted` instead."""

    def __init__(self, client: Any, noted: list[tuple[str, dict[str, Any]]]) -> None:
        self._client = client
        self._noted = noted

    def __getattr__(self, name: str) -> Any:
        if name.startswith(_READS):
            return getattr(self._client, name)

        def note(**arguments: Any) -> None:
            self._noted.append((name, arguments))
            if name in _AWAITED:
                raise WouldChange
            if not name.startswith(_SETS):
                raise WouldCreate

        return note


class Clients:
    """The clients of one command. `make` returns a service's client; `wrap` may wrap it, as in a ReadOnlyClient."""

    def __init__(self, wrap: Wrap = lambda client: client, make: Make = aws_clients.make) -> None:
        self._wrap = wrap
        self._make = make

    @functools.cache  # noqa: B019 (a command lives as long as its clients)
    def __call__(self, service: str) -> Any:
        """Return the client of a service."""
        return self._wrap(self._make(service))

"""boto3's clients: one for each service, and ones that only read, by which a plan is made."""

import functools
from collections.abc import Callable
from typing import Any

import boto3

# What these begin with changes nothing; clients' own attributes lead to such calls, or are none.
_READING = ("describe_", "get_", "list_", "head_", "exceptions", "meta")
# What these answer is of no use to anybody, so that a plan may go on as if they had been made.
_SETTING = ("put_", "set_", "update_", "subscribe")


Wrap = Callable[[Any], Any]
Make = Callable[[str], Any]


class WouldCreate(Exception):
    """Something would have been made, and what comes after would need it: a plan of this step ends here."""


class Reader:
    """A client that makes no call that changes anything: it notes the call's name and arguments in `noted` instead."""

    def __init__(self, client: Any, noted: list[tuple[str, dict[str, Any]]]) -> None:
        self._client = client
        self._noted = noted

    def __getattr__(self, name: str) -> Any:
        if name.startswith(_READING):
            return getattr(self._client, name)

        def note(**arguments: Any) -> None:
            self._noted.append((name, arguments))
            if not name.startswith(_SETTING):
                raise WouldCreate

        return note


class Clients:
    """The clients of one command; `make` makes one for a service, `wrap` puts something around it, as a Reader."""

    def __init__(self, wrap: Wrap = lambda client: client, make: Make | None = None) -> None:
        self._wrap = wrap
        self._make = make or _make

    @functools.cache  # noqa: B019 (a command lives as long as its clients)
    def __call__(self, service: str) -> Any:
        """Return the client of a service."""
        return self._wrap(self._make(service))


def _make(service: str) -> Any:
    make: Any = boto3.client  # its stubs know each service by its literal name only
    return make(service)

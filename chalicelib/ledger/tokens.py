"""The API tokens in the table: each is stored as its hash only, so the table gives nobody access."""

import hashlib
import secrets
from typing import Literal

import msgspec

from chalicelib import times
from chalicelib.ledger.table import Table
from chalicelib.models import Record

Role = Literal["viewer", "operator", "approver"]

# What each role may do includes what those before it may.
ROLES: tuple[Role, ...] = ("viewer", "operator", "approver")

# 32 bytes from the system's random source: not to be guessed, so no slow hash is needed.
_BYTES = 32


class Token(Record, frozen=True):
    """Who a token stands for. `valid_until` in milliseconds since 1970: not the table's TTL, expired ones are kept."""

    name: str
    role: Role
    valid_until: int

    def may(self, role: Role) -> bool:
        """Whether this token's role includes another."""
        return ROLES.index(self.role) >= ROLES.index(role)


class Tokens:
    """The tokens of one deployment's table."""

    def __init__(self, table: Table, clock: times.Clock) -> None:
        self._table = table
        self._clock = clock

    def add(self, name: str, role: Role, lifetime: int) -> str:
        """Make a token that lives for `lifetime` milliseconds and return it: the only time that anybody sees it."""
        secret = secrets.token_urlsafe(_BYTES)
        token = Token(name=name, role=role, valid_until=self._clock() + lifetime)
        pk, sk = _key(secret)
        self._table.put_new(msgspec.to_builtins(token) | {"pk": pk, "sk": sk})
        return secret

    def find(self, secret: str) -> Token | None:
        """Return whom a token stands for; None if it is unknown or has expired."""
        item = self._table.get(*_key(secret))
        token = msgspec.convert(item, Token) if item else None
        return token if token and token.valid_until > self._clock() else None


def _key(secret: str) -> tuple[str, str]:
    return f"TOKEN#{hashlib.sha256(secret.encode()).hexdigest()}", "TOKEN"

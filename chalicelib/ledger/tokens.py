"""The API's tokens. The table holds only their hashes, so reading it gives nobody access."""

import hashlib
import secrets
from typing import Literal

import msgspec

from chalicelib import times
from chalicelib.ledger.table import ConditionFailed, Table
from chalicelib.models.base import Record

Role = Literal["viewer", "operator", "approver"]

# Each role includes the ones before it.
ROLES: tuple[Role, ...] = ("viewer", "operator", "approver")

# 32 bytes from the system's random source cannot be guessed, so no slow hash is needed.
_BYTES = 32

# The prefix of a token's sort key, and how many digits of its hash identify it when people list and revoke tokens.
_PREFIX, _ID = "sha256-", 12

# One partition for all tokens, so that listing them reads nothing else. A partition serves 3,000 reads a second (Amazon
# DynamoDB Developer Guide, "Burst and adaptive capacity"), far more than the API's limit of calls. The functions'
# policies refer to it: only people who deploy may write to it.
PARTITION = "TOKEN"


class Token(Record, frozen=True):
    """Whose token it is, and its role. `valid_until` is in milliseconds since 1970; expired tokens are kept."""

    name: str
    role: Role
    valid_until: int
    revoked_at: int | None = None

    def may(self, role: Role) -> bool:
        """Whether the token's role includes `role`."""
        return ROLES.index(self.role) >= ROLES.index(role)


class Tokens:
    """The tokens in one deployment's table."""

    def __init__(self, table: Table, clock: times.Clock) -> None:
        self._table = table
        self._clock = clock

    def add(self, name: str, role: Role, lifetime: int) -> str:
        """Create a token that is valid for `lifetime` milliseconds and return it. It cannot be shown again."""
        secret = secrets.token_urlsafe(_BYTES)
        token = Token(name=name, role=role, valid_until=self._clock() + lifetime)
        self._table.put_new(msgspec.to_builtins(token) | {"pk": PARTITION, "sk": _hash(secret)})
        return secret

    def find(self, secret: str) -> Token | None:
        """Return whose token it is; None if it is unknown, revoked or expired."""
        item = self._table.get(PARTITION, _hash(secret))
        token = msgspec.convert(item, Token) if item else None
        return token if token and token.revoked_at is None and token.valid_until > self._clock() else None

    def all(self) -> dict[str, Token]:
        """Return all tokens that were ever created, by the id that `revoke` takes."""
        items = self._table.query(PARTITION, _PREFIX)
        return {item["sk"].removeprefix(_PREFIX)[:_ID]: msgspec.convert(item, Token) for item in items}

    def revoke(self, token_id: str) -> bool:
        """Revoke a token, with immediate effect; False if there is none of that id, or it was revoked before."""
        if len(token_id) < _ID:
            return False
        found = [item["sk"] for item in self._table.query(PARTITION, _PREFIX + token_id)]
        return len(found) == 1 and self._revoke(found[0])

    def _revoke(self, sk: str) -> bool:
        try:
            self._table.update(
                (PARTITION, sk),
                "SET #revokedAt = :now",
                {"now": self._clock()},
                "attribute_exists(pk) AND attribute_not_exists(#revokedAt)",
            )
        except ConditionFailed:
            return False
        return True


def _hash(secret: str) -> str:
    return _PREFIX + hashlib.sha256(secret.encode()).hexdigest()

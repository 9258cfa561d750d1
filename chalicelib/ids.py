"""The opaque texts of the API: a communication's id, which is safe in a path, and the cursor of a page."""

import base64
import binascii
import hashlib
import re

import msgspec

from chalicelib.errors import InvalidRequest, NotFound
from chalicelib.ledger.table import Position

# Base64 makes 4 of 3, and JSON up to 6 of 1: an id or a cursor is never longer than this.
_LONGEST = 8192

# The bounds of the table's keys in bytes (Amazon DynamoDB Developer Guide, "Quotas"), and of the numbers in ours.
_PK, _SK, _NUMBER = 2048, 1024, 2**53

# As in application.toml; a `#` would divide the ledger's key elsewhere.
OPERATION = r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}"


def of(operation: str, primary_id: str) -> str:
    """Return the id of a communication."""
    return _encode([operation, primary_id])


def parse(text: str) -> tuple[str, str]:
    """Return operation and primaryId of an id. NotFound if it is none that `of` makes."""
    try:
        operation, primary_id = msgspec.json.decode(_decode(text), type=tuple[str, str])
    except (ValueError, RecursionError):
        operation, primary_id = "", ""
    if not re.fullmatch(OPERATION, operation) or not primary_id or of(operation, primary_id) != text:
        raise NotFound("there is no communication of this id; take ids from a listing")
    return operation, primary_id


def cursor(position: Position | None, *listing: object) -> str | None:
    """Return the cursor of the page after a position, for one listing with its filters only; None if it is the last."""
    return None if position is None else _encode([_mark(listing), *position])


def position(text: str | None, *listing: object) -> Position | None:
    """Return the position of a cursor. InvalidRequest if it is not one of this listing."""
    if text is None:
        return None
    try:
        mark, pk, sk, number = msgspec.json.decode(_decode(text), type=tuple[str, str, str, int])
    except (ValueError, RecursionError):
        mark, pk, sk, number = "", "", "", 0
    in_bounds = 0 < len(pk.encode()) <= _PK and 0 < len(sk.encode()) <= _SK and 0 <= number < _NUMBER
    if mark != _mark(listing) or not in_bounds:
        raise InvalidRequest("cursor: not one that this listing gave, with these very filters; begin without")
    return pk, sk, number


def _mark(listing: tuple[object, ...]) -> str:
    return hashlib.sha256(repr(listing).encode()).hexdigest()[:8]


def _encode(value: list[object] | list[str]) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(value)).decode().rstrip("=")


def _decode(text: str) -> bytes:
    if len(text) > _LONGEST or not re.fullmatch(r"[A-Za-z0-9_-]+", text):
        raise ValueError("not base64url")
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as error:
        raise ValueError(str(error)) from None

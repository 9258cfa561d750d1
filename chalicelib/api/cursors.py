"""The opaque cursors of pages. A cursor is only valid for the listing that gave it, with the same filters."""

import hashlib

from chalicelib.api import ids
from chalicelib.errors import InvalidRequest
from chalicelib.models.base import PageKey
from chalicelib.runs.queries import OutcomeKey

# The limits of the table's keys in bytes (Amazon DynamoDB Developer Guide, "Quotas"), and of our own numbers.
_MAX_PK, _MAX_SK, _MAX_NUMBER = 2048, 1024, 2**53


def encode(key: PageKey | OutcomeKey | tuple[str] | None, *listing: object) -> str | None:
    """Return the cursor of the page at a key, for one listing with its filters; None if there is no further page."""
    return None if key is None else ids.encode([_mark(listing), *key])


def decode_page_key(text: str | None, *listing: object) -> PageKey | None:
    """Return the key in a cursor, None without a cursor. InvalidRequest if the cursor is not one of this listing."""
    if text is None:
        return None
    try:
        mark, pk, sk, number = ids.decode(text, tuple[str, str, str, int])
    except ValueError:
        raise _invalid() from None
    in_bounds = 0 < len(pk.encode()) <= _MAX_PK and 0 < len(sk.encode()) <= _MAX_SK and 0 <= number < _MAX_NUMBER
    if mark != _mark(listing) or not in_bounds:
        raise _invalid()
    return pk, sk, number


def decode_outcome_key(text: str | None, *listing: object) -> OutcomeKey:
    """Return the key in a cursor, the first one without a cursor. InvalidRequest if it is not one of this listing."""
    if text is None:
        return 0, 0
    try:
        mark, index, number = ids.decode(text, tuple[str, int, int])
    except ValueError:
        raise _invalid() from None
    if mark != _mark(listing) or not 0 <= index < _MAX_NUMBER or not 0 <= number < _MAX_NUMBER:
        raise _invalid()
    return index, number


def decode_outage_key(text: str | None, *listing: object) -> str | None:
    """Return the id in a cursor, None without a cursor. InvalidRequest if the cursor is not one of this listing."""
    if text is None:
        return None
    try:
        mark, outage_id = ids.decode(text, tuple[str, str])
    except ValueError:
        raise _invalid() from None
    if mark != _mark(listing) or not 0 < len(outage_id.encode()) <= _MAX_SK:
        raise _invalid()
    return str(outage_id)


def _invalid() -> InvalidRequest:
    return InvalidRequest("cursor: it is not from this listing with these filters; start again without a cursor")


def _mark(listing: tuple[object, ...]) -> str:
    """Return a short digest of a listing and its filters."""
    return hashlib.sha256(repr(listing).encode()).hexdigest()[:8]

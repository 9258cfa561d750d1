"""The opaque ids of communications, which are safe in a path, and the encoding that they share with cursors."""

import base64
import binascii
import re
from typing import Any

import msgspec

from chalicelib.errors import NotFound
from chalicelib.models.base import is_primary_id

# Base64 makes 4 characters of 3, and JSON up to 6 of 1: no id or cursor of ours is longer.
_MAX_LENGTH = 8192

# As in application.toml. A `#` would separate the parts of the table's key elsewhere.
OPERATION = r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}"


def encode_id(operation: str, primary_id: str) -> str:
    """Return the id of a communication."""
    return encode([operation, primary_id])


def decode_id(text: str) -> tuple[str, str]:
    """Return the operation and primaryId of an id. NotFound if `encode_id` did not make it."""
    try:
        operation, primary_id = decode(text, tuple[str, str])
    except ValueError:
        operation, primary_id = "", ""
    is_valid = re.fullmatch(OPERATION, operation) and is_primary_id(primary_id)
    if not is_valid or encode_id(operation, primary_id) != text:
        raise NotFound("there is no communication with this id; take ids from a listing")
    return operation, primary_id


def encode(value: list[Any]) -> str:
    """Return a list of JSON values as base64url."""
    return base64.urlsafe_b64encode(msgspec.json.encode(value)).decode().rstrip("=")


def decode(text: str, kind: Any) -> Any:
    """Return the value of type `kind` that `encode` made a text of. ValueError if it did not."""
    if len(text) > _MAX_LENGTH or not re.fullmatch(r"[A-Za-z0-9_-]+", text):
        raise ValueError("not base64url")
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=kind)
    except (binascii.Error, RecursionError) as error:
        raise ValueError(str(error)) from None

"""Turns what a caller sent into a record, or into an error that names the field and its rule."""

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from chalicelib.errors import InvalidRequest
from chalicelib.models.base import MAX_ID, is_primary_id

T = TypeVar("T", bound=msgspec.Struct)


def parse_body(body: bytes, kind: type[T]) -> T:
    """Return the record in a JSON body; no body counts as an empty one. InvalidRequest names the field at fault."""
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except UnicodeDecodeError:
        raise InvalidRequest("the body is not UTF-8") from None
    except msgspec.ValidationError as error:
        raise InvalidRequest(_readable(str(error), kind, "field")) from None
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"the body is not JSON: {error}") from None
    except RecursionError:
        raise InvalidRequest("the body is nested too deeply") from None


def parse_query(parameters: Mapping[str, str], kind: type[T]) -> T:
    """Return the record in the parameters of a URL. InvalidRequest names the parameter at fault."""
    try:
        return msgspec.convert(dict(parameters), kind, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidRequest(_readable(str(error), kind, "parameter")) from None


def check_primary_id(text: str, field: str) -> None:
    """Raise InvalidRequest, with the field's name, if a text is too long to be an id of the application's."""
    if not is_primary_id(text):
        raise InvalidRequest(f"{field}: must take 1 to {MAX_ID} bytes in JSON")


def _readable(error: str, kind: Any, what: str) -> str:
    """Turn msgspec's message into one that begins with the field."""
    unknown = re.search(r"unknown field `(.*)`", error, re.DOTALL)
    if unknown:
        return (
            f"{unknown[1][:100]}: there is no such {what}; the {what}s are {', '.join(kind.__struct_encode_fields__)}"
        )
    missing = re.search(r"missing required field `(.*)`", error)
    if missing:
        return f"{missing[1]}: is required"
    rule, _, path = error.replace(" | null", "").partition(" - at `$.")
    return f"{path.rstrip('`')}: {rule}" if path else f"the body: {rule}"

"""From what a caller sent, to a record, or to a sentence that says which field is wrong and what it takes."""

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from chalicelib.errors import InvalidRequest

T = TypeVar("T", bound=msgspec.Struct)


def decode(body: bytes, kind: type[T]) -> T:
    """Return the record that a JSON body holds; no body is an empty one. InvalidRequest names the field at fault."""
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except UnicodeDecodeError:
        raise InvalidRequest("the body is not UTF-8") from None
    except msgspec.ValidationError as error:
        raise InvalidRequest(_sentence(str(error), kind, "field")) from None
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"the body is not JSON: {error}") from None
    except RecursionError:
        raise InvalidRequest("the body is nested too deep") from None


def query(parameters: Mapping[str, str], kind: type[T]) -> T:
    """Return the record that the parameters of a URL hold. InvalidRequest names the one at fault."""
    try:
        return msgspec.convert(dict(parameters), kind, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidRequest(_sentence(str(error), kind, "parameter")) from None


def _sentence(error: str, kind: Any, what: str) -> str:
    """Turn msgspec's message into one that begins with the field."""
    unknown = re.search(r"unknown field `(.*)`", error, re.DOTALL)
    if unknown:
        return f"{unknown[1][:100]}: no such {what}; there are {', '.join(kind.__struct_encode_fields__)}"
    missing = re.search(r"missing required field `(.*)`", error)
    if missing:
        return f"{missing[1]}: is required"
    rule, _, where = error.replace(" | null", "").partition(" - at `$.")
    return f"{where.rstrip('`')}: {rule}" if where else f"the body: {rule}"

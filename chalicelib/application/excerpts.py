"""How errors show what an application says: quoted, short, and without personal data. No I/O here."""

import re
from typing import Any

# In characters.
_LONGEST = 100


def quote(text: str) -> str:
    """Return text from outside as one line of ASCII in quotation marks, cut after 100 characters."""
    quoted = ascii(text[: _LONGEST + 1])
    return quoted if len(quoted) <= _LONGEST + 2 else f"{quoted[:_LONGEST]}...{quoted[0]}"


def describe(value: Any) -> str:
    """Say what a JSON value looks like. Letters are shown as `a` and digits as `0`: the value may be a person's."""
    if isinstance(value, str):
        return f"text like {quote(_mask(value[: _LONGEST + 1]))}"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return f"a number like {_mask(f'{value:g}' if isinstance(value, float) else str(value)[:_LONGEST])}"
    if isinstance(value, list):
        return "a list"
    return "an object" if isinstance(value, dict) else "nothing"


def _mask(text: str) -> str:
    return re.sub(r"\d", "0", re.sub(r"[^\W\d_]", "a", text))

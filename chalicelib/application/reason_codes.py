"""Reason codes in what the application says. No I/O here."""

import re
from typing import Any

_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]{0,99}")


def as_code(found: Any) -> str | None:
    """Return a reason code, None for what does not look like one: a sentence or a number may be personal data."""
    return found if isinstance(found, str) and _CODE.fullmatch(found) else None

"""Points in time are whole milliseconds since 1970 (UTC) inside, and ISO 8601 with `Z` wherever a person reads them."""

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], int]

_UNITS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}

_1970 = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

# `fromisoformat` takes more than this, a row of digits among it, which is more likely a number than a time.
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ]|\Z)")


def now() -> int:
    """Return the present, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def iso(milliseconds: int) -> str:
    """Return `2026-11-20T09:30:00.000Z` for a point in time of the years 1 to 9999."""
    moment = _1970 + milliseconds * _MILLISECOND
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse(text: str) -> int:
    """Return the point in time that an ISO 8601 text names; one without a zone is taken as UTC.

    ValueError if it names none, or none of the years 1 to 9999 (UTC).
    """
    text = text.upper()
    if not _DATE.match(text):
        raise ValueError(f"{text!r} is not an ISO 8601 time such as 2026-11-20T09:30:00Z")
    moment = datetime.fromisoformat(text)
    try:
        return ((moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)) - _1970) // _MILLISECOND
    except OverflowError:
        raise ValueError(f"{text!r} is not within the years 1 to 9999") from None


def duration(text: str) -> int:
    """Return the milliseconds of a duration such as `90s`, `10m`, `6h` or `7d`. ValueError if it is none."""
    match = re.fullmatch(r"([0-9]{1,5})([smhd])", text)
    if not match:
        raise ValueError(f"{text!r} is not a duration; write 1 to 5 digits and a unit: 90s, 10m, 6h or 7d")
    return int(match[1]) * _UNITS[match[2]]


def spoken(milliseconds: int) -> str:
    """Return a duration as a person would say it: `45 s`, `12 min`, `3.5 h`, `2.1 d`."""
    seconds = milliseconds / 1000
    for limit, unit, size in ((60, "s", 1), (3600, "min", 60), (86_400, "h", 3600)):
        if seconds < limit:
            return f"{seconds / size:.1f}".removesuffix(".0") + f" {unit}"
    return f"{seconds / 86_400:.1f}".removesuffix(".0") + " d"

"""Points in time: whole milliseconds since 1970 (UTC) in code and in the table, ISO 8601 with `Z` for people."""

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], int]

_UNITS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

# `fromisoformat` also accepts a bare row of digits, which is more likely to be a number than a time.
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ]|\Z)")


def now() -> int:
    """Return the current time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def format_iso(milliseconds: int) -> str:
    """Return a time as `2026-11-20T09:30:00.000Z`; works for the years 1 to 9999."""
    moment = _EPOCH + milliseconds * _MILLISECOND
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_iso(text: str) -> int:
    """Return the milliseconds since 1970 of an ISO 8601 time; a time without a zone is taken as UTC.

    Raises ValueError if the text is not such a time, or lies outside the years 1 to 9999 (UTC).
    """
    text = text.upper()
    if not _DATE.match(text):
        raise ValueError(f"{text!r} is not an ISO 8601 time such as 2026-11-20T09:30:00Z")
    moment = datetime.fromisoformat(text)
    try:
        return ((moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // _MILLISECOND
    except OverflowError:
        raise ValueError(f"{text!r} is not within the years 1 to 9999") from None


def parse_duration(text: str) -> int:
    """Return the milliseconds of a duration such as `90s`, `10m`, `6h` or `7d`. Raises ValueError for anything else."""
    match = re.fullmatch(r"([0-9]{1,5})([smhd])", text)
    if not match:
        raise ValueError(f"{text!r} is not a duration; write 1 to 5 digits and a unit: 90s, 10m, 6h or 7d")
    return int(match[1]) * _UNITS[match[2]]


def format_duration(milliseconds: int) -> str:
    """Return a duration as people write it: `45 s`, `12 min`, `3.5 h`, `2.1 d`."""
    seconds = milliseconds / 1000
    for limit, unit, size in ((60, "s", 1), (3600, "min", 60), (86_400, "h", 3600)):
        if seconds < limit:
            return f"{seconds / size:.1f}".removesuffix(".0") + f" {unit}"
    return f"{seconds / 86_400:.1f}".removesuffix(".0") + " d"

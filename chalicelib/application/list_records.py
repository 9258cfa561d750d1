"""What a record of a source's list says about its communication. No I/O here."""

from typing import Any

from chalicelib import times
from chalicelib.application.config import Source
from chalicelib.application.excerpts import describe
from chalicelib.application.expressions import evaluate
from chalicelib.application.reason_codes import as_code
from chalicelib.errors import ListingFailed
from chalicelib.models.base import MAX_AUTHOR, MAX_ID, is_primary_id, json_size
from chalicelib.models.communications import Communication

# A time outside of these years is a placeholder or a mistake. A number is then in another unit than `times` says: no
# time is within them in both units.
_EARLIEST, _LATEST = times.parse_iso("2000-01-01"), times.parse_iso("2200-01-01")

# In milliseconds: how far the application's clock may be ahead of ours. A mistaken zone is a whole hour or more.
_CLOCKS_DIFFER = 30 * 60_000

_UNITS = {"epoch": 1000, "epoch_ms": 1}
_EXPECTED = {
    "iso": "an ISO 8601 time such as 2026-11-20T09:30:00Z",
    "epoch": "a number of seconds since 1970",
    "epoch_ms": "a number of milliseconds since 1970",
}


def communication(source: Source, record: Any, listed_at: int) -> Communication:
    """Return the communication of a record. ListingFailed names the source, and the key that does not fit."""
    created = _moment(source, record, "created", source.created)
    failed_at = _moment(source, record, "failed_at", source.failed_at)
    key, since = ("created", created) if failed_at is None else ("failed_at", failed_at)
    if since is not None and since - listed_at > _CLOCKS_DIFFER:
        ahead = times.format_duration(since - listed_at)
        text = (
            f"finds {times.format_iso(since)}, which is {ahead} in the future: check its zone (without one it is UTC)"
        )
        raise _unreadable(source, key, text)
    return Communication(
        operation=source.operation,
        primary_id=primary_id(source, record),
        listed_at=listed_at,
        created_by=_author(source, record),
        created=created,
        since=since,
        failure_reason=as_code(evaluate(source, "failure_reason", source.failure_reason, record)),
    )


def primary_id(source: Source, record: Any) -> str:
    """Return the id in a record, as text. ListingFailed if it has none that can be kept."""
    found = evaluate(source, "id", source.id, record)
    text = str(found) if isinstance(found, str | int) and not isinstance(found, bool) else ""
    if not is_primary_id(text):
        size = f" ({json_size(text)} bytes in JSON)" if text else ""
        raise _unreadable(
            source, "id", f"finds {describe(found)}{size}, not a text of 1 to {MAX_ID} bytes in JSON or a whole number"
        )
    return text


def _author(source: Source, record: Any) -> str | None:
    found = evaluate(source, "created_by", source.created_by, record)
    author = str(found)[:256] if isinstance(found, str | int) and not isinstance(found, bool) else ""
    while json_size(author) > MAX_AUTHOR:
        author = author[:-1]
    return author or None


def _moment(source: Source, record: Any, key: str, expression: str | None) -> int | None:
    found = evaluate(source, key, expression, record)
    try:
        return None if found is None else _milliseconds(source, found)
    except (ValueError, OverflowError):  # not a time; an infinite number
        expected = f"{_EXPECTED[source.times]} in the years 2000 to 2200"
        raise _unreadable(source, key, f"finds {describe(found)}, not {expected}") from None


def _milliseconds(source: Source, found: Any) -> int:
    if source.times == "iso":
        moment = times.parse_iso(found if isinstance(found, str) else "")
    else:
        number = found if isinstance(found, str | int | float) and not isinstance(found, bool) else "none"
        moment = int(float(number) * _UNITS[source.times])
    if not _EARLIEST <= moment < _LATEST:
        raise ValueError("it is outside of the years in which anything can have failed")
    return moment


def _unreadable(source: Source, key: str, text: str) -> ListingFailed:
    return ListingFailed(f"{source.operation}: {key} = {getattr(source, key)!r} {text}", key)

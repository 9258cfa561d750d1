"""What a page of a source's list says: its communications, and where the next page is. No I/O here."""

from typing import Any
from urllib.parse import urljoin

import msgspec

from chalicelib import times
from chalicelib.description import Source
from chalicelib.errors import ListingFailed
from chalicelib.finding import find
from chalicelib.models import MAX_ID, Communication
from chalicelib.queries import Place

# Times outside of these are a number in another unit than `times` says: none of them is in seconds and milliseconds.
_EARLIEST, _LATEST = times.parse("2000-01-01"), times.parse("2200-01-01")

_UNITS = {"epoch": 1000, "epoch_ms": 1}
_EXPECTED = {
    "iso": "ISO 8601 time such as 2026-11-20T09:30:00Z",
    "epoch": "number of seconds since 1970 (of the years 2000 to 2200)",
    "epoch_ms": "number of milliseconds since 1970 (of the years 2000 to 2200)",
}


class Page(msgspec.Struct, frozen=True):
    """A page of a list: `at` is where it is, `following` where the next one is (None: it is the last).

    `total` is the number of records of the whole list, where the list tells.
    """

    communications: list[Communication]
    at: Place
    following: Place | None = None
    total: int | None = None


def communications(source: Source, page: Any, listed_at: int) -> list[Communication]:
    """Return the communications of a page. ListingFailed names the source, and the key that does not fit."""
    return [_communication(source, record, listed_at) for record in records(source, page)]


def following(source: Source, page: Any, at: Place, link: str | None = None) -> Place | None:
    """Return the place of the page after `page`, which is `at`; None at the end. `link` is its Link header's."""
    it = source.next
    if it is None:
        return None
    if it.url or it.link:
        found = link if it.link else find(source, "next.url", it.url, page)
        # The next URL carries the parameters itself.
        return Place(_joined(source, at.url, found)) if found else None
    if not _more(source, page):
        return None
    param, value = _param(source, page, at)
    return None if value is None else Place(at.url, at.params | {param: value})


def total(source: Source, page: Any) -> int | None:
    """Return the number of records of the whole list, or None where it does not tell."""
    found = find(source, "total", source.total, page)
    if found is None or (isinstance(found, int) and not isinstance(found, bool) and found >= 0):
        return found
    raise ListingFailed(f"{source.operation}: total = {source.total!r} finds no whole number", "total")


def records(source: Source, page: Any) -> list[Any]:
    """Return the records of a page."""
    found = find(source, "items", source.items, page)
    if not isinstance(found, list):
        raise ListingFailed(f"{source.operation}: items = {source.items!r} finds no list in the answer", "items")
    return found


def _joined(source: Source, url: str, found: Any) -> str:
    try:
        joined: str = urljoin(url, found)
    except (TypeError, ValueError):  # no text; a text that is no URL
        raise ListingFailed(f"{source.operation}: next.url finds something that is no URL", "next") from None
    return joined


def _more(source: Source, page: Any) -> bool:
    """Whether the list goes on, as far as it says so: where it does not, an empty page ends it, or a missing cursor."""
    if source.next is None or source.next.more is None:
        return bool(source.next and source.next.cursor) or bool(records(source, page))
    found = find(source, "next.more", source.next.more, page)
    if not isinstance(found, bool):
        raise ListingFailed(
            f"{source.operation}: next.more = {source.next.more!r} finds neither true nor false", "next"
        )
    return found


def _param(source: Source, page: Any, at: Place) -> tuple[str, Any]:
    """Return the parameter that leads to the next page, and its value; None at the end."""
    it, found = source.next, records(source, page)
    if it and it.page:
        return it.page, at.params[it.page] + 1
    if it and it.offset:
        return it.offset, at.params[it.offset] + len(found)
    if it and it.last_id:
        return it.last_id, _id(source, found[-1]) if found else None
    return (it.param if it else None) or "", _cursor(source, page)


def _cursor(source: Source, page: Any) -> str | None:
    expression = source.next.cursor if source.next else None
    found = find(source, "next.cursor", expression, page)
    if found is None or found == "":
        return None
    if not isinstance(found, str | int) or isinstance(found, bool):
        raise ListingFailed(f"{source.operation}: next.cursor = {expression!r} finds no text, nor a number", "next")
    return str(found)


def _communication(source: Source, record: Any, listed_at: int) -> Communication:
    created = _moment(source, record, "created", source.created)
    failed_at = _moment(source, record, "failed_at", source.failed_at)
    return Communication(
        operation=source.operation,
        primary_id=_id(source, record),
        listed_at=listed_at,
        created_by=_author(source, record),
        created=created,
        since=failed_at if failed_at is not None else created,
    )


def _id(source: Source, record: Any) -> str:
    found = find(source, "id", source.id, record)
    text = str(found) if isinstance(found, str | int) and not isinstance(found, bool) else ""
    if not 0 < len(text.encode()) <= MAX_ID:
        raise ListingFailed(
            f"{source.operation}: id = {source.id!r} finds no text of 1 to {MAX_ID} bytes, nor a whole number", "id"
        )
    return text


def _author(source: Source, record: Any) -> str | None:
    found = find(source, "created_by", source.created_by, record)
    return str(found)[:256] or None if isinstance(found, str | int) and not isinstance(found, bool) else None


def _moment(source: Source, record: Any, key: str, expression: str | None) -> int | None:
    found = find(source, key, expression, record)
    try:
        return None if found is None else _milliseconds(source, found)
    except (ValueError, OverflowError):  # no time; a number without end
        raise ListingFailed(
            f"{source.operation}: {key} = {expression!r} finds no {_EXPECTED[source.times]}", key
        ) from None


def _milliseconds(source: Source, found: Any) -> int:
    if source.times == "iso":
        return times.parse(found if isinstance(found, str) else "")
    number = found if isinstance(found, str | int | float) and not isinstance(found, bool) else "none"
    moment = int(float(number) * _UNITS[source.times])
    if not _EARLIEST <= moment < _LATEST:
        raise ValueError(f"{found!r} is in another unit")
    return moment

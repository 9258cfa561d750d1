"""What a page of a source's list contains: its communications, and the request for the next page. No I/O here."""

from typing import Any
from urllib.parse import urljoin

import msgspec

from chalicelib import times
from chalicelib.application.config import Source
from chalicelib.application.expressions import evaluate
from chalicelib.application.list_requests import PageRequest
from chalicelib.errors import ListingFailed
from chalicelib.models import MAX_AUTHOR, MAX_ID, Communication, is_primary_id, json_size

# A number outside of these years is in another unit than `times` says: no time is within them in both units.
_EARLIEST, _LATEST = times.parse_iso("2000-01-01"), times.parse_iso("2200-01-01")

_UNITS = {"epoch": 1000, "epoch_ms": 1}
_EXPECTED = {
    "iso": "ISO 8601 time such as 2026-11-20T09:30:00Z",
    "epoch": "number of seconds since 1970 (in the years 2000 to 2200)",
    "epoch_ms": "number of milliseconds since 1970 (in the years 2000 to 2200)",
}


class Page(msgspec.Struct, frozen=True):
    """A page of a list, the request that gave it, and the request for the next one (None: it is the last).

    `total` is the number of records in the whole list, if the list says so.
    """

    communications: list[Communication]
    request: PageRequest
    next: PageRequest | None = None
    total: int | None = None


def communications(source: Source, page: Any, listed_at: int) -> list[Communication]:
    """Return the communications of a page. ListingFailed names the source, and the key that does not fit."""
    return [_communication(source, record, listed_at) for record in records(source, page)]


def next_request(source: Source, page: Any, request: PageRequest, link: str | None = None) -> PageRequest | None:
    """Return the request for the page after `page`; None at the end. `link` is the URL in its Link header."""
    paging = source.next
    if paging is None:
        return None
    if paging.url or paging.link:
        url = link if paging.link else evaluate(source, "next.url", paging.url, page)
        # The next URL already contains the parameters.
        return PageRequest(_join(source, request.url, url)) if url else None
    if not _has_more(source, page):
        return None
    param, value = _next_param(source, page, request)
    return None if value is None else PageRequest(request.url, request.params | {param: value})


def total(source: Source, page: Any) -> int | None:
    """Return the number of records in the whole list, or None if it does not say."""
    found = evaluate(source, "total", source.total, page)
    if found is None or (isinstance(found, int) and not isinstance(found, bool) and found >= 0):
        return found
    raise ListingFailed(f"{source.operation}: total = {source.total!r} finds no whole number", "total")


def records(source: Source, page: Any) -> list[Any]:
    """Return the records of a page."""
    found = evaluate(source, "items", source.items, page)
    if not isinstance(found, list):
        raise ListingFailed(f"{source.operation}: items = {source.items!r} finds no list in the answer", "items")
    return found


def _join(source: Source, base: str, url: Any) -> str:
    try:
        joined: str = urljoin(base, url)
    except (TypeError, ValueError):  # not a text; a text that is not a URL
        raise ListingFailed(f"{source.operation}: next.url finds something that is not a URL", "next") from None
    return joined


def _has_more(source: Source, page: Any) -> bool:
    """Whether the list says that it goes on. Where it does not say, an empty page or a missing cursor ends it."""
    if source.next is None or source.next.more is None:
        return bool(source.next and source.next.cursor) or bool(records(source, page))
    found = evaluate(source, "next.more", source.next.more, page)
    if not isinstance(found, bool):
        raise ListingFailed(
            f"{source.operation}: next.more = {source.next.more!r} finds neither true nor false", "next"
        )
    return found


def _next_param(source: Source, page: Any, request: PageRequest) -> tuple[str, Any]:
    """Return the parameter that leads to the next page, and its value; None at the end."""
    paging, found = source.next, records(source, page)
    if paging and paging.page:
        return paging.page, request.params[paging.page] + 1
    if paging and paging.offset:
        return paging.offset, request.params[paging.offset] + len(found)
    if paging and paging.last_id:
        return paging.last_id, _id(source, found[-1]) if found else None
    return (paging.param if paging else None) or "", _cursor(source, page)


def _cursor(source: Source, page: Any) -> str | None:
    expression = source.next.cursor if source.next else None
    found = evaluate(source, "next.cursor", expression, page)
    if found is None or found == "":
        return None
    if not isinstance(found, str | int) or isinstance(found, bool):
        raise ListingFailed(f"{source.operation}: next.cursor = {expression!r} finds neither text nor a number", "next")
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
    found = evaluate(source, "id", source.id, record)
    text = str(found) if isinstance(found, str | int) and not isinstance(found, bool) else ""
    if not is_primary_id(text):
        raise ListingFailed(
            f"{source.operation}: id = {source.id!r} finds neither a text of 1 to {MAX_ID} bytes nor a whole number",
            "id",
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
        raise ListingFailed(
            f"{source.operation}: {key} = {expression!r} finds no {_EXPECTED[source.times]}", key
        ) from None


def _milliseconds(source: Source, found: Any) -> int:
    if source.times == "iso":
        return times.parse_iso(found if isinstance(found, str) else "")
    number = found if isinstance(found, str | int | float) and not isinstance(found, bool) else "none"
    moment = int(float(number) * _UNITS[source.times])
    if not _EARLIEST <= moment < _LATEST:
        raise ValueError(f"{found!r} is in another unit")
    return moment

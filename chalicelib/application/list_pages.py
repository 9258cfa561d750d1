"""What a page of a source's list contains: its communications, and the request for the next page. No I/O here."""

from typing import Any
from urllib.parse import urljoin

import msgspec

from chalicelib.application import list_records
from chalicelib.application.config import Source
from chalicelib.application.excerpts import quote
from chalicelib.application.expressions import evaluate
from chalicelib.application.list_requests import PageRequest
from chalicelib.errors import ListingFailed
from chalicelib.models.communications import Communication

# In characters: a URL that servers accept (RFC 9112, section 3), and a whole number that the ledger can keep.
_LONGEST_URL, _LARGEST_TOTAL = 8_000, 10**12

# A page of so many records of which none can be read is no page with a few bad records: `application.toml` is wrong.
_ALL_UNREADABLE = 10


class Page(msgspec.Struct, frozen=True):
    """A page of a list, the request that gave it, and the request for the next one (None: it is the last).

    `total` is the number of records in the whole list, if the list says so. `unreadable` counts the records that were
    left out.
    """

    communications: list[Communication]
    request: PageRequest
    next: PageRequest | None = None
    total: int | None = None
    unreadable: int = 0


def communications(
    source: Source, page: Any, listed_at: int, number: int = 1
) -> tuple[list[Communication], list[ListingFailed]]:
    """Return the communications of the page with this number, and an error for each record that is left out.

    An error names the source, the record, and the key that does not fit. It is raised unless the source says
    `unreadable = "skip"`, and even then if nothing on a page can be read.
    """
    readable, errors = [], []
    for position, record in enumerate(records(source, page), 1):
        try:
            readable.append(list_records.communication(source, record, listed_at))
        except ListingFailed as error:
            where = f"record {position} of page {number}{_id_of(source, record)}"
            errors.append(ListingFailed(f"{error} ({where})", error.key))
            if source.unreadable == "fail":
                raise errors[0] from None
    if len(errors) >= _ALL_UNREADABLE and not readable:
        raise errors[0]
    return readable, errors


def _id_of(source: Source, record: Any) -> str:
    try:
        return f", id {quote(list_records.primary_id(source, record))}"
    except ListingFailed:
        return ""


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


def says_where_it_ends(source: Source) -> bool:
    """Whether the pages of a list say themselves if there is another one."""
    paging = source.next
    return paging is not None and bool(paging.url or paging.link or paging.cursor or paging.more)


def total(source: Source, page: Any) -> int | None:
    """Return the number of records in the whole list, or None if it does not say."""
    found = evaluate(source, "total", source.total, page)
    if found is None or (isinstance(found, int) and not isinstance(found, bool) and 0 <= found <= _LARGEST_TOTAL):
        return found
    raise ListingFailed(
        f"{source.operation}: total = {source.total!r} finds no whole number up to {_LARGEST_TOTAL:,}", "total"
    )


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
    return _bounded(source, joined)


def _bounded(source: Source, text: str) -> str:
    """Return what leads to the next page, unless it is too long to be sent, or to be kept in a checkpoint."""
    if len(text) > _LONGEST_URL:
        found = f"{len(text):,} characters, more than {_LONGEST_URL:,}"
        raise ListingFailed(f"{source.operation}: the next page's URL or cursor has {found}", "next")
    return text


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
        return paging.last_id, list_records.primary_id(source, found[-1]) if found else None
    return (paging.param if paging else None) or "", _cursor(source, page)


def _cursor(source: Source, page: Any) -> str | None:
    expression = source.next.cursor if source.next else None
    found = evaluate(source, "next.cursor", expression, page)
    if found is None or found == "":
        return None
    if not isinstance(found, str | int) or isinstance(found, bool):
        raise ListingFailed(f"{source.operation}: next.cursor = {expression!r} finds neither text nor a number", "next")
    return _bounded(source, str(found))

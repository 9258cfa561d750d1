"""What a page of a source's list says: its communications, and where the next page is. No I/O here."""

from typing import Any
from urllib.parse import urljoin

import jmespath

from chalicelib import times
from chalicelib.configuration import Source
from chalicelib.errors import ListingFailed
from chalicelib.models import MAX_ID, Communication, Selection


def parameters(source: Source, selection: Selection) -> dict[str, Any]:
    """Return the query of the first page: the source's own parameters, and the filters that it serves."""
    wanted = {
        "createdAfter": selection.created_after,
        "createdBefore": selection.created_before,
        "createdBy": selection.created_by,
    }
    filters = {source.filters[name]: value for name, value in wanted.items() if value and name in source.filters}
    first = {source.next.page: source.next.first} if source.next and source.next.page else {}
    return {**source.params, **filters, **first}


def communications(source: Source, page: Any, listed_at: int) -> list[Communication]:
    """Return the communications of a page. ListingFailed names the source, and the key that does not fit."""
    return [_communication(source, record, listed_at) for record in _records(source, page)]


def following(source: Source, page: Any, url: str, params: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """Return the URL and the query of the page after `page`, which `url` with `params` gave; None at the end."""
    if source.next and source.next.url:
        found = _find(source, "next.url", source.next.url, page)
        # The next URL carries the parameters itself.
        return (_joined(source, url, found), {}) if found else None
    if source.next and source.next.page and _records(source, page):
        return url, params | {source.next.page: params[source.next.page] + 1}
    return None


def _joined(source: Source, url: str, found: Any) -> str:
    try:
        joined: str = urljoin(url, found)
    except (TypeError, ValueError):  # no text; a text that is no URL
        raise ListingFailed(f"{source.operation}: next.url finds something that is no URL") from None
    return joined


def _records(source: Source, page: Any) -> list[Any]:
    records = _find(source, "items", source.items, page)
    if not isinstance(records, list):
        raise ListingFailed(f"{source.operation}: items = {source.items!r} finds no list in the answer")
    return records


def _communication(source: Source, record: Any, listed_at: int) -> Communication:
    created, failed_at = (_moment(source, record, key) for key in ("created", "failed_at"))
    return Communication(
        operation=source.operation,
        primary_id=_id(source, record),
        listed_at=listed_at,
        created_by=_author(source, record),
        created=created,
        since=failed_at if failed_at is not None else created,
    )


def _id(source: Source, record: Any) -> str:
    found = _find(source, "id", source.id, record)
    text = str(found) if isinstance(found, str | int) and not isinstance(found, bool) else ""
    if not 0 < len(text.encode()) <= MAX_ID:
        raise ListingFailed(
            f"{source.operation}: id = {source.id!r} finds no text of 1 to {MAX_ID} bytes, nor a whole number"
        )
    return text


def _author(source: Source, record: Any) -> str | None:
    found = _find(source, "created_by", source.created_by, record)
    return str(found)[:256] or None if isinstance(found, str | int) and not isinstance(found, bool) else None


def _moment(source: Source, record: Any, key: str) -> int | None:
    expression = getattr(source, key)
    found = _find(source, key, expression, record)
    try:
        return None if found is None else times.parse(found if isinstance(found, str) else "")
    except ValueError:
        raise ListingFailed(
            f"{source.operation}: {key} = {expression!r} finds no ISO 8601 time such as 2026-11-20T09:30:00Z"
        ) from None


def _find(source: Source, key: str, expression: str | None, data: Any) -> Any:
    """Return what an expression of the source's finds. jmespath's errors are ValueErrors, as are Python's own."""
    try:
        return None if expression is None else jmespath.search(expression, data)
    except ValueError as error:
        why = type(error).__name__
        raise ListingFailed(f"{source.operation}: {key} = {expression!r} does not fit the answer: {why}") from None

"""The requests for a source's list: its own parameters, and filters under the names and formats that it accepts."""

from collections.abc import Iterator
from typing import Any

import msgspec

from chalicelib import times
from chalicelib.application.config import Filter, Source, TimeFormat
from chalicelib.models.selections import Selection


class PageRequest(msgspec.Struct, frozen=True):
    """A request for one page: a URL, and the parameters of its query. Stored in checkpoints."""

    url: str
    params: dict[str, Any] = {}


def first_requests(source: Source, selection: Selection) -> Iterator[PageRequest]:
    """Yield where a list begins: one request, or several where a source is asked for ids, a few at a time."""
    ids, id_filter = selection.primary_ids, source.filter("primaryIds")
    if not (ids and id_filter):
        yield PageRequest(source.list, _params(source, selection))
        return
    ids = list(dict.fromkeys(ids))
    for start in range(0, len(ids), id_filter.at_once):
        some = ids[start : start + id_filter.at_once]
        yield PageRequest(source.list, _params(source, selection) | {id_filter.param: _format_ids(id_filter, some)})


def _params(source: Source, selection: Selection) -> dict[str, Any]:
    return source.params | _filters(source, selection) | _first_page(source)


def _first_page(source: Source) -> dict[str, Any]:
    if source.next and source.next.page:
        return {source.next.page: source.next.first}
    return {source.next.offset: 0} if source.next and source.next.offset else {}


def _filters(source: Source, selection: Selection) -> dict[str, Any]:
    params: dict[str, Any] = {}
    bounds = {"createdAfter": selection.created_after, "createdBefore": selection.created_before}
    for name, moment in bounds.items():
        time_filter = source.filter(name)
        if moment and time_filter:
            # Rounded so that nothing is missed; the collector compares again with the record itself.
            style = time_filter.format or source.times
            params[time_filter.param] = _format_time(style, moment, round_up=name == "createdBefore")
    author_filter = source.filter("createdBy")
    if author_filter and selection.created_by:
        params[author_filter.param] = selection.created_by
    return params


def _format_time(style: TimeFormat, moment: str, *, round_up: bool) -> str | int:
    milliseconds = times.parse_iso(moment)
    if style == "iso":
        return times.format_iso(milliseconds)
    return milliseconds if style == "epoch_ms" else (milliseconds + (999 if round_up else 0)) // 1000


def _format_ids(id_filter: Filter, ids: list[str]) -> str | list[str]:
    return ids if id_filter.list == "repeated" else ",".join(ids)

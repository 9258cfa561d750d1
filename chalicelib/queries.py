"""How a source is asked for a list: its own parameters, and the filters in the names and formats that it takes."""

from collections.abc import Iterator
from typing import Any

import msgspec

from chalicelib import times
from chalicelib.description import Filter, Source, TimeFormat
from chalicelib.models import Selection


class Place(msgspec.Struct, frozen=True):
    """Where a page is: a URL, and the parameters of its query."""

    url: str
    params: dict[str, Any] = {}


def places(source: Source, selection: Selection) -> Iterator[Place]:
    """Yield where the list begins: one place, or several where a source is asked for ids, some at a time."""
    ids, served = selection.primary_ids, source.filter("primaryIds")
    if not (ids and served):
        yield Place(source.list, _params(source, selection))
        return
    ids = list(dict.fromkeys(ids))
    for start in range(0, len(ids), served.at_once):
        some = ids[start : start + served.at_once]
        yield Place(source.list, _params(source, selection) | {served.param: _several(served, some)})


def _params(source: Source, selection: Selection) -> dict[str, Any]:
    return source.params | _filters(source, selection) | _first(source)


def _first(source: Source) -> dict[str, Any]:
    if source.next and source.next.page:
        return {source.next.page: source.next.first}
    return {source.next.offset: 0} if source.next and source.next.offset else {}


def _filters(source: Source, selection: Selection) -> dict[str, Any]:
    params: dict[str, Any] = {}
    wanted = {"createdAfter": selection.created_after, "createdBefore": selection.created_before}
    for name, moment in wanted.items():
        served = source.filter(name)
        if moment and served:
            # Rounded so that nothing is left out; the collector compares again with the record itself.
            params[served.param] = _moment(served.format or source.times, moment, up=name == "createdBefore")
    author = source.filter("createdBy")
    if author and selection.created_by:
        params[author.param] = selection.created_by
    return params


def _moment(style: TimeFormat, moment: str, *, up: bool) -> str | int:
    milliseconds = times.parse(moment)
    if style == "iso":
        return times.iso(milliseconds)
    return milliseconds if style == "epoch_ms" else (milliseconds + (999 if up else 0)) // 1000


def _several(served: Filter, ids: list[str]) -> str | list[str]:
    return ids if served.list == "repeated" else ",".join(ids)

"""From the body of a request to a Selection, or to a sentence that says what is wrong with it."""

import msgspec

from chalicelib import bodies, times
from chalicelib.configuration import Configuration, Source
from chalicelib.errors import InvalidRequest
from chalicelib.found import FIELDS
from chalicelib.models import Selection


def parse(body: bytes, configuration: Configuration) -> Selection:
    """Return the selection in a JSON body (none: everything that is due). InvalidRequest names the field at fault."""
    selection = bodies.decode(body, Selection)
    selection = _with_times(selection)
    _check_sources(selection, configuration)
    return selection


def _with_times(selection: Selection) -> Selection:
    """Return the selection with its times in our own form, so that each application gets them alike."""
    after = _moment("createdAfter", selection.created_after)
    before = _moment("createdBefore", selection.created_before)
    if after is not None and before is not None and before <= after:
        raise InvalidRequest("createdBefore: must be later than createdAfter")
    return msgspec.structs.replace(
        selection,
        created_after=None if after is None else times.iso(after),
        created_before=None if before is None else times.iso(before),
    )


def _moment(field: str, text: str | None) -> int | None:
    try:
        return None if text is None else times.parse(text)
    except ValueError:
        raise InvalidRequest(f"{field}: not an ISO 8601 time such as 2026-11-20T09:30:00Z") from None


def _check_sources(selection: Selection, configuration: Configuration) -> None:
    sources = configuration.selected(selection)
    if not sources:
        known = ", ".join(source.operation for source in configuration.sources)
        raise InvalidRequest(f"operation: no source lists {selection.operation!r}; there are {known}")
    for source in sources:
        for name in _unservable(selection, source):
            raise InvalidRequest(f"{name}: the source of {source.operation} cannot be filtered by it")


def _unservable(selection: Selection, source: Source) -> list[str]:
    wanted = msgspec.to_builtins(selection)
    return [
        name
        for name, field in FIELDS.items()
        if name in wanted and name not in source.filters and getattr(source, field) is None
    ]

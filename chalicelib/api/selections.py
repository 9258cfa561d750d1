"""Turns the body of `POST /reprocess` into a Selection, or into an error that says what is wrong with it."""

from collections.abc import Callable

import msgspec

from chalicelib import times
from chalicelib.api.parsing import check_primary_id, parse_body
from chalicelib.application.config import Configuration, Source
from chalicelib.errors import InvalidRequest, NotFound
from chalicelib.ledger.situations import KnownCause
from chalicelib.models.selections import Selection
from chalicelib.runs.collection import FILTER_FIELDS

# Returns the cause with an id. NotFound if there is none.
GetCause = Callable[[str], KnownCause]


def parse_selection(body: bytes, configuration: Configuration, get_cause: GetCause) -> Selection:
    """Return the selection in a JSON body; no body selects everything. InvalidRequest names the field at fault."""
    selection = _with_normal_times(parse_body(body, Selection))
    if selection.cause:
        # No other list is read then.
        cause = selectable_cause(selection.cause, get_cause, selection.operation)
        selection = msgspec.structs.replace(selection, operation=cause.operation)
    for number, primary_id in enumerate(selection.primary_ids or ()):
        check_primary_id(primary_id, f"primaryIds[{number}]")
    if selection.prove and selection.cause is None:
        raise InvalidRequest("prove: needs a cause, which says what is to be fixed")
    _check_sources(selection, configuration)
    return selection


def selectable_cause(cause_id: str, get_cause: GetCause, operation: str | None = None) -> KnownCause:
    """Return the cause that a request names, perhaps with an operation.

    InvalidRequest if it is not known, adds up several, or is of another operation.
    """
    try:
        cause = get_cause(cause_id)
    except NotFound:
        raise InvalidRequest("cause: no scan of the last 24 hours has seen it; see GET /causes") from None
    if cause.folded:
        raise InvalidRequest("cause: it adds up many rare causes, so it cannot be selected; see GET /causes")
    if operation not in (None, cause.operation):
        raise InvalidRequest(f"operation: the cause is one of {cause.operation}; leave operation out")
    return cause


def _with_normal_times(selection: Selection) -> Selection:
    """Return the selection with its times in one format, so that every application gets them alike."""
    after = _moment("createdAfter", selection.created_after)
    before = _moment("createdBefore", selection.created_before)
    if after is not None and before is not None and before <= after:
        raise InvalidRequest("createdBefore: must be later than createdAfter")
    return msgspec.structs.replace(
        selection,
        created_after=None if after is None else times.format_iso(after),
        created_before=None if before is None else times.format_iso(before),
    )


def _moment(field: str, text: str | None) -> int | None:
    try:
        return None if text is None else times.parse_iso(text)
    except ValueError:
        raise InvalidRequest(f"{field}: is not an ISO 8601 time such as 2026-11-20T09:30:00Z") from None


def _check_sources(selection: Selection, configuration: Configuration) -> None:
    sources = configuration.selected(selection)
    if not sources:
        known = ", ".join(source.operation for source in configuration.sources)
        raise InvalidRequest(f"operation: no source lists {selection.operation!r}; the operations are {known}")
    for source in sources:
        for name in _unsupported_filters(selection, source):
            raise InvalidRequest(f"{name}: the source of {source.operation} cannot be filtered by it")


def _unsupported_filters(selection: Selection, source: Source) -> list[str]:
    given = msgspec.to_builtins(selection)
    return [
        name
        for name, field in FILTER_FIELDS.items()
        if name in given and name not in source.filters and getattr(source, field) is None
    ]

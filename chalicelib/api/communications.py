"""The routes of the communications that people have to do with."""

from chalice.app import Response

from chalicelib import doors, ids, present, worklist
from chalicelib.api.door import Call, serve
from chalicelib.api.runs import start
from chalicelib.ledger.table import Position
from chalicelib.ledger.worklist import Standing
from chalicelib.models import Selection
from chalicelib.views import Changed, CommunicationDetail, CommunicationsPage, Many, Retried


@serve(doors.COMMUNICATIONS)
def list_communications(call: Call) -> CommunicationsPage:
    """Return a page of the worklist, or what is known of one of the application's ids."""
    if call.query.primary_id is not None:
        return _by_primary_id(call)
    page, position = _page(call)
    return CommunicationsPage(
        communications=[present.communication(each) for each in page], next_cursor=_cursor(call, position)
    )


def _by_primary_id(call: Call) -> CommunicationsPage:
    query = call.query
    operations = [query.operation] if query.operation else [it.operation for it in call.it.configuration.sources]
    found = [call.it.ledger.worklist.read(operation, query.primary_id) for operation in operations]
    return CommunicationsPage(communications=[present.communication(each) for each in found if each], next_cursor=None)


def _page(call: Call) -> tuple[list[Standing], Position | None]:
    query = call.query
    after = ids.position(query.cursor, query.status, query.operation, query.reason)
    equal = worklist.filters(query.operation, query.reason)
    return call.it.ledger.worklist.page(query.status, query.limit, after, equal=equal)


def _cursor(call: Call, position: Position | None) -> str | None:
    return ids.cursor(position, call.query.status, call.query.operation, call.query.reason)


@serve(doors.EXPORT)
def export_communications(call: Call) -> Response:
    """Return the worklist as a CSV file; where it is longer, `X-Next-Cursor` is the cursor of the rest."""
    page, position = _page(call)
    headers: dict[str, str | list[str]] = {
        "Content-Type": "text/csv; charset=utf-8",
        "Content-Disposition": 'attachment; filename="worklist.csv"',
    }
    more = _cursor(call, position)
    if more:
        headers["X-Next-Cursor"] = more
    return Response(present.csv_of(page), headers=headers)


@serve(doors.COMMUNICATION)
def read_communication(call: Call, communication_id: str) -> CommunicationDetail:
    """Return a communication with its history across runs."""
    return present.detail(worklist.read(communication_id, call.it.ledger))


@serve(doors.RETRY)
def retry_communication(call: Call, communication_id: str) -> Retried:
    """Put a communication back into the pool, and send it at once if the body says so."""
    at_once = call.body.at_once
    act = worklist.retrying(call.caller, call.it.ledger, call.it.configuration)
    standing = worklist.one(communication_id, act, call.it.ledger)
    call.changed(id=communication_id)
    runs = _at_once(call, [(standing.operation, standing.primary_id)]) if at_once else []
    return Retried(communication=present.detail(standing), run_id=runs[0] if runs else None)


@serve(doors.DISMISS)
def dismiss_communication(call: Call, communication_id: str) -> CommunicationDetail:
    """Let a communication never be sent again."""
    standing = worklist.one(
        communication_id, worklist.dismissing(call.caller, call.body.why, call.it.ledger), call.it.ledger
    )
    call.changed(id=communication_id)
    return present.detail(standing)


@serve(doors.RESTORE)
def restore_communication(call: Call, communication_id: str) -> CommunicationDetail:
    """Bring a dismissed communication back to the worklist."""
    standing = worklist.one(communication_id, worklist.restoring(call.caller, call.it.ledger), call.it.ledger)
    call.changed(id=communication_id)
    return present.detail(standing)


@serve(doors.RETRY_MANY)
def retry_communications(call: Call) -> Changed:
    """Retry a list of communications, or the next piece of all of a reason."""
    wanted = call.body
    act = worklist.retrying(call.caller, call.it.ledger, call.it.configuration)
    piece = worklist.many(wanted, act, call.it.ledger)
    return _changed(call, wanted, piece, _at_once(call, piece.changed) if wanted.at_once else [])


@serve(doors.DISMISS_MANY)
def dismiss_communications(call: Call) -> Changed:
    """Dismiss a list of communications, or the next piece of all of a reason."""
    wanted = call.body
    piece = worklist.many(wanted, worklist.dismissing(call.caller, wanted.why, call.it.ledger), call.it.ledger)
    return _changed(call, wanted, piece, [])


def _changed(call: Call, wanted: Many, piece: worklist.Piece, runs: list[str]) -> Changed:
    call.changed(changed=len(piece.changed), ids=[ids.of(*each) for each in piece.changed])
    return Changed(
        changed=len(piece.changed),
        refused=dict(piece.refused),
        run_ids=runs,
        next_cursor=ids.cursor(piece.position, *worklist.listing(wanted)),
    )


def _at_once(call: Call, changed: list[tuple[str, str]]) -> list[str]:
    """Start a run for each operation of what is back in the pool; a call changes no more than one selection holds."""
    operations: dict[str, list[str]] = {}
    for operation, primary_id in changed:
        operations.setdefault(operation, []).append(primary_id)
    return [
        start(call, Selection(operation=operation, primary_ids=primary_ids)).run_id
        for operation, primary_ids in operations.items()
    ]

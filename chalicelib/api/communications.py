"""The handlers of the routes about communications: the worklist, and what people do with it."""

from functools import partial

from chalice.app import Response

from chalicelib.api import cursors, ids, pages, routes
from chalicelib.api.blueprint import Call, handles
from chalicelib.api.csv_files import csv_response, worklist_csv
from chalicelib.api.parsing import check_primary_id
from chalicelib.api.runs import idempotency_key, start, started
from chalicelib.api.schemas.bulk import BulkDismissal, BulkResult, BulkRetry, BulkSelection
from chalicelib.api.schemas.communications import (
    CommunicationDetail,
    CommunicationsPage,
    CommunicationView,
    RetryResult,
)
from chalicelib.api.selections import selectable_cause
from chalicelib.api.serializers.communications import communication_detail, communication_view
from chalicelib.errors import InvalidRequest, NotFound
from chalicelib.ledger.worklist import Refusal, page_key
from chalicelib.models.communications import CommunicationStatus
from chalicelib.models.runs import RunKind
from chalicelib.models.selections import Selection, WorklistSelection
from chalicelib.runs import situation, worklist
from chalicelib.runs.worklist import Action, BulkOutcome
from chalicelib.telemetry import logs


@handles(routes.COMMUNICATIONS)
def list_communications(call: Call) -> CommunicationsPage:
    """Return a page of the worklist, or what is known about one of the application's ids."""
    views, next_cursor = _by_primary_id(call) if call.query.primary_id is not None else _page(call)
    return CommunicationsPage(communications=views, next_cursor=next_cursor)


def _by_primary_id(call: Call) -> tuple[list[CommunicationView], None]:
    query = call.query
    check_primary_id(query.primary_id, "primaryId")
    if query.operation:
        operations = [query.operation]
    else:
        operations = [source.operation for source in call.deps.configuration.sources]
    entries = worklist.find_communications(call.deps.ledger, query.primary_id, operations)
    return [communication_view(entry) for entry in entries], None


def _page(call: Call) -> tuple[list[CommunicationView], str | None]:
    """Return a page of the worklist and the cursor of the next one."""
    query = call.query
    _check_cause(call)
    listing = (query.status, query.operation, query.reason, query.cause)
    after = cursors.decode_page_key(query.cursor, *listing)
    status = CommunicationStatus(query.status)
    entries, next_key = worklist.list_communications(
        call.deps.ledger, status, query.operation, query.reason, query.limit, after, query.cause
    )
    views, next_key = pages.fit(entries, next_key, communication_view, page_key)
    return views, cursors.encode(next_key, *listing)


def _check_cause(call: Call) -> None:
    """Raise InvalidRequest if communications cannot be listed by the cause that a query names."""
    query = call.query
    if query.cause is None:
        return
    if query.status != CommunicationStatus.MANUAL:
        raise InvalidRequest("cause: what is dismissed has none; leave out either cause or status")
    selectable_cause(query.cause, partial(situation.get_cause, call.deps.ledger))


@handles(routes.EXPORT)
def export_communications(call: Call) -> Response:
    """Return the worklist as a CSV file. If it is longer, the header `X-Next-Cursor` has the cursor of the rest."""
    views, next_cursor = _page(call)
    return csv_response(worklist_csv(views), "worklist.csv", next_cursor)


@handles(routes.COMMUNICATION)
def get_communication(call: Call, communication_id: str) -> CommunicationDetail:
    """Return a communication with its history across runs."""
    key = ids.decode_id(communication_id)
    return communication_detail(worklist.get_communication(call.deps.ledger, *key))


@handles(routes.RETRY)
def retry_communication(call: Call, communication_id: str) -> RetryResult:
    """Retry a communication, and start a run for it if the body says so."""
    start_run = call.body.start_run
    action = worklist.retry_action(call.caller, call.deps.ledger, call.deps.configuration)
    detail = _apply(call, communication_id, action)
    run_ids = _start_runs(call, [(detail.operation, detail.primary_id)]) if start_run else []
    return RetryResult(communication=detail, run_id=run_ids[0] if run_ids else None)


@handles(routes.DISMISS)
def dismiss_communication(call: Call, communication_id: str) -> CommunicationDetail:
    """Keep a communication from ever being sent."""
    return _apply(call, communication_id, worklist.dismiss_action(call.caller, call.body.note, call.deps.ledger))


@handles(routes.RESTORE)
def restore_communication(call: Call, communication_id: str) -> CommunicationDetail:
    """Undo a dismissal."""
    return _apply(call, communication_id, worklist.restore_action(call.caller, call.deps.ledger))


def _apply(call: Call, communication_id: str, action: Action) -> CommunicationDetail:
    entry = worklist.apply(_audited(call, action), *ids.decode_id(communication_id), call.deps.ledger)
    return communication_detail(entry)


def _audited(call: Call, action: Action) -> Action:
    """Return an action that writes the audit line of each change at once: whatever comes after it may fail."""

    def audited(operation: str, primary_id: str) -> Refusal | None:
        refusal = action(operation, primary_id)
        if refusal is None:
            call.log_change(id=ids.encode_id(operation, primary_id))
        return refusal

    return audited


@handles(routes.BULK_RETRY)
def retry_communications(call: Call) -> BulkResult | Response:
    """Retry a list of communications or the next ones with a reason, or start a run that retries all that match."""
    body: BulkRetry = call.body
    if body.every:
        return _start_bulk_run(call, RunKind.RETRY, body, note=None)
    outcome = _apply_to_many(call, body, worklist.retry_action(call.caller, call.deps.ledger, call.deps.configuration))
    return _bulk_result(body, outcome, _start_runs(call, outcome.changed) if body.start_run else [])


@handles(routes.BULK_DISMISS)
def dismiss_communications(call: Call) -> BulkResult | Response:
    """Dismiss a list of communications or the next ones with a reason, or start a run that dismisses all."""
    body: BulkDismissal = call.body
    if body.every:
        return _start_bulk_run(call, RunKind.DISMISS, body, note=body.note)
    outcome = _apply_to_many(call, body, worklist.dismiss_action(call.caller, body.note, call.deps.ledger))
    return _bulk_result(body, outcome, [])


def _start_bulk_run(call: Call, kind: RunKind, body: BulkSelection, note: str | None) -> Response:
    key = idempotency_key(call.request.headers)
    if body.cause:
        selectable_cause(body.cause, partial(situation.get_cause, call.deps.ledger), body.operation)
    selection = WorklistSelection(operation=body.operation, reason=body.reason, cause=body.cause, note=note)
    return started(call, start(call, selection, key, kind))


def _apply_to_many(call: Call, body: BulkSelection, action: Action) -> BulkOutcome:
    action = _audited(call, action)
    if body.reason is not None:
        after = cursors.decode_page_key(body.cursor, *_listing(body))
        return worklist.apply_to_reason(action, body.reason, body.operation, after, call.deps.ledger)
    # Each once, in the given order.
    keys = [_known_key(each) for each in dict.fromkeys(body.ids or ())]
    return worklist.apply_to_keys(action, keys, call.deps.ledger.clock)


def _known_key(communication_id: str) -> tuple[str, str]:
    try:
        return ids.decode_id(communication_id)
    except NotFound as error:
        raise InvalidRequest(f"ids: {error}") from None


def _listing(body: BulkSelection) -> tuple[object, ...]:
    return "bulk", body.reason, body.operation


def _bulk_result(body: BulkSelection, outcome: BulkOutcome, run_ids: list[str]) -> BulkResult:
    return BulkResult(
        changed=len(outcome.changed),
        refused=dict(outcome.refused),
        run_ids=run_ids,
        next_cursor=cursors.encode(outcome.next_key, *_listing(body)),
    )


def _start_runs(call: Call, keys: list[tuple[str, str]]) -> list[str]:
    """Start a run for each operation of some communications. A bulk change is never larger than a selection may be.

    They have been retried already. So if a run cannot be started, the caller gets an answer without it, and the next
    run takes them.
    """
    by_operation: dict[str, list[str]] = {}
    for operation, primary_id in keys:
        by_operation.setdefault(operation, []).append(primary_id)
    run_ids = []
    for operation, primary_ids in by_operation.items():
        try:
            run_ids.append(start(call, Selection(operation=operation, primary_ids=primary_ids)).run_id)
        except Exception as error:  # noqa: BLE001 (whatever it is: the caller has to learn what was retried)
            logs.log_error(error)
    return run_ids

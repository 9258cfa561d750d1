"""The handlers of the routes about outages."""

from chalice.app import Response

from chalicelib.api import cursors, routes
from chalicelib.api.blueprint import Call, handles
from chalicelib.api.csv_files import affected_csv, csv_response
from chalicelib.api.schemas.outages import OutagesPage, OutageView
from chalicelib.api.serializers.outages import outage_view
from chalicelib.models.outages import Outage
from chalicelib.runs import outage_queries
from chalicelib.runs.pace import get_pace


@handles(routes.OUTAGES)
def list_outages(call: Call) -> OutagesPage:
    """Return a page of outages."""
    before = cursors.decode_outage_key(call.query.cursor, "outages")
    found, key = call.deps.ledger.outages.page(call.query.limit, before)
    next_cursor = cursors.encode(None if key is None else (key,), "outages")
    return OutagesPage(outages=[_view(call, outage) for outage in found], next_cursor=next_cursor)


@handles(routes.OUTAGE)
def get_outage(call: Call, outage_id: str) -> OutageView:
    """Return an outage."""
    return _view(call, outage_queries.get_outage(call.deps.ledger, outage_id))


def _view(call: Call, outage: Outage) -> OutageView:
    if not outage.is_open:
        return outage_view(outage, None)
    ledger, configuration = call.deps.ledger, call.deps.configuration
    end = outage_queries.expected_end(
        outage,
        ledger.incidents.read(),
        get_pace(ledger, configuration),
        configuration,
        call.deps.settings,
        is_held=outage_queries.is_schedule_held(ledger),
    )
    return outage_view(outage, end)


@handles(routes.AFFECTED)
def export_affected(call: Call, outage_id: str) -> Response:
    """Return those that an outage has hit as a CSV file. `X-Next-Cursor` has the cursor of the rest."""
    query, deps = call.query, call.deps
    outage = outage_queries.get_outage(deps.ledger, outage_id)
    # Once its parts are merged, a cursor from before is no place any more.
    listing = ("affected", outage_id, *outage.parts[:1])
    start = cursors.decode_outcome_key(query.cursor, *listing)
    rows, key = outage_queries.list_affected(outage, deps.ledger, deps.manifests, query.limit, start)
    return csv_response(affected_csv(rows), "affected.csv", cursors.encode(key, *listing))

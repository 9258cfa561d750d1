"""The handlers of the routes about causes: why communications are failing now."""

from chalicelib.api import routes
from chalicelib.api.blueprint import Call, handles
from chalicelib.api.schemas.causes import CausesView, CauseView
from chalicelib.api.serializers.causes import cause_view, causes_view
from chalicelib.runs import situation


@handles(routes.CAUSES)
def list_causes(call: Call) -> CausesView:
    """Return the causes, those with the most communications first."""
    return causes_view(situation.get_situation(call.deps.ledger), call.query.operation)


@handles(routes.CAUSE)
def get_cause(call: Call, cause_id: str) -> CauseView:
    """Return a cause."""
    return cause_view(situation.get_cause(call.deps.ledger, cause_id))

"""The handlers of the routes about the service itself."""

from typing import Any

from chalicelib.api import openapi, routes
from chalicelib.api.blueprint import Call, handles
from chalicelib.api.schemas import Health, ScheduleView
from chalicelib.api.serializers import schedule_view
from chalicelib.runs import schedule


@handles(routes.HEALTH)
def get_health(_: Call) -> Health:
    """Return that the API is up."""
    return Health()


@handles(routes.OPENAPI)
def get_openapi(_: Call) -> dict[str, Any]:
    """Return the OpenAPI document."""
    return openapi.document()


@handles(routes.SCHEDULE)
def get_schedule(call: Call) -> ScheduleView:
    """Return the schedule."""
    return schedule_view(schedule.get_schedule(call.deps.ledger, call.deps.settings))


@handles(routes.PAUSE)
def pause_schedule(call: Call) -> ScheduleView:
    """Keep the schedule from starting runs."""
    paused = schedule.pause_schedule(call.caller, call.deps.ledger, call.deps.settings)
    call.log_change()
    return schedule_view(paused)


@handles(routes.RESUME)
def resume_schedule(call: Call) -> ScheduleView:
    """Let the schedule start runs again."""
    resumed = schedule.resume_schedule(call.deps.ledger, call.deps.settings)
    call.log_change()
    return schedule_view(resumed)

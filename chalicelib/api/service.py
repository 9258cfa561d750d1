"""The handlers of the routes about the service itself."""

from typing import Any

from chalicelib.api import openapi, routes
from chalicelib.api.blueprint import Call, handles
from chalicelib.api.schemas.service import Health, PaceView, ScheduleView
from chalicelib.api.schemas.summary import CallerView, SummaryView
from chalicelib.api.serializers.service import pace_view, schedule_view
from chalicelib.api.serializers.summary import summary_view
from chalicelib.runs import pace, schedule, summary

_MINUTE = 60_000


@handles(routes.HEALTH)
def get_health(_: Call) -> Health:
    """Return that the API is up."""
    return Health()


@handles(routes.OPENAPI)
def get_openapi(_: Call) -> dict[str, Any]:
    """Return the OpenAPI document."""
    return openapi.document()


@handles(routes.SUMMARY)
def get_summary(call: Call) -> SummaryView:
    """Return what goes on now."""
    found = summary.get_summary(call.deps.ledger, call.deps.configuration, call.deps.settings)
    return summary_view(found, CallerView(name=call.caller, role=call.role))


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


@handles(routes.PACE)
def get_pace(call: Call) -> PaceView:
    """Return the pace."""
    return pace_view(pace.get_pace(call.deps.ledger, call.deps.configuration))


@handles(routes.SET_PACE)
def set_pace(call: Call) -> PaceView:
    """Set the pace by hand, for a while."""
    body, deps = call.body, call.deps
    state = pace.set_pace(body.per_second, body.minutes * _MINUTE, call.caller, deps.ledger, deps.configuration)
    call.log_change(perSecond=body.per_second, minutes=body.minutes)
    return pace_view(state)


@handles(routes.RELEASE_PACE)
def release_pace(call: Call) -> PaceView:
    """Let the pace find out again what the application can take."""
    released = pace.release_pace(call.deps.ledger, call.deps.configuration)
    call.log_change()
    return pace_view(released)

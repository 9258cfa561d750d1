"""The routes about the service itself."""

from typing import Any

from chalicelib import doors, openapi, present
from chalicelib.api.door import Call, serve
from chalicelib.views import Health, ScheduleView


@serve(doors.HEALTH)
def health(_: Call) -> Health:
    """Say that the API answers."""
    return Health()


@serve(doors.OPENAPI)
def describe(_: Call) -> dict[str, Any]:
    """Return the OpenAPI document."""
    return openapi.document()


@serve(doors.SCHEDULE)
def read_schedule(call: Call) -> ScheduleView:
    """Return the schedule."""
    return _schedule(call)


def _schedule(call: Call) -> ScheduleView:
    return present.schedule(call.it.settings, call.it.ledger.schedule.paused())


@serve(doors.PAUSE)
def pause_schedule(call: Call) -> ScheduleView:
    """Let the schedule begin no run."""
    call.it.ledger.schedule.pause(call.caller)
    call.changed()
    return _schedule(call)


@serve(doors.RESUME)
def resume_schedule(call: Call) -> ScheduleView:
    """Let the schedule begin runs again."""
    call.it.ledger.schedule.resume()
    call.changed()
    return _schedule(call)

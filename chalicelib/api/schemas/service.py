"""The service itself: its schedule, its pace, its health, and its document."""

from typing import Annotated, Any, Literal

from msgspec import Meta

from chalicelib import __version__
from chalicelib.api.schemas.base import Moment, RequestModel, ResponseModel


class ScheduleView(ResponseModel, frozen=True):
    """When the schedule fires (an EventBridge expression), and whether it is paused: then it starts no run."""

    expression: str
    paused: bool
    paused_by: str | None
    paused_at: Moment | None


class PaceView(ResponseModel, frozen=True):
    """How fast the application is called, by all runs together: `perSecond` now, `since` then.

    `reason` is a code for what holds it down: one of the application's (such as `http_429`), `slow_answers`,
    `no_answer_in_time`, `max_per_second` (in application.toml), or `set_by:` and a name; null if nothing does.
    `why` says it in words. Nothing is sent before `blockedUntil`, because the application needs a pause.
    `sustainedPerSecond` is the highest rate that went well, `refusedPerSecond` the lowest that did not, and `usualMs`
    how long a POST usually takes; null if nobody knows. `canary`: nobody knows whether the application works now, so a
    run tries a few first. `maxPerSecond` and `maxInFlight` are the ceilings in application.toml. `setBy` has set the
    pace by hand, until `setUntil`.
    """

    per_second: float
    since: Moment | None
    reason: str | None
    why: str
    blocked_until: Moment | None
    sustained_per_second: float | None
    refused_per_second: float | None
    usual_ms: int | None
    canary: bool
    max_per_second: float | None
    max_in_flight: int | None
    set_by: str | None
    set_until: Moment | None


class NewPace(RequestModel, frozen=True):
    """How many communications a second, and for how many minutes. Not more than `maxPerSecond`."""

    per_second: Annotated[float, Meta(ge=0.1, le=10_000)]
    minutes: Annotated[int, Meta(ge=1, le=10_080)] = 60


class Health(ResponseModel, frozen=True):
    """The API's status and version."""

    status: Literal["ok"] = "ok"
    version: str = __version__


Document = dict[str, Any]

"""Turns the schedule and the pace into what the API returns."""

from chalicelib.api.schemas.service import PaceView, ScheduleView
from chalicelib.api.serializers.moments import moment
from chalicelib.runs.pace import PaceState
from chalicelib.runs.schedule import ScheduleState


def schedule_view(schedule: ScheduleState) -> ScheduleView:
    """Return the schedule."""
    pause = schedule.pause
    return ScheduleView(
        expression=schedule.expression,
        paused=pause is not None,
        paused_by=pause.by if pause else None,
        paused_at=moment(pause.at) if pause else None,
    )


def pace_view(state: PaceState) -> PaceView:
    """Return the pace."""
    pace, by_hand = state.pace, state.pace.set_pace
    return PaceView(
        per_second=state.per_second,
        since=moment(state.since),
        reason=state.reason,
        why=state.why,
        blocked_until=moment(state.blocked_until),
        sustained_per_second=pace.sustained / 1000 or None,
        refused_per_second=pace.refused / 1000 or None,
        usual_ms=pace.usual_ms or None,
        canary=pace.canary > 0,
        max_per_second=state.limits.max_per_second,
        max_in_flight=state.limits.max_in_flight,
        set_by=by_hand.by if by_hand else None,
        set_until=moment(by_hand.until) if by_hand else None,
    )

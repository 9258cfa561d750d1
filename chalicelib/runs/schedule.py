"""The schedule as people see it: its expression, and whether somebody paused it."""

import msgspec

from chalicelib.ledger import Ledger
from chalicelib.ledger.schedule import Pause
from chalicelib.settings import Settings


class ScheduleState(msgspec.Struct, frozen=True):
    """When the schedule fires (an EventBridge expression), and who paused it, if somebody did."""

    expression: str
    pause: Pause | None


def get_schedule(ledger: Ledger, settings: Settings) -> ScheduleState:
    """Return the schedule."""
    return ScheduleState(settings.schedule, ledger.schedule.paused())


def pause_schedule(by: str, ledger: Ledger, settings: Settings) -> ScheduleState:
    """Keep the schedule from starting runs, and return it. Runs that have begun go on."""
    ledger.schedule.pause(by)
    return get_schedule(ledger, settings)


def resume_schedule(ledger: Ledger, settings: Settings) -> ScheduleState:
    """Let the schedule start runs again, and return it."""
    ledger.schedule.resume()
    return get_schedule(ledger, settings)

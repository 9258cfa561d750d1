"""The run after one that the application slowed down: it begins when the application takes more again."""

import hashlib
from collections.abc import Mapping
from typing import Any

from chalicelib import times
from chalicelib.ledger import Ledger
from chalicelib.ledger.pace import Pace
from chalicelib.models.outcomes import Outcome
from chalicelib.models.runs import Run, RunStatus, Trigger
from chalicelib.names import AwsLocation
from chalicelib.runs.turn import OVERLOADED
from chalicelib.settings import Settings

# In milliseconds. A run that was not slowed down by much leaves a moment for its mail; one that got nothing accepted
# is followed by another only if the application has named a time: otherwise the schedule is soon enough.
_SOON, _NAMED = 5_000, 60_000


def next_run_at(
    run: Run,
    status: RunStatus,
    halt_reason: str | None,
    counts: Mapping[str, int],
    pace: Pace,
    settings: Settings,
    now: int,
) -> int | None:
    """Return when the next scheduled run is to begin (milliseconds since 1970), None: with the schedule.

    Only a run of the schedule is followed, and only if that fires at all hours: a requested run is not to start one of
    everything, and with a cron expression somebody has said when to send. Each follows one that got something accepted,
    or waits for a minute at least, so they cannot be a busy loop.
    """
    if run.trigger != Trigger.SCHEDULE or not settings.schedule.startswith("rate("):
        return None
    if status not in (RunStatus.PARTIAL, RunStatus.STOPPED) or halt_reason not in (None, OVERLOADED):
        return None
    left = counts.get(Outcome.DEFERRED, 0) + counts.get(Outcome.NOT_ATTEMPTED, 0)
    blocked = pace.blocked_until - now
    if not left or not was_slowed_down(run, pace) or not (counts.get(Outcome.ACCEPTED) or blocked >= _NAMED):
        return None
    return now + max(_SOON, blocked)


def was_slowed_down(run: Run, pace: Pace) -> bool:
    """Whether the application slowed a run down, or somebody's pace did."""
    return pace.lowered_at >= run.requested_at or pace.set_pace is not None


def following(run: Run, location: AwsLocation, ledger: Ledger) -> dict[str, Any]:
    """Return what the state machine needs to start the next run, nothing if the schedule is to do that.

    The event is the same whenever it is made, so that a report which is repeated starts one run.
    """
    if run.next_run_at is None:
        return {}
    event = {
        "version": "0",
        "id": hashlib.sha256(run.run_id.encode()).hexdigest(),
        "detail-type": "Next Run",
        "source": "comms-reprocess",
        "account": location.account,
        "region": location.region,
        "time": times.format_iso(run.next_run_at),
        "resources": [],
        "detail": {},
    }
    wait = max(0, -(-(run.next_run_at - ledger.clock()) // 1000))
    return {"nextRun": {"waitSeconds": wait, "event": event}}

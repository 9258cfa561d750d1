"""Turns outages into what the API returns."""

from chalicelib import times
from chalicelib.api.schemas.outages import OutageCauseView, OutageView
from chalicelib.api.serializers.moments import moment
from chalicelib.models.outages import Outage, OutageCause
from chalicelib.runs.causes import Cause


def outage_view(outage: Outage, expected_end: int | None) -> OutageView:
    """Return an outage; `expected_end` in milliseconds since 1970."""
    return OutageView(
        outage_id=outage.outage_id,
        reason=outage.reason,
        began_at=times.format_iso(outage.began_at),
        over_at=moment(outage.over_at),
        settled_at=moment(outage.settled_at),
        expected_end=moment(expected_end),
        as_of=times.format_iso(outage.scanned_at),
        usual=outage.usual,
        most=outage.most,
        hit=outage.hit,
        by_operation=outage.by_operation,
        recovered=outage.recovered,
        sent=outage.sent,
        waiting=outage.waiting,
        on_worklist=outage.on_worklist,
        dismissed=outage.dismissed,
        overfull=outage.overfull,
        causes=[_outage_cause(cause) for cause in outage.causes],
        run_ids=outage.run_ids,
        run_count=outage.run_count,
    )


def _outage_cause(cause: OutageCause) -> OutageCauseView:
    same = Cause(operation=cause.operation, kind=cause.kind, reason=cause.reason)
    return OutageCauseView(id=same.id, operation=cause.operation, kind=cause.kind, reason=cause.reason, most=cause.most)

"""Turns causes into what the API returns."""

from chalicelib import times
from chalicelib.api.schemas.causes import CausesView, CauseView
from chalicelib.api.serializers.communications import sample_item
from chalicelib.api.serializers.moments import moment
from chalicelib.ledger.situations import KnownCause, Situation


def causes_view(situation: Situation | None, operation: str | None) -> CausesView:
    """Return the causes, with `operation` only its own."""
    if situation is None:
        return CausesView(as_of=None, complete=False, last_complete=None, capped=False, causes=[])
    return CausesView(
        as_of=times.format_iso(situation.at),
        complete=situation.complete,
        last_complete=moment(situation.last_complete),
        capped=situation.capped,
        causes=[cause_view(each) for each in situation.causes if operation in (None, each.operation)],
    )


def cause_view(cause: KnownCause) -> CauseView:
    """Return a cause."""
    return CauseView(
        id=cause.id,
        operation=cause.operation,
        kind=cause.kind,
        reason=cause.reason,
        count=cause.count,
        on_worklist=cause.on_worklist,
        first_seen=times.format_iso(cause.first_seen),
        last_seen=times.format_iso(cause.last_seen),
        trend=cause.trend,
        example=None if cause.example is None else sample_item(cause.operation, cause.example),
        folded=cause.folded,
    )

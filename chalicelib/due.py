"""Whether a listed communication is due, as far as the collector can tell. No I/O here."""

import msgspec

from chalicelib.description import Source
from chalicelib.ledger.claims import State, standing_against
from chalicelib.ledger.worklist import MANUAL
from chalicelib.models import Communication, Selection

# Communications that nothing but a person can help are handed over by the run: they must enter the manifest once.
HAND_OVER = ("relapsed", "attempts_used_up")


def against(source: Source, it: Communication, state: State | None, now: int, max_attempts: int) -> str | None:
    """Return why a communication must be left alone now, or None."""
    if source.min_age_ms is not None and it.since is not None and now - it.since < source.min_age_ms:
        return "too_fresh"
    reason = standing_against(state, it.listed_at, max_attempts) if state else None
    return None if reason in HAND_OVER else reason


def counted_from_retry(it: Communication, state: State | None, selection: Selection) -> Communication:
    """Return a communication with its age counted from when a person last retried it, or it would expire again."""
    retried = it.listed_at if selection.include_manual and state and state.status == MANUAL else None
    retried = retried or (state.retried_at if state else None)
    if retried is None or it.since is None or it.since >= retried:
        return it
    return msgspec.structs.replace(it, since=retried)

"""Whether a listed communication is due, as far as the collector can tell. No I/O here."""

from chalicelib.description import Source
from chalicelib.ledger.claims import State, standing_against
from chalicelib.models import Communication

# Communications that nothing but a person can help are handed over by the run: they must enter the manifest once.
_HAND_OVER = ("relapsed", "attempts_used_up")


def against(source: Source, it: Communication, state: State | None, now: int, max_attempts: int) -> str | None:
    """Return why a communication must be left alone now, or None."""
    if source.min_age_ms is not None and it.since is not None and now - it.since < source.min_age_ms:
        return "too_fresh"
    reason = standing_against(state, it.listed_at, max_attempts) if state else None
    return None if reason in _HAND_OVER else reason

"""Points in time as the API returns them."""

from chalicelib import times


def moment(at: int | None) -> str | None:
    """Return a time in milliseconds since 1970 as ISO 8601, and nothing if there is none."""
    return None if at is None else times.format_iso(at)

"""When people are told of scheduled runs: the same trouble not every quarter of an hour, and never not at all."""

from chalicelib.models import Record

# Why people are told of a run, or that they are not.
RESULT, BEGAN, CHANGED, NEWS, REMINDER, RECOVERED = "result", "began", "changed", "news", "reminder", "recovered"
NOBODY = "nobody"

# The trouble of a collector that cannot list; a list that could be read ends it.
LISTING = "listing"


class Alert(Record, frozen=True):
    """The trouble that people know of. Times in milliseconds since 1970."""

    trouble: str
    since: int
    told_at: int


def why_told(trouble: str | None, known: Alert | None, now: int, remind_after: int, *, news: bool = False) -> str:
    """Return why people are told of a scheduled run with this trouble (None: it went well), or NOBODY.

    `news` says that the run put communications on the worklist: that is never held back.
    """
    if trouble is None:
        return RECOVERED if known else RESULT
    if known is None:
        return BEGAN
    if known.trouble != trouble:
        return CHANGED
    if news:
        return NEWS
    return REMINDER if now - known.told_at >= remind_after else NOBODY


def trouble_of(status: str, halted: str | None, accepted: int) -> str | None:
    """Return the kind of trouble that a run has met, None if none: coarse, as each change of it is told."""
    if status == "succeeded":
        return None
    if status == "stopped" and halted and halted != "breaker":
        return halted
    if status in ("stopped", "partial"):
        # However many batches it took to find out: the application takes nothing.
        return "partial" if accepted and status == "partial" else "nothing_accepted"
    return status


def after(trouble: str | None, known: Alert | None, now: int) -> Alert | None:
    """Return what people know once they have been told, or None if there is no trouble any more."""
    if trouble is None:
        return None
    return Alert(trouble=trouble, since=known.since if known else now, told_at=now)

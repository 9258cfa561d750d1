"""An outage, and what it hit."""

from chalicelib.models.base import Record
from chalicelib.models.communications import CauseKind


class OutageCause(Record, frozen=True):
    """One of the causes of an outage, and how many communications it had at most in one scan."""

    operation: str
    kind: CauseKind
    reason: str | None = None
    most: int = 0


class Outage(Record, frozen=True):
    """A time in which clearly more communications failed than usual, or in which scheduled runs met trouble.

    Times in milliseconds since 1970. `reason` is why it began: `failures_rose`, or the kind of the incident (see
    chalicelib.notifications.policy). `usual` is how many failed before it (None: nobody knows), `most` how many failed
    in one scan. `over_at` is since when it is over, `settled_at` when nothing of what it hit was left to wait for.

    It hit `hit` communications, of which the last scan (`scan` at `scanned_at`) found `waiting`, `sent` (sent again,
    they may still arrive), `on_worklist` and `dismissed`. All others are not listed as failed any more. `parts` are
    keys in the bucket of those that it hit, `listed` of those that the last complete scan still listed. `overfull`: it
    hit more than are kept. `run_ids` are the last ones of `run_count` that took place in it.
    """

    outage_id: str
    began_at: int
    reason: str
    usual: int | None = None
    most: int = 0
    over_at: int | None = None
    settled_at: int | None = None
    scan: str = ""
    scanned_at: int = 0
    hit: int = 0
    by_operation: dict[str, int] = {}
    waiting: int = 0
    sent: int = 0
    on_worklist: int = 0
    dismissed: int = 0
    causes: list[OutageCause] = []
    run_ids: list[str] = []
    run_count: int = 0
    parts: list[str] = []
    listed: str | None = None
    overfull: bool = False

    @property
    def recovered(self) -> int:
        """How many the application does not list as failed any more."""
        return self.hit - self.waiting - self.sent - self.on_worklist - self.dismissed

    @property
    def is_open(self) -> bool:
        """Whether something of what it hit is left to wait for, or may still be hit."""
        return self.settled_at is None


class Affected(Record, frozen=True):
    """A communication that an outage has hit. `since` is when its age starts, in milliseconds since 1970."""

    operation: str
    primary_id: str
    since: int | None = None

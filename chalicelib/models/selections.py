"""Which communications a run is for, and where the next one resumes."""

from typing import Annotated

import msgspec
from msgspec import Meta, field

from chalicelib.models.base import CauseId, Name, Note, PrimaryId, Record


class Selection(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """Which failed communications a run is for: the body of `POST /reprocess`. If empty: every eligible communication.

    Times are ISO 8601; `createdAfter` is inclusive, `createdBefore` exclusive. `includeManual` also takes those on the
    worklist, as if somebody had retried each of them, and so does `cause`: all that fails for that cause. With `prove`,
    which needs a `cause`, the run sends a few first and stops when one fails again. `dryRun` only shows what would
    happen. `note` stays with the run.
    """

    operation: Name | None = None
    created_after: str | None = None
    created_before: str | None = None
    created_by: Name | None = None
    primary_ids: Annotated[list[PrimaryId], Meta(min_length=1, max_length=1000)] | None = None
    limit: Annotated[int, Meta(ge=1, le=1_000_000_000)] | None = None
    include_manual: bool = False
    cause: CauseId | None = None
    prove: bool = False
    note: Note | None = None
    dry_run: bool = False

    @property
    def takes_manual(self) -> bool:
        """Whether the run takes what is on the worklist, too. Whoever names a cause has looked at what has it."""
        return self.include_manual or self.cause is not None


class WorklistSelection(Record, frozen=True):
    """Which communications on the worklist a bulk run is for: those that match all of it. `note` is for a dismissal."""

    operation: str | None = None
    reason: str | None = None
    cause: CauseId | None = None
    note: str | None = None


class Checkpoint(Record, frozen=True):
    """Where the next scheduled run resumes: a source, and a page of its list as JSON (None: its first page).

    `source` is a digest of the source's configuration; after an edit, the source is read from its first page.
    """

    operation: str
    source: str
    page: str | None = field(default=None, name="place")

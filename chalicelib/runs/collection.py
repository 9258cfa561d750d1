"""What a collection has found so far for a selection, and what it had to leave out. No I/O here."""

from typing import Any

from chalicelib import times
from chalicelib.application.config import Source
from chalicelib.application.list_pages import Page
from chalicelib.application.list_requests import PageRequest
from chalicelib.errors import ListingFailed
from chalicelib.models.communications import Communication, SkipReason
from chalicelib.models.selections import Selection
from chalicelib.runs.causes import Cause

# A Selection's filters, and the field of a source (and of its records) that each is compared with.
FILTER_FIELDS = {"createdAfter": "created", "createdBefore": "created", "createdBy": "created_by"}

# How many of the requested ids that no list contains are kept with a run.
NOT_FOUND_KEPT = 20

# How many lists that could not be read are named with a run. With the bound of ListingFailed, they fit into a mail.
LIST_ERRORS_KEPT = 10


class Collection:
    """The counts for one selection.

    `pages` counts the pages that were asked for, `taken` what entered the manifest. `stopped_at` is the source and the
    page at which a limit ended the collection; `out_of_time` says that the limit was time. `oldest` is since when the
    oldest failure has been waiting, leaving out what is for people to decide. `read_whole` are the operations whose
    lists were read from their first page to their end. `cause` is that of the first one taken.
    """

    def __init__(self, selection: Selection) -> None:
        self.selection = selection
        self.pages = 0
        self.matched = 0
        self.taken = 0
        self.cause: Cause | None = None
        self.skipped: dict[str, int] = {}
        self.oldest: int | None = None
        self.truncated = False
        self.truncated_count: int | None = None
        self.stopped_at: tuple[Source, PageRequest | None] | None = None
        self.out_of_time = False
        self.read_whole: set[str] = set()
        self._errors: list[str] = []
        self._listed = 0
        self._from_start = False
        self._counts_total = False
        self._total: int | None = None
        self._after = times.parse_iso(selection.created_after) if selection.created_after else None
        self._before = times.parse_iso(selection.created_before) if selection.created_before else None
        self._ids = set(selection.primary_ids) if selection.primary_ids else None
        self._missing_ids = set(selection.primary_ids or [])

    # -- what matches

    def matches(self, source: Source, communication: Communication) -> bool:
        """Whether a listed communication fits the selection, whatever the application made of its filters.

        A record without the field that the selection asks for does not fit. Where a source has no such field at all,
        the application's own filter has to do.
        """
        self._listed += 1
        if self._ids is not None:
            self._missing_ids.discard(communication.primary_id)
            if communication.primary_id not in self._ids:
                return False
        return self._fits_time(source, communication.created) and self._fits_author(source, communication.created_by)

    def _fits_time(self, source: Source, created: int | None) -> bool:
        if self._after is None and self._before is None:
            return True
        if created is None:
            return source.created is None
        return (self._after is None or created >= self._after) and (self._before is None or created < self._before)

    def _fits_author(self, source: Source, author: str | None) -> bool:
        wanted = self.selection.created_by
        return wanted is None or author == wanted or (author is None and source.created_by is None)

    def is_complete(self) -> bool:
        """Whether no further page can add anything: all requested ids were found, and of one operation only."""
        return self.selection.operation is not None and self._ids is not None and not self._missing_ids

    @property
    def not_found(self) -> list[str]:
        """The requested ids that no page contained. If a list could not be read, nobody knows."""
        return [] if self._errors else sorted(self._missing_ids)

    def skip(self, reason: str, number: int = 1) -> None:
        """Count communications that are left alone."""
        self.skipped[reason] = self.skipped.get(reason, 0) + number

    def track_oldest(self, communication: Communication, skip_reason: SkipReason | None) -> None:
        """Note since when a communication has been waiting, unless it is for people to decide."""
        if communication.since is not None and skip_reason not in (SkipReason.MANUAL, SkipReason.DISMISSED):
            self.oldest = communication.since if self.oldest is None else min(self.oldest, communication.since)

    # -- what is left out

    def begin_source(self, source: Source, start: PageRequest | None) -> None:
        """Begin with a source's list.

        Its total says how much was left out only if the list is exactly what the selection wants, from its first page.
        """
        filtered = all(source.filter(name) for name in FILTER_FIELDS if self._asks_for(name))
        self._listed, self._total = 0, None
        self._from_start = start is None
        # No list can be asked for a cause.
        self._counts_total = self._from_start and filtered and self._ids is None and self.selection.cause is None

    def _asks_for(self, filter_name: str) -> bool:
        selection = self.selection
        given = {
            "createdAfter": selection.created_after,
            "createdBefore": selection.created_before,
            "createdBy": selection.created_by,
        }
        return given[filter_name] is not None

    def add_page(self, page: Page) -> None:
        """Count a page and its unreadable records, and note what it says about the whole list."""
        self.pages += 1
        self._total = page.total if self._counts_total else None
        # What nobody can read has no cause that anybody knows.
        if page.unreadable and self.selection.cause is None:
            self._listed += page.unreadable
            self.matched += page.unreadable
            self.skip(SkipReason.UNREADABLE, page.unreadable)

    def truncate_page(self, communications: int) -> None:
        """Note that the last communications of a page are left out."""
        self._listed -= communications

    def stop(self, source: Source, request: PageRequest | None, *, out_of_time: bool) -> None:
        """End the collection before a page of a source."""
        self.stopped_at = (source, request)
        self.out_of_time = out_of_time
        self.truncated = True
        self._count_missing()

    def fail_source(self, error: ListingFailed) -> None:
        """End a source's list that cannot be read any further. What was read of it before is not affected."""
        self.pages += 1
        self._errors.append(str(error))

    @property
    def list_errors(self) -> list[str]:
        """Which lists could not be read to their end, and why."""
        more = len(self._errors) - LIST_ERRORS_KEPT
        return self._errors[:LIST_ERRORS_KEPT] + ([f"and {more} more lists"] if more > 0 else [])

    @property
    def error(self) -> str | None:
        """The same in one text, None if all lists were read."""
        return "; ".join(self.list_errors) or None

    def end_source(self, source: Source) -> None:
        """End a source's list that was read to its end. What it counts in its total but did not give was left out."""
        if not self._count_missing() and self._from_start:
            self.read_whole.add(source.operation)

    def _count_missing(self) -> int:
        missing = max(0, self._total - self._listed) if self._total is not None else 0
        if missing:
            self.truncated = True
            self.truncated_count = (self.truncated_count or 0) + missing
        return missing

    def counted(self) -> dict[str, Any]:
        """Return the fields of a Run that keep what was counted."""
        not_found = self.not_found
        counted: dict[str, Any] = {
            "matched": self.matched,
            "skipped": self.skipped,
            "truncated": self.truncated,
            "list_errors": self.list_errors,
            "oldest": self.oldest,
            "not_found": not_found[:NOT_FOUND_KEPT],
            "not_found_count": len(not_found),
        }
        return counted if self.truncated_count is None else counted | {"truncated_count": self.truncated_count}

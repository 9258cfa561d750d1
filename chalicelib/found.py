"""What a collection has seen so far of what a selection wants, and what it had to leave out. No I/O here."""

from chalicelib import times
from chalicelib.description import Source
from chalicelib.ledger.worklist import DISMISSED, MANUAL
from chalicelib.models import Communication, Selection
from chalicelib.pages import Page
from chalicelib.queries import Place

# A Selection's filters, and the field of a record that each is compared with.
FIELDS = {"createdAfter": "created", "createdBefore": "created", "createdBy": "created_by"}


class Found:
    """Counts for one selection.

    `stopped` is the source and the place at which a limit ended the collection; `oldest` is since when the oldest
    failure waits that no person has ruled on.
    """

    def __init__(self, selection: Selection) -> None:
        self.selection = selection
        self.pages = 0
        self.matched = 0
        self.skipped: dict[str, int] = {}
        self.oldest: int | None = None
        self.left_out = False
        self.left_out_count: int | None = None
        self.stopped: tuple[Source, Place | None] | None = None
        self._listed = 0
        self._counts = False
        self._total: int | None = None
        self._after = times.parse(selection.created_after) if selection.created_after else None
        self._before = times.parse(selection.created_before) if selection.created_before else None
        self._ids = set(selection.primary_ids) if selection.primary_ids else None
        self._missing = set(selection.primary_ids or [])

    # -- what is wanted

    def wants(self, source: Source, it: Communication) -> bool:
        """Whether a listed communication fits the selection, whatever the application made of its filters.

        One whose record leaves open what the selection asks for does not fit. Where records have no such field at
        all, the application's filter is all there is.
        """
        self._listed += 1
        if self._ids is not None:
            self._missing.discard(it.primary_id)
            if it.primary_id not in self._ids:
                return False
        return self._fits_time(source, it.created) and self._fits_author(source, it.created_by)

    def _fits_time(self, source: Source, created: int | None) -> bool:
        if self._after is None and self._before is None:
            return True
        if created is None:
            return source.created is None
        return (self._after is None or created >= self._after) and (self._before is None or created < self._before)

    def _fits_author(self, source: Source, author: str | None) -> bool:
        wanted = self.selection.created_by
        return wanted is None or author == wanted or (author is None and source.created_by is None)

    def complete(self) -> bool:
        """Whether no further page can add anything: an id is one communication only within one operation."""
        return self.selection.operation is not None and self._ids is not None and not self._missing

    @property
    def missing(self) -> list[str]:
        """The ids asked for that no page listed."""
        return sorted(self._missing)

    def skip(self, reason: str) -> None:
        """Count a communication that is left alone."""
        self.skipped[reason] = self.skipped.get(reason, 0) + 1

    def waits(self, it: Communication, reason: str | None) -> None:
        """Note since when a communication waits, unless it is a person's by now."""
        if it.since is not None and reason not in (MANUAL, DISMISSED):
            self.oldest = it.since if self.oldest is None else min(self.oldest, it.since)

    # -- what is left out

    def begin(self, source: Source, start: Place | None) -> None:
        """Begin with a source's list. Its total counts what is left out only if the list is all that is wanted."""
        served = all(source.filter(name) for name in FIELDS if self._asks(name))
        self._listed, self._total = 0, None
        self._counts = start is None and served and self._ids is None

    def _asks(self, name: str) -> bool:
        it = self.selection
        given = {"createdAfter": it.created_after, "createdBefore": it.created_before, "createdBy": it.created_by}
        return given[name] is not None

    def seen(self, page: Page) -> None:
        """Take note of what a page says of the whole list."""
        self.pages += 1
        self._total = page.total if self._counts else None

    def cut(self, communications: int) -> None:
        """Take note that the last ones of a page were left out."""
        self._listed -= communications

    def stop(self, source: Source, place: Place | None) -> None:
        """End the collection before a place of a source."""
        self.stopped = (source, place)
        self.left_out = True
        self.end()

    def end(self) -> None:
        """End a source's list: what it counts and did not give was left out."""
        missing = max(0, self._total - self._listed) if self._total is not None else 0
        if missing:
            self.left_out = True
            self.left_out_count = (self.left_out_count or 0) + missing

    def counted(self) -> dict[str, object]:
        """Return what the run's item keeps of this."""
        missing = self.missing
        counted: dict[str, object] = {
            "matched": self.matched,
            "skipped": self.skipped,
            "leftOut": self.left_out,
            "oldest": self.oldest,
            "notListed": missing[:20],
            "notListedCount": len(missing),
        }
        return counted if self.left_out_count is None else counted | {"leftOutCount": self.left_out_count}

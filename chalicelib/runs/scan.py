"""Reads the lists that a selection covers and judges what is in them, for the collector and the dry run."""

import itertools
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Protocol

from chalicelib import times
from chalicelib.application.config import Source
from chalicelib.application.list_pages import Page
from chalicelib.application.list_requests import PageRequest
from chalicelib.errors import ListingFailed
from chalicelib.ledger.communications import Communications
from chalicelib.models.selections import Selection
from chalicelib.runs.collection import Collection
from chalicelib.runs.eligibility import Candidate, judge
from chalicelib.settings import Settings


class Lists(Protocol):
    """What a scan needs of the application (see chalicelib.application.client)."""

    def failed_pages(self, source: Source, selection: Selection, start: PageRequest | None = None) -> Iterator[Page]:
        """Yield the pages of a source's list, from `start` on."""


class Scan:
    """One pass over the lists. `out_of_time` is whether there is no time for another page."""

    def __init__(
        self,
        lists: Lists,
        communications: Communications,
        settings: Settings,
        clock: times.Clock,
        out_of_time: Callable[[], bool],
    ) -> None:
        self._lists = lists
        self._communications = communications
        self._settings = settings
        self._clock = clock
        self._out_of_time = out_of_time

    def candidates(
        self, collection: Collection, sources: Iterable[tuple[Source, PageRequest | None]]
    ) -> Iterator[Candidate]:
        """Yield what matches the selection, until all sources are read or a limit is reached.

        `collection` keeps the counts, which lists could not be read, and where the scan stopped; whoever consumes the
        candidates adds to its `taken`.
        """
        for source, start in sources:
            collection.begin_source(source, start)
            if collection.pages and self._is_full(collection):
                collection.stop(source, None, out_of_time=not self._is_limit_reached(collection))
            elif not collection.is_complete():
                try:
                    yield from self._read_source(collection, source, start)
                except ListingFailed as error:
                    collection.fail_source(error)
            if collection.stopped_at:
                return

    def _read_source(self, collection: Collection, source: Source, start: PageRequest | None) -> Iterator[Candidate]:
        for page in self._pages(source, collection.selection, start):
            whole = yield from self._read_page(collection, source, page)
            if collection.is_complete():
                return
            if not whole or (page.next and self._is_full(collection)):
                resume_at = page.next if whole else page.request
                collection.stop(source, resume_at, out_of_time=not self._is_limit_reached(collection))
                return
        collection.end_source(source)

    def _read_page(self, collection: Collection, source: Source, page: Page) -> Generator[Candidate, None, bool]:
        """Yield the candidates of a page; return False if the limit cut it off."""
        collection.add_page(page)
        matching = [each for each in page.communications if collection.matches(source, each)]
        states = self._communications.read(matching)
        candidates = judge(source, matching, states, self._clock(), self._settings.max_attempts)
        wanted = [each for each in candidates if _has_cause(each, collection.selection.cause)]
        for number, candidate in enumerate(wanted):
            if self._is_limit_reached(collection):
                collection.truncate_page(len(wanted) - number)
                return False
            collection.matched += 1
            yield candidate
        return True

    def _pages(self, source: Source, selection: Selection, start: PageRequest | None) -> Iterator[Page]:
        """Return the pages from `start` on, or all of them if the application no longer knows that page."""
        pages = self._lists.failed_pages(source, selection, start)
        if start is None:
            return pages
        try:
            return itertools.chain([next(pages)], pages)
        except ListingFailed:
            if self._out_of_time():
                raise
            return self._lists.failed_pages(source, selection)

    def _is_full(self, collection: Collection) -> bool:
        return self._is_limit_reached(collection) or self._out_of_time()

    def _is_limit_reached(self, collection: Collection) -> bool:
        limit = collection.selection.limit or self._settings.max_per_run
        return collection.taken >= min(limit, self._settings.max_per_run)


def _has_cause(candidate: Candidate, cause_id: str | None) -> bool:
    """Whether a communication fails for a cause, as far as the ledger knows now; None: for any, or for none."""
    if cause_id is None:
        return True
    cause = candidate.cause
    return cause is not None and cause.id == cause_id

"""Find what is due, write the manifest, start the run."""

import itertools
from collections.abc import Callable, Iterator
from typing import Protocol

from chalicelib import due, positions, times
from chalicelib.configuration import Configuration, Source
from chalicelib.errors import ConfigurationError, ListingFailed
from chalicelib.executions import Executions, batch_size
from chalicelib.found import Found
from chalicelib.ledger import Ledger
from chalicelib.ledger.worklist import MANUAL
from chalicelib.models import AWAITING, SCHEDULE, Run, Selection
from chalicelib.pages import Page
from chalicelib.positions import Position
from chalicelib.queries import Place
from chalicelib.settings import Settings
from chalicelib.store import Manifest, Store

# What the collector still needs, once it stops listing, in milliseconds: the page that it is at (two requests of 30 s,
# two tokens of 4 s), the manifest, the start of the run.
RESERVE = 90_000


class Lists(Protocol):
    """What is needed of the application (see chalicelib.application)."""

    def failed(self, source: Source, selection: Selection, start: Place | None = None) -> Iterator[Page]:
        """Yield the pages of a source's list, from `start` on."""


class Collector:
    """One attempt to collect for one run; `time_left` returns the milliseconds that the Lambda still has."""

    def __init__(
        self,
        lists: Lists,
        ledger: Ledger,
        store: Store,
        executions: Executions,
        configuration: Configuration,
        settings: Settings,
        clock: times.Clock,
        time_left: Callable[[], int],
    ) -> None:
        self._lists = lists
        self._ledger = ledger
        self._store = store
        self._executions = executions
        self._configuration = configuration
        self._settings = settings
        self._clock = clock
        self._time_left = time_left

    def collect(self, run: Run, selection: Selection) -> Run:
        """Collect for a run whose status is `collecting`; return it as it then is.

        It ends as `running` with an execution, as `empty`, or as `failed` with the error. May be repeated, and may die
        anywhere: each attempt has a manifest of its own, and one conditional write on the run decides which counts.
        """
        if run.manifest:
            # An earlier attempt has come this far: another manifest would not be that of the execution.
            self._executions.start(run)
            return run
        position = self._ledger.positions.read() if run.trigger == SCHEDULE else None
        with Manifest(batch_size(self._settings)) as manifest:
            try:
                found = self._gather(run, selection, manifest, position)
            except (ListingFailed, ConfigurationError) as error:
                return self._move(run, status="failed", error=str(error))
            manifest.end()
            run = self._pin(run, found, manifest)
        if run.trigger == SCHEDULE and (found.stopped or position):
            # After the run is pinned: a repetition of this attempt begins where it began.
            self._ledger.positions.write(self._next(found))
        if run.status in ("running", AWAITING):
            self._executions.start(run)
        return run

    def _pin(self, run: Run, found: Found, manifest: Manifest) -> Run:
        """Write down what was found; the first attempt to do so is the one that counts."""
        if not manifest.batches:
            counts = {"skipped": sum(found.skipped.values())}
            return self._move(run, status="empty", counts=counts, **found.counted())
        key = self._store.put_manifest(run.run_id, manifest)
        much = manifest.communications > self._settings.approval_threshold
        status = AWAITING if much else "running"
        return self._move(run, status=status, manifest=key, batches=manifest.batches, **found.counted())

    def _next(self, found: Found) -> Position | None:
        return positions.after(self._configuration.sources, *found.stopped) if found.stopped else None

    def _move(self, run: Run, **changes: object) -> Run:
        """Move a run on, or find out to where another attempt has moved it."""
        return self._ledger.runs.change(run, **changes) or self._ledger.runs.read(run.run_id)

    def _gather(self, run: Run, selection: Selection, manifest: Manifest, position: Position | None) -> Found:
        found = Found(selection)
        for source, start in positions.order(self._configuration.selected(selection), position):
            found.begin(source, start)
            if found.pages and self._full(found, manifest):
                found.stop(source, None)
            elif not found.complete():
                self._read(run, source, start, found, manifest)
            if found.stopped:
                break
        return found

    def _read(self, run: Run, source: Source, start: Place | None, found: Found, manifest: Manifest) -> None:
        """Take what is wanted of a source's list, as far as the limits allow."""
        for page in self._pages(source, found.selection, start):
            whole = self._sift(run, source, page, found, manifest)
            if found.complete():
                return
            if not whole or (page.following and self._full(found, manifest)):
                found.stop(source, page.following if whole else page.at)
                return
        found.end()

    def _pages(self, source: Source, selection: Selection, start: Place | None) -> Iterator[Page]:
        """Return the pages from `start` on, or all of them if the application knows that place no more."""
        pages = self._lists.failed(source, selection, start)
        if start is None:
            return pages
        try:
            return itertools.chain([next(pages)], pages)
        except ListingFailed:
            return self._lists.failed(source, selection)

    def _full(self, found: Found, manifest: Manifest) -> bool:
        return manifest.communications >= self._most(found) or self._time_left() < RESERVE

    def _most(self, found: Found) -> int:
        return min(found.selection.limit or self._settings.max_per_run, self._settings.max_per_run)

    def _sift(self, run: Run, source: Source, page: Page, found: Found, manifest: Manifest) -> bool:
        """Take what is wanted of a page; return False if a limit cut it off."""
        found.seen(page)
        wanted = [it for it in page.communications if found.wants(source, it)]
        states = self._ledger.communications.read(wanted)
        for number, it in enumerate(wanted):
            if manifest.communications >= self._most(found):
                found.cut(len(wanted) - number)
                return False
            found.matched += 1
            state = states.get((it.operation, it.primary_id))
            reason = due.against(source, it, state, self._clock(), self._settings.max_attempts)
            found.waits(it, reason)
            if reason == MANUAL and found.selection.include_manual:
                reason = self._ledger.worklist.retry(
                    it.operation, it.primary_id, run.requested_by, source.cool_down_ms, listed_at=it.listed_at
                )
            if reason is None and not manifest.add(due.counted_from_retry(it, state, found.selection)):
                reason = "duplicate"
            if reason:
                found.skip(reason)
        return True

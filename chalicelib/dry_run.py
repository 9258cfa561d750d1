"""What a run would do now, and why not for the rest: looks as the collector does, and changes nothing."""

from collections import Counter

import msgspec

from chalicelib import cost, due, ids, times
from chalicelib.collector import Lists
from chalicelib.configuration import Configuration, Source
from chalicelib.errors import ConfigurationError, ListingFailed
from chalicelib.found import Found
from chalicelib.ledger import Ledger
from chalicelib.ledger.claims import State, standing_against
from chalicelib.ledger.worklist import MANUAL, against_retry
from chalicelib.models import Communication, Selection
from chalicelib.pages import Page
from chalicelib.reprocessor import expired
from chalicelib.settings import Settings
from chalicelib.views import Cost, Preview, Sampled

# API Gateway gives a call 29 seconds (API Gateway quotas). After this many milliseconds no further page is asked for;
# the last one may take PAGE seconds twice (after a 401 the secret is read again), and is then looked up in the ledger.
ENOUGH, PAGE = 12_000, 5

_SAMPLE = 20


class DryRun:
    """One look at what a selection would send."""

    def __init__(
        self, lists: Lists, ledger: Ledger, configuration: Configuration, settings: Settings, clock: times.Clock
    ) -> None:
        self._lists = lists
        self._ledger = ledger
        self._configuration = configuration
        self._settings = settings
        self._clock = clock
        self._seen: set[tuple[str, str]] = set()
        self._operations: Counter[str] = Counter()
        self._sample: list[Sampled] = []
        self._ages: list[int] = []

    def look(self, selection: Selection) -> Preview:
        """Return what a run of this selection would do; a source that cannot be listed is told, as `error`."""
        found, error, truncated = Found(selection), None, False
        try:
            truncated = self._look(selection, found)
        except (ListingFailed, ConfigurationError) as failure:
            error, truncated = str(failure), True
        return self._preview(found, error, truncated=truncated)

    def _look(self, selection: Selection, found: Found) -> bool:
        """Look at page after page; return whether there was no time for all of them."""
        began = self._clock()
        most = min(selection.limit or self._settings.max_per_run, self._settings.max_per_run)
        for source in self._configuration.selected(selection):
            quick = msgspec.structs.replace(source, timeout=min(source.timeout, PAGE))
            found.begin(source, None)
            for page in self._lists.failed(quick, selection, None):
                self._sift(source, page, found, most)
                if found.left_out or found.complete():
                    return False
                if self._clock() - began > ENOUGH:
                    return True
        return False

    def _sift(self, source: Source, page: Page, found: Found, most: int) -> None:
        found.seen(page)
        wanted = [it for it in page.communications if found.wants(source, it)]
        states = self._ledger.communications.read(wanted)
        for it in wanted:
            if len(self._seen) >= most:
                found.left_out = True
                return
            found.matched += 1
            reason = self._against(source, it, states.get((it.operation, it.primary_id)), found)
            if reason:
                found.skip(reason)
            else:
                self._count(it)

    def _against(self, source: Source, it: Communication, state: State | None, found: Found) -> str | None:
        """Return why a run would not send a communication, or None: also what it finds out in its batches only."""
        now, most = self._clock(), self._settings.max_attempts
        reason = due.against(source, it, state, now, most)
        if reason == MANUAL and found.selection.include_manual:
            reason = against_retry(state, it.listed_at, source.cool_down_ms)
        elif reason is None and state and standing_against(state, it.listed_at, most) in due.HAND_OVER:
            reason = standing_against(state, it.listed_at, most)
        if reason is None and expired(due.counted_from_retry(it, state, found.selection), source, now):
            reason = "expired"
        if reason is None and (it.operation, it.primary_id) in self._seen:
            reason = "duplicate"
        return reason

    def _count(self, it: Communication) -> None:
        self._seen.add((it.operation, it.primary_id))
        self._operations[it.operation] += 1
        if it.since is not None:
            self._ages.append(it.since)
        if len(self._sample) < _SAMPLE:
            self._sample.append(
                Sampled(id=ids.of(it.operation, it.primary_id), operation=it.operation, primary_id=it.primary_id)
            )

    def _preview(self, found: Found, error: str | None, *, truncated: bool) -> Preview:
        number, missing = len(self._seen), found.missing
        return Preview(
            matched=found.matched,
            eligible=number,
            skipped=found.skipped,
            by_operation=dict(self._operations),
            oldest=times.iso(min(self._ages)) if self._ages else None,
            newest=times.iso(max(self._ages)) if self._ages else None,
            batches=cost.batches(number, self._settings),
            needs_approval=number > self._settings.approval_threshold,
            expected_seconds=cost.seconds(number, self._settings),
            expected_cost=Cost(currency="USD", amount=cost.dollars(number, self._settings), basis=cost.BASIS),
            # An id that was not seen may be on a page that was not looked at.
            not_listed=[] if truncated else missing[:20],
            not_listed_count=0 if truncated else len(missing),
            left_out=found.left_out,
            truncated=truncated,
            error=error,
            sample=self._sample,
        )

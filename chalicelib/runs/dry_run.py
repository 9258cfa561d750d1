"""What a run would do now, and why it would leave the rest alone. It scans as the collector does."""

from collections import Counter

import msgspec

from chalicelib.application.config import Configuration, Source
from chalicelib.ledger import Ledger
from chalicelib.models.communications import SkipReason
from chalicelib.models.selections import Selection
from chalicelib.runs import cost
from chalicelib.runs.collection import NOT_FOUND_KEPT, Collection
from chalicelib.runs.cost import Estimate
from chalicelib.runs.eligibility import HAND_OVER, Candidate
from chalicelib.runs.pace import get_pace
from chalicelib.runs.scan import Lists, Scan
from chalicelib.settings import Settings

# API Gateway gives a call 29 seconds (API Gateway Developer Guide, "Quotas"). After LISTING_MS milliseconds no further
# page is requested; the last page may take PAGE_TIMEOUT seconds twice (after a 401 the secret is read again).
LISTING_MS, PAGE_TIMEOUT = 12_000, 5

# Reasons that only the run itself finds out: until then, the communication is in its manifest.
_IN_MANIFEST = (None, SkipReason.EXPIRED, *HAND_OVER)

# How many communications a preview shows.
_SAMPLE = 20

# How many of the last runs say how long a POST takes.
_MEASURED_RUNS = 10


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """What a run would do. Times in milliseconds since 1970.

    `eligible` of `matched` would be sent; `skipped` counts the others by reason. `truncated`: a limit would cut the run
    short. `incomplete`: there was no time to look at everything, or lists failed with `error`; the numbers are then
    lower bounds. `sample` holds (operation, primaryId) of the first that would be sent.
    """

    matched: int
    eligible: int
    skipped: dict[str, int]
    by_operation: dict[str, int]
    oldest: int | None
    newest: int | None
    needs_approval: bool
    estimate: Estimate
    not_found: list[str]
    not_found_count: int
    truncated: bool
    incomplete: bool
    error: str | None
    sample: list[tuple[str, str]]


class DryRun:
    """One look at what a selection would send."""

    def __init__(self, lists: Lists, ledger: Ledger, configuration: Configuration, settings: Settings) -> None:
        self._lists = lists
        self._ledger = ledger
        self._configuration = configuration
        self._settings = settings
        self._clock = ledger.clock
        # Hashes: the keys of a million communications would need most of the function's memory.
        self._sent: set[int] = set()
        self._operations: Counter[str] = Counter()
        self._sample: list[tuple[str, str]] = []
        self._ages: tuple[int, int] | None = None  # since when the oldest and the newest have been waiting

    def preview(self, selection: Selection, requested_by: str) -> Preview:
        """Return what a run of this selection would do for a requester. If a list cannot be read, `error` says why."""
        collection = Collection(selection)
        self._look(collection)
        used = self._ledger.allowances.used(requested_by)
        needs_approval = collection.taken > 0 and collection.taken + used > self._settings.approval_threshold
        return self._preview(collection, needs_approval=needs_approval)

    def _look(self, collection: Collection) -> None:
        deadline = self._clock() + LISTING_MS
        communications = self._ledger.communications
        scan = Scan(self._lists, communications, self._settings, self._clock, lambda: self._clock() > deadline)
        sources = [(_impatient(source), None) for source in self._configuration.selected(collection.selection)]
        for candidate in scan.candidates(collection, sources):
            reason = self._not_sent_reason(candidate, collection.selection)
            if reason:
                collection.skip(reason)
            else:
                self._count(candidate)
            collection.taken += reason in _IN_MANIFEST

    def _not_sent_reason(self, candidate: Candidate, selection: Selection) -> str | None:
        reason = candidate.not_sent_reason(
            self._clock(), self._settings.max_attempts, include_manual=selection.takes_manual
        )
        return SkipReason.DUPLICATE if reason is None and hash(candidate.listed.key) in self._sent else reason

    def _count(self, candidate: Candidate) -> None:
        communication = candidate.listed
        self._sent.add(hash(communication.key))
        self._operations[communication.operation] += 1
        if communication.since is not None:
            oldest, newest = self._ages or (communication.since, communication.since)
            self._ages = min(oldest, communication.since), max(newest, communication.since)
        if len(self._sample) < _SAMPLE:
            self._sample.append(communication.key)

    def _preview(self, collection: Collection, *, needs_approval: bool) -> Preview:
        incomplete = collection.out_of_time or collection.error is not None
        # An id that was not found may be on a page that was not read.
        not_found = [] if incomplete else collection.not_found
        oldest, newest = self._ages or (None, None)
        return Preview(
            matched=collection.matched,
            eligible=len(self._sent),
            skipped=collection.skipped,
            by_operation=dict(self._operations),
            oldest=oldest,
            newest=newest,
            needs_approval=needs_approval,
            estimate=self._estimate(),
            not_found=not_found[:NOT_FOUND_KEPT],
            not_found_count=len(not_found),
            truncated=collection.truncated and not collection.out_of_time,
            incomplete=incomplete,
            error=collection.error,
            sample=self._sample,
        )

    def _estimate(self) -> Estimate:
        runs, _ = self._ledger.runs.page(_MEASURED_RUNS)
        pace = get_pace(self._ledger, self._configuration)
        settings, measured_ms = pace.within(self._settings), cost.measured_post_ms(runs)
        return cost.estimate(len(self._sent), settings, measured_ms, pace.lasting_per_second)


def _impatient(source: Source) -> Source:
    """Return a source with a timeout that fits into a call of the API."""
    return msgspec.structs.replace(source, timeout=min(source.timeout, PAGE_TIMEOUT))

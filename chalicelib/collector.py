"""Find what is due, write the manifest, start the run."""

from collections.abc import Callable, Iterator
from typing import Protocol

import msgspec

from chalicelib import times
from chalicelib.configuration import Configuration, Source
from chalicelib.errors import ConfigurationError, ListingFailed
from chalicelib.executions import Executions, batch_size
from chalicelib.ledger import Ledger
from chalicelib.ledger.claims import State, standing_against
from chalicelib.ledger.worklist import MANUAL
from chalicelib.models import AWAITING, Communication, Run, Selection
from chalicelib.settings import Settings
from chalicelib.store import Manifest, Store

# What the collector still needs, once it stops listing, to write the manifest and start the run. In milliseconds.
RESERVE = 60_000

# Communications that nothing but a person can help are handed over by the run: they must enter the manifest once.
HAND_OVER = ("relapsed", "attempts_used_up")


class Lists(Protocol):
    """What is needed of the application (see chalicelib.application)."""

    def failed(self, source: Source, selection: Selection) -> Iterator[list[Communication]]:
        """Yield the failed communications of a source, page by page."""


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
        with Manifest(batch_size(self._settings)) as manifest:
            try:
                found = self._gather(run, selection, manifest)
            except (ListingFailed, ConfigurationError) as error:
                return self._move(run, status="failed", error=str(error))
            manifest.end()
            return self._begin(run, found, manifest)

    def _begin(self, run: Run, found: "Found", manifest: Manifest) -> Run:
        """Pin what was found and start the execution, or close the run if there is nothing to do."""
        counted = found.counted()
        if not manifest.batches:
            return self._move(run, status="empty", counts={"skipped": sum(found.skipped.values())}, **counted)
        key = self._store.put_manifest(run.run_id, manifest)
        much = manifest.communications > self._settings.approval_threshold
        status = AWAITING if much else "running"
        run = self._move(run, status=status, manifest=key, batches=manifest.batches, **counted)
        if run.status in ("running", AWAITING):
            self._executions.start(run)
        return run

    def _move(self, run: Run, **changes: object) -> Run:
        """Move a run on, or find out to where another attempt has moved it."""
        return self._ledger.runs.change(run, **changes) or self._ledger.runs.read(run.run_id)

    def _gather(self, run: Run, selection: Selection, manifest: Manifest) -> "Found":
        found = Found(selection)
        for source in self._configuration.selected(selection):
            for page in self._lists.failed(source, selection):
                self._sift(run, source, page, found, manifest)
                if found.complete():
                    return found
                if manifest.communications >= self._most(found) or self._time_left() < RESERVE:
                    found.left_out = True
                    return found
        return found

    def _most(self, found: "Found") -> int:
        return min(found.limit or self._settings.max_per_run, self._settings.max_per_run)

    def _sift(self, run: Run, source: Source, page: list[Communication], found: "Found", manifest: Manifest) -> None:
        page = [it for it in page if found.wants(it)]
        states = self._ledger.communications.read(page)
        for it in page:
            if manifest.communications >= self._most(found):
                found.left_out = True
                return
            found.matched += 1
            state = states.get((it.operation, it.primary_id))
            reason = against(source, it, state, self._clock(), self._settings.max_attempts)
            if reason == MANUAL and found.include_manual:
                reason = self._ledger.worklist.retry(
                    it.operation, it.primary_id, run.requested_by, source.cool_down_ms, listed_at=it.listed_at
                )
            if reason is None and not manifest.add(counted_from_retry(it, state, found)):
                reason = "duplicate"
            if reason:
                found.skipped[reason] = found.skipped.get(reason, 0) + 1


def against(source: Source, it: Communication, state: State | None, now: int, max_attempts: int) -> str | None:
    """Return why a communication must be left alone by a run, or None."""
    if source.min_age_ms is not None and it.since is not None and now - it.since < source.min_age_ms:
        return "too_fresh"
    reason = standing_against(state, it.listed_at, max_attempts) if state else None
    return None if reason in HAND_OVER else reason


def counted_from_retry(it: Communication, state: State | None, found: "Found") -> Communication:
    """Return a communication with its age counted from when a person last retried it, or it would expire again."""
    retried = it.listed_at if found.include_manual and state and state.status == MANUAL else None
    retried = retried or (state.retried_at if state else None)
    if retried is None or it.since is None or it.since >= retried:
        return it
    return msgspec.structs.replace(it, since=retried)


class Found:
    """What a collection has seen so far of what a selection wants."""

    def __init__(self, selection: Selection) -> None:
        self.matched = 0
        self.skipped: dict[str, int] = {}
        self.left_out = False
        self.limit = selection.limit
        self.include_manual = selection.include_manual
        self._one_operation = selection.operation is not None
        self._created_by = selection.created_by
        self._after = times.parse(selection.created_after) if selection.created_after else None
        self._before = times.parse(selection.created_before) if selection.created_before else None
        self._ids = set(selection.primary_ids) if selection.primary_ids else None
        self._missing = set(selection.primary_ids or [])

    def wants(self, it: Communication) -> bool:
        """Whether a listed communication fits the selection, whatever the application made of its filters."""
        if self._ids is not None:
            self._missing.discard(it.primary_id)
        return (
            (self._ids is None or it.primary_id in self._ids)
            and (self._created_by is None or it.created_by in (None, self._created_by))
            and (self._after is None or it.created is None or it.created >= self._after)
            and (self._before is None or it.created is None or it.created < self._before)
        )

    def complete(self) -> bool:
        """Whether no further page can add anything: an id is one communication only within one operation."""
        return self._one_operation and self._ids is not None and not self._missing

    @property
    def missing(self) -> list[str]:
        """The ids asked for that no page listed."""
        return sorted(self._missing)

    def counted(self) -> dict[str, object]:
        """Return what the run's item keeps of this."""
        missing = self.missing
        return {
            "matched": self.matched,
            "skipped": self.skipped,
            "leftOut": self.left_out,
            "notListed": missing[:20],
            "notListedCount": len(missing),
        }

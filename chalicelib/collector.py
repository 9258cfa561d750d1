"""Find what is due, write the manifest, start the run."""

from collections.abc import Callable, Iterator
from typing import Protocol

from chalicelib import times
from chalicelib.configuration import Configuration, Source
from chalicelib.errors import ConfigurationError, ListingFailed
from chalicelib.executions import Executions, batch_size
from chalicelib.ledger import Ledger
from chalicelib.ledger.claims import State, standing_against
from chalicelib.models import Communication, Run, Selection
from chalicelib.settings import Settings
from chalicelib.store import Manifest, Store

# What the collector still needs, once it stops listing, to write the manifest and start the run. In milliseconds.
RESERVE = 60_000

# Communications that nothing but a person can help are handed over by the run: they must enter the manifest once.
_HAND_OVER = ("relapsed", "attempts_used_up")


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
        manifest = Manifest(batch_size(self._settings))
        try:
            found = self._gather(selection, manifest)
        except (ListingFailed, ConfigurationError) as error:
            return self._move(run, status="failed", error=str(error))
        manifest.close()
        counted = found.counted()
        if not manifest.batches:
            return self._move(run, status="empty", counts={"skipped": sum(found.skipped.values())}, **counted)
        key = self._store.put_manifest(run.run_id, manifest)
        run = self._move(run, status="running", manifest=key, batches=manifest.batches, **counted)
        if run.status == "running":
            self._executions.start(run)
        return run

    def _move(self, run: Run, **changes: object) -> Run:
        """Move a run on, or find out to where another attempt has moved it."""
        return self._ledger.runs.change(run, **changes) or self._ledger.runs.read(run.run_id)

    def _gather(self, selection: Selection, manifest: Manifest) -> "_Found":
        found = _Found(selection)
        for source in self._configuration.selected(selection):
            for page in self._lists.failed(source, selection):
                self._sift(source, page, found, manifest)
                if found.complete():
                    return found
                if manifest.communications >= self._most(found) or self._time_left() < RESERVE:
                    found.left_out = True
                    return found
        return found

    def _most(self, found: "_Found") -> int:
        return min(found.limit or self._settings.max_per_run, self._settings.max_per_run)

    def _sift(self, source: Source, page: list[Communication], found: "_Found", manifest: Manifest) -> None:
        page = [it for it in page if found.wants(it)]
        states = self._ledger.communications.read(page)
        for it in page:
            if manifest.communications >= self._most(found):
                found.left_out = True
                return
            found.matched += 1
            reason = self._against(source, it, states.get((it.operation, it.primary_id)))
            found.waits(it, reason)
            if reason is None and not manifest.add(it):
                reason = "duplicate"
            if reason:
                found.skipped[reason] = found.skipped.get(reason, 0) + 1

    def _against(self, source: Source, it: Communication, state: State | None) -> str | None:
        """Return why a communication must be left alone by this run, or None."""
        if source.min_age_ms is not None and it.since is not None and self._clock() - it.since < source.min_age_ms:
            return "too_fresh"
        reason = standing_against(state, it.listed_at, self._settings.max_attempts) if state else None
        return None if reason in _HAND_OVER else reason


class _Found:
    """What a collection has seen so far of what a selection wants."""

    def __init__(self, selection: Selection) -> None:
        self.matched = 0
        self.skipped: dict[str, int] = {}
        self.left_out = False
        self.oldest: int | None = None
        self.limit = selection.limit
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

    def waits(self, it: Communication, reason: str | None) -> None:
        """Note since when a communication waits, unless it is a person's by now."""
        if it.since is not None and reason not in ("manual", "dismissed"):
            self.oldest = it.since if self.oldest is None else min(self.oldest, it.since)

    def complete(self) -> bool:
        """Whether no further page can add anything: an id is one communication only within one operation."""
        return self._one_operation and self._ids is not None and not self._missing

    def counted(self) -> dict[str, object]:
        """Return what the run's item keeps of this."""
        missing = sorted(self._missing)
        return {
            "matched": self.matched,
            "skipped": self.skipped,
            "leftOut": self.left_out,
            "oldest": self.oldest,
            "notListed": missing[:20],
            "notListedCount": len(missing),
        }

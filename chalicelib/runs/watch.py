"""What a collector learns from its scan besides what to send: relapses, and from the schedule also about outages."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Self

from chalicelib.application.config import Source
from chalicelib.ledger import Ledger
from chalicelib.manifests import Manifests
from chalicelib.models.runs import Run, Trigger
from chalicelib.runs import situation
from chalicelib.runs.collection import Collection
from chalicelib.runs.eligibility import Candidate
from chalicelib.runs.outage_watch import OutageWatch
from chalicelib.runs.relapses import RelapseCounter, settle_runs
from chalicelib.runs.tally import Snapshot, Tally
from chalicelib.telemetry import logs


class Watch:
    """Looks at what a run's scan sees. No error here keeps the run from its work: the next scan sees the same.

    A requested run sees a part of what is listed. It counts what has relapsed, and nothing else. As a context manager,
    a watch deletes its temporary file in the end.
    """

    def __init__(self, run: Run, ledger: Ledger, manifests: Manifests, count_worklist: Callable[[], int]) -> None:
        self._run = run
        self._ledger = ledger
        self._count_worklist = count_worklist
        self._began = ledger.clock()
        self._relapses = RelapseCounter(ledger.relapses)
        self._tally = Tally() if run.trigger == Trigger.SCHEDULE else None
        self._snapshot: Snapshot | None = None
        self._outage: OutageWatch | None = None
        if self._tally:
            self._isolated(partial(self._watch_outage, manifests))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._outage:
            self._isolated(self._outage.close)

    def _watch_outage(self, manifests: Manifests) -> None:
        self._outage = OutageWatch(self._run, self._ledger, manifests)

    def look_at(self, candidate: Candidate) -> None:
        """Look at a communication that the scan has listed."""
        self._relapses.look_at(candidate)
        if self._tally:
            self._tally.add(candidate)
        if self._outage and not self._isolated(partial(self._outage.look_at, candidate)):
            self._outage = None  # its numbers would lack this one

    def end_scan(self, collection: Collection, sources: Sequence[Source]) -> None:
        """Write what the scan of these sources has seen.

        The run has not begun yet. So if the collector dies here, the scan is repeated, or the next one sees the same.
        """
        self._relapses.count()
        if self._tally:
            self._snapshot = self._tally.snapshot(self._began, [source.operation for source in sources], collection)
            self._isolated(partial(self._note_outage, self._snapshot))
            self._isolated(partial(self._note_situation, self._snapshot))

    def settle_runs(self, sources: Sequence[Source]) -> None:
        """Settle earlier runs, if the scan has seen everything."""
        if self._snapshot and not self._snapshot.unfinished and self._relapses.all_counted:
            settle_runs(self._ledger, sources, self._began)

    def _note_outage(self, snapshot: Snapshot) -> None:
        """Note what the scan means for the outage, before the situation has it among the earlier scans."""
        known = self._ledger.situations.read()
        if self._outage:
            self._outage.note(snapshot, known.scans if known else ())

    def _note_situation(self, snapshot: Snapshot) -> None:
        situation.note_scan(self._run.run_id, snapshot, self._count_worklist, self._ledger)

    def _isolated(self, call: Callable[[], None]) -> bool:
        """Make a call, and return whether it succeeded. Its error is logged."""
        try:
            call()
        except Exception as error:  # noqa: BLE001 (whatever it is: mails and the schedule must not wait for numbers)
            logs.log_error(error, self._run.run_id)
            return False
        return True

"""Collects for a run: finds what is eligible, writes the manifest, and starts the execution."""

import functools
from collections.abc import Callable
from typing import Any

from chalicelib import run_ids, times
from chalicelib.application.config import Configuration
from chalicelib.errors import ConfigurationError, ExecutionNameTaken
from chalicelib.executions import Executions
from chalicelib.ledger import Ledger
from chalicelib.ledger.pace import CANARY, Limits, effective_rate
from chalicelib.ledger.runs import run_key
from chalicelib.manifests import Manifests, ManifestWriter
from chalicelib.models.base import as_json
from chalicelib.models.communications import SkipReason
from chalicelib.models.outcomes import Outcome
from chalicelib.models.runs import Run, RunKind, RunStatus, Trigger
from chalicelib.models.selections import Checkpoint, Selection
from chalicelib.notifications import messages, policy
from chalicelib.runs import checkpoint, start
from chalicelib.runs.bulk import Bulk
from chalicelib.runs.closing import Notify, as_it_is, close_failed, send_mail
from chalicelib.runs.collection import Collection
from chalicelib.runs.eligibility import Candidate
from chalicelib.runs.proof import proof_of
from chalicelib.runs.recovery import Recovery
from chalicelib.runs.scan import Lists, Scan
from chalicelib.runs.watch import Watch
from chalicelib.settings import Settings
from chalicelib.telemetry import logs, metrics

# In milliseconds: what the collector still needs after it stops listing. The page that it is reading (two requests of
# 30 s, two tokens of 4 s), the manifest, and the start of the execution.
RESERVED_MS = 90_000


def handle_event(
    event: dict[str, Any],
    recovery: Recovery,
    make_collector: Callable[[], "Collector"],
    bulk: Bulk,
    ledger: Ledger,
    manifests: Manifests,
    executions: Executions,
    settings: Settings,
    notify: Notify,
) -> None:
    """Do what a collector's event asks for: collect for its run or carry it out, then recover the other open runs.

    `make_collector` reads application.toml, which may fail. It is called only when there is a run to collect for, so
    that recovery works with any configuration. If collecting fails in a way that nobody expects, recovery comes first
    and the error is raised after it.
    """
    # Once, for the situation and for the metrics.
    count_worklist = functools.cache(lambda: ledger.communications.worklist_size(metrics.MAX_WORKLIST_COUNT))
    try:
        run = start.begin(event, ledger, executions)
        if run and run.kind != RunKind.REPROCESS:
            bulk.carry_out(run)
        elif run:
            run = collect_run(run, make_collector, ledger, manifests, settings, notify, count_worklist)
        elif not start.is_requested(event) and start.may_look(ledger):
            _look(event, make_collector, ledger, manifests, count_worklist)
        if not start.is_requested(event):
            _emit_metrics(run, count_worklist(), ledger, settings)
    except Exception:
        recovery.recover_open_runs()
        raise
    recovery.recover_open_runs()


def _look(
    event: dict[str, Any],
    make_collector: Callable[[], "Collector"],
    ledger: Ledger,
    manifests: Manifests,
    count_worklist: Callable[[], int],
) -> None:
    """Look at what fails for the schedule, which may start no run now."""
    run = start.scheduled_run(run_ids.for_schedule(event["id"], event["time"]), times.parse_iso(event["time"]))
    with Watch(run, ledger, manifests, count_worklist) as watch:
        try:
            make_collector().look(watch)
        except ConfigurationError as error:
            logs.log_error(error, run.run_id)  # The next run tells people.


def _emit_metrics(run: Run | None, worklist_size: int, ledger: Ledger, settings: Settings) -> None:
    paused, now = ledger.schedule.paused() is not None, ledger.clock()
    rate = effective_rate(ledger.pacing.read(), Limits(), now)
    metrics.collector_ended(settings.resource_prefix, run, worklist_size, rate, now, paused=paused)


def collect_run(
    run: Run,
    make_collector: Callable[[], "Collector"],
    ledger: Ledger,
    manifests: Manifests,
    settings: Settings,
    notify: Notify,
    count_worklist: Callable[[], int],
) -> Run:
    """Collect for a run, notify people at once if it cannot begin, and return the run as it is then.

    NotificationFailed if SNS refuses the mail; the run and its turn have ended by then.
    """
    selection = manifests.read_selection(run.selection, Selection) if run.selection else Selection()
    with Watch(run, ledger, manifests, count_worklist) as watch:
        run = _collect(run, selection, make_collector, watch, ledger, settings)
    if run.trigger == Trigger.SCHEDULE and run.status == RunStatus.EMPTY:
        _end_empty(run, ledger, settings, notify)
    elif run.closed:
        send_mail(run_key(run.run_id), ledger, notify)
    return run


def _collect(
    run: Run,
    selection: Selection,
    make_collector: Callable[[], "Collector"],
    watch: Watch,
    ledger: Ledger,
    settings: Settings,
) -> Run:
    try:
        return make_collector().collect(run, selection, watch)
    except ConfigurationError as error:
        if run.manifest:
            raise  # Its execution may be under way; recovery sees to it.
        return close_failed(run, policy.LISTING, str(error), messages.listing_failed, ledger, settings)
    except ExecutionNameTaken as error:
        run = ledger.runs.read(run.run_id)
        return close_failed(run, policy.NEVER_STARTED, str(error), messages.never_started, ledger, settings)


def _end_empty(run: Run, ledger: Ledger, settings: Settings, notify: Notify) -> None:
    """End a scheduled run that found nothing to send, and with it the incident that people know of, if it is over."""
    ledger.runs.delete(run)
    ledger.schedule.release_lock(run.run_id)
    now, known = ledger.clock(), ledger.incidents.read()
    if known is None or not run.ended_at:
        return  # Without its end, another delivery of the event has ended it, and sees to the incident.
    if (known.kind == policy.LISTING or not run.matched) and policy.may_end(known, now, settings.remind_after_ms):
        notify(messages.recovered(known, now))
        ledger.incidents.end(now)


class Collector:
    """Collects once for a run; `time_left` returns the milliseconds that the Lambda still has."""

    def __init__(
        self,
        lists: Lists,
        ledger: Ledger,
        manifests: Manifests,
        executions: Executions,
        configuration: Configuration,
        settings: Settings,
        time_left: Callable[[], int],
    ) -> None:
        self._ledger = ledger
        self._manifests = manifests
        self._executions = executions
        self._configuration = configuration
        self._settings = settings
        self._scan = Scan(lists, ledger.communications, settings, ledger.clock, lambda: time_left() < RESERVED_MS)

    def collect(self, run: Run, selection: Selection, watch: Watch | None = None) -> Run:
        """Collect for a run whose status is `collecting`; return it as it is then.

        It is `running` or `awaiting_approval` with an execution, or it has ended: as `empty`, or as `failed` if a list
        could not be read and the others had nothing to send. It may be repeated, and may die anywhere: each collection
        has a manifest of its own, and one conditional write on the run decides which one counts. `watch` looks at what
        the scan sees.
        """
        if run.manifest:
            # An earlier collection got this far. Another manifest would not be the one that its execution reads.
            self._executions.start(run)
            return run
        resume_from = self._ledger.checkpoints.read() if run.trigger == Trigger.SCHEDULE else None
        with ManifestWriter(self._batch_size(), CANARY) as manifest:
            collection = self._fill(manifest, selection, resume_from, watch)
            manifest.finish()
            run = self._pin(run, collection, manifest)
        read_to_end = resume_from and run.status != RunStatus.FAILED
        if run.trigger == Trigger.SCHEDULE and (collection.stopped_at or read_to_end):
            # After the run is pinned, so that a repeated collection begins where this one began.
            self._ledger.checkpoints.write(self._next_checkpoint(collection))
        if run.status in (RunStatus.RUNNING, RunStatus.AWAITING_APPROVAL):
            self._executions.start(run)
        if watch:
            watch.settle_runs(self._configuration.sources)
        return run

    def look(self, watch: Watch) -> None:
        """Scan all lists without a run, so that people know what fails."""
        collection, sources = Collection(Selection()), self._configuration.sources
        for candidate in self._scan.candidates(collection, [(source, None) for source in sources]):
            collection.track_oldest(candidate.listed, candidate.skip_reason)
            if candidate.skip_reason:
                collection.skip(candidate.skip_reason)
            watch.look_at(candidate)
        watch.end_scan(collection, sources)
        watch.settle_runs(sources)

    def _batch_size(self) -> int:
        """Return how many communications a batch holds: never more than may be under way at once."""
        limit = self._configuration.reprocess.max_in_flight
        size = self._settings.communications_per_batch
        return size if limit is None else min(size, limit)

    def _fill(
        self, manifest: ManifestWriter, selection: Selection, resume_from: Checkpoint | None, watch: Watch | None
    ) -> Collection:
        """Scan the lists, and put what is eligible into the manifest."""
        collection = Collection(selection)
        sources = checkpoint.resume_order(self._configuration.selected(selection), resume_from)
        for candidate in self._scan.candidates(collection, sources):
            collection.track_oldest(candidate.listed, candidate.skip_reason)
            if watch:
                watch.look_at(candidate)
            reason = _take(candidate, manifest, include_manual=selection.takes_manual)
            if reason:
                collection.skip(reason)
            else:
                collection.taken += 1
                collection.cause = collection.cause or candidate.cause
        if watch:
            watch.end_scan(collection, self._configuration.sources)
        return collection

    def _pin(self, run: Run, collection: Collection, manifest: ManifestWriter) -> Run:
        """Record what was found; only the first collection to do so counts."""
        if not manifest.batches:
            return self._end(run, collection)
        key = self._manifests.upload(run.run_id, manifest)
        needs_approval = self._needs_approval(run, manifest.communications)
        status = RunStatus.AWAITING_APPROVAL if needs_approval else RunStatus.RUNNING
        # Recovery counts anew: it may have tried several collectors for this run.
        found = {"manifest": key, "batches": manifest.batches, "recoveries": 0} | collection.counted()
        return self._move(run, status=status, **found, **self._begin_proof(run, collection))

    def _begin_proof(self, run: Run, collection: Collection) -> dict[str, Any]:
        """Let the run prove a fix if its selection says so, before any batch can begin; return the fields for that."""
        proof = proof_of(collection.selection, collection.cause, self._batch_size())
        if proof is None:
            return {}
        self._ledger.runs.begin_proof(run.run_id, proof)
        return {"proof": as_json(proof)}

    def _end(self, run: Run, collection: Collection) -> Run:
        """End a run that has nothing to send: as `failed` if a list could not be read, otherwise as `empty`."""
        found, error, mail = collection.counted(), collection.error, messages.listing_failed
        if error:
            return close_failed(run, policy.LISTING, error, mail, self._ledger, self._settings, **found)
        counts = {Outcome.SKIPPED.value: sum(collection.skipped.values())}
        return self._move(run, status=RunStatus.EMPTY, counts=counts, **found)

    def _needs_approval(self, run: Run, communications: int) -> bool:
        """Whether a run may not start by itself.

        What its requester has started without approval within the last hour counts too, otherwise many small runs would
        do what one large run may not. A scheduled run takes all that is eligible, so it counts by itself.
        """
        threshold = self._settings.approval_threshold
        if communications > threshold or run.trigger == Trigger.SCHEDULE:
            return communications > threshold
        return not self._ledger.allowances.take(run, communications, threshold)

    def _next_checkpoint(self, collection: Collection) -> Checkpoint | None:
        if collection.stopped_at is None:
            return None
        return checkpoint.next_checkpoint(self._configuration.sources, *collection.stopped_at)

    def _move(self, run: Run, **changes: Any) -> Run:
        """Change a run, or return it as another collection has changed it."""
        return self._ledger.runs.change(run, **changes) or as_it_is(run, self._ledger)


def _take(candidate: Candidate, manifest: ManifestWriter, *, include_manual: bool) -> str | None:
    """Put a candidate into the manifest; return why not, or None if it is there."""
    reason = candidate.left_out_reason(include_manual=include_manual)
    if reason:
        return reason
    added = manifest.add(candidate.communication(include_manual=include_manual))
    return None if added else SkipReason.DUPLICATE

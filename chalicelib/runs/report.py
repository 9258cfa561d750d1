"""The end of a run: add up its batches, complete what died, close it, and say how it went."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from chalicelib.errors import ManifestLost, OutOfTime
from chalicelib.ledger import Ledger
from chalicelib.ledger.pace import Limits, effective_rate, rate_by_hand
from chalicelib.ledger.table import BATCH_GET
from chalicelib.manifests import Manifests
from chalicelib.models.batches import Batch, BatchRecord
from chalicelib.models.notifications import Notification, NotifyReason, Topic
from chalicelib.models.outcomes import Outcome
from chalicelib.models.runs import SET_BY, Run, RunStatus
from chalicelib.notifications import policy
from chalicelib.notifications.result import result_notification
from chalicelib.notifications.summary import Summary
from chalicelib.runs.approval import closing_status
from chalicelib.runs.closing import addressed, end_turn, notification_fields
from chalicelib.runs.next_run import next_run_at, was_slowed_down
from chalicelib.runs.proof import is_same_cause
from chalicelib.runs.record import complete_batch, settle_batches
from chalicelib.runs.relapses import mark_told, worse_runs
from chalicelib.runs.turn import OVERLOADED
from chalicelib.settings import Settings
from chalicelib.telemetry import metrics

# How many recorded batches are settled at once. Where each has one open outcome, that is one request to DynamoDB.
_SETTLED_AT_ONCE = 100


def finish_run(
    run_id: str, failure: str | None, ledger: Ledger, manifests: Manifests, settings: Settings, *, declined: bool
) -> Notification:
    """Close a run whose execution has come to its end, and return its mail; a repetition returns the same mail.

    `failure` is AWS's name for what broke the execution, if anything did. `declined` says that its wait for approval
    ended without one.
    """
    if declined and not ledger.runs.halt_reason(run_id):
        ledger.approvals.expire(run_id)
    notification = report(run_id, failure, ledger, manifests, settings)
    rate = effective_rate(ledger.pacing.read(), Limits(), ledger.clock())
    metrics.run_ended(settings.resource_prefix, ledger.runs.read(run_id), rate)
    return addressed(notification, ledger, settings)


def report(
    run_id: str,
    failure: str | None,
    ledger: Ledger,
    manifests: Manifests,
    settings: Settings,
    *,
    keep_mail: bool = False,
    out_of_time: Callable[[], bool] = lambda: False,
) -> Notification:
    """Close a run and return its one mail; a repetition returns the same mail.

    `failure` is what broke the run itself, if anything did. With `keep_mail` the mail is due once the run is closed;
    otherwise the caller sends it. OutOfTime if it ends before the run is closed: a repetition goes on.
    """
    run = ledger.runs.read(run_id)
    completion = _Completion(run, ledger, manifests, settings)
    batches = _all_batches(run, ledger, settings, completion)
    summary = _add_up(batches, completion, out_of_time)
    if completion.lost:
        summary.add_unaccounted(run.eligible - summary.counts.total(), "manifest_lost")
        failure = f"{failure}: {completion.lost}" if failure else str(completion.lost)
    summary.add_skipped(run.skipped)
    halt_reason = ledger.runs.halt_reason(run_id)
    if not run.closed:
        changes = _closing(run, summary, failure, halt_reason, ledger, settings)
        if keep_mail:
            changes.pop("next_run_at", None)  # The state machine, which would start that run, has ended.
        closed = msgspec.structs.replace(run, **changes, ended_at=ledger.clock())
        mail = result_notification(closed, summary, halt_reason)
        due = mail if keep_mail and mail.topic != Topic.NONE else None
        run = ledger.runs.change(run, mail=due, **changes) or ledger.runs.read(run_id)
    end_turn(run, ledger)
    mark_told(run, ledger)
    return result_notification(run, summary, halt_reason)


class _Completion:
    """Completes the batches whose child died before it could record them, from the manifest and the ledger.

    The manifest is read once, from the first batch that is missing. Each batch is written only if it is not there yet,
    so a child that is merely late finds its batch recorded. If the manifest turns out to be lost, `lost` says so, and
    what it would have completed is missing.
    """

    def __init__(self, run: Run, ledger: Ledger, manifests: Manifests, settings: Settings) -> None:
        self.completed = 0
        self.lost: ManifestLost | None = None
        self._run, self._ledger, self._settings = run, ledger, settings
        self._batches = _batches(run, manifests)
        self._at_once = max(1, BATCH_GET // settings.communications_per_batch)
        self._next = 0

    def complete(self, first: int, end: int) -> Iterator[BatchRecord]:
        """Yield the batches from `first` up to `end`, none of which was recorded. Both must not decrease."""
        if first >= end:
            return
        missing = itertools.islice(self._batches, first - self._next, end - self._next)
        self._next = end
        try:
            while batches := list(itertools.islice(missing, self._at_once)):
                yield from self._complete(batches)
        except ManifestLost as error:
            self.lost = error

    def _complete(self, batches: list[Batch]) -> Iterator[BatchRecord]:
        communications = [each for batch in batches for each in batch.communications]
        states = self._ledger.communications.read(communications)
        for batch in batches:
            record = complete_batch(self._run.run_id, batch, states, self._ledger, self._settings)
            self.completed += 1
            yield record


def _batches(run: Run, manifests: Manifests) -> Iterator[Batch]:
    yield from manifests.read(run.manifest or "")


def _add_up(batches: Iterator[BatchRecord], completion: _Completion, out_of_time: Callable[[], bool]) -> Summary:
    """Return the sums over the batches of a run in their order, so that a repetition adds up the same."""
    summary = Summary()
    for batch in batches:
        if out_of_time():
            raise OutOfTime(completion.completed)
        summary.add(batch)
    return summary


def _all_batches(run: Run, ledger: Ledger, settings: Settings, completion: _Completion) -> Iterator[BatchRecord]:
    """Yield the batches of a run in their order; those that are not recorded are completed."""
    following = 0
    for batch in _recorded(run, ledger, settings):
        yield from completion.complete(following, batch.index)
        yield batch
        following = batch.index + 1
    yield from completion.complete(following, run.batches)


def _recorded(run: Run, ledger: Ledger, settings: Settings) -> Iterator[BatchRecord]:
    """Yield the recorded batches of a run in their order, with open outcomes settled.

    A closed run stays as it was reported.
    """
    recorded = ledger.runs.batches(run.run_id)
    while batches := list(itertools.islice(recorded, _SETTLED_AT_ONCE)):
        yield from batches if run.closed else settle_batches(run.run_id, batches, ledger, settings)


def _closing(
    run: Run, summary: Summary, failure: str | None, halt_reason: str | None, ledger: Ledger, settings: Settings
) -> dict[str, Any]:
    """Return the fields that close a run. Its end and its mail's reason are one write, so that a repetition agrees."""
    counted = sum(summary.counts.values())
    if counted != run.matched:
        failure = failure or f"the outcomes do not add up: {counted} of {run.matched}"
    status, accepted = _status(run, summary, failure, halt_reason), summary.counts[Outcome.ACCEPTED]
    unlisted = bool(run.list_errors)
    incident = policy.incident_kind(status, halt_reason, accepted, summary.manual, unlisted=unlisted)
    notification = notification_fields(
        run, incident, ledger, settings, accepted=accepted, new_on_worklist=summary.manual
    )
    changes = {"status": status, "counts": dict(summary.counts)} | notification
    if changes["notify_reason"] != NotifyReason.NONE:
        changes["worse_runs"] = worse_runs(ledger)
    changes |= _pace(run, status, summary, halt_reason, ledger, settings) | _failed_again(run, summary)
    return changes | ({"error": failure} if failure else {})


def _failed_again(run: Run, summary: Summary) -> dict[str, int]:
    """Return the field that says how much failed again in a run that proves a fix."""
    if run.proof is None:
        return {}
    reasons = summary.reasons.items()
    return {"failed_again": sum(number for (each, why), number in reasons if is_same_cause(run.proof, each, why))}


def _pace(
    run: Run, status: RunStatus, summary: Summary, halt_reason: str | None, ledger: Ledger, settings: Settings
) -> dict[str, Any]:
    """Return the fields that say how fast a run was that was slowed down, and when the next one begins."""
    now, pace = ledger.clock(), ledger.pacing.read()
    pace = msgspec.structs.replace(pace, set_pace=rate_by_hand(pace, now))  # It may have expired.
    if not was_slowed_down(run, pace) and halt_reason != OVERLOADED:
        return {}
    paused = ledger.schedule.paused()
    following = None if paused else next_run_at(run, status, halt_reason, summary.counts, pace, settings, now)
    changes: dict[str, Any] = {"pace": effective_rate(pace, Limits(), now), "pace_reason": pace.reason}
    if halt_reason == OVERLOADED:
        changes["pace_until"] = pace.blocked_until
    elif pace.set_pace:
        changes |= {"pace_reason": SET_BY + pace.set_pace.by, "pace_until": pace.set_pace.until}
    return changes | ({} if following is None else {"next_run_at": following})


def _status(run: Run, summary: Summary, failure: str | None, halt_reason: str | None) -> RunStatus:
    if failure:
        return RunStatus.FAILED
    if halt_reason:
        return RunStatus.STOPPED
    everything_sent = not (run.list_errors or set(summary.counts) - {Outcome.ACCEPTED, Outcome.SKIPPED})
    return closing_status(run) or (RunStatus.SUCCEEDED if everything_sent else RunStatus.PARTIAL)

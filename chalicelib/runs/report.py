"""The end of a run: add up its batches, complete what died, close it, and say how it went."""

from collections.abc import Callable
from typing import Any

import msgspec

from chalicelib.ledger import Ledger
from chalicelib.manifests import Manifests
from chalicelib.models import Notification, NotifyReason, Outcome, Run, RunStatus, Trigger
from chalicelib.notifications import messages, policy
from chalicelib.notifications.summary import Summary
from chalicelib.runs.approval import closing_status
from chalicelib.runs.record import record_batch
from chalicelib.settings import Settings
from chalicelib.telemetry import metrics

Notify = Callable[[Notification], object]


def finish_run(
    run_id: str, failure: str | None, ledger: Ledger, manifests: Manifests, settings: Settings, *, declined: bool
) -> Notification:
    """Close a run whose execution has come to its end, and return its mail; a repetition returns the same mail.

    `failure` is AWS's name for what broke the execution, if anything did. `declined` says that its wait for approval
    ended without one.
    """
    if declined:
        ledger.approvals.expire(run_id)
    notification = report(run_id, failure, ledger, manifests, settings)
    metrics.run_ended(settings.resource_prefix, ledger.runs.read(run_id))
    return notification


def report(
    run_id: str,
    failure: str | None,
    ledger: Ledger,
    manifests: Manifests,
    settings: Settings,
    notify: Notify = lambda _: None,
) -> Notification:
    """Close a run and return its one mail; a repetition returns the same mail.

    `failure` is what broke the run itself, if anything did. `notify` is called before the run is closed: if the process
    dies in between, the next recovery repeats it, so people may be notified twice, but always at least once.
    """
    run = ledger.runs.read(run_id)
    summary, recorded = _add_up(run, ledger)
    if run.manifest and len(recorded) < run.batches:
        _complete(run, recorded, ledger, manifests, settings)
        summary, _ = _add_up(run, ledger)
    summary.add_skipped(run.skipped)
    halt_reason = ledger.runs.halt_reason(run_id)
    if not run.closed:
        changes = _closing(run, summary, failure, halt_reason, ledger, settings)
        closed = msgspec.structs.replace(run, **changes, ended_at=ledger.clock())
        notify(messages.result(closed, summary, halt_reason))
        run = ledger.runs.change(run, **changes) or ledger.runs.read(run_id)
    if run.trigger == Trigger.SCHEDULE:
        _release_schedule(run, ledger)
    return messages.result(run, summary, halt_reason)


def _add_up(run: Run, ledger: Ledger) -> tuple[Summary, set[int]]:
    """Return the sums over the recorded batches of a run, and their indexes."""
    summary, recorded = Summary(), set()
    for batch in ledger.runs.batches(run.run_id):
        summary.add(batch)
        recorded.add(batch.index)
    return summary, recorded


def _complete(run: Run, recorded: set[int], ledger: Ledger, manifests: Manifests, settings: Settings) -> None:
    """Record the batches whose child died before it could, from the manifest and the ledger.

    Each is written only if it is not there yet, so a child that is merely late finds its batch recorded.
    """
    for batch in manifests.read(run.manifest or ""):
        if batch.index not in recorded:
            record_batch(run.run_id, batch, [], ledger, settings, began=False)


def _closing(
    run: Run, summary: Summary, failure: str | None, halt_reason: str | None, ledger: Ledger, settings: Settings
) -> dict[str, Any]:
    """Return the fields that close a run. Its end and its mail's reason are one write, so that a repetition agrees."""
    counted = sum(summary.counts.values())
    if counted != run.matched:
        failure = failure or f"the outcomes do not add up: {counted} of {run.matched}"
    status = _status(run, summary, failure, halt_reason)
    accepted = summary.counts[Outcome.ACCEPTED]
    incident = policy.incident_kind(status, halt_reason, accepted, unlisted=bool(run.list_errors))
    changes = {
        "status": status,
        "counts": dict(summary.counts),
        "notify_reason": _notify_reason(run, incident, summary, ledger, settings),
    }
    return changes | ({"error": failure} if failure else {}) | ({"incident": incident} if incident else {})


def _status(run: Run, summary: Summary, failure: str | None, halt_reason: str | None) -> RunStatus:
    if failure:
        return RunStatus.FAILED
    if halt_reason:
        return RunStatus.STOPPED
    everything_sent = not (run.list_errors or set(summary.counts) - {Outcome.ACCEPTED, Outcome.SKIPPED})
    return closing_status(run) or (RunStatus.SUCCEEDED if everything_sent else RunStatus.PARTIAL)


def _notify_reason(
    run: Run, incident: str | None, summary: Summary, ledger: Ledger, settings: Settings
) -> NotifyReason:
    """Return why people are notified about a run. About a requested run they always are."""
    if run.trigger != Trigger.SCHEDULE:
        return NotifyReason.RESULT
    now, news = ledger.clock(), bool(summary.manual)
    return policy.notify_reason(incident, ledger.incidents.read(), now, settings.remind_after_ms, news=news)


def _release_schedule(run: Run, ledger: Ledger) -> None:
    """Note what people know after a scheduled run, and let the next one begin. Both may be repeated."""
    if run.notify_reason != NotifyReason.NONE:
        known = ledger.incidents.read()
        ledger.incidents.write(policy.after_notification(run.incident, known, run.ended_at or ledger.clock()))
    ledger.schedule.release_lock(run.run_id)

"""The end of a run: add up its batches, complete what died, close it, and say how it went."""

from collections.abc import Callable
from typing import Any

import msgspec

from chalicelib import alerts, approvals, times, words
from chalicelib.ledger import Ledger
from chalicelib.models import SCHEDULE, Notification, Run
from chalicelib.record import record_batch
from chalicelib.settings import Settings
from chalicelib.store import Store
from chalicelib.tally import Tally


def report(
    run_id: str,
    failure: str | None,
    ledger: Ledger,
    store: Store,
    settings: Settings,
    clock: times.Clock,
    tell: Callable[[Notification], object] = lambda _: None,
) -> Notification:
    """Close a run and return the one notification that tells of it; a repetition returns the same.

    `failure` is AWS's name for what broke the run itself, if anything did. `tell` is called before the run is closed:
    whoever dies in between is taken up, so people may be told twice, but never not at all.
    """
    run = ledger.runs.read(run_id)
    tally, recorded = _add_up(run, ledger)
    if run.manifest and len(recorded) < run.batches:
        _complete(run, recorded, ledger, store, settings, clock)
        tally, _ = _add_up(run, ledger)
    for reason, number in run.skipped.items():
        tally.counts["skipped"] += number
        tally.reasons["skipped", reason] += number
    halted = ledger.runs.halted(run_id)
    if not run.closed:
        changes = _closing(run, tally, failure, halted, ledger, settings)
        tell(words.result(msgspec.structs.replace(run, **changes, ended_at=clock()), tally, halted))
        run = ledger.runs.change(run, **changes) or ledger.runs.read(run_id)
    if run.trigger == SCHEDULE:
        _pass_on(run, ledger)
    return words.result(run, tally, halted)


def _add_up(run: Run, ledger: Ledger) -> tuple[Tally, set[int]]:
    """Return what the recorded batches of a run add up to, and which they are."""
    tally, recorded = Tally(), set()
    for record in ledger.runs.batches(run.run_id):
        tally.add(record)
        recorded.add(record.index)
    return tally, recorded


def _complete(
    run: Run, recorded: set[int], ledger: Ledger, store: Store, settings: Settings, clock: times.Clock
) -> None:
    """Record the batches whose child died before it could, from the manifest and the ledger.

    Each is put on condition that it is not there, so a child that is merely late finds its batch recorded.
    """
    for batch in store.manifest(run.manifest or ""):
        if batch.index not in recorded:
            record_batch(run.run_id, batch, [], ledger, settings, clock, begun=False)


def _closing(
    run: Run, tally: Tally, failure: str | None, halted: str | None, ledger: Ledger, settings: Settings
) -> dict[str, Any]:
    """Return how the run ended, and who is told why: both are one write, so that a repetition tells the same."""
    counted = sum(tally.counts.values())
    if counted != run.matched:
        failure = failure or f"the outcomes do not add up: {counted} of {run.matched}"
    status = "failed" if failure else "stopped" if halted else approvals.refused(run) or _status(tally)
    changes = {"status": status, "counts": dict(tally.counts)} | ({"error": failure} if failure else {})
    trouble = alerts.trouble_of(status, halted, tally.counts["accepted"])
    told = _why_told(run, trouble, tally, ledger, settings)
    return changes | {"told": told} | ({"trouble": trouble} if trouble else {})


def _why_told(run: Run, trouble: str | None, tally: Tally, ledger: Ledger, settings: Settings) -> str:
    """Of a run on request people are always told."""
    if run.trigger != SCHEDULE:
        return alerts.RESULT
    now, news = ledger.clock(), bool(tally.manual)
    return alerts.why_told(trouble, ledger.alerts.read(), now, settings.remind_after_ms, news=news)


def _pass_on(run: Run, ledger: Ledger) -> None:
    """Note what people are told of a closed scheduled run, and let the next one begin. Both may be repeated."""
    if run.told != alerts.NOBODY:
        ledger.alerts.write(alerts.after(run.trouble, ledger.alerts.read(), run.ended_at or ledger.clock()))
    ledger.runs.end_turn(run.run_id)


def _status(tally: Tally) -> str:
    troubles = set(tally.counts) - {"accepted", "skipped"}
    return "partial" if troubles else "succeeded"

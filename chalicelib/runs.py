"""How a run begins: by the schedule, or because somebody asked for it."""

import hashlib
import uuid
from collections.abc import Callable
from typing import Any

from chalicelib import alerts, times, words
from chalicelib.collector import Collector
from chalicelib.errors import Conflict, RunNotFound
from chalicelib.ledger import Ledger
from chalicelib.models import REQUEST, SCHEDULE, Notification, Run, Selection
from chalicelib.recovery import COLLECTOR_LIFE
from chalicelib.store import Store


def scheduled_id(event_id: str, event_time: str) -> str:
    """Return the id of the run that a scheduled event starts: the same event, delivered again, is the same run.

    A run's id is its execution's name: at most 80 of `[0-9A-Za-z-_]` (AWS Step Functions API, StartExecution).
    """
    moment = "".join(each for each in event_time if each.isdigit() or each in "TZ")[:20]
    return f"{moment}-{''.join(each for each in event_id if each.isalnum())[:12]}"


def requested_id(requested_by: str, idempotency_key: str | None, now: int) -> str:
    """Return the id of a run that somebody asks for: with the same `Idempotency-Key`, the same run."""
    if idempotency_key is None:
        moment = times.iso(now).replace("-", "").replace(":", "")
        return f"{moment[:15]}Z-{uuid.uuid4().hex[:12]}"
    return "key-" + hashlib.sha256(f"{requested_by}\n{idempotency_key}".encode()).hexdigest()[:40]


def collector_event(run_id: str, account: str, region: str, now: int) -> dict[str, Any]:
    """Return the event that has the collector start a run that was asked for, in the shape of a scheduled one."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Reprocess Request",
        "source": "comms-reprocess",
        "account": account,
        "region": region,
        "time": times.iso(now),
        "resources": [],
        "detail": {"runId": run_id},
    }


def request(
    run_id: str, requested_by: str, selection: Selection, ledger: Ledger, store: Store, clock: times.Clock
) -> Run:
    """Write down that somebody asked for a run, before anything of it happens; return the run.

    Asked for again under the same id it is the same run; Conflict if that one was asked for something else.
    """
    run = Run(
        run_id=run_id,
        trigger=REQUEST,
        requested_by=requested_by,
        status="requested",
        requested_at=clock(),
        selection=store.put_selection(run_id, selection),
        note=selection.note,
    )
    if ledger.runs.create(run):
        return run
    known = ledger.runs.read(run_id)
    if known.selection != run.selection:
        raise Conflict("Idempotency-Key: it was used before with another body; use a new key for a new run")
    return known


def stop(run_id: str, stopped_by: str, ledger: Ledger) -> Run:
    """Let a run come to its end after what is in flight; return it. Conflict if it has ended already.

    One that has not begun to send ends here. Otherwise its batches look at the switch before they begin, and Report
    closes it.
    """
    run = ledger.runs.read(run_id)
    if run.status in ("requested", "collecting"):
        run = ledger.runs.change(run, status="stopped") or ledger.runs.read(run_id)
        if run.status == "stopped":
            return run
    if run.closed:
        raise Conflict(f"the run has ended already, as {run.status}")
    ledger.runs.halt(run_id, f"hand:{stopped_by}")
    return run


def begin(event: dict[str, Any], ledger: Ledger, clock: times.Clock) -> Run | None:
    """Return the run to collect for, or None if there is nothing to collect: see the two ways to begin."""
    if "runId" in event["detail"]:
        return begin_requested(event["detail"]["runId"], ledger, clock)
    return begin_scheduled(scheduled_id(event["id"], event["time"]), ledger, clock)


def begin_scheduled(run_id: str, ledger: Ledger, clock: times.Clock) -> Run | None:
    """Return the scheduled run to collect for; None while paused, while an earlier is under way, or if it is done."""
    if ledger.schedule.paused():
        return None
    if not ledger.runs.take_turn(run_id) and not _take_over(run_id, ledger, clock):
        return None
    run = Run(run_id=run_id, trigger=SCHEDULE, requested_by=SCHEDULE, status="collecting", requested_at=clock())
    if ledger.runs.create(run):
        return run
    run = ledger.runs.read(run_id)
    return None if run.closed else run


def _take_over(run_id: str, ledger: Ledger, clock: times.Clock) -> bool:
    """Take the turn from a run that has ended, or never was, and whose collector died before it could pass it on."""
    holder, since = ledger.runs.turn()
    if clock() - since < COLLECTOR_LIFE:
        return False
    try:
        gone = ledger.runs.read(holder).closed
    except RunNotFound:
        gone = True
    return gone and ledger.runs.take_turn(run_id, instead_of=holder)


def begin_requested(run_id: str, ledger: Ledger, clock: times.Clock) -> Run | None:
    """Return the run that somebody asked for, or None if it has ended already."""
    run = ledger.runs.read(run_id)
    if run.status in ("requested", "collecting"):
        again = {"status": "collecting", "collections": run.collections + 1, "collectedAt": clock()}
        run = ledger.runs.change(run, **again) or ledger.runs.read(run_id)
    return None if run.closed else run


def collect(
    run: Run,
    collector: Collector,
    ledger: Ledger,
    store: Store,
    remind_after: int,
    notify: Callable[[Notification], None],
) -> Run:
    """Collect for a run, and tell people at once if nothing could be listed; return the run as it then is."""
    selection = store.selection(run.selection) if run.selection else Selection()
    run = collector.collect(run, selection)
    if run.trigger == SCHEDULE:
        _tell_of_schedule(run, ledger, remind_after, notify)
    elif run.status == "failed":
        notify(words.cannot_list(run))
    if run.trigger == SCHEDULE and run.closed:
        if run.status == "empty":
            ledger.runs.forget(run)
        ledger.runs.end_turn(run.run_id)
    return run


def _tell_of_schedule(run: Run, ledger: Ledger, remind_after: int, notify: Callable[[Notification], None]) -> None:
    """Tell people of a scheduled run that ends here: that it cannot list, or that what they know of is over."""
    known, now = ledger.alerts.read(), ledger.clock()
    if run.status == "failed":
        why = alerts.why_told(alerts.LISTING, known, now, remind_after)
        if why != alerts.NOBODY:
            notify(words.cannot_list(run))
            ledger.alerts.write(alerts.after(alerts.LISTING, known, now))
    elif run.status == "empty" and known and (known.trouble == alerts.LISTING or not run.matched):
        notify(words.all_clear(known, now))
        ledger.alerts.write(None)

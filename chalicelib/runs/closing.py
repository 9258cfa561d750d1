"""How a run is closed: who is notified and why, its mail, and the end of the schedule's turn."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from chalicelib.errors import NotificationFailed, RunNotFound
from chalicelib.ledger import Ledger
from chalicelib.models.notifications import Notification, NotifyReason, Topic
from chalicelib.models.outcomes import Outcome
from chalicelib.models.runs import Run, RunStatus, Trigger
from chalicelib.notifications import policy
from chalicelib.notifications.phrases import with_addresses
from chalicelib.settings import Settings
from chalicelib.telemetry import metrics

Notify = Callable[[Notification], None]


def notification_fields(
    run: Run, incident: str | None, ledger: Ledger, settings: Settings, *, accepted: int = 0, new_on_worklist: int = 0
) -> dict[str, Any]:
    """Return the fields of a run that say why people are notified.

    About a run that somebody requested, approved or rejected they always are.
    """
    if run.trigger == Trigger.REQUEST:
        fields: dict[str, Any] = {"notify_reason": NotifyReason.RESULT}
    else:
        known = ledger.incidents.read()
        untold = known.untold if known else 0
        news, remind_after = untold + new_on_worklist, settings.remind_after_ms
        numbers = {"accepted": accepted, "news": news, "ended_at": ledger.incidents.ended_at()}
        reason = policy.notify_reason(incident, known, ledger.clock(), remind_after, **numbers)
        if reason == NotifyReason.NONE and run.decided_by:
            reason = NotifyReason.RESULT
        fields = {"notify_reason": reason, "untold": news if reason == NotifyReason.NONE else untold}
    return fields | ({"incident": incident} if incident else {})


def close_failed(
    run: Run,
    incident: str,
    error: str,
    write_mail: Callable[[Run], Notification],
    ledger: Ledger,
    settings: Settings,
    **found: Any,
) -> Run:
    """Close a run that gets no report, and return it. Its mail is due, unless people know of the incident.

    `found` are fields of the run that are known only now.
    """
    counts = _counts(msgspec.structs.replace(run, **found), incident)
    changes = found | {"status": RunStatus.FAILED, "error": error, "counts": counts}
    changes |= notification_fields(run, incident, ledger, settings)
    failed = msgspec.structs.replace(run, **changes)
    mail = write_mail(failed) if failed.notify_reason != NotifyReason.NONE else None
    closed = ledger.runs.change(run, mail=mail, **changes)
    if closed:
        metrics.run_ended(settings.resource_prefix, closed)
    run = closed or as_it_is(run, ledger)
    if run.closed:
        end_turn(run, ledger)
    return run


def _counts(run: Run, incident: str) -> dict[str, int]:
    """Return the outcomes of a run as far as they are known. What is missing may have been sent only if it began."""
    counts = Counter(run.counts)
    counts[Outcome.SKIPPED.value] += sum(run.skipped.values())
    unaccounted = Outcome.UNKNOWN if incident == policy.UNREPORTED else Outcome.NOT_ATTEMPTED
    # AWS's SDK may repeat a write that adds to the counts of the progress, so they may be too high.
    counts[unaccounted.value] += max(0, run.matched - counts.total())
    return {outcome: number for outcome, number in counts.items() if number}


def as_it_is(run: Run, ledger: Ledger) -> Run:
    """Return a run as somebody else has changed it. A scheduled run that found nothing was deleted: it is `empty`.

    Then it has neither counts nor `ended_at`.
    """
    try:
        return ledger.runs.read(run.run_id)
    except RunNotFound:
        return msgspec.structs.replace(run, status=RunStatus.EMPTY)


def end_turn(run: Run, ledger: Ledger) -> None:
    """Note what people know after a scheduled run, and let the next one begin. Both may be repeated."""
    if run.trigger != Trigger.SCHEDULE:
        return
    if run.notify_reason:
        _note_incident(run, run.notify_reason, ledger)
    ledger.schedule.release_lock(run.run_id)


def _note_incident(run: Run, reason: NotifyReason, ledger: Ledger) -> None:
    now, known = run.ended_at or ledger.clock(), ledger.incidents.read()
    if reason == NotifyReason.RECOVERED:
        ledger.incidents.end(now)
        return
    after = policy.after_run(reason, run.incident, run.untold, known, now)
    if after and after != known:
        ledger.incidents.write(after)


def addressed(notification: Notification, ledger: Ledger, settings: Settings) -> Notification:
    """Return a mail as it leaves, with the addresses of what it is about."""
    if notification.topic == Topic.NONE or not notification.links:
        return notification
    return with_addresses(notification, settings.page_address or ledger.page.read())


def send_mail(key: tuple[str, str], ledger: Ledger, notify: Notify) -> None:
    """Send the mail that is due in an item, if one is. NotificationFailed: it stays due for the next collector."""
    mail = ledger.mails.take(key)
    if mail is None:
        return
    try:
        notify(mail)
    except NotificationFailed:
        ledger.mails.give_back(key)
        raise
    ledger.mails.mark_sent(key)

"""The mails about outages: when one begins before any run has met it, and when what it left is settled."""

from chalicelib import times
from chalicelib.models.notifications import Link, Notification, Topic
from chalicelib.models.outages import Outage, OutageCause
from chalicelib.notifications.phrases import mail, moment, worklist


def began(outage: Outage) -> Notification:
    """Return the mail about failures that rise clearly."""
    return mail(
        Topic.FAILED,
        f"failures are rising: {outage.most} waiting, usually {outage.usual}",
        f"At {moment(outage.scanned_at)} the application listed {outage.most} failed communications that wait to be "
        f"sent again. Usually there are about {outage.usual}.",
        _by_operation(outage),
        _causes(outage),
        "What happens now: scheduled runs send them again, a few first, and the others only if those are accepted. "
        "What to do: find out whether the application, or what it sends with, is down.",
        _details(outage),
        Link(text="Why they fail", screen="causes", instead="Why they fail: GET /causes"),
    )


def settled(outage: Outage) -> Notification:
    """Return the mail about an outage of which nothing is left to wait for, with the numbers for a report."""
    ended = outage.over_at or outage.scanned_at
    took = times.format_duration(ended - outage.began_at)
    return mail(
        Topic.FAILED if outage.on_worklist else Topic.SUCCEEDED,
        f"settled: {outage.hit} were hit, {outage.recovered} recovered",
        f"The outage that began at {moment(outage.began_at)} was over at {moment(ended)}, after {took}. "
        f"At {moment(outage.scanned_at)} nothing of what it hit was waiting any more.",
        "\n".join(
            [
                f"{outage.hit} communications were hit{', and more that were not kept' if outage.overfull else ''}:",
                f"  {outage.recovered:>7}  recovered: the application does not list them as failed any more",
                *_row(outage.on_worklist, "on the worklist, for a person to decide"),
                *_row(outage.dismissed, "dismissed"),
            ]
        ),
        _by_operation(outage),
        f"At most {outage.most} failed at once. Runs in that time: {outage.run_count}.",
        _causes(outage),
        _details(outage),
        *([worklist()] if outage.on_worklist else []),
    )


def _row(number: int, text: str) -> list[str]:
    return [f"  {number:>7}  {text}"] if number else []


def _by_operation(outage: Outage) -> str:
    rows = [f"  {number:>7}  {operation}" for operation, number in sorted(outage.by_operation.items())]
    return "\n".join(["Hit, by operation:", *rows]) if rows else ""


def _causes(outage: Outage) -> str:
    rows = [f"  {cause.most:>7}  {cause.operation}: {_why(cause)}" for cause in outage.causes]
    return "\n".join(["Causes, each with its highest number at once:", *rows]) if rows else ""


def _why(cause: OutageCause) -> str:
    return f"{cause.kind}, {cause.reason}" if cause.reason else cause.kind


def _details(outage: Outage) -> Link:
    calls = f"Details: GET /outages/{outage.outage_id}\nWhom it hit: GET /outages/{outage.outage_id}/affected.csv"
    return Link(text="Details, and whom it hit", screen=f"outages/{outage.outage_id}", instead=calls)

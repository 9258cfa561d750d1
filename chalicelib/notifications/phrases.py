"""What several mails have in common: their form, and some sentences."""

import msgspec

from chalicelib import times
from chalicelib.models.notifications import Link, Notification, NotifyReason, Topic
from chalicelib.models.runs import Run, Trigger

# Amazon SNS refuses subjects of 100 characters or more, with line breaks, or with anything but ASCII (API Reference,
# Publish).
MAX_SUBJECT = 99

_RETURNED = (
    "An incident ended less than REMIND_AFTER ago, and this is the next one. You will hear that it is over once all "
    "runs have gone well for REMIND_AFTER."
)


def mail(topic: Topic, subject: str, *parts: str | Link) -> Notification:
    """Return a mail of paragraphs and links, with a subject that Amazon SNS accepts. Empty paragraphs are left out."""
    return Notification(
        topic=topic,
        subject=f"comms-reprocess: {subject}".encode("ascii", "replace").decode()[:MAX_SUBJECT],
        message="\n\n".join(part for part in parts if part and isinstance(part, str)),
        links=[part for part in parts if isinstance(part, Link)],
    )


def with_addresses(notification: Notification, page: str | None) -> Notification:
    """Return a mail as it leaves: its links at the end, each address on a line by itself, so that it can be clicked.

    `page` is the page's address. If that is not known, the calls of the API stand there instead.
    """
    links = [f"{each.text}:\n{page}/#/{each.screen}" if page else each.instead for each in notification.links]
    message = "\n\n".join(part for part in (notification.message, *links) if part)
    return msgspec.structs.replace(notification, message=message, links=[])


def started_by(run: Run) -> str:
    """Return what started a run."""
    return f"requested by {run.requested_by}" if run.trigger == Trigger.REQUEST else "scheduled"


def misconfiguration(code: str) -> str:
    """Return what is wrong if the application answered a code, or the secret could not be read."""
    return "the secret could not be read" if code == "secret_unreadable" else f"the application answered {code}"


def answered(reason: str | None) -> str:
    """Return what the application did that slowed the pace down."""
    known = {
        "slow_answers": "the application's answers became slow",
        "no_answer_in_time": "the application did not answer in time",
    }
    return known.get(reason or "", f"the application answered {reason}")


def per_second(rate: int) -> str:
    """Return how many a second a rate is, which counts communications in 1,000 seconds."""
    return f"{rate / 1000:.2f}".rstrip("0").removesuffix(".")


def moment(at: int) -> str:
    """Return a time (milliseconds since 1970) to the second, as people need no milliseconds."""
    return times.format_iso(at)[:19] + "Z"


def list_errors(run: Run) -> str:
    """Return which lists a run could not read to their end, and what to do; empty if it read all."""
    if not run.list_errors:
        return ""
    rows = [f"  {error}" for error in run.list_errors]
    advice = "Check that the application answers, and check them in application.toml. The next run tries again:"
    return "\n".join([f"These lists could not be read to their end, so the run lacks what they hold. {advice}", *rows])


def returned(run: Run) -> str:
    """Return what an incident means that is back soon; empty if this is none."""
    return _RETURNED if run.notify_reason == NotifyReason.RETURNED else ""


def details(run: Run) -> Link:
    """Return where to read more about a run."""
    return Link(text="Details", screen=f"runs/{run.run_id}", instead=f"Details: GET /runs/{run.run_id}")


def worklist() -> Link:
    """Return where the communications are that need a person."""
    return Link(text="The worklist", screen="worklist", instead="The worklist: GET /communications?status=manual")

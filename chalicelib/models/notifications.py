"""What people are notified about, and why."""

from enum import StrEnum

from msgspec import field

from chalicelib.models.base import Record


class NotifyReason(StrEnum):
    """Why people are notified about a run. `NONE`: they are not."""

    RESULT = "result"
    BEGAN = "began"
    RETURNED = "returned"
    CHANGED = "changed"
    NEWS = "news"
    REMINDER = "reminder"
    RECOVERED = "recovered"
    NONE = "nobody"  # as the ledger's items have it


class Topic(StrEnum):
    """The topic of a notification. `NONE`: it is not sent. `statemachine.json` knows the others."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    NONE = "none"


class Incident(Record, frozen=True):
    """The incident that people know about: its kind, when it began, and when they last heard of it.

    `earlier_kinds` are those that people have heard of since it began. `untold` is how many communications have gone to
    the worklist since they last heard of it. `met_at` is when the last run that met it ended. `returned` says that an
    earlier one had just ended when it began.
    """

    kind: str = field(name="trouble")
    since: int
    notified_at: int = field(name="toldAt")
    earlier_kinds: list[str] = []
    untold: int = 0
    met_at: int = 0
    returned: bool = False


class Link(Record, frozen=True):
    """Where to read more: a screen of the page, such as `runs/<id>` (empty: its first one), and what it shows.

    `instead` is what a mail says if nobody knows the page's address: the call of the API.
    """

    text: str
    screen: str
    instead: str


class Notification(Record, frozen=True):
    """One mail, and the topic that it goes to. The state machine sends what Report returns.

    Its `links` become part of the message when it leaves: see `phrases.with_addresses`.
    """

    topic: Topic
    subject: str
    message: str
    links: list[Link] = []

"""A failed communication, and what is known of it."""

from enum import StrEnum

from chalicelib.models.base import Record


class CommunicationStatus(StrEnum):
    """What the ledger knows of a communication. `manual` (on the worklist) and `dismissed` are for people to change."""

    OPEN = "open"
    SENDING = "sending"
    ACCEPTED = "accepted"
    UNKNOWN = "unknown"
    MANUAL = "manual"
    DISMISSED = "dismissed"


class SkipReason(StrEnum):
    """Why a run leaves a listed communication alone."""

    TOO_FRESH = "too_fresh"
    COOL_DOWN = "cool_down"
    IN_FLIGHT = "in_flight"
    MANUAL = "manual"
    DISMISSED = "dismissed"
    RELAPSED = "relapsed"
    ATTEMPTS_USED_UP = "attempts_used_up"
    EXPIRED = "expired"
    DUPLICATE = "duplicate"
    UNREADABLE = "unreadable"


class CauseKind(StrEnum):
    """What is wrong with a communication that the application lists as failed."""

    UNTRIED = "untried"
    FAILED = "failed"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    DEFERRED = "deferred"
    EXPIRED = "expired"
    RELAPSED = "relapsed"


class Communication(Record, frozen=True):
    """A failed communication as its source lists it. Times in milliseconds since 1970.

    `listed_at` is the time just before the request for the page that holds it. `since` is when its age starts:
    `failed_at`, or else `created`. `failure_reason` is the code that the list gives for its failure. `retry` says that
    it was on the worklist, and that its run may retry it there.
    """

    operation: str
    primary_id: str
    listed_at: int
    created_by: str | None = None
    created: int | None = None
    since: int | None = None
    failure_reason: str | None = None
    retry: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """What distinguishes it from all others."""
        return self.operation, self.primary_id

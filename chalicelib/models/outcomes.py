"""How communications end a run."""

from enum import StrEnum

from chalicelib.models.base import Record


class Outcome(StrEnum):
    """How a communication ended a run. Every matched communication ends a run with exactly one outcome."""

    ACCEPTED = "accepted"
    FAILED = "failed"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    DEFERRED = "deferred"
    SKIPPED = "skipped"
    NOT_ATTEMPTED = "not_attempted"


# The outcomes of what the application got, or may have got.
SENT = (Outcome.ACCEPTED, Outcome.FAILED, Outcome.REJECTED, Outcome.UNKNOWN)


class OutcomeReason(StrEnum):
    """Reasons of outcomes that speak of AWS or of the pace, and not of the application, whose codes are any others."""

    LAMBDA_THROTTLED = "lambda_throttled"
    LAMBDA_FAILED = "lambda_failed"
    DIED_WHILE_SENDING = "died_while_sending"
    SECRET_UNAVAILABLE = "secret_unavailable"  # noqa: S105 (not a secret)
    PACED = "paced"


class OutcomeRecord(Record, frozen=True):
    """How one communication ended a run. `reason` is a code; `manual` says that it went to the worklist.

    `refused` says that the application refused its POST as one too many.
    """

    operation: str
    primary_id: str
    outcome: Outcome
    reason: str | None = None
    relapsed: bool = False
    manual: bool = False
    refused: bool = False

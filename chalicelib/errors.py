"""The exceptions that somebody handles differently.

The names of the `ReprocessError` classes are a contract: Lambda reports an exception under its class name, and
`statemachine.json` decides by that name whether to retry. A test keeps the two in step.
"""

from typing import ClassVar

from chalicelib.models.outcomes import Outcome


class ReprocessError(Exception):
    """A POST to the application that did not end as "accepted".

    `reason` is a short code (at most 100 characters) that may be stored, logged and mailed. It is never the
    application's own text, which may contain personal data. `outcome` is how the communication ends the run if no
    later attempt changes that. `retry_after` is how many milliseconds the application wants us to wait, None if it
    did not say; only an answer with 429 or 503 does.
    """

    outcome: Outcome

    def __init__(self, reason: str, retry_after: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


class ApplicationUnavailable(ReprocessError):
    """The application certainly did not process it: no connection, 408, 425, or no token or secret to send it with."""

    outcome = Outcome.DEFERRED


class ApplicationOverloaded(ReprocessError):
    """The application certainly did not process it, and asks for fewer: 429 or 503."""

    outcome = Outcome.DEFERRED


class ApplicationError(ReprocessError):
    """A 5xx that does not say whether it was processed."""

    outcome = Outcome.FAILED


class CommunicationRejected(ReprocessError):
    """The application will never accept this communication."""

    outcome = Outcome.REJECTED


class ApplicationMisconfigured(ReprocessError):
    """Not the communication is at fault, but this service: 401, 403, 405, 307, 308, or an unreadable secret."""

    outcome = Outcome.DEFERRED


class UnexpectedRedirect(ReprocessError):
    """A redirect that does not repeat the POST: the application may have processed it, or its URL may be wrong.

    After post/redirect/get, 303 (and in practice 301 and 302) is the answer to a POST that was processed (RFC 9110,
    section 15.4).
    """

    outcome = Outcome.UNKNOWN


class OutcomeUnknown(ReprocessError):
    """It was sent, and no answer came that says what happened to it."""

    outcome = Outcome.UNKNOWN


REPROCESS_ERRORS = {
    error.__name__: error
    for error in (
        ApplicationUnavailable,
        ApplicationOverloaded,
        ApplicationError,
        CommunicationRejected,
        ApplicationMisconfigured,
        UnexpectedRedirect,
        OutcomeUnknown,
    )
}


class ConfigurationError(Exception):
    """A setting or `application.toml` is wrong. The message names the setting or key and what it accepts."""


class SecretUnavailable(Exception):
    """AWS could not give the secret now. The message names the secret and AWS's code."""


class TokenUnavailable(Exception):
    """The application's token endpoint could not be reached or failed, so the application was not called at all."""


class ListingFailed(Exception):
    """A source's failed communications could not be listed completely. The message names the source and the cause.

    `key` is the key of the source in `application.toml` to look at first. A key with a dot, such as `auth.secret`, is
    outside the source. The message is kept with runs and mailed, so it is cut at MAX_LENGTH.
    """

    # In characters. Each text from outside is bounded where it enters; this holds whatever else a message contains.
    MAX_LENGTH: ClassVar[int] = 1_000

    def __init__(self, message: str, key: str = "list") -> None:
        super().__init__(message if len(message) <= self.MAX_LENGTH else message[: self.MAX_LENGTH] + " ...")
        self.key = key


class NotificationFailed(Exception):
    """Amazon SNS did not accept a notification."""


class ManifestLost(ValueError):
    """A run's manifest is gone, damaged or cut off, and will not come back."""


class ExecutionNameTaken(Exception):
    """An execution for another manifest has this run's id as its name, which AWS keeps for 90 days after its end."""


class OutOfTime(Exception):
    """A report has no time left. `completed` is how many batches it has completed; they stay recorded."""

    def __init__(self, completed: int) -> None:
        super().__init__(f"the report ran out of time after it had completed {completed} batches")
        self.completed = completed


class InvalidRequest(Exception):
    """A request cannot be served as it is. The message names the field."""


class NotFound(Exception):
    """Nothing has this id."""


class RunNotFound(NotFound):
    """No run has this id."""


class Forbidden(Exception):
    """The caller's role would allow it, but another rule does not. The message names the rule."""


class ApprovalDeclined(Exception):
    """The error that ends an execution's wait for approval when somebody rejects or stops the run.

    Never raised here: its name goes to Step Functions, and `statemachine.json` catches it by that name.
    """


class Conflict(Exception):
    """The request is valid, but contradicts the current state. The message says how."""

"""The exceptions that somebody handles differently.

The names of the `ReprocessError` classes are a contract: Lambda reports an exception under its class name, and
`statemachine.json` decides by that name whether to try again. A test holds the two together.
"""


class ReprocessError(Exception):
    """A POST to the application was not answered with "accepted".

    `reason` is a short code (at most 100 characters) that may be stored, logged and mailed: never a text of the
    application's, which may hold personal data. `outcome` is how the communication ends the run if this stays so.
    """

    outcome: str

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ApplicationUnavailable(ReprocessError):
    """The application has surely not processed it: no connection, 408, 425, 429 or 503."""

    outcome = "deferred"


class ApplicationError(ReprocessError):
    """A 5xx that leaves open whether it was processed."""

    outcome = "failed"


class CommunicationRejected(ReprocessError):
    """The application says that it will never take this communication."""

    outcome = "rejected"


class ApplicationMisconfigured(ReprocessError):
    """The application refuses us, not the communication: 401, 403, 405 or a redirect."""

    outcome = "deferred"


class OutcomeUnknown(ReprocessError):
    """It was sent and no answer came that says what became of it."""

    outcome = "unknown"


REPROCESS_ERRORS = {
    kind.__name__: kind
    for kind in (
        ApplicationUnavailable,
        ApplicationError,
        CommunicationRejected,
        ApplicationMisconfigured,
        OutcomeUnknown,
    )
}


class ConfigurationError(Exception):
    """A setting or `application.toml` is wrong; the message names which one and what it takes."""


class TokenUnavailable(Exception):
    """The token endpoint cannot be reached, or has trouble of its own: nothing was asked of the application."""


class ListingFailed(Exception):
    """The failed communications of a source could not be listed whole; the message names the source, why, and a key.

    `key` is the key of the source in `application.toml` to look at first (`auth.secret` and the like: outside of it).
    """

    def __init__(self, message: str, key: str = "list") -> None:
        super().__init__(message)
        self.key = key


class InvalidRequest(Exception):
    """A caller's request cannot be served; the message names the field."""


class NotFound(Exception):
    """There is nothing of that id."""


class RunNotFound(NotFound):
    """There is no such run."""


class Forbidden(Exception):
    """The caller has the role, and yet may not do this; the message says why."""


class ApprovalDeclined(Exception):
    """Step Functions' name for a wait for approval that was refused or stopped; `statemachine.json` knows it too."""


class Conflict(Exception):
    """A request that makes sense by itself contradicts what stands already."""

"""What the HTTP status of the application's answer says about a POST. No I/O here."""

from chalicelib.application.config import Reprocess
from chalicelib.errors import (
    ApplicationError,
    ApplicationMisconfigured,
    ApplicationOverloaded,
    ApplicationUnavailable,
    CommunicationRejected,
    OutcomeUnknown,
    ReprocessError,
    UnexpectedRedirect,
)

# The application has not processed the POST (RFC 9110, RFC 6585, RFC 8470).
NOT_PROCESSED = (408, 425, 429, 503)
# Of these, the ones that ask for fewer requests, and may say when (RFC 6585, section 4; RFC 9110, section 15.6.4).
OVERLOADED = (429, 503)
# The application refuses this service, not the communication.
REFUSES_US = (401, 403, 405)
# The POST itself has to be repeated elsewhere (RFC 9110, section 15.4): every other redirect may be an answer to it.
_POST_MOVED = (307, 308)
# A gateway in between got no answer: the application may have processed the POST.
_NO_ANSWER = (502, 504)


def error_for(status: int, reprocess: Reprocess) -> type[ReprocessError] | None:
    """Return the error that a status stands for, None for "accepted". The configuration overrides the usual meaning."""
    if status in reprocess.accepted or status in reprocess.already_sent:
        return None
    if status in reprocess.rejected:
        return CommunicationRejected
    if status in reprocess.doubtful:
        return OutcomeUnknown
    if 200 <= status < 300:  # noqa: PLR2004 (statuses)
        return OutcomeUnknown if reprocess.accepted else None
    return _usual_error(status)


def _usual_error(status: int) -> type[ReprocessError]:
    if status in OVERLOADED:
        return ApplicationOverloaded
    if status in NOT_PROCESSED:
        return ApplicationUnavailable
    if status in _NO_ANSWER:
        return OutcomeUnknown
    if status in REFUSES_US or status in _POST_MOVED:
        return ApplicationMisconfigured
    if 300 <= status < 400:  # noqa: PLR2004 (statuses)
        return UnexpectedRedirect
    return CommunicationRejected if 400 <= status < 500 else ApplicationError  # noqa: PLR2004 (statuses)

"""The only module that speaks to the application: list what failed, reprocess one, and say what the answer means."""

import json
from collections.abc import Iterator
from http import HTTPStatus

import jmespath
import msgspec
import requests

from chalicelib import http, times
from chalicelib.checks import NOT_PROCESSED, OUR_FAULT
from chalicelib.credentials import Credentials
from chalicelib.description import Configuration, Reprocess, Source
from chalicelib.errors import (
    ApplicationError,
    ApplicationMisconfigured,
    ApplicationUnavailable,
    CommunicationRejected,
    ConfigurationError,
    OutcomeUnknown,
    ReprocessError,
    TokenUnavailable,
)
from chalicelib.listing import JSON, Listing
from chalicelib.models import Selection, code
from chalicelib.pages import Page
from chalicelib.queries import Place

# Between us and the application somebody has no answer: it may have processed the POST.
_NO_ANSWER = (502, 504)


class Application:
    """The application that `configuration` describes; `credentials` gives the headers that show who we are."""

    def __init__(self, configuration: Configuration, credentials: Credentials, clock: times.Clock) -> None:
        self._reprocess = configuration.reprocess
        self._credentials = credentials
        self._listing = Listing(configuration, credentials, clock)

    def failed(self, source: Source, selection: Selection, start: Place | None = None) -> Iterator[Page]:
        """Yield the pages of a source's list, from `start` on. ListingFailed if one cannot be read whole."""
        return self._listing.failed(source, selection, start)

    def reprocess(self, payload: dict[str, str], key: str, run_id: str) -> None:
        """POST one communication. Returning means accepted; otherwise a ReprocessError says what became of it."""
        headers = {"Idempotency-Key": key, "X-Run-Id": run_id}
        try:
            answer = self._post(payload, headers)
            if answer.status == HTTPStatus.UNAUTHORIZED and self._credentials.renew():
                answer = self._post(payload, headers)
        except ConfigurationError:
            raise ApplicationMisconfigured("secret_unreadable") from None
        except TokenUnavailable:
            raise ApplicationUnavailable("token_unavailable") from None
        error = self.meaning(answer.status)
        if error is ApplicationMisconfigured:
            # Whoever mends this needs the status; the application's own code may say anything.
            raise error(f"http_{answer.status}")
        if error:
            raise error(_reason(answer, self._reprocess.reason))

    def _post(self, payload: dict[str, str], headers: dict[str, str]) -> http.Answer:
        it = self._reprocess
        content = http.Body(json.dumps(body(it, payload)).encode())
        headers = JSON | {"Content-Type": "application/json"} | it.headers | self._credentials.headers() | headers
        try:
            # A connection of its own: one kept open may have been closed by the other side while Lambda slept, and
            # then nobody can tell whether the POST arrived.
            with requests.Session() as session:
                return http.exchange(session, it.method, it.url, data=content, headers=headers, timeout=it.timeout)
        except (requests.RequestException, http.Deadline) as error:
            raise _unanswered(error, sent=content.give_up()) from None

    def meaning(self, status: int) -> type[ReprocessError] | None:
        """Return what a status says about the POST; None is "accepted". What the configuration says comes first."""
        if status in self._reprocess.accepted or status in self._reprocess.already_sent:
            return None
        if status in self._reprocess.rejected:
            return CommunicationRejected
        if 200 <= status < 300:  # noqa: PLR2004 (statuses)
            return OutcomeUnknown if self._reprocess.accepted else None
        return _usual_meaning(status)


def body(reprocess: Reprocess, payload: dict[str, str]) -> dict[str, str]:
    """Return a payload under the application's own names."""
    return {reprocess.fields.get(name, name): value for name, value in payload.items()}


def _usual_meaning(status: int) -> type[ReprocessError]:
    if status in NOT_PROCESSED:
        return ApplicationUnavailable
    if status in _NO_ANSWER:
        return OutcomeUnknown
    if status in OUR_FAULT or 300 <= status < 400:  # noqa: PLR2004 (statuses)
        return ApplicationMisconfigured
    return CommunicationRejected if 400 <= status < 500 else ApplicationError  # noqa: PLR2004 (statuses)


def _unanswered(error: Exception, *, sent: bool) -> ReprocessError:
    """Tell a connection that never was from one that broke after the POST may have been sent."""
    cause = http.cause(error)
    if sent:
        return OutcomeUnknown(cause)
    return ApplicationUnavailable("no_connection" if cause in ("no_answer_in_time", "connection_cut") else cause)


def _reason(answer: http.Answer, expression: str | None) -> str:
    found = None
    if expression and not answer.error:
        try:
            found = jmespath.search(expression, msgspec.json.decode(answer.body))
        except (ValueError, RecursionError):  # no JSON, or none that the expression fits
            found = None
    return code(found, f"http_{answer.status}")

"""The client of the application: it lists what failed, and sends communications again one by one."""

import json
from collections.abc import Iterator
from http import HTTPStatus

import jmespath
import msgspec
import requests

from chalicelib import times
from chalicelib.application import http_exchange, retry_after, statuses
from chalicelib.application.config import Configuration, Reprocess, Source
from chalicelib.application.credentials import Credentials
from chalicelib.application.list_pages import Page
from chalicelib.application.list_requests import PageRequest
from chalicelib.application.listing import ACCEPT_JSON, Listing
from chalicelib.application.reason_codes import as_code
from chalicelib.errors import (
    ApplicationMisconfigured,
    ApplicationUnavailable,
    ConfigurationError,
    OutcomeUnknown,
    ReprocessError,
    SecretUnavailable,
    TokenUnavailable,
    UnexpectedRedirect,
)
from chalicelib.models.outcomes import OutcomeReason
from chalicelib.models.selections import Selection


class ApplicationClient:
    """Talks to the application that `configuration` describes, with the headers that `credentials` gives."""

    def __init__(self, configuration: Configuration, credentials: Credentials, clock: times.Clock) -> None:
        self._reprocess = configuration.reprocess
        self._credentials = credentials
        self._clock = clock
        self._listing = Listing(configuration, credentials, clock)

    def failed_pages(self, source: Source, selection: Selection, start: PageRequest | None = None) -> Iterator[Page]:
        """Yield the pages of a source's list, from `start` on. ListingFailed if one cannot be read completely."""
        return self._listing.pages(source, selection, start)

    def reprocess(self, payload: dict[str, str], key: str, run_id: str) -> None:
        """POST one communication. Returning means accepted; otherwise a ReprocessError says what happened."""
        headers = {"Idempotency-Key": key, "X-Run-Id": run_id}
        try:
            response = self._post(payload, headers)
            if response.status == HTTPStatus.UNAUTHORIZED and self._credentials.refresh():
                response = self._post(payload, headers)
        except ConfigurationError:
            raise ApplicationMisconfigured("secret_unreadable") from None
        except SecretUnavailable:
            raise ApplicationUnavailable(OutcomeReason.SECRET_UNAVAILABLE) from None
        except TokenUnavailable:
            raise ApplicationUnavailable("token_unavailable") from None
        error = statuses.error_for(response.status, self._reprocess)
        if error in (ApplicationMisconfigured, UnexpectedRedirect):
            # Whoever fixes this needs the status; the application's own code could say anything.
            raise error(f"http_{response.status}")
        if error:
            raise error(_reason(response, self._reprocess.reason), self._retry_after(response))

    def _retry_after(self, response: http_exchange.HttpResponse) -> int | None:
        """Return how many milliseconds an answer tells us to wait, whatever else it means; None if it does not say."""
        if response.status not in statuses.OVERLOADED:
            return None
        return retry_after.read(response.headers, self._clock())

    def _post(self, payload: dict[str, str], headers: dict[str, str]) -> http_exchange.HttpResponse:
        config = self._reprocess
        body = http_exchange.RequestBody(json.dumps(rename_fields(config, payload)).encode())
        headers = (
            ACCEPT_JSON | {"Content-Type": "application/json"} | config.headers | self._credentials.headers() | headers
        )
        try:
            # A connection of its own: one kept open may have been closed by the other side while Lambda slept, and
            # then nobody can tell whether the POST arrived.
            with requests.Session() as session:
                return http_exchange.exchange(
                    session, config.method, config.url, data=body, headers=headers, timeout=config.timeout
                )
        except (requests.RequestException, http_exchange.DeadlineExceeded) as error:
            raise _unanswered(error, sent=body.withdraw()) from None


def rename_fields(reprocess: Reprocess, payload: dict[str, str]) -> dict[str, str]:
    """Return a payload with the field names that the application uses."""
    return {reprocess.fields.get(name, name): value for name, value in payload.items()}


def _unanswered(error: Exception, *, sent: bool) -> ReprocessError:
    """Distinguish a connection that was never made from one that broke after the POST may have been sent."""
    code = http_exchange.failure_code(error)
    if sent:
        return OutcomeUnknown(code)
    return ApplicationUnavailable("no_connection" if code in ("no_answer_in_time", "connection_cut") else code)


def _reason(response: http_exchange.HttpResponse, expression: str | None) -> str:
    """Return the reason code in a refusal, or one made of the status where the application gives none."""
    found = None
    if expression and not response.error:
        try:
            found = jmespath.search(expression, msgspec.json.decode(response.body))
        except (ValueError, RecursionError):  # not JSON, or not what the expression expects
            found = None
    return as_code(found) or f"http_{response.status}"

"""The only module that speaks to the application: list what failed, reprocess one, and say what the answer means."""

import json
import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import jmespath
import msgspec
import requests
import urllib3

from chalicelib import http, pages, times
from chalicelib.configuration import Configuration, Source
from chalicelib.credentials import Credentials
from chalicelib.errors import (
    ApplicationError,
    ApplicationMisconfigured,
    ApplicationUnavailable,
    CommunicationRejected,
    ConfigurationError,
    ListingFailed,
    OutcomeUnknown,
    ReprocessError,
)
from chalicelib.models import Communication, Selection, code

# Status codes by what they say about the POST (RFC 9110, RFC 6585, RFC 8470); the rest goes by its class.
_NOT_PROCESSED = (408, 425, 429, 503)
_NO_ANSWER = (502, 504)
_OUR_FAULT = (401, 403, 405)

# Some frameworks show a browser's page to a client that takes anything.
_JSON = {"Accept": "application/json"}


class Application:
    """The application that `configuration` describes; `credentials` gives the headers that show who we are."""

    def __init__(self, configuration: Configuration, credentials: Credentials, clock: times.Clock) -> None:
        self._configuration = configuration
        self._credentials = credentials
        self._clock = clock
        self._lists = requests.Session()
        allowed = [configuration.reprocess.url, *(source.list for source in configuration.sources)]
        self._hosts = {_origin(url) for url in allowed}

    # -- listing

    def failed(self, source: Source, selection: Selection) -> Iterator[list[Communication]]:
        """Yield the failed communications of a source, page by page. ListingFailed if a page cannot be read whole."""
        url, params = source.list, pages.parameters(source, selection)
        seen: set[object] = set()
        while True:
            _only_once(source, url, (url, str(params)), seen)
            listed_at = self._clock()
            page = self._page(source, url, params)
            found = pages.communications(source, page, listed_at)
            if source.next and source.next.page:
                # An application that does not know the parameter gives the first page for ever.
                _only_once(source, url, tuple(it.primary_id for it in found), seen)
            yield found
            following = pages.following(source, page, url, params)
            if following is None:
                return
            url, params = following
            self._check_next(source, url)

    def _page(self, source: Source, url: str, params: dict[str, Any]) -> Any:
        answer = self._listed(source, url, params)
        if answer.status != HTTPStatus.OK:
            raise ListingFailed(f"{source.operation}: {_shown(url)} answered {answer.status}, not 200")
        if answer.error:
            raise ListingFailed(f"{source.operation}: {_shown(url)}: {answer.error}")
        try:
            return msgspec.json.decode(answer.body)
        except (ValueError, RecursionError):
            raise ListingFailed(f"{source.operation}: {_shown(url)} did not answer with JSON") from None

    def _listed(self, source: Source, url: str, params: dict[str, Any]) -> http.Answer:
        try:
            answer = self._get(source, url, params)
            if answer.status == HTTPStatus.UNAUTHORIZED and self._credentials.renew():
                return self._get(source, url, params)
        except ConfigurationError as error:
            raise ListingFailed(f"{source.operation}: {error}") from None
        except (requests.RequestException, http.Deadline) as error:
            raise ListingFailed(f"{source.operation}: {_shown(url)} cannot be read: {_cause(error)}") from None
        return answer

    def _get(self, source: Source, url: str, params: dict[str, Any]) -> http.Answer:
        headers = self._credentials.headers() | _JSON
        return http.exchange(self._lists, "GET", url, params=params, headers=headers, timeout=source.timeout)

    def _check_next(self, source: Source, url: str) -> None:
        if _origin(url) not in self._hosts:
            raise ListingFailed(
                f"{source.operation}: the list's next page is on {_origin(url)}, which application.toml does not name"
            )

    # -- reprocessing

    def reprocess(self, payload: dict[str, str], key: str, run_id: str) -> None:
        """POST one communication. Returning means accepted; otherwise a ReprocessError says what became of it."""
        headers = _JSON | {"Content-Type": "application/json", "Idempotency-Key": key, "X-Run-Id": run_id}
        try:
            answer = self._post(payload, headers)
            if answer.status == HTTPStatus.UNAUTHORIZED and self._credentials.renew():
                answer = self._post(payload, headers)
        except ConfigurationError:
            raise ApplicationMisconfigured("secret_unreadable") from None
        error = self.meaning(answer.status)
        if error is ApplicationMisconfigured:
            # Whoever mends this needs the status; the application's own code may say anything.
            raise error(f"http_{answer.status}")
        if error:
            raise error(_reason(answer, self._configuration.reprocess.reason))

    def _post(self, payload: dict[str, str], headers: dict[str, str]) -> http.Answer:
        reprocess, body = self._configuration.reprocess, http.Body(json.dumps(payload).encode())
        headers = self._credentials.headers() | headers
        try:
            # A connection of its own: one kept open may have been closed by the other side while Lambda slept, and
            # then nobody can tell whether the POST arrived.
            with requests.Session() as session:
                return http.exchange(
                    session, "POST", reprocess.url, data=body, headers=headers, timeout=reprocess.timeout
                )
        except (requests.RequestException, http.Deadline) as error:
            raise _unanswered(error, sent=body.give_up()) from None

    def meaning(self, status: int) -> type[ReprocessError] | None:
        """Return what a status says about the POST; None is "accepted"."""
        if status in self._configuration.reprocess.already_sent or 200 <= status < 300:  # noqa: PLR2004 (statuses)
            return None
        if status in _NOT_PROCESSED:
            return ApplicationUnavailable
        if status in _NO_ANSWER:
            return OutcomeUnknown
        if status in _OUR_FAULT or 300 <= status < 400:  # noqa: PLR2004 (statuses)
            return ApplicationMisconfigured
        return CommunicationRejected if 400 <= status < 500 else ApplicationError  # noqa: PLR2004 (statuses)


def _unanswered(error: Exception, *, sent: bool) -> ReprocessError:
    """Tell a connection that never was from one that broke after the POST may have been sent."""
    cause = _cause(error)
    if sent:
        return OutcomeUnknown(cause)
    return ApplicationUnavailable("no_connection" if cause in ("no_answer_in_time", "connection_cut") else cause)


def _cause(error: Exception) -> str:
    """Return a code for why there is no answer; the error's own text may hold a URL with personal data."""
    if isinstance(error, http.Deadline | requests.Timeout):
        return "no_answer_in_time"
    if isinstance(error, requests.exceptions.SSLError):
        return "tls_failed"
    cause = getattr(error.args[0] if error.args else None, "reason", None)
    if isinstance(cause, urllib3.exceptions.NameResolutionError):
        return "host_unknown"
    if isinstance(cause, urllib3.exceptions.NewConnectionError):
        return "connection_refused"
    return "connection_cut"


def _reason(answer: http.Answer, expression: str | None) -> str:
    found = None
    if expression and not answer.error:
        try:
            found = jmespath.search(expression, msgspec.json.decode(answer.body))
        except (ValueError, RecursionError):  # no JSON, or none that the expression fits
            found = None
    return code(found, f"http_{answer.status}")


def _only_once(source: Source, url: str, mark: object, seen: set[object]) -> None:
    if mark in seen:
        raise ListingFailed(
            f"{source.operation}: the list gives the same page again, so it would never end: {_shown(url)}"
        )
    seen.add(mark)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


def _shown(url: str) -> str:
    """Return a URL without its query, which may hold personal data."""
    return re.split(r"[?#]", url)[0]

"""Reads a source's list page by page. Each page is complete, or an error says what to look at."""

import itertools
import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import msgspec
import requests

from chalicelib import times
from chalicelib.application import http_exchange, list_pages, list_requests
from chalicelib.application.config import Configuration, Source
from chalicelib.application.credentials import Credentials
from chalicelib.application.excerpts import quote
from chalicelib.application.list_pages import Page
from chalicelib.application.list_requests import PageRequest
from chalicelib.errors import ConfigurationError, ListingFailed, SecretUnavailable, TokenUnavailable
from chalicelib.models.selections import Selection

# Some applications filter after paging, so pages may be empty; this many in a row are a mistake.
MAX_EMPTY = 1000

# Some frameworks send a web page to a client that accepts anything.
ACCEPT_JSON = {"Accept": "application/json"}


class Listing:
    """The lists of the application that `configuration` describes."""

    def __init__(self, configuration: Configuration, credentials: Credentials, clock: times.Clock) -> None:
        self._credentials = credentials
        self._clock = clock
        self._session = requests.Session()
        allowed = [configuration.reprocess.url, *(source.list for source in configuration.sources)]
        self._origins = {_origin(url) for url in allowed}

    def pages(self, source: Source, selection: Selection, start: PageRequest | None = None) -> Iterator[Page]:
        """Yield the pages of a source's list, from `start` on. ListingFailed if one cannot be read completely.

        What the previous page already contained is dropped: new entries have moved it to this page.
        """
        requests_left = iter([start]) if start else list_requests.first_requests(source, selection)
        request = next(requests_left, None)
        guard = _LoopGuard(source)
        numbers = itertools.count(1)
        while request:
            self.check_host(source, request.url)
            guard.check_request(request)
            listed_at = self._clock()
            answer, link = self.fetch(source, request)
            listed, unreadable = list_pages.communications(source, answer, listed_at, next(numbers))
            fresh = [each for each in listed if each.primary_id not in guard.previous_ids]
            # A last page that repeats the end of the previous one: the list has grown at its front, and ends here
            # unless it says that it goes on.
            moved = bool(listed) and not fresh and len(listed) < len(guard.previous_ids)
            guard.check_page([each.primary_id for each in listed])
            ends = moved and not list_pages.says_where_it_ends(source)
            following = None if ends else list_pages.next_request(source, answer, request, link)
            following = following or next(requests_left, None)
            yield Page(fresh, request, following, list_pages.total(source, answer), len(unreadable))
            request = following

    def fetch(self, source: Source, request: PageRequest) -> tuple[Any, str | None]:
        """Return a page as JSON, and the next URL in its Link header. ListingFailed if it is not a page."""
        response, url = self._response(source, request), _without_query(source.list)
        if response.status != HTTPStatus.OK:
            key = "auth.secret" if response.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN) else "list"
            raise _failed(source, f"{url} answered {response.status}, not 200", key)
        if response.error:
            raise _failed(source, f"{url}: {response.error}", "timeout" if _is_late(response.error) else "list")
        try:
            return msgspec.json.decode(response.body), _next_link(response.headers.get("Link", ""))
        except (ValueError, RecursionError):
            raise _failed(source, f"{url} did not answer with JSON", "list") from None

    def _response(self, source: Source, request: PageRequest) -> http_exchange.HttpResponse:
        try:
            response = self._get(source, request)
            if response.status == HTTPStatus.UNAUTHORIZED and self._credentials.refresh():
                return self._get(source, request)
        except (ConfigurationError, SecretUnavailable, TokenUnavailable) as error:
            raise _failed(source, str(error), "auth.secret") from None
        except (requests.RequestException, http_exchange.DeadlineExceeded) as error:
            code = http_exchange.failure_code(error)
            key = "timeout" if _is_late(error) else "list"
            raise _failed(source, f"{_without_query(source.list)} cannot be read: {code}", key) from None
        return response

    def _get(self, source: Source, request: PageRequest) -> http_exchange.HttpResponse:
        headers = ACCEPT_JSON | source.headers | self._credentials.headers()
        return http_exchange.exchange(
            self._session, "GET", request.url, params=request.params, headers=headers, timeout=source.timeout
        )

    def check_host(self, source: Source, url: str) -> None:
        """Raise ListingFailed if `application.toml` does not name a URL's host."""
        if _origin(url) not in self._origins:
            text = f"the list's next page is on {_shown_origin(url)}, which application.toml does not name"
            raise _failed(source, text, "next")


class _LoopGuard:
    """Detects a list that would never end, and keeps the ids of the previous page."""

    def __init__(self, source: Source) -> None:
        self.previous_ids: set[str] = set()
        self._source = source
        self._seen: set[int] = set()
        self._empty_pages = 0
        self._repeated_pages = 0

    def check_request(self, request: PageRequest) -> None:
        if not self._is_new(str(request)):
            raise self._repeats()

    def check_page(self, ids: list[str]) -> None:
        # An application that does not know a paging parameter returns its first page for ever. One repetition proves
        # nothing: a list that has grown by a whole page has moved that page to the next number.
        self.previous_ids = set(ids)
        self._empty_pages = 0 if ids else self._empty_pages + 1
        self._repeated_pages = 0 if not ids or self._is_new("\n".join(ids)) else self._repeated_pages + 1
        if self._repeated_pages > 1:
            raise self._repeats()
        if self._empty_pages > MAX_EMPTY:
            raise _failed(self._source, f"the list has {MAX_EMPTY:,} empty pages in a row and still goes on", "next")

    def _is_new(self, content: str) -> bool:
        digest = hash(content)  # the content itself would keep a list of a million records in memory
        known = digest in self._seen
        self._seen.add(digest)
        return not known

    def _repeats(self) -> ListingFailed:
        text = f"the list repeats a page of {_without_query(self._source.list)}, so it would never end"
        return _failed(self._source, text, "next")


def _failed(source: Source, text: str, key: str) -> ListingFailed:
    return ListingFailed(f"{source.operation}: {text} (see {key} in application.toml)", key)


def _is_late(error: Exception) -> bool:
    return http_exchange.failure_code(error) == "no_answer_in_time"


def _next_link(header: str) -> str | None:
    """Return the target of a Link header's `rel="next"`, which may list other relations too (RFC 8288)."""
    links = requests.utils.parse_header_links(header)
    return next((link["url"] for link in links if "next" in link.get("rel", "").lower().split()), None)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


def _shown_origin(url: str) -> str:
    """Return the origin of a URL from outside for a mail, without the password that it may contain."""
    scheme, _, rest = _origin(url).partition("://")
    user, _, host = rest.rpartition("@")
    return quote(f"{scheme}://{'...@' if user else ''}{host}")


def _without_query(url: str) -> str:
    """Return a source's URL without its query, which may contain personal data.

    Errors name the source's own URL also for a later page: the application has written the URL of that one.
    """
    return re.split(r"[?#]", url)[0]

"""Lists what failed, page by page: each page whole or an error that says what to look at."""

import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import msgspec
import requests

from chalicelib import http, pages, queries, times
from chalicelib.credentials import Credentials
from chalicelib.description import Configuration, Source
from chalicelib.errors import ConfigurationError, ListingFailed, TokenUnavailable
from chalicelib.models import Selection
from chalicelib.pages import Page
from chalicelib.queries import Place

# Some applications filter after paging; more empty pages than this are no list but a mistake.
MAX_EMPTY = 1000

# Some frameworks show a browser's page to a client that takes anything.
JSON = {"Accept": "application/json"}


class Listing:
    """The lists of the application that `configuration` describes."""

    def __init__(self, configuration: Configuration, credentials: Credentials, clock: times.Clock) -> None:
        self._credentials = credentials
        self._clock = clock
        self._session = requests.Session()
        allowed = [configuration.reprocess.url, *(source.list for source in configuration.sources)]
        self._hosts = {_origin(url) for url in allowed}

    def failed(self, source: Source, selection: Selection, start: Place | None = None) -> Iterator[Page]:
        """Yield the pages of a source's list, from `start` on. ListingFailed if one cannot be read whole.

        What the page before held too is left out: entries that came meanwhile have moved it.
        """
        places = iter([start]) if start else queries.places(source, selection)
        place = next(places, None)
        watch = _Watch(source)
        while place:
            self.check_host(source, place.url)
            watch.place(place)
            listed_at = self._clock()
            page, link = self.page(source, place)
            found = pages.communications(source, page, listed_at)
            fresh = [it for it in found if it.primary_id not in watch.before]
            # A last page of what the page before held: the list has grown at its front, and ends here.
            moved = bool(found) and not fresh and len(found) < len(watch.before)
            watch.page(place, [it.primary_id for it in found])
            following = (None if moved else pages.following(source, page, place, link)) or next(places, None)
            yield Page(fresh, place, following, pages.total(source, page))
            place = following

    def page(self, source: Source, place: Place) -> tuple[Any, str | None]:
        """Return the JSON of a page, and the URL in its Link header. ListingFailed if it is none."""
        answer, shown = self._answer(source, place), _shown(place.url)
        if answer.status != HTTPStatus.OK:
            key = "auth.secret" if answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN) else "list"
            raise _failed(source, f"{shown} answered {answer.status}, not 200", key)
        if answer.error:
            raise _failed(source, f"{shown}: {answer.error}", "timeout" if _late(answer.error) else "list")
        try:
            return msgspec.json.decode(answer.body), _link(answer.headers.get("Link", ""))
        except (ValueError, RecursionError):
            raise _failed(source, f"{shown} did not answer with JSON", "list") from None

    def _answer(self, source: Source, place: Place) -> http.Answer:
        try:
            answer = self._get(source, place)
            if answer.status == HTTPStatus.UNAUTHORIZED and self._credentials.renew():
                return self._get(source, place)
        except (ConfigurationError, TokenUnavailable) as error:
            raise _failed(source, str(error), "auth.secret") from None
        except (requests.RequestException, http.Deadline) as error:
            key = "timeout" if _late(error) else "list"
            raise _failed(source, f"{_shown(place.url)} cannot be read: {http.cause(error)}", key) from None
        return answer

    def _get(self, source: Source, place: Place) -> http.Answer:
        headers = JSON | source.headers | self._credentials.headers()
        return http.exchange(
            self._session, "GET", place.url, params=place.params, headers=headers, timeout=source.timeout
        )

    def check_host(self, source: Source, url: str) -> None:
        """Raise ListingFailed if `application.toml` does not name a URL's host."""
        origin = _origin(url)
        if origin not in self._hosts:
            raise _failed(source, f"the list's next page is on {origin}, which application.toml does not name", "next")


class _Watch:
    """Notices a list that would never end, and keeps the ids of the page before."""

    def __init__(self, source: Source) -> None:
        self.before: set[str] = set()
        self._source = source
        self._seen: set[int] = set()
        self._empty = 0

    def place(self, place: Place) -> None:
        self._only_once(place, str(place))

    def page(self, place: Place, ids: list[str]) -> None:
        # An application that does not know a parameter gives its first page for ever.
        self.before = set(ids)
        self._empty = 0 if ids else self._empty + 1
        if ids:
            self._only_once(place, "\n".join(ids))
        if self._empty > MAX_EMPTY:
            raise _failed(self._source, f"the list gives {MAX_EMPTY:,} empty pages in a row, and goes on", "next")

    def _only_once(self, place: Place, mark: str) -> None:
        if hash(mark) in self._seen:  # the mark itself would hold a list of a million records in memory
            text = f"the list gives the same page again, so it would never end: {_shown(place.url)}"
            raise _failed(self._source, text, "next")
        self._seen.add(hash(mark))


def _failed(source: Source, text: str, key: str) -> ListingFailed:
    return ListingFailed(f"{source.operation}: {text} (see {key} in application.toml)", key)


def _late(error: Exception) -> bool:
    return http.cause(error) == "no_answer_in_time"


def _link(header: str) -> str | None:
    """Return the target of a Link header's `rel="next"`, which may have other relations beside it (RFC 8288)."""
    links = requests.utils.parse_header_links(header)
    return next((link["url"] for link in links if "next" in link.get("rel", "").lower().split()), None)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


def _shown(url: str) -> str:
    """Return a URL without its query, which may hold personal data."""
    return re.split(r"[?#]", url)[0]

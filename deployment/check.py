"""`deploy.py check`: what the configured endpoints really answer, before anything is sent. It changes nothing."""

import functools
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib import due, pages, queries, times
from chalicelib.configuration import read
from chalicelib.credentials import Credentials
from chalicelib.description import Configuration, Source
from chalicelib.errors import ConfigurationError, ListingFailed
from chalicelib.finding import find
from chalicelib.ledger.claims import State
from chalicelib.ledger.communications import Communications
from chalicelib.ledger.table import Table
from chalicelib.listing import Listing
from chalicelib.models import Communication, Selection
from chalicelib.pages import Page
from chalicelib.parts import read_secret
from chalicelib.reprocessor import expired
from chalicelib.settings import Settings
from deployment import first_post
from deployment.lines import line_of
from deployment.stage import Stage
from deployment.steps import StepFailed

_OWN = ("127.0.0.1", "::1", "localhost")

FIELDS = ("id", "created", "created_by", "failed_at")

# What the ledger knows of communications; None where there is none yet.
ReadStates = Callable[[list[Communication]], dict[tuple[str, str], State] | None]


def check(stage: Stage, file: Path) -> int:
    """Check `application.toml` for a stage against the real endpoints; return the number of problems."""
    try:
        configuration = read(stage.environment, file, stage.settings.retention_ms)
    except ConfigurationError as error:
        line = line_of(file.read_text(encoding="utf-8"), str(error)) if file.exists() else None
        raise ConfigurationError(f"{error}" + (f" (line {line})" if line else "")) from None
    credentials = Credentials(configuration.auth, read_secret, times.now)
    listing = Listing(configuration, credentials, times.now)
    it = Check(configuration, file.read_text(encoding="utf-8"), listing, stage.settings)
    return it.run(functools.partial(_states, stage), times.now)


def _states(stage: Stage, found: list[Communication]) -> dict[tuple[str, str], State] | None:
    client = boto3.client("dynamodb")
    try:
        return Communications(Table(client, stage.names.table), times.now).read(found)
    except client.exceptions.ResourceNotFoundException:
        return None
    except (ClientError, BotoCoreError) as error:
        raise StepFailed(f"table {stage.names.table}: {error}") from None


class Check:
    """One check of a configuration, whose file holds `text`; it prints as it goes and counts the problems."""

    def __init__(self, configuration: Configuration, text: str, listing: Listing, settings: Settings) -> None:
        self.problems = 0
        self._configuration = configuration
        self._text = text
        self._listing = listing
        self._settings = settings
        self._first: Communication | None = None

    def run(self, states: ReadStates, clock: times.Clock) -> int:
        """Check every source, show what the first POST would be, and return the number of problems."""
        for number, source in enumerate(self._configuration.sources):
            try:
                self._source(source, number, states, clock)
            except ListingFailed as error:
                self._problem(str(error).partition(": ")[2], _where(number, error.key))
        first_post.show(self._configuration, self._first, clock())
        for url in _unencrypted(self._configuration):
            print(f"\nNote: the secret goes to {url} unencrypted, for whoever is on the way to read: use https://.")
        return self.problems

    def _problem(self, text: str, where: str) -> None:
        self.problems += 1
        line = line_of(self._text, where)
        print(f"  PROBLEM: {text}")
        print(f"    change {where}" + (f", line {line}: {self._text.splitlines()[line - 1].strip()}" if line else ""))

    def _source(self, source: Source, number: int, states: ReadStates, clock: times.Clock) -> None:
        place, listed_at = queries.Place(source.list), clock()
        print(f"\n{source.operation}: GET {source.list}")
        place = next(queries.places(source, Selection()), place)
        answer, link = self._listing.page(source, place)
        records = self._records(source, answer, number)
        self._fields(source, records, number)
        found = pages.communications(source, answer, listed_at)
        page = Page(found, place, pages.following(source, answer, place, link), pages.total(source, answer))
        self._length(source, page, len(records), number)
        self._end(source, page, answer)
        self._ages(found, listed_at)
        self._skips(source, found, states(found), listed_at)

    def _records(self, source: Source, answer: Any, number: int) -> list[Any]:
        try:
            return pages.records(source, answer)
        except ListingFailed as error:
            raise ListingFailed(f"{error}. {_holds('the answer', answer)}", _where(number, "items")) from None

    def _fields(self, source: Source, records: list[Any], number: int) -> None:
        for key in FIELDS:
            expression = getattr(source, key)
            values = [find(source, key, expression, record) for record in records]
            there = [value for value in values if value is not None]
            example = f"   such as {json.dumps(there[0], ensure_ascii=False)[:60]}" if there else ""
            if expression:
                print(f"  {key:<11} {len(there)} of {len(records)} records{example}")
            if expression and records and not there:
                self._problem(
                    f"{key} = {expression!r} finds nothing. {_holds('a record', records[0])}", _where(number, key)
                )

    def _length(self, source: Source, page: Page, records: int, number: int) -> None:
        total = "" if page.total is None else f", {page.total} in all"
        more = "there is a next page" if page.following else "no next page"
        print(f"  {records} on the first page{total}; {more}")
        if page.total is not None and page.total > records and not page.following:
            self._problem(f"the list holds {page.total}, and no next page is found", _where(number, "next"))
        elif page.following:
            self._listing.check_host(source, page.following.url)

    def _end(self, source: Source, page: Page, answer: Any) -> None:
        """Show what a mistyped `next` looks like, too: the end of the list."""
        expression = source.next and (source.next.url or source.next.cursor)
        if expression and page.communications and page.following is None and page.total is None:
            print(f"  note: nothing at {expression!r}, so the list ends here. {_holds('the answer', answer)}")
            print("    With `total` this would be checked")

    def _ages(self, found: list[Communication], now: int) -> None:
        ages = sorted(now - it.since for it in found if it.since is not None)
        if ages:
            print(f"  failed (or made) {times.spoken(ages[0])} to {times.spoken(ages[-1])} ago")
        if found and len(ages) < len(found):
            print(f"  {len(found) - len(ages)} without a time: no age keeps them from being sent")

    def _skips(
        self, source: Source, found: list[Communication], states: dict[tuple[str, str], State] | None, now: int
    ) -> None:
        if states is None:
            print("  (there is no ledger yet: it will be made by `deploy.py deploy`)")
        reasons: Counter[str] = Counter()
        for it in found:
            state = (states or {}).get((it.operation, it.primary_id))
            reason = due.against(source, it, state, now, self._settings.max_attempts)
            reason = reason or ("expired" if expired(it, source, now) else None)
            reasons.update([reason] if reason else [])
            self._first = self._first or (None if reason else it)
        print(f"  {len(found) - reasons.total()} would be sent")
        for reason, count in reasons.most_common():
            print(f"  {count} would not: {reason} ({_REASONS.get(reason, 'what the ledger knows of it')})")


_REASONS = {
    "too_fresh": "younger than min_age",
    "expired": "older than max_age: it goes to the worklist",
    "cool_down": "sent a short time ago",
    "in_flight": "being sent",
    "manual": "on the worklist",
    "dismissed": "dismissed by a person",
}


def _holds(what: str, data: Any) -> str:
    """Say what keys there are instead: names, no values."""
    if isinstance(data, dict):
        return f"The keys of {what} are: {', '.join(map(str, data))[:300]}"
    return f"{what[0].upper()}{what[1:]} is a {'list' if isinstance(data, list) else type(data).__name__}"


def _unencrypted(it: Configuration) -> list[str]:
    """Return the URLs to which a secret goes as plain text, other than this machine's own."""
    if it.auth.type == "none":
        return []
    urls = [*(source.list for source in it.sources), it.reprocess.url, it.auth.token_url or ""]
    return [url for url in urls if url.startswith("http://") and urlsplit(url).hostname not in _OWN]


def _where(number: int, key: str) -> str:
    """Return a key of a source in full; one of another table has its name already."""
    return key if "." in key or "[" in key else f"sources[{number}].{key}"

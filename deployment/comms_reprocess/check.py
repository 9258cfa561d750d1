"""`deploy.py check`: shows what the configured endpoints really answer, before anything is sent. It changes nothing."""

import functools
import json
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib import times
from chalicelib.application import list_pages, list_requests, secret_reader
from chalicelib.application.config import Configuration, Source
from chalicelib.application.credentials import Credentials
from chalicelib.application.excerpts import describe
from chalicelib.application.expressions import evaluate
from chalicelib.application.list_pages import Page
from chalicelib.application.listing import Listing
from chalicelib.application.reason_codes import as_code
from chalicelib.errors import ConfigurationError, ListingFailed
from chalicelib.ledger.claims import State
from chalicelib.ledger.communications import Communications
from chalicelib.ledger.table import Table
from chalicelib.models.communications import Communication, SkipReason
from chalicelib.models.selections import Selection
from chalicelib.runs.eligibility import judge
from chalicelib.settings import Settings
from deployment import policies
from deployment.clients import Clients
from deployment.comms_reprocess import configuration as stage_configuration
from deployment.comms_reprocess import request_preview
from deployment.comms_reprocess.toml_location import line_of
from deployment.stage import Stage
from deployment.steps import StepFailed

_LOOPBACK = ("127.0.0.1", "::1", "localhost")

FIELDS = ("id", "created", "created_by", "failed_at", "failure_reason")

# Returns what the ledger knows about communications; None if there is no ledger yet.
ReadStates = Callable[[list[Communication]], dict[tuple[str, str], State] | None]

_EXPLANATIONS = {
    SkipReason.TOO_FRESH: "younger than min_age",
    SkipReason.EXPIRED: "older than max_age, so it goes to the worklist",
    SkipReason.COOL_DOWN: "sent a short time ago",
    SkipReason.IN_FLIGHT: "being sent right now",
    SkipReason.MANUAL: "on the worklist",
    SkipReason.DISMISSED: "dismissed by a person",
    SkipReason.RELAPSED: "accepted before and failed again, so it goes to the worklist",
    SkipReason.ATTEMPTS_USED_UP: "tried MAX_ATTEMPTS times, so it goes to the worklist",
}


def check(stage: Stage) -> int:
    """Check `application.toml` for a stage against the real endpoints; return the number of problems."""
    file = stage_configuration.application_toml(stage)
    try:
        configuration = stage_configuration.application(stage)
    except ConfigurationError as error:
        line = line_of(file.read_text(encoding="utf-8"), str(error)) if file.exists() else None
        raise ConfigurationError(f"{error}" + (f" (line {line})" if line else "")) from None
    clients = Clients()
    credentials = Credentials(configuration.auth, lambda name: secret_reader.read(name, clients), times.now)
    listing = Listing(configuration, credentials, times.now)
    text = file.read_text(encoding="utf-8")
    problems = Check(configuration, text, listing, stage_configuration.settings(stage)).run(
        functools.partial(_read_states, clients, stage), times.now
    )
    return problems + _check_policies(stage)


def _check_policies(stage: Stage) -> int:
    """Print a problem if the stage's policies do not match its configuration; return how many there are."""
    try:
        policies.check(stage)
    except ConfigurationError as error:
        print(f"\nPROBLEM: {error}")
        return 1
    return 0


def _read_states(
    clients: Clients, stage: Stage, communications: list[Communication]
) -> dict[tuple[str, str], State] | None:
    client = clients("dynamodb")
    try:
        return Communications(Table(client, stage.names.table), times.now).read(communications)
    except client.exceptions.ResourceNotFoundException:
        return None
    except (ClientError, BotoCoreError) as error:
        raise StepFailed(f"table {stage.names.table}: {error}") from None


class Check:
    """One check of a configuration, whose file contains `text`. It prints as it goes and counts the problems."""

    def __init__(self, configuration: Configuration, text: str, listing: Listing, settings: Settings) -> None:
        self.problems = 0
        self._configuration = configuration
        self._text = text
        self._listing = listing
        self._settings = settings
        self._first: Communication | None = None

    def run(self, read_states: ReadStates, clock: times.Clock) -> int:
        """Check every source, show what the first POST would be, and return the number of problems."""
        for number, source in enumerate(self._configuration.sources):
            try:
                self._check_source(source, number, read_states, clock)
            except ListingFailed as error:
                self._problem(str(error).partition(": ")[2], _full_key(number, error.key))
        request_preview.show(self._configuration, self._first, clock())
        for url in _unencrypted_urls(self._configuration):
            print(
                f"\nNote: the secret would be sent to {url} unencrypted, where anyone on the way can read it: use https://."
            )
        return self.problems

    def _problem(self, text: str, key: str) -> None:
        self.problems += 1
        line = line_of(self._text, key)
        print(f"  PROBLEM: {text}")
        print(f"    change {key}" + (f", line {line}: {self._text.splitlines()[line - 1].strip()}" if line else ""))

    def _check_source(self, source: Source, number: int, read_states: ReadStates, clock: times.Clock) -> None:
        listed_at = clock()
        print(f"\n{source.operation}: GET {source.list}")
        request = next(list_requests.first_requests(source, Selection()))
        answer, link = self._listing.fetch(source, request)
        records = self._records(source, answer, number)
        self._show_fields(source, records, number)
        communications, unreadable = list_pages.communications(source, answer, listed_at)
        following = list_pages.next_request(source, answer, request, link)
        page = Page(communications, request, following, list_pages.total(source, answer))
        self._show_length(source, page, len(records), number)
        self._show_end(source, page, answer)
        if unreadable:
            print(f"  {len(unreadable)} unreadable, left out. The first: {str(unreadable[0]).partition(': ')[2]}")
        self._show_ages(communications, listed_at)
        self._show_eligibility(source, communications, read_states(communications), listed_at)

    def _records(self, source: Source, answer: Any, number: int) -> list[Any]:
        try:
            return list_pages.records(source, answer)
        except ListingFailed as error:
            raise ListingFailed(f"{error}. {_describe('the answer', answer)}", _full_key(number, "items")) from None

    def _show_fields(self, source: Source, records: list[Any], number: int) -> None:
        for key in FIELDS:
            expression = getattr(source, key)
            values = [evaluate(source, key, expression, record) for record in records]
            if key == "failure_reason":
                values = _codes(values)
            present = [value for value in values if value is not None]
            example = f"   such as {json.dumps(present[0], ensure_ascii=False)[:60]}" if present else ""
            if expression:
                print(f"  {key:<14} {len(present)} of {len(records)} records{example}")
            if expression and records and not present:
                text = f"{key} = {expression!r} finds nothing. {_describe('a record', records[0])}"
                self._problem(text, _full_key(number, key))

    def _show_length(self, source: Source, page: Page, records: int, number: int) -> None:
        total = "" if page.total is None else f", {page.total} in total"
        more = "there is a next page" if page.next else "no next page"
        print(f"  {records} on the first page{total}; {more}")
        if page.total is not None and page.total > records and not page.next:
            self._problem(f"the list has {page.total}, but no next page is found", _full_key(number, "next"))
        elif page.next:
            self._listing.check_host(source, page.next.url)

    def _show_end(self, source: Source, page: Page, answer: Any) -> None:
        """Point out the end of the list if it could also be a mistyped `next`."""
        expression = source.next and (source.next.url or source.next.cursor)
        if expression and page.communications and page.next is None and page.total is None:
            print(f"  note: {expression!r} finds nothing, so the list ends here. {_describe('the answer', answer)}")
            print("    Set `total` to have this checked")

    def _show_ages(self, communications: list[Communication], now: int) -> None:
        ages = sorted(now - each.since for each in communications if each.since is not None)
        if ages:
            print(f"  failed (or created) {times.format_duration(ages[0])} to {times.format_duration(ages[-1])} ago")
        if communications and len(ages) < len(communications):
            print(f"  {len(communications) - len(ages)} without a time: no age limit applies to them")

    def _show_eligibility(
        self,
        source: Source,
        communications: list[Communication],
        states: dict[tuple[str, str], State] | None,
        now: int,
    ) -> None:
        if states is None:
            print("  (there is no ledger yet; `deploy.py deploy` will create it)")
        max_attempts = self._settings.max_attempts
        reasons: Counter[str] = Counter()
        for candidate in judge(source, communications, states or {}, now, max_attempts):
            reason = candidate.not_sent_reason(now, max_attempts)
            reasons.update([reason] if reason else [])
            self._first = self._first or (None if reason else candidate.listed)
        print(f"  {len(communications) - reasons.total()} would be sent")
        for reason, count in reasons.most_common():
            print(f"  {count} would not: {reason} ({_EXPLANATIONS[SkipReason(reason)]})")


def _codes(values: list[Any]) -> list[str | None]:
    """Return the reason codes that a list gives, and note what is ignored because it is none."""
    codes = [as_code(value) for value in values]
    ignored = [value for value, code in zip(values, codes, strict=True) if value is not None and code is None]
    if ignored:
        print(
            f"  note: {len(ignored)} of failure_reason are ignored, because they are no codes: {describe(ignored[0])}"
        )
    return codes


def _describe(what: str, data: Any) -> str:
    """Say which keys there are instead: names, no values."""
    if isinstance(data, dict):
        return f"The keys of {what} are: {', '.join(map(str, data))[:300]}"
    return f"{what[0].upper()}{what[1:]} is a {'list' if isinstance(data, list) else type(data).__name__}"


def _unencrypted_urls(configuration: Configuration) -> list[str]:
    """Return the URLs to which a secret would be sent unencrypted, without those of this machine."""
    auth = configuration.auth
    if auth.type == "none":
        return []
    urls = [*(source.list for source in configuration.sources), configuration.reprocess.url, auth.token_url or ""]
    return [url for url in urls if url.startswith("http://") and urlsplit(url).hostname not in _LOOPBACK]


def _full_key(number: int, key: str) -> str:
    """Return the full name of a source's key; that of another table is complete already."""
    return key if "." in key or "[" in key else f"sources[{number}].{key}"

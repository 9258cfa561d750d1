"""`application.toml`: how this deployment's application is spoken to, as typed records, checked when it is read."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import jmespath
import msgspec
from jmespath.exceptions import JMESPathError
from msgspec import Meta

from chalicelib import times
from chalicelib.errors import ConfigurationError
from chalicelib.models import Selection

FILE = Path(__file__).with_name("application.toml")

# The filters of a Selection that a source may serve under parameter names of its own.
FILTERS = ("createdAfter", "createdBefore", "createdBy")

# Two POSTs (after a 401 the secret is read again) and two writes to the ledger fit into the Lambda's 30 s.
PostSeconds = Annotated[float, Meta(gt=0, le=12)]
# Two requests for a page fit into what the collector reserves of its Lambda's time.
ListSeconds = Annotated[float, Meta(gt=0, le=30)]
Status = Annotated[int, Meta(ge=200, le=499)]
# "" would be taken for "not given" in one place and for an expression in another.
Text = Annotated[str, Meta(min_length=1)]


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base: an unknown key is an error, because it is a typing error."""


class Next(_Strict, frozen=True):
    """Where the next page is; exactly one of these.

    `url` finds the next page's URL, absolute or relative, in the body: null or missing ends the list.
    `page` is the parameter that takes the page's number, from `first` on: an empty page ends the list.
    """

    url: Text | None = None
    page: Text | None = None
    first: int = 1


class Source(_Strict, frozen=True):
    """One endpoint that lists failed communications. Expressions are JMESPath; durations such as `10m`."""

    operation: str
    list: str
    cool_down: str
    next: Next | None = None
    items: Text = "@"
    id: Text = "id"
    created: Text | None = None
    created_by: Text | None = None
    failed_at: Text | None = None
    params: dict[str, str | int] = {}
    filters: dict[str, Text] = {}
    min_age: str | None = None
    max_age: str | None = None
    timeout: ListSeconds = 20

    @property
    def cool_down_ms(self) -> int:
        """How long the application may take to send what it accepted."""
        return times.duration(self.cool_down)

    @property
    def min_age_ms(self) -> int | None:
        """The age under which the application is still trying by itself."""
        return None if self.min_age is None else times.duration(self.min_age)

    @property
    def max_age_ms(self) -> int | None:
        """The age over which a communication is stale and goes to the worklist."""
        return None if self.max_age is None else times.duration(self.max_age)


class Reprocess(_Strict, frozen=True):
    """The endpoint that takes a communication again. `timeout` in seconds, for the whole POST."""

    url: str
    timeout: PostSeconds = 10
    honours_idempotency_key: bool = False
    already_sent: list[Status] = []
    reason: Text | None = None


class Auth(_Strict, frozen=True):
    """How we show who we are; `secret` is a Secrets Manager name or ARN, `header` the name for type `header`."""

    type: Literal["bearer", "basic", "header", "none"] = "none"
    secret: str | None = None
    header: str = "X-Api-Key"


class Configuration(_Strict, frozen=True):
    """All of `application.toml`."""

    sources: Annotated[list[Source], Meta(min_length=1)]
    reprocess: Reprocess
    auth: Auth = Auth()

    def source(self, operation: str) -> Source:
        """Return the source of an operation. ConfigurationError if none lists it (any more)."""
        for source in self.sources:
            if source.operation == operation:
                return source
        raise ConfigurationError(f"application.toml has no source for operation {operation!r}")

    def selected(self, selection: Selection) -> list[Source]:
        """Return the sources that a selection is about."""
        wanted = selection.operation
        return [source for source in self.sources if wanted in (None, source.operation)]


def read(environment: Mapping[str, str], file: Path = FILE) -> Configuration:
    """Return the configuration in `file`, `${NAME}` filled in; ConfigurationError names file, key and rule."""
    try:
        filled = _substitute(tomllib.loads(file.read_text(encoding="utf-8")), environment, "")
        configuration = msgspec.convert(filled, Configuration)
        for number, source in enumerate(configuration.sources):
            _check_source(source, f"sources[{number}]")
        _check_rest(configuration)
    except OSError as error:
        raise ConfigurationError(f"{file.name} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, ValueError, msgspec.ValidationError) as error:
        raise ConfigurationError(f"{file.name}: {error}") from None
    return configuration


def _substitute(value: Any, environment: Mapping[str, str], where: str) -> Any:
    if isinstance(value, dict):
        return {key: _substitute(each, environment, f"{where}.{key}") for key, each in value.items()}
    if isinstance(value, list):
        return [_substitute(each, environment, f"{where}[{number}]") for number, each in enumerate(value)]
    if isinstance(value, str):
        return re.sub(r"\$\{(\w+)\}", lambda match: _from(environment, match[1], where.lstrip(".")), value)
    return value


def _from(environment: Mapping[str, str], name: str, where: str) -> str:
    if name not in environment:
        raise ValueError(
            f"{where}: environment variable {name} is not set; add it to the stage in .chalice/config.json"
        )
    return environment[name]


def _check_source(source: Source, where: str) -> None:
    # It becomes part of the ledger's keys, where a `#` divides, of mails and of log lines.
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}", source.operation):
        raise ValueError(f"{where}.operation: takes 1 to 100 letters, digits and any of ._:- after the first")
    for key in ("items", "id", "created", "created_by", "failed_at"):
        _check_expression(getattr(source, key), f"{where}.{key}")
    if source.next:
        _check_expression(source.next.url, f"{where}.next.url")
        if (source.next.url is None) == (source.next.page is None):
            raise ValueError(f"{where}.next: takes either url or page")
    _check_durations(source, where)
    _check_url(source.list, f"{where}.list")
    unknown = sorted(set(source.filters) - set(FILTERS))
    if unknown:
        raise ValueError(f"{where}.filters: {unknown[0]!r} is no filter; there are {', '.join(FILTERS)}")


def _check_rest(configuration: Configuration) -> None:
    _check_url(configuration.reprocess.url, "reprocess.url")
    _check_expression(configuration.reprocess.reason, "reprocess.reason")
    operations = [source.operation for source in configuration.sources]
    twice = {operation for operation in operations if operations.count(operation) > 1}
    if twice:
        raise ValueError(f"sources: operation {min(twice)!r} is listed by two sources; one each")
    _check_auth(configuration.auth)


def _check_auth(auth: Auth) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", auth.header):
        raise ValueError(f"auth.header: {auth.header!r} is not the name of a header: letters, digits, _ and -")
    if auth.type != "none" and not auth.secret:
        raise ValueError(f"auth.secret: is missing; type {auth.type!r} needs the name of a secret")
    if auth.type == "none" and auth.secret is not None:
        raise ValueError("auth.type: is missing or none, and yet there is a secret; takes bearer, basic or header")


def _check_expression(expression: str | None, where: str) -> None:
    try:
        jmespath.compile(expression or "@")
    except JMESPathError as error:
        first_line = str(error).splitlines()[0]
        raise ValueError(f"{where}: {expression!r} is not a JMESPath expression: {first_line}") from None


def _check_duration(text: str | None, where: str) -> None:
    try:
        times.duration("0s" if text is None else text)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _check_durations(source: Source, where: str) -> None:
    for key in ("cool_down", "min_age", "max_age"):
        _check_duration(getattr(source, key), f"{where}.{key}")
    if not source.cool_down_ms:
        raise ValueError(f"{where}.cool_down: must be longer than the application may take to send what it accepted")
    if source.min_age is None and source.max_age is None:
        return
    if not (source.failed_at or source.created):
        raise ValueError(f"{where}: min_age and max_age need the field failed_at or created to count from")
    if source.max_age_ms is not None and source.max_age_ms <= (source.min_age_ms or 0):
        raise ValueError(f"{where}.max_age: must be longer than min_age, or nothing could ever be sent")


def _check_url(url: str, where: str) -> None:
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        (parts.hostname or "").encode("idna")  # as the resolver will: refuses empty labels and those that are too long
    except ValueError:
        known = False
    if not known or parts.fragment or re.search(r"[\s\\]", url):
        raise ValueError(f"{where}: {url!r} is not an http or https URL")
    if parts.username is not None:
        raise ValueError(f"{where}: holds a user's name; who we are belongs into auth")

"""The rules of `application.toml` that types cannot tell. Each ValueError begins with the key at fault."""

import re
from urllib.parse import urlsplit

import jmespath
from jmespath.exceptions import JMESPathError

from chalicelib import times
from chalicelib.description import Auth, Configuration, Filter, Next, Reprocess, Source

# The filters of a Selection that a source may serve under parameter names of its own.
FILTERS = ("createdAfter", "createdBefore", "createdBy", "primaryIds")

# The payload's names; `fields` may map them to others.
PAYLOAD = ("primaryId", "operation", "createdBy", "created")

# Statuses by which an application says that it has not processed the POST (RFC 9110, RFC 6585, RFC 8470).
NOT_PROCESSED = (408, 425, 429, 503)
# Statuses by which it refuses us, not the communication.
OUR_FAULT = (401, 403, 405)

# Headers that are ours to set, or that HTTP itself sets; and those that say who we are.
_OURS = ("idempotency-key", "x-run-id", "host", "content-length", "transfer-encoding")
_WHO_WE_ARE = ("authorization", "cookie")

# After a 401 a new token and a second POST, two writes to the ledger: with this they fit into the Lambda's 30 s.
_POST_WITH_TOKEN = 8


def check(configuration: Configuration) -> None:
    """Check what `application.toml` says; ValueError names key and rule."""
    for number, source in enumerate(configuration.sources):
        _check_source(source, f"sources[{number}]")
    operations = [source.operation for source in configuration.sources]
    twice = {operation for operation in operations if operations.count(operation) > 1}
    if twice:
        raise ValueError(f"sources: operation {min(twice)!r} is listed by two sources; one each")
    _check_reprocess(configuration.reprocess)
    _check_auth(configuration.auth)
    if configuration.auth.type == "oauth2" and configuration.reprocess.timeout > _POST_WITH_TOKEN:
        raise ValueError(f"reprocess.timeout: at most {_POST_WITH_TOKEN} with oauth2, which takes time for its tokens")


def check_retention(configuration: Configuration, retention: int) -> None:
    """Check that the ledger remembers a communication until it can no more be sent a second time."""
    for number, source in enumerate(configuration.sources):
        for key in ("cool_down", "max_age"):
            length = getattr(source, f"{key}_ms")
            if length is not None and length >= retention:
                raise ValueError(
                    f"sources[{number}].{key}: {getattr(source, key)} must be shorter than the setting RETENTION "
                    f"({times.spoken(retention)}): what the ledger has forgotten may be sent again"
                )


def _check_source(source: Source, where: str) -> None:
    # It becomes part of the ledger's keys, where a `#` divides, of mails and of log lines.
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}", source.operation):
        raise ValueError(f"{where}.operation: takes 1 to 100 letters, digits and any of ._:- after the first")
    for key in ("items", "id", "created", "created_by", "failed_at", "total"):
        _check_expression(getattr(source, key), f"{where}.{key}")
    if source.next:
        _check_next(source.next, f"{where}.next")
    _check_durations(source, where)
    _check_url(source.list, f"{where}.list")
    _check_headers(source.headers, f"{where}.headers")
    _check_filters(source, f"{where}.filters")


def _check_next(it: Next, where: str) -> None:
    for key in ("url", "cursor", "more"):
        _check_expression(getattr(it, key), f"{where}.{key}")
    if len(it.styles) != 1:
        raise ValueError(f"{where}: takes exactly one of url, link, cursor, last_id, page and offset")
    if (it.cursor is None) != (it.param is None):
        raise ValueError(f"{where}: cursor (where it is found) and param (what takes it) belong together")
    if it.more and (it.url or it.link):
        raise ValueError(f"{where}.more: a list of URLs ends where there is no next one; leave it out")


def _check_filters(source: Source, where: str) -> None:
    for name, given in source.filters.items():
        if name not in FILTERS:
            raise ValueError(f"{where}: {name!r} is no filter; there are {', '.join(FILTERS)}")
        if isinstance(given, Filter) and given.format and name not in ("createdAfter", "createdBefore"):
            raise ValueError(f"{where}.{name}.format: is for times; leave it out")


def _check_reprocess(it: Reprocess) -> None:
    _check_url(it.url, "reprocess.url")
    _check_expression(it.reason, "reprocess.reason")
    _check_headers(it.headers, "reprocess.headers")
    _check_fields(it.fields)
    for key in ("accepted", "already_sent", "rejected"):
        _check_statuses(getattr(it, key), key)
    for one, other in (("accepted", "already_sent"), ("accepted", "rejected"), ("already_sent", "rejected")):
        for status in sorted(set(getattr(it, one)) & set(getattr(it, other))):
            raise ValueError(f"reprocess.{other}: {status} is in {one} too; it can mean only one thing")


def _check_statuses(statuses: list[int], key: str) -> None:
    for status in statuses:
        if status in NOT_PROCESSED:
            raise ValueError(f"reprocess.{key}: {status} says that it was not processed: it is always tried again")
        if status == 401 or (status in OUR_FAULT and key != "rejected"):  # noqa: PLR2004 (a status)
            raise ValueError(f"reprocess.{key}: {status} refuses us, not the communication: it always halts the run")


def _check_fields(fields: dict[str, str]) -> None:
    unknown = sorted(set(fields) - set(PAYLOAD))
    if unknown:
        raise ValueError(f"reprocess.fields: {unknown[0]!r} is not in the payload; there are {', '.join(PAYLOAD)}")
    names = [fields.get(name, name) for name in PAYLOAD]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"reprocess.fields: {min(twice)!r} would be two fields of the payload")


def _check_headers(headers: dict[str, str], where: str) -> None:
    for name, value in headers.items():
        if name.lower() in (*_OURS, *_WHO_WE_ARE):
            raise ValueError(f"{where}: {name} is not for here; who we are belongs into auth")
        if not _is_header(name) or not re.fullmatch(r"[!-~]([ -~]*[!-~])?", value):
            raise ValueError(f"{where}: {name!r} is no header with a value of printable ASCII on one line")


def _is_header(name: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9_-]+", name) is not None


def _check_auth(auth: Auth) -> None:
    if not _is_header(auth.header) or auth.header.lower() in _OURS:
        raise ValueError(f"auth.header: {auth.header!r} cannot be a header for a secret: letters, digits, _ and -")
    if auth.type != "none" and not auth.secret:
        raise ValueError(f"auth.secret: is missing; type {auth.type!r} needs the name of a secret")
    if auth.type == "none" and auth.secret is not None:
        raise ValueError(
            "auth.type: is missing or none, and yet there is a secret; takes bearer, basic, header, oauth2"
        )
    if (auth.type == "oauth2") != (auth.token_url is not None):
        raise ValueError("auth.token_url: belongs to type oauth2, which needs it")
    if auth.token_url is not None:
        _check_url(auth.token_url, "auth.token_url")


def _check_expression(expression: str | None, where: str) -> None:
    try:
        jmespath.compile(expression or "@")
    except JMESPathError as error:
        first_line = str(error).splitlines()[0]
        raise ValueError(f"{where}: {expression!r} is not a JMESPath expression: {first_line}") from None


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


def _check_duration(text: str | None, where: str) -> None:
    try:
        times.duration("0s" if text is None else text)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


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

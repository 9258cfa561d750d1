"""The rules of `application.toml` that types cannot express. Each ValueError begins with the key at fault."""

import itertools
import re
from urllib.parse import urlsplit

import jmespath
from jmespath.exceptions import JMESPathError

from chalicelib import times
from chalicelib.application import oauth
from chalicelib.application.config import Auth, Configuration, Filter, Next, Reprocess, Source
from chalicelib.application.statuses import NOT_PROCESSED, REFUSES_US

# The filters of a Selection that a source may support, under parameter names of its own.
FILTERS = ("createdAfter", "createdBefore", "createdBy", "primaryIds")

# The keys of [reprocess] that give statuses a meaning.
_MEANINGS = ("accepted", "already_sent", "rejected", "doubtful")

# The payload's fields; `fields` may rename them.
PAYLOAD = ("primaryId", "operation", "createdBy", "created")

# Headers that this service or HTTP itself sets, and those that belong in [auth].
_RESERVED = ("idempotency-key", "x-run-id", "host", "content-length", "transfer-encoding")
_CREDENTIALS = ("authorization", "cookie")

# In seconds: what a Lambda needs besides its POSTs: to claim, to read the secret and to record the answer.
BESIDES_POSTS = 5

# In seconds. After a 401 there is a new token and a second POST; with two writes to the ledger they fit into the
# Lambda's 30 s.
_MAX_TIMEOUT_WITH_TOKEN = 8


def check(configuration: Configuration) -> None:
    """Check a configuration. ValueError names the key and the rule."""
    for number, source in enumerate(configuration.sources):
        _check_source(source, f"sources[{number}]")
    operations = [source.operation for source in configuration.sources]
    repeated = {operation for operation in operations if operations.count(operation) > 1}
    if repeated:
        raise ValueError(f"sources: operation {min(repeated)!r} has two sources; each operation takes one")
    _check_reprocess(configuration.reprocess)
    _check_auth(configuration.auth)
    _check_cool_downs(configuration)
    if configuration.auth.type == "oauth2" and configuration.reprocess.timeout > _MAX_TIMEOUT_WITH_TOKEN:
        raise ValueError(
            f"reprocess.timeout: at most {_MAX_TIMEOUT_WITH_TOKEN} with oauth2, because fetching tokens takes time"
        )


def _check_cool_downs(configuration: Configuration) -> None:
    """Check that a claim lasts for as long as its POST may be under way: after that, another run may claim as well."""
    timeout, tokens = configuration.reprocess.timeout, configuration.auth.type == "oauth2"
    longest = 2 * timeout + (2 * oauth.TIMEOUT if tokens else 0) + BESIDES_POSTS
    for number, source in enumerate(configuration.sources):
        if source.cool_down_ms <= longest * 1000:
            parts = f"two POSTs of {timeout:g} s (reprocess.timeout; the second follows a 401)"
            parts += f", two tokens of {oauth.TIMEOUT} s" if tokens else ""
            raise ValueError(
                f"sources[{number}].cool_down: {source.cool_down} must be longer than sending may take, {longest:g} s: "
                f"{parts} and {BESIDES_POSTS} s of other work; otherwise another run may send the same at the same time"
            )


def check_retention(configuration: Configuration, retention: int) -> None:
    """Check that the ledger remembers a communication for as long as it could be sent again."""
    for number, source in enumerate(configuration.sources):
        for key in ("cool_down", "max_age"):
            length = getattr(source, f"{key}_ms")
            if length is not None and length >= retention:
                raise ValueError(
                    f"sources[{number}].{key}: {getattr(source, key)} must be shorter than the setting RETENTION "
                    f"({times.format_duration(retention)}): what the ledger has forgotten may be sent again"
                )


def _check_source(source: Source, where: str) -> None:
    # It becomes part of mails, log lines, and the table's keys, where `#` is the separator.
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}", source.operation):
        raise ValueError(
            f"{where}.operation: must be 1 to 100 letters, digits and ._:- and begin with a letter or digit"
        )
    for key in ("items", "id", "created", "created_by", "failed_at", "failure_reason", "total"):
        _check_expression(getattr(source, key), f"{where}.{key}")
    if source.next:
        _check_next(source.next, f"{where}.next")
    _check_durations(source, where)
    _check_url(source.list, f"{where}.list")
    _check_headers(source.headers, f"{where}.headers")
    _check_filters(source, f"{where}.filters")


def _check_next(paging: Next, where: str) -> None:
    for key in ("url", "cursor", "more"):
        _check_expression(getattr(paging, key), f"{where}.{key}")
    if len(paging.styles) != 1:
        raise ValueError(f"{where}: needs exactly one of url, link, cursor, last_id, page and offset")
    if (paging.cursor is None) != (paging.param is None):
        raise ValueError(f"{where}: cursor (where to find it) and param (where to send it) belong together")
    if paging.more and (paging.url or paging.link):
        raise ValueError(f"{where}.more: not with url or link, where the list ends without a next URL; remove it")


def _check_filters(source: Source, where: str) -> None:
    for name, given in source.filters.items():
        if name not in FILTERS:
            raise ValueError(f"{where}: {name!r} is not a filter; the filters are {', '.join(FILTERS)}")
        if isinstance(given, Filter) and given.format and name not in ("createdAfter", "createdBefore"):
            raise ValueError(f"{where}.{name}.format: only applies to times; remove it")


def _check_reprocess(reprocess: Reprocess) -> None:
    _check_url(reprocess.url, "reprocess.url")
    _check_expression(reprocess.reason, "reprocess.reason")
    _check_headers(reprocess.headers, "reprocess.headers")
    _check_fields(reprocess.fields)
    for key in _MEANINGS:
        _check_statuses(getattr(reprocess, key), key)
    for one, other in itertools.combinations(_MEANINGS, 2):
        for status in sorted(set(getattr(reprocess, one)) & set(getattr(reprocess, other))):
            raise ValueError(f"reprocess.{other}: {status} is in {one} too; a status can have only one meaning")


def _check_statuses(statuses: list[int], key: str) -> None:
    for status in statuses:
        if status in NOT_PROCESSED and key != "doubtful":
            raise ValueError(
                f"reprocess.{key}: {status} means that it was not processed and is sent again; remove it, or move it "
                "to doubtful if your application may have processed it"
            )
        if status == 401 or (status in REFUSES_US and key != "rejected"):  # noqa: PLR2004 (a status)
            raise ValueError(
                f"reprocess.{key}: {status} always stops the run, because it means that the application refuses this "
                "service; remove it"
            )


def _check_fields(fields: dict[str, str]) -> None:
    unknown = sorted(set(fields) - set(PAYLOAD))
    if unknown:
        raise ValueError(f"reprocess.fields: {unknown[0]!r} is not in the payload; its fields are {', '.join(PAYLOAD)}")
    names = [fields.get(name, name) for name in PAYLOAD]
    repeated = {name for name in names if names.count(name) > 1}
    if repeated:
        raise ValueError(f"reprocess.fields: two fields of the payload would be called {min(repeated)!r}")


def _check_headers(headers: dict[str, str], where: str) -> None:
    for name, value in headers.items():
        if name.lower() in (*_RESERVED, *_CREDENTIALS):
            raise ValueError(f"{where}: {name} cannot be set here; credentials belong in [auth]")
        if not _is_header(name) or not re.fullmatch(r"[!-~]([ -~]*[!-~])?", value):
            raise ValueError(f"{where}: {name!r} is not a header whose value is one line of printable ASCII")


def _is_header(name: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9_-]+", name) is not None


def _check_auth(auth: Auth) -> None:
    if not _is_header(auth.header) or auth.header.lower() in _RESERVED:
        raise ValueError(f"auth.header: {auth.header!r} cannot hold a secret; use a name of letters, digits, _ and -")
    if auth.type != "none" and not auth.secret:
        raise ValueError(f"auth.secret: is missing; type {auth.type!r} needs the name of a secret")
    if auth.type == "none" and auth.secret is not None:
        raise ValueError("auth.type: must be bearer, basic, header or oauth2, because auth.secret is set")
    # An alias would not do: policies know a key by its id only (AWS KMS Developer Guide, "Specifying KMS keys in IAM
    # policy statements").
    if auth.kms_key is not None and not (auth.secret and re.fullmatch(r"arn:[\w-]+:kms:.+:key/[\w-]+", auth.kms_key)):
        raise ValueError("auth.kms_key: must be the ARN of the KMS key of auth.secret, which ends in key/ and its id")
    if (auth.type == "oauth2") != (auth.token_url is not None):
        raise ValueError("auth.token_url: is required for type oauth2, and only for it")
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
        raise ValueError(f"{where}: min_age and max_age need failed_at or created, from which the age is counted")
    if source.max_age_ms is not None and source.max_age_ms <= (source.min_age_ms or 0):
        raise ValueError(f"{where}.max_age: must be longer than min_age, otherwise nothing could ever be sent")


def _check_duration(text: str | None, where: str) -> None:
    try:
        times.parse_duration("0s" if text is None else text)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _check_url(url: str, where: str) -> None:
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        (parts.hostname or "").encode("idna")  # as the resolver does: it refuses labels that are empty or too long
    except ValueError:
        valid = False
    if not valid or parts.fragment or re.search(r"[\s\\]", url):
        raise ValueError(f"{where}: {url!r} is not an http or https URL")
    if parts.username is not None:
        raise ValueError(f"{where}: contains a user name; credentials belong in [auth]")

"""The typed records of `application.toml`, which describes the customer's application. No I/O here."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from chalicelib import times
from chalicelib.errors import ConfigurationError
from chalicelib.models.selections import Selection

# In seconds. Two POSTs (after a 401 the secret is read again) and two writes to the ledger fit into the Lambda's 30 s.
PostSeconds = Annotated[float, Meta(gt=0, le=12)]
# In seconds. Two requests for a page fit into the time that the collector reserves.
ListSeconds = Annotated[float, Meta(gt=0, le=30)]
Status = Annotated[int, Meta(ge=200, le=499)]
AnyStatus = Annotated[int, Meta(ge=200, le=599)]
# An empty text would count as "not given" in one place and as an expression in another.
Text = Annotated[str, Meta(min_length=1)]
# How an application writes times: ISO 8601, or seconds or milliseconds since 1970.
TimeFormat = Literal["iso", "epoch", "epoch_ms"]


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of the tables: an unknown key is most likely a typing error, so it is refused."""


class Next(_Table, frozen=True):
    """How to get the next page: exactly one of these styles.

    `url`: JMESPath to the next page's URL in the body, absolute or relative; null or missing ends the list.
    `link`: the `Link` header with `rel="next"` (RFC 8288); none ends the list.
    `cursor`: JMESPath to an opaque cursor in the body, for the parameter `param`; null or missing ends the list.
    `last_id`: the parameter for the id of the page's last record; an empty page ends the list.
    `page`: the parameter for the page's number, counted from `first`; an empty page ends the list.
    `offset`: the parameter for the number of records before the page; an empty page ends the list.
    `more`: for the last four, JMESPath to true or false in the body; false ends the list.
    """

    url: Text | None = None
    link: bool = False
    cursor: Text | None = None
    param: Text | None = None
    last_id: Text | None = None
    page: Text | None = None
    offset: Text | None = None
    more: Text | None = None
    first: int = 1

    @property
    def styles(self) -> list[str]:
        """The styles that are given; a valid configuration has exactly one."""
        return [name for name in ("url", "link", "cursor", "last_id", "page", "offset") if getattr(self, name)]

    @property
    def is_stable(self) -> bool:
        """Whether a page's request still gives the same page after entries before it have left the list."""
        return not (self.page or self.offset)


class Filter(_Table, frozen=True):
    """The parameter for a filter, the format of its times (default: that of `times`), and how it takes several ids.

    Ids are `repeated` (`id=1&id=2`) or `joined` (`id=1,2`), at most `at_once` in one request.
    """

    param: Text
    format: TimeFormat | None = None
    list: Literal["repeated", "joined"] = "repeated"
    # 50 ids of 36 characters stay below the 8,000 bytes of a request line that servers accept (RFC 9112, section 3).
    at_once: Annotated[int, Meta(ge=1, le=1000)] = 50


class Source(_Table, frozen=True):
    """One endpoint that lists failed communications. Expressions are JMESPath, durations look like `10m`.

    `times` is the format of times in its records. `failure_reason` finds the code that says why a communication failed
    (see chalicelib.application.reason_codes); anything else is ignored. `total` finds the number of records in the
    whole list. `unreadable`: a record without a valid id or time fails the list, or is left out and counted.
    """

    operation: str
    list: str
    cool_down: str
    next: Next | None = None
    items: Text = "@"
    id: Text = "id"
    created: Text | None = None
    created_by: Text | None = None
    failed_at: Text | None = None
    failure_reason: Text | None = None
    times: TimeFormat = "iso"
    total: Text | None = None
    unreadable: Literal["fail", "skip"] = "fail"
    params: dict[str, str | int] = {}
    headers: dict[str, str] = {}
    filters: dict[str, Text | Filter] = {}
    min_age: str | None = None
    max_age: str | None = None
    timeout: ListSeconds = 20

    @property
    def cool_down_ms(self) -> int:
        """How long the application may take to send what it accepted, in milliseconds."""
        return times.parse_duration(self.cool_down)

    @property
    def min_age_ms(self) -> int | None:
        """The age up to which the application itself is still trying, in milliseconds."""
        return None if self.min_age is None else times.parse_duration(self.min_age)

    @property
    def max_age_ms(self) -> int | None:
        """The age from which a communication is stale and goes to the worklist, in milliseconds."""
        return None if self.max_age is None else times.parse_duration(self.max_age)

    def filter(self, name: str) -> Filter | None:
        """Return the source's parameter for a filter, or None if it has none."""
        found = self.filters.get(name)
        return Filter(param=found) if isinstance(found, str) else found


class Reprocess(_Table, frozen=True):
    """The endpoint that sends a communication again. `timeout` is in seconds, for the whole POST.

    `fields` maps the payload's names to the application's. `accepted` (empty: every 2xx), `already_sent`, `rejected`
    and `doubtful` (perhaps processed) are statuses. `reason` is JMESPath to a reason code in a refusal. All runs
    together send no more than `max_per_second` on average, and `max_in_flight` at once; without them, the pace finds
    out what the application can take.
    """

    url: str
    method: Literal["POST", "PUT", "PATCH"] = "POST"
    headers: dict[str, str] = {}
    fields: dict[str, Text] = {}
    timeout: PostSeconds = 10
    honours_idempotency_key: bool = False
    accepted: list[Status] = []
    already_sent: list[Status] = []
    rejected: list[Status] = []
    doubtful: list[AnyStatus] = []
    reason: Text | None = None
    max_per_second: Annotated[float, Meta(ge=0.1, le=10_000)] | None = None
    max_in_flight: Annotated[int, Meta(ge=1, le=1000)] | None = None


class Auth(_Table, frozen=True):
    """How requests to the application are authenticated.

    `secret` is a Secrets Manager name or ARN, or `ssm:` and the name of a parameter. `header` is the header's name for
    type `header`. Type `oauth2` (client credentials, RFC 6749, section 4.4) exchanges the secret's `client_id` and
    `client_secret` for a token at `token_url`; they are sent in the Authorization header or in the `body`. `kms_key` is
    the ARN of the key that encrypts the secret, if it is not AWS's own: only policies use it.
    """

    type: Literal["bearer", "basic", "header", "oauth2", "none"] = "none"
    secret: str | None = None
    header: str = "X-Api-Key"
    token_url: str | None = None
    scope: str | None = None
    client_in: Literal["header", "body"] = "header"
    kms_key: str | None = None


class Configuration(_Table, frozen=True):
    """All of `application.toml`."""

    sources: Annotated[list[Source], Meta(min_length=1)]
    reprocess: Reprocess
    auth: Auth = Auth()

    def source(self, operation: str) -> Source:
        """Return the source of an operation. ConfigurationError if no source lists it, or none does any more."""
        for source in self.sources:
            if source.operation == operation:
                return source
        raise ConfigurationError(f"application.toml has no source for operation {operation!r}")

    def selected(self, selection: Selection) -> list[Source]:
        """Return the sources that a selection covers."""
        wanted = selection.operation
        return [source for source in self.sources if wanted in (None, source.operation)]

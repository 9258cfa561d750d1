"""The settings of a stage, read from its environment variables."""

import re
from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from chalicelib import times
from chalicelib.errors import ConfigurationError
from chalicelib.names import PREFIX, PREFIX_RULE

Count = Annotated[int, Meta(ge=1)]
Prefix = Annotated[str, Meta(pattern=PREFIX)]

_DAY = times.parse_duration("1d")

# In seconds: the bucket deletes a manifest after 90 days (description.py), and what has been approved is still to
# be sent then.
_MAX_WAIT = 80 * 86_400

# An inline Map runs at most 40 iterations at once (AWS Step Functions Developer Guide, "Inline map state").
_MAX_INLINE = 40

# Other screens than the first are behind its #. Short enough for an alarm's description.
_PAGE_URL = re.compile(r"(?=.{1,500}\Z)https?://[\w.-]+(:\d+)?(/[!$->@-~]*)?", re.ASCII)

_DURATIONS = ("remind_after", "alarm_oldest_failure", "retention", "approval_timeout")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings; each field's name in capitals is the name of its environment variable."""

    resource_prefix: Prefix
    batch_size: Annotated[int, Meta(ge=1, le=40)] = 20
    concurrency: Annotated[int, Meta(ge=1, le=1000)] = 20
    max_attempts: Count = 5
    max_per_run: Count = 100_000
    breaker_batches: Count = 3
    remind_after: str = "6h"
    alarm_oldest_failure: str = "1d"
    retention: str = "90d"
    approval_threshold: Annotated[int, Meta(ge=0)] = 10_000
    approval_timeout: str = "24h"
    schedule: str = "rate(15 minutes)"
    page_url: str = ""

    @property
    def communications_per_batch(self) -> int:
        """How many communications a batch holds. A batch is sent all at once, so at most `CONCURRENCY`."""
        return min(self.batch_size, self.concurrency, _MAX_INLINE)

    @property
    def batches_at_once(self) -> int:
        """How many batches run side by side, so that there are at most `CONCURRENCY` POSTs at once."""
        return max(1, self.concurrency // self.communications_per_batch)

    @property
    def approval_timeout_s(self) -> int:
        """How long a run waits for approval, in seconds, the unit of Step Functions."""
        return times.parse_duration(self.approval_timeout) // 1000

    @property
    def remind_after_ms(self) -> int:
        """How long an ongoing incident is not mentioned again, in milliseconds."""
        return times.parse_duration(self.remind_after)

    @property
    def alarm_oldest_failure_s(self) -> int:
        """The age of the oldest failure that triggers an alarm, in seconds, the unit of CloudWatch."""
        return times.parse_duration(self.alarm_oldest_failure) // 1000

    @property
    def retention_ms(self) -> int:
        """How long the ledger keeps what needs nobody's attention, in milliseconds."""
        return times.parse_duration(self.retention)

    @property
    def page_address(self) -> str:
        """The page's address where a custom domain has it, without a slash at its end; otherwise empty."""
        return self.page_url.rstrip("/")

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> "Settings":
        """Return the settings in an environment. ConfigurationError names the first one that is missing or wrong."""
        given = {name: environment[name.upper()] for name in cls.__struct_fields__ if name.upper() in environment}
        try:
            settings = msgspec.convert(given, cls, strict=False)
        except msgspec.ValidationError as error:
            raise ConfigurationError(_readable(str(error))) from None
        for name in _DURATIONS:
            _check_duration(name.upper(), getattr(settings, name))
        _check_retention(settings)
        _check_page_url(settings.page_url)
        return settings


def _check_retention(settings: Settings) -> None:
    """Check that nothing is forgotten while it is needed."""
    if not 0 < settings.approval_timeout_s <= _MAX_WAIT:
        raise ConfigurationError("setting APPROVAL_TIMEOUT: must be between 1s and 80d")
    if settings.retention_ms < _DAY:
        raise ConfigurationError("setting RETENTION: must be at least 1d: what is forgotten may be sent again")
    if settings.retention_ms < settings.approval_timeout_s * 1000 + _DAY:
        raise ConfigurationError(
            f"setting RETENTION: must exceed APPROVAL_TIMEOUT ({settings.approval_timeout}) by 1d or more: "
            "otherwise a run is forgotten while it waits for approval, or is sent"
        )


def _check_page_url(url: str) -> None:
    if url and not _PAGE_URL.fullmatch(url):
        raise ConfigurationError(
            "setting PAGE_URL: must be where a browser finds the page, such as https://reprocess.example.com/api, "
            "without ? and #, and with at most 500 characters"
        )


def _check_duration(name: str, text: str) -> None:
    try:
        times.parse_duration(text)
    except ValueError as error:
        raise ConfigurationError(f"setting {name}: {error}") from None


def _readable(error: str) -> str:
    """Turn msgspec's message into one that names the environment variable."""
    missing = re.search(r"missing required field `(\w+)`", error)
    if missing:
        return f"setting {missing[1].upper()} is missing: add it to environment_variables in .chalice/config.json"
    rule, _, path = error.partition(" - at `$.")
    if "regex" in rule:
        rule = PREFIX_RULE
    return f"setting {path.rstrip('`').upper()}: {rule}"

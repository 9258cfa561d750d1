"""The settings of a deployment, read from the environment when first needed, and the names that derive from them."""

import re
from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from chalicelib import times
from chalicelib.errors import ConfigurationError

Count = Annotated[int, Meta(ge=1)]
# With account and region it stays within a bucket's 63 characters, with a function's name within Lambda's 64.
Prefix = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{1,30}[a-z0-9]\Z")]

_DAY = times.duration("1d")

# A STANDARD execution lives for a year at most (AWS Step Functions Developer Guide, "Quotas"). In seconds.
_LONGEST_WAIT = 365 * 86_400


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the stage's `environment_variables` set; a field's name in capitals is the variable's name."""

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

    @property
    def approval_timeout_s(self) -> int:
        """How long a run waits for approval, in seconds, as Step Functions counts it."""
        return times.duration(self.approval_timeout) // 1000

    @property
    def remind_after_ms(self) -> int:
        """How long people hear nothing more of a trouble that they were told of, while it lasts."""
        return times.duration(self.remind_after)

    @property
    def alarm_oldest_failure_s(self) -> int:
        """The age of the oldest failure, in seconds, at which an alarm rings."""
        return times.duration(self.alarm_oldest_failure) // 1000

    @property
    def retention_ms(self) -> int:
        """How long the ledger remembers what needs no person."""
        return times.duration(self.retention)

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> "Settings":
        """Return the settings of an environment; ConfigurationError names the first one that is missing or wrong."""
        given = {name: environment[name.upper()] for name in cls.__struct_fields__ if name.upper() in environment}
        try:
            settings = msgspec.convert(given, cls, strict=False)
        except msgspec.ValidationError as error:
            raise ConfigurationError(_sentence(str(error))) from None
        _check_duration("REMIND_AFTER", settings.remind_after)
        _check_duration("ALARM_OLDEST_FAILURE", settings.alarm_oldest_failure)
        _check_duration("RETENTION", settings.retention)
        _check_duration("APPROVAL_TIMEOUT", settings.approval_timeout)
        if not 0 < settings.approval_timeout_s <= _LONGEST_WAIT:
            raise ConfigurationError("setting APPROVAL_TIMEOUT: must be 1s at least and 365d at most")
        if settings.retention_ms < _DAY:
            raise ConfigurationError("setting RETENTION: must be 1d at least: what is forgotten may be sent again")
        return settings


def _check_duration(name: str, text: str) -> None:
    try:
        times.duration(text)
    except ValueError as error:
        raise ConfigurationError(f"setting {name}: {error}") from None


def _sentence(error: str) -> str:
    """Turn msgspec's message into one that names the variable."""
    missing = re.search(r"missing required field `(\w+)`", error)
    if missing:
        return f"setting {missing[1].upper()} is missing: add it to environment_variables in .chalice/config.json"
    what, _, where = error.partition(" - at `$.")
    if "regex" in what:
        what = "takes 3 to 32 lower-case letters, digits and hyphens, with no hyphen at either end"
    return f"setting {where.rstrip('`').upper()}: {what}"


class Place(msgspec.Struct, frozen=True):
    """Where this code runs: the partition, region and account of its own ARN."""

    partition: str
    region: str
    account: str

    @classmethod
    def of(cls, arn: str) -> "Place":
        """Return the place that an ARN (`arn:partition:service:region:account:...`) names."""
        _, partition, _, region, account, *_ = arn.split(":")
        return cls(partition, region, account)


class Names(msgspec.Struct, frozen=True):
    """The names of all that a deployment has in AWS, each derived from `RESOURCE_PREFIX` and the place."""

    prefix: str
    place: Place

    @property
    def table(self) -> str:
        """The ledger's table."""
        return self.prefix

    @property
    def bucket(self) -> str:
        """The bucket of the manifests; bucket names are shared by all accounts, so it adds account and region."""
        return f"{self.prefix}-{self.place.account}-{self.place.region}"

    @property
    def state_machine(self) -> str:
        """The ARN of the state machine."""
        return self._arn("states", f"stateMachine:{self.prefix}")

    @property
    def succeeded_topic(self) -> str:
        """The ARN of the topic that tells of runs in which everything went through."""
        return self._arn("sns", f"{self.prefix}-succeeded")

    @property
    def failed_topic(self) -> str:
        """The ARN of the topic that tells of everything else."""
        return self._arn("sns", f"{self.prefix}-failed")

    def execution(self, run_id: str) -> str:
        """Return the ARN of a run's execution."""
        return self._arn("states", f"execution:{self.prefix}:{run_id}")

    def function(self, name: str) -> str:
        """Return the name of a Lambda function, as Chalice gives it."""
        return f"{self.prefix}-{name}"

    def function_arn(self, name: str) -> str:
        """Return the ARN of a Lambda function."""
        return self._arn("lambda", f"function:{self.function(name)}")

    def _arn(self, service: str, resource: str) -> str:
        return f"arn:{self.place.partition}:{service}:{self.place.region}:{self.place.account}:{resource}"

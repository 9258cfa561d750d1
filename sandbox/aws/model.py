"""What the modules of the embedded AWS share: account, region and ARNs, timings, and the terms of Lambda."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

ACCOUNT = "123456789012"  # moto's own
REGION = "eu-west-1"  # not us-east-1, so that code with that region baked in fails here and not on AWS

INTERPRETER = "ak"  # the access key of moto's Step Functions interpreter; no other caller uses it


def make_arn(service: str, resource: str, region: str = REGION, account: str = ACCOUNT) -> str:
    """Return the ARN of a resource. Those of some services, such as S3, have an empty region and account."""
    return f"arn:aws:{service}:{region}:{account}:{resource}"


def region_of(arn: str) -> str:
    """Return the region that an ARN names."""
    return arn.split(":")[3]


@dataclass
class Timings:
    """AWS's own timings, in seconds. Tests shorten them, even while AWS runs, and bring their own clock."""

    clock: Callable[[], float] = time.time  # for the schedule and the authorizers' cache
    activity_clock: Callable[[], float] = time.monotonic  # for the TimeoutSeconds and HeartbeatSeconds of activities
    integration: float = 29  # API Gateway's integration timeout
    activity_poll: float = 60  # how long Step Functions waits for a task that it can hand to a worker
    event_retry: float = 1  # between the attempts of an asynchronous invocation; on AWS one minute, then two


@dataclass(frozen=True)
class Function:
    """A function as deployed. Two are equal if a process that was started for one may serve the other."""

    name: str
    arn: str
    handler: str
    timeout: int
    memory: int
    environment: tuple[tuple[str, str], ...]
    code_sha256: str
    code: bytes = field(compare=False, repr=False)
    reserved: int | None = field(compare=False)  # reserved concurrency
    retries: int = field(compare=False)  # of an asynchronous invocation that fails

    @property
    def region(self) -> str:
        """The region that it was deployed to."""
        return region_of(self.arn)


@dataclass(frozen=True)
class InvocationResult:
    """What a function returned, or how it failed. Both are JSON."""

    payload: bytes
    failed: bool = False

    @classmethod
    def error(cls, kind: str, message: str) -> Self:
        """Return a failure that Lambda reports, not the function."""
        return cls(json.dumps({"errorType": kind, "errorMessage": message}).encode(), failed=True)


class LambdaError(Exception):
    """Lambda did not run the function: an HTTP status, AWS's code for the error, and a message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code

"""The words of the Lambda runtime: what is deployed, what a call answers, and how Lambda itself refuses."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

ACCOUNT = "123456789012"  # moto's own
REGION = "eu-west-1"  # not us-east-1, so that code with that region baked in fails here and not on AWS

INTERPRETER = "ak"  # the access key by which moto's Step Functions interpreter can be told from other callers


@dataclass
class Pace:
    """AWS's own times, in seconds; a test brings a clock of its own, and shortens the others even in between."""

    clock: Callable[[], float] = time.time  # what the schedule and the authorizers' cache go by
    integration: float = 29  # API Gateway gives a function this long
    event_retry: float = 1  # between the attempts of an asynchronous event; on AWS one minute, then two


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
    reserved: int | None = field(compare=False)  # concurrent executions
    retries: int = field(compare=False)  # of an asynchronous event that fails

    @property
    def region(self) -> str:
        """The region that it was deployed to."""
        return self.arn.split(":")[3]


@dataclass(frozen=True)
class Answer:
    """What a function returned, or how it failed: both are JSON."""

    payload: bytes
    failed: bool = False

    @classmethod
    def error(cls, kind: str, message: str) -> Self:
        """Make a failure that Lambda, not the function, puts into words."""
        return cls(json.dumps({"errorType": kind, "errorMessage": message}).encode(), failed=True)


class LambdaError(Exception):
    """Lambda did not run the function: an HTTP status, Amazon's name for it and a sentence."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code

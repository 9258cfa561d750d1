"""The steps of a deployment. Each creates or updates one resource and says what it did, or removes it."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from deployment import aws_errors

T = TypeVar("T")


class StepResult(Enum):
    """What a step did."""

    UNCHANGED = "unchanged"
    CREATED = "created"
    CHANGED = "changed"


@dataclass(frozen=True)
class Step:
    """One resource. `ensure` creates or updates it, can be repeated at any time, and returns what it did.

    `remove` deletes it, can be repeated too, and returns whether it existed; None: another step removes it.
    `holds_data`: `destroy` keeps it unless told otherwise.
    """

    kind: str
    name: str
    ensure: Callable[[], StepResult]
    remove: Callable[[], bool] | None = None
    holds_data: bool = False

    @property
    def label(self) -> str:
        """What people read."""
        return f"{self.kind} {self.name}"


class StepFailed(Exception):
    """A step failed. The message names it, AWS's error, and what to do."""


class Missing(StepFailed):
    """Something that an earlier step creates is not there. In a plan that is no failure: it is created later."""


def take(steps: Sequence[Step]) -> list[StepResult]:
    """Take the steps in order and print a line for each as it happens."""
    results = []
    for step in steps:
        announce(step.label, steps)
        results.append(guarded(step.label, step.ensure, "Completed steps are kept. Then run the same command again."))
        print(results[-1].value)
    return results


def announce(label: str, steps: Sequence[Step]) -> None:
    """Print the beginning of a step's line, with dots up to a common column."""
    width = max(len(step.label) for step in steps)
    print(f"  {label} {'.' * (width - len(label) + 3)} ", end="")
    sys.stdout.flush()


def guarded(label: str, call: Callable[[], T], afterwards: str) -> T:
    """Return what a call returns. AWS's errors become a StepFailed that says what to do."""
    try:
        return call()
    except StepFailed:
        print("failed")
        raise
    except (ClientError, BotoCoreError) as error:
        print("failed")
        raise StepFailed(f"{label}: {error}\n{aws_errors.advice(error)} {afterwards}") from None


def summary(results: Sequence[StepResult]) -> str:
    """Return what a deployment did, in one line."""
    kinds = (StepResult.CREATED, StepResult.CHANGED)
    changes = [f"{results.count(kind)} {kind.value}" for kind in kinds if kind in results]
    return ", ".join(changes) if changes else "nothing to change"

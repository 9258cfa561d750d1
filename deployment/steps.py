"""The steps of a deployment: each makes sure of one thing and says what it had to do, or removes it again."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from deployment import hints

T = TypeVar("T")


class Done(Enum):
    """What a step had to do."""

    UNCHANGED = "unchanged"
    CREATED = "created"
    CHANGED = "changed"


@dataclass(frozen=True)
class Step:
    """Something that must be so: `ensure` makes it so, may be repeated at any time, and returns what it did.

    `remove` takes it away, may be repeated too, and returns whether there was anything; None: it goes with another
    step's. `holds_data` says that it is kept unless told otherwise.
    """

    kind: str
    name: str
    ensure: Callable[[], Done]
    remove: Callable[[], bool] | None = None
    holds_data: bool = False

    @property
    def label(self) -> str:
        """What a person reads."""
        return f"{self.kind} {self.name}"


class StepFailed(Exception):
    """A step could not be done; the message names it, AWS's error, and what to do."""


def take(steps: Sequence[Step]) -> list[Done]:
    """Take the steps in their order, a line for each as it happens. Nothing changed the second time says so."""
    done = []
    for step in steps:
        announce(step.label, steps)
        done.append(guarded(step.label, step.ensure, "What is done stays. Then run the same command again."))
        print(done[-1].value)
    return done


def announce(label: str, steps: Sequence[Step]) -> None:
    """Print the beginning of a step's line, dots up to a common column."""
    width = max(len(step.label) for step in steps)
    print(f"  {label} {'.' * (width - len(label) + 3)} ", end="")
    sys.stdout.flush()


def guarded(label: str, call: Callable[[], T], afterwards: str) -> T:
    """Return what a call returns; turn AWS's error into a StepFailed that says what to do."""
    try:
        return call()
    except (ClientError, BotoCoreError) as error:
        print("failed")
        raise StepFailed(f"{label}: {error}\n{hints.hint(error)} {afterwards}") from None


def summary(done: Sequence[Done]) -> str:
    """Return in one line what a deployment did."""
    changes = [f"{done.count(kind)} {kind.value}" for kind in (Done.CREATED, Done.CHANGED) if kind in done]
    return ", ".join(changes) if changes else "nothing had to be changed"

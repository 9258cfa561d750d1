"""The steps of a deployment: each makes sure of one thing and says what it had to do."""

import sys
from collections.abc import Callable, Sequence
from enum import Enum

from botocore.exceptions import BotoCoreError, ClientError


class Done(Enum):
    """What a step had to do."""

    UNCHANGED = "unchanged"
    CREATED = "created"
    CHANGED = "changed"


class Step:
    """Something that must be so: `ensure` makes it so, may be repeated at any time, and returns what it did."""

    def __init__(self, kind: str, name: str, ensure: Callable[[], Done]) -> None:
        self.kind = kind
        self.name = name
        self.ensure = ensure


class StepFailed(Exception):
    """A step could not be done; the message names it, AWS's error, and what to do."""


def take(steps: Sequence[Step]) -> list[Done]:
    """Take the steps in their order, a line for each as it happens. Nothing changed the second time says so."""
    width = max(len(f"{step.kind} {step.name}") for step in steps)
    done = []
    for step in steps:
        label = f"{step.kind} {step.name}"
        print(f"  {label} {'.' * (width - len(label) + 3)} ", end="")
        sys.stdout.flush()
        done.append(_take(step))
        print(done[-1].value)
    return done


def _take(step: Step) -> Done:
    try:
        return step.ensure()
    except (ClientError, BotoCoreError) as error:
        print("failed")
        raise StepFailed(
            f"{step.kind} {step.name}: {error}\nWhat is done stays. Mend this and run the same command again."
        ) from None


def summary(done: Sequence[Done]) -> str:
    """Return in one line what a deployment did."""
    changes = [f"{done.count(kind)} {kind.value}" for kind in (Done.CREATED, Done.CHANGED) if kind in done]
    return ", ".join(changes) if changes else "nothing had to be changed"

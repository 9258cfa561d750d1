"""What a deployment would do: the same steps, taken with clients that only read."""

import difflib
import json
from collections.abc import Sequence
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from deployment.clients import Clients, Make, Reader, WouldCreate
from deployment.steps import Done, Step, announce, guarded, summary

# How AWS's services say that what a step adds to is not there yet.
_NOT_THERE = ("NotFound", "NotFoundException", "ResourceNotFoundException", "NoSuchEntity", "NoSuchBucket", "404")


class Plan:
    """The steps that `clients` are used in are only looked at: nothing is changed."""

    def __init__(self, make: Make | None = None) -> None:
        self._noted: list[tuple[str, dict[str, Any]]] = []
        self.clients = Clients(lambda client: Reader(client, self._noted), make)

    def show(self, steps: Sequence[Step]) -> None:
        """Print what each step would do; the steps must have been made with this plan's clients."""
        foreseen = []
        for step in steps:
            announce(step.label, steps)
            self._noted.clear()
            foreseen.append(guarded(step.label, partial(_foresee, step), "Then plan again."))
            would = "" if foreseen[-1] is Done.UNCHANGED else "would be "
            print(would + foreseen[-1].value + (self._detail() if foreseen[-1] is Done.CHANGED else ""))
        print(f"Plan: {summary(foreseen)}.")

    def _detail(self) -> str:
        names = ", ".join(name for name, _ in self._noted)
        for name, arguments in self._noted:
            if name == "update_state_machine":
                arn = arguments["stateMachineArn"]
                found = self.clients("stepfunctions").describe_state_machine(stateMachineArn=arn)
                difference = _difference(found["definition"], arguments["definition"])
                return "\n" + difference if difference else " (its role, logging or tracing)"
        return f" ({names})" if names else ""


def _foresee(step: Step) -> Done:
    """Return what a step would do."""
    try:
        return step.ensure()
    except WouldCreate:
        return Done.CREATED
    except ClientError as error:
        if error.response["Error"]["Code"] not in _NOT_THERE:
            raise
        return Done.CREATED


def _difference(deployed: str, wanted: str) -> str:
    lines = difflib.unified_diff(_lines(deployed), _lines(wanted), "deployed", "statemachine.json", lineterm="", n=2)
    return "\n".join(f"    {line}" for line in lines)


def _lines(definition: str) -> list[str]:
    parsed: Any = json.loads(definition)
    return json.dumps(parsed, indent=2).splitlines()

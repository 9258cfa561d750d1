"""Shows what a deployment would do: the same steps, taken with read-only clients."""

import difflib
import json
from collections.abc import Sequence
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from chalicelib import aws_clients
from deployment.clients import Clients, Make, ReadOnlyClient, WouldChange, WouldCreate
from deployment.steps import Missing, Step, StepResult, announce, guarded, summary

# How AWS's services say that something does not exist yet.
_NOT_FOUND = ("NotFound", "NotFoundException", "ResourceNotFoundException", "NoSuchEntity", "NoSuchBucket", "404")


class Plan:
    """Steps that use `clients` only look at what is there, and change nothing."""

    def __init__(self, make: Make = aws_clients.make) -> None:
        self._noted: list[tuple[str, dict[str, Any]]] = []
        self.clients = Clients(lambda client: ReadOnlyClient(client, self._noted), make)

    def show(self, steps: Sequence[Step]) -> None:
        """Print what each step would do. The steps must use this plan's clients."""
        results = []
        for step in steps:
            announce(step.label, steps)
            self._noted.clear()
            results.append(guarded(step.label, partial(_foresee, step), "Then plan again."))
            would = "" if results[-1] is StepResult.UNCHANGED else "would be "
            print(would + results[-1].value + (self._details() if results[-1] is StepResult.CHANGED else ""))
        print(f"Plan: {summary(results)}.")

    def _details(self) -> str:
        names = ", ".join(name for name, _ in self._noted)
        for name, arguments in self._noted:
            if name == "update_state_machine":
                arn = arguments["stateMachineArn"]
                deployed = self.clients("stepfunctions").describe_state_machine(stateMachineArn=arn)
                difference = _difference(deployed["definition"], arguments["definition"])
                return "\n" + difference if difference else " (its role, logging or tracing)"
        return f" ({names})" if names else ""


def _foresee(step: Step) -> StepResult:
    """Return what a step would do."""
    try:
        return step.ensure()
    except (WouldCreate, Missing):
        return StepResult.CREATED
    except WouldChange:
        return StepResult.CHANGED
    except ClientError as error:
        if error.response["Error"]["Code"] not in _NOT_FOUND:
            raise
        return StepResult.CREATED


def _difference(deployed: str, wanted: str) -> str:
    lines = difflib.unified_diff(_lines(deployed), _lines(wanted), "deployed", "statemachine.json", lineterm="", n=2)
    return "\n".join(f"    {line}" for line in lines)


def _lines(definition: str) -> list[str]:
    parsed: Any = json.loads(definition)
    return json.dumps(parsed, indent=2).splitlines()

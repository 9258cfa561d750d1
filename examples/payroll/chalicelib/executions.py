"""The only module that talks to Step Functions: each attempt to pay a payroll is an execution."""

import json
from typing import Any

from chalicelib import aws
from chalicelib.place import Place

RUNNING, FAILED = "RUNNING", "FAILED"


class Executions:
    """The executions of the state machine. Their names follow from the payroll and the attempt."""

    def __init__(self, place: Place) -> None:
        self._client: Any = aws.client("stepfunctions")
        self._place = place

    def start(self, payroll: str, attempt: int) -> bool:
        """Start an attempt, and return whether it is running now: it may have ended already.

        AWS starts one execution of a name only, however often and by whomever it is asked to: while it is running, an
        equal request is answered alike; afterwards, it is refused for 90 days (AWS Step Functions API Reference,
        StartExecution).
        """
        try:
            self._client.start_execution(
                stateMachineArn=self._place.state_machine,
                name=_name(payroll, attempt),
                input=json.dumps({"payroll": payroll}),
            )
        except self._client.exceptions.ExecutionAlreadyExists:
            return False
        return True

    def find(self, payroll: str, attempt: int) -> dict[str, Any] | None:
        """Return `status`, and `error` and `cause` if it failed; None if there is none.

        All this may be a little old: what has just been started may be unknown, and what has ended still be running
        (AWS Step Functions API Reference, DescribeExecution).
        """
        try:
            arn = self._place.execution(_name(payroll, attempt))
            found: dict[str, Any] = self._client.describe_execution(executionArn=arn)
        except self._client.exceptions.ExecutionDoesNotExist:
            return None
        return found


def _name(payroll: str, attempt: int) -> str:
    return f"{payroll}-{attempt}"

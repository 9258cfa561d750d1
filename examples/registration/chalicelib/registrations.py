"""Starts registrations and looks at them: each is one execution, and its name is the caller's key."""

import json
import os
from typing import Any

import boto3

# In words for the caller, by what Step Functions calls it (AWS Step Functions API Reference, DescribeExecution).
IN_PROGRESS = "in_progress"
_STATUSES = {"RUNNING": IN_PROGRESS, "SUCCEEDED": "registered"}


class KeyTaken(Exception):
    """Another registration has had this key."""


class Registrations:
    """The registrations of a deployment; `function_arn` is the ARN of any of its functions, which says where it is."""

    def __init__(self, function_arn: str) -> None:
        self._client: Any = boto3.client("stepfunctions")
        _, partition, _, region, account, *_ = function_arn.split(":")
        self._location = f"arn:{partition}:states:{region}:{account}"
        self._prefix = os.environ["RESOURCE_PREFIX"]

    def start(self, key: str, person: dict[str, str]) -> str:
        """Start a registration, and return how it is doing. KeyTaken if the key is that of another person.

        While an execution runs, StartExecution itself accepts the same name with the same input. Once it has ended, it
        answers ExecutionAlreadyExists for 90 days, whatever the input is (AWS Step Functions API Reference,
        StartExecution). So compare the inputs.
        """
        machine, wanted = f"{self._location}:stateMachine:{self._prefix}", {"person": person}
        try:
            self._client.start_execution(stateMachineArn=machine, name=key, input=json.dumps(wanted))
        except self._client.exceptions.ExecutionAlreadyExists:
            execution = self._describe(key)
            if json.loads(execution["input"]) != wanted:
                raise KeyTaken from None
            return _status(execution)
        return IN_PROGRESS

    def status(self, key: str) -> str | None:
        """Return how a registration is doing; None if there is none with this key."""
        try:
            return _status(self._describe(key))
        except self._client.exceptions.ExecutionDoesNotExist:
            return None

    def _describe(self, key: str) -> dict[str, Any]:
        arn = f"{self._location}:execution:{self._prefix}:{key}"
        answer: dict[str, Any] = self._client.describe_execution(executionArn=arn)
        return answer


def _status(execution: dict[str, Any]) -> str:
    return _STATUSES.get(execution["status"], "failed")

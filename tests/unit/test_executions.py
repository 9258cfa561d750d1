"""Starting executions: there is only one for a run, and none for another run of the same name."""

from types import SimpleNamespace

import msgspec
import pytest

from chalicelib.errors import ExecutionNameTaken
from chalicelib.executions import Executions
from chalicelib.names import AwsLocation, Names
from chalicelib.settings import Settings
from tests.fakes import make_run

NAMES = Names("app-dev", AwsLocation("aws", "eu-west-1", "123456789012"))


class ExecutionAlreadyExists(Exception):
    """What Step Functions answers if the name is taken by an execution that has ended, or has another input."""


class FakeStepFunctions:
    """Step Functions, in which each execution ends at once."""

    exceptions = SimpleNamespace(ExecutionAlreadyExists=ExecutionAlreadyExists)

    def __init__(self) -> None:
        self.inputs: dict[str, str] = {}

    def start_execution(self, *, stateMachineArn: str, name: str, input: str) -> None:  # noqa: A002, N803 (AWS's names)
        arn = f"{stateMachineArn.replace(':stateMachine:', ':execution:')}:{name}"
        if arn in self.inputs:
            raise ExecutionAlreadyExists
        self.inputs[arn] = input

    def describe_execution(self, *, executionArn: str) -> dict[str, str]:  # noqa: N803 (AWS's name)
        return {"status": "SUCCEEDED", "input": self.inputs[executionArn]}


@pytest.fixture
def client():
    return FakeStepFunctions()


def executions(client, **settings) -> Executions:
    return Executions(client, NAMES, Settings(resource_prefix="app-dev", **settings))


def test_starting_the_execution_of_a_run_again_changes_nothing(client):
    """Even if settings in its input have changed since."""
    run = make_run("key-1", manifest="first")
    executions(client).start(run)
    executions(client, concurrency=100).start(run)
    (given,) = client.inputs.values()
    assert msgspec.json.decode(given)["concurrency"] == {"batches": 1, "communications": 20}


def test_the_execution_of_an_earlier_run_does_not_count_as_that_of_this_one(client):
    """An Idempotency-Key may be used again when its run is forgotten, but an execution's name is taken for longer."""
    executions(client).start(make_run("key-1", manifest="first"))
    with pytest.raises(ExecutionNameTaken, match="use a new key"):
        executions(client).start(make_run("key-1", manifest="second"))

"""The office that sends letters: starts batches, looks at what becomes of them, and sets up workers and the post."""

import json
from typing import Any

from chalicelib.names import AwsLocation, Names
from examples.activity.description import ACTIVITY, LETTERS
from examples.activity.systems import PostOffice, Process
from sandbox.aws import ACCOUNT, REGION
from sandbox.deployed import Deployed


class Office:
    """The office of a deployment. Its workers and the post have access keys of their own, so each can be told apart."""

    def __init__(self, deployed: Deployed) -> None:
        self.names = Names(deployed.prefix, AwsLocation("aws", REGION, ACCOUNT))
        self.bucket = LETTERS.full_name(self.names)
        self._deployed = deployed
        self._step_functions = deployed.client("stepfunctions")

    def worker(self, name: str, *, rest: float = 0.3, **environment: str) -> Process:
        """Return a worker that rests for some seconds after each page."""
        arguments = {
            "activity": self.names.activity_arn(ACTIVITY),
            "bucket": self.bucket,
            "name": name,
            "beat-every": 0.5,
            "rest": rest,
        }
        log = self._deployed.folder / f"{name}.log"
        return Process("worker", arguments, self._environment("worker") | environment, log)

    def post(self) -> PostOffice:
        """Return the post."""
        return PostOffice(self.bucket, self._environment("post"), self._deployed.folder)

    def _environment(self, access_key: str) -> dict[str, str]:
        return self._deployed.environment() | {"AWS_ACCESS_KEY_ID": access_key}

    def start(self, batch: str, count: int, pages: int = 4) -> str:
        """Start a batch of letters; return the ARN of its execution."""
        return str(self.invoke({"batch": batch, "letters": letters(count, pages)})["execution"])

    def invoke(self, event: dict[str, Any]) -> dict[str, Any]:
        """Invoke the function that starts batches; return what it returns. RuntimeError if it fails."""
        function = self.names.function("start_batch")
        answer = self._deployed.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event).encode())
        result: dict[str, Any] = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            raise RuntimeError(f"{result['errorType']}: {result['errorMessage']}")
        return result

    def status(self, execution: str) -> str:
        """Return an execution's status."""
        return str(self._step_functions.describe_execution(executionArn=execution)["status"])

    def history(self, execution: str) -> list[dict[str, Any]]:
        """Return the events of an execution."""
        pages = self._step_functions.get_paginator("get_execution_history").paginate(executionArn=execution)
        return [event for page in pages for event in page["events"]]


def letters(count: int, pages: int = 4) -> list[dict[str, Any]]:
    """Return letters of some pages each."""
    return [
        {"id": f"letter-{number:03}", "pages": [f"Dear reader {number}, this is page {page}." for page in range(pages)]}
        for number in range(count)
    ]

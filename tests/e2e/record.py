"""Records what this version stores and sends, so that the tests of later versions can go on from there: `make record`.

There are three runs: a scheduled one, which is truncated, approved, and ends as `partial`; a requested one, with an id
that is not listed; and one that is stopped.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

from chalicelib import __version__
from sandbox.system import System
from tests.e2e.driver import PREFIX, create_failed, executions, start_run, wait_for_end, wait_for_status, wait_until

FOLDER = Path(__file__).parents[1] / "data" / __version__

SETTINGS = {"SCHEDULE": "rate(1 hour)", "APPROVAL_THRESHOLD": "2", "MAX_PER_RUN": "3"}

# The task token of the embedded AWS means nothing in the next one.
TOKEN = "a-task-token"


class Recorder:
    """A system in which every input of a function is kept."""

    def __init__(self, system: System) -> None:
        self.inputs: list[tuple[str, Any]] = []
        self._system = system
        system.aws.lambdas.observe = self._observe

    def _observe(self, function: str, payload: bytes) -> None:
        self.inputs.append((function.removeprefix(f"{PREFIX}-"), json.loads(payload or b"null")))

    def input(self, function: str, run_id: str) -> Any:
        """Return the first input of a function for a run."""
        return next(event for name, event in self.inputs if name == function and event["runId"] == run_id)

    def collector_input(self, source: str) -> Any:
        """Return the first event of the collector that came from a source."""
        return next(event for name, event in self.inputs if name == "collector" and event["source"] == source)

    def items(self) -> list[Any]:
        """Return all items but the API's tokens, as DynamoDB has them."""
        pages = self._system.client("dynamodb").get_paginator("scan").paginate(TableName=PREFIX)
        items = [item for page in pages for item in page["Items"] if item["pk"]["S"] != "TOKEN"]
        return [item | ({"token": {"S": TOKEN}} if item["sk"]["S"] == "APPROVAL" else {}) for item in items]

    def execution_input(self, run_id: str) -> Any:
        """Return the input of a run's execution."""
        client = self._system.client("stepfunctions")
        machine = client.list_state_machines()["stateMachines"][0]["stateMachineArn"]
        arn = f"{machine.replace(':stateMachine:', ':execution:')}:{run_id}"
        return json.loads(client.describe_execution(executionArn=arn)["input"])

    def manifest(self, execution_input: Any) -> Any:
        """Return the manifest that an execution reads."""
        key = {"Bucket": execution_input["bucket"], "Key": execution_input["manifest"]}
        return json.loads(self._system.client("s3").get_object(**key)["Body"].read())


def do_everything(system: System) -> tuple[str, list[str]]:
    """Make the runs and the decisions; return the id of the scheduled run, and those of the communications."""
    operator, approver = system.token("operator", "olga"), system.token("approver", "anna")
    ids = create_failed(system, "emails", 1, recipient="nobody") + create_failed(system, "emails", 3)
    system.fire()
    wait_until(lambda: executions(system), "no execution was started")
    (run_id,) = executions(system)
    wait_until(lambda: system.call("POST", f"/runs/{run_id}/approve", approver).ok, "the run cannot be approved")
    wait_for_end(system, operator, run_id)
    worklist = system.call("GET", "/communications", operator).json()["communications"]
    communication = f"/communications/{worklist[0]['id']}"
    assert system.call("POST", f"{communication}/dismiss", operator, json={"note": "a wrong number"}).ok
    assert system.call("POST", f"{communication}/restore", operator).ok
    last = start_run(system, operator, note="recorded", primaryIds=[ids[-1], "unlisted"])
    wait_for_end(system, operator, last)
    ids += create_failed(system, "emails", 3)
    stopped = start_run(system, operator)
    wait_for_status(system, operator, stopped, "awaiting_approval")
    assert system.call("POST", f"/runs/{stopped}/stop", operator).ok
    wait_for_end(system, operator, stopped)
    assert system.call("POST", "/schedule/pause", operator).ok
    return run_id, ids


def record(recorder: Recorder, run_id: str) -> dict[str, Any]:
    """Return what is recorded, by the name of its file."""
    execution = recorder.execution_input(run_id)
    batch = recorder.input("record", run_id)
    return {
        "items": recorder.items(),
        "manifest": recorder.manifest(execution),
        "execution": execution,
        "collector-schedule": recorder.collector_input("aws.events"),
        "collector-request": recorder.collector_input("comms-reprocess"),
        "request_approval": recorder.input("request_approval", run_id) | {"token": TOKEN},
        "reprocess": recorder.input("reprocess", run_id),
        "record": batch,
        "report": recorder.input("report", run_id),
        # What statemachine.json passes on in the other cases.
        "record-halted": {name: value for name, value in batch.items() if name != "results"} | {"halted": True},
        "report-failure": execution | {"failure": {"Error": "States.ItemReaderFailed", "Cause": "x"}},
        "report-declined": execution | {"declined": {"Error": "ApprovalDeclined"}},
    }


def main() -> None:
    """Write the files of this version."""
    with tempfile.TemporaryDirectory() as folder, System(Path(folder), SETTINGS, requeue_after=0.2) as system:
        system.deploy()
        recorder = Recorder(system)
        run_id, ids = do_everything(system)
        recorded = record(recorder, run_id)
    FOLDER.mkdir(exist_ok=True)
    for name, content in recorded.items():
        text = json.dumps(content, indent=2, sort_keys=True) + "\n"
        for number, primary_id in enumerate(ids, 1):
            # The versions must not share communications.
            text = text.replace(primary_id, f"{__version__}-{number}")
        (FOLDER / f"{name}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

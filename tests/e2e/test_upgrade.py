"""A deployment under way: what runs that began before it send, and what they have written, is still understood."""

import json
import uuid
from pathlib import Path

import pytest

from chalicelib.errors import REPROCESS_ERRORS
from sandbox.aws import ACCOUNT, REGION

# Recorded from a run of the first version: what each function was given, the run's items, and its manifest.
DATA = Path(__file__).parents[1] / "data"
VERSIONS = sorted(folder.name for folder in DATA.iterdir())
BUCKET = f"comms-reprocess-dev-{ACCOUNT}-{REGION}"


def recorded(version: str, name: str):
    return json.loads((DATA / version / f"{name}.json").read_text())


def invoke(system, name: str, body: dict) -> str | None:
    """Call a function; return the name of its error, if it ended with one."""
    answer = system.client("lambda").invoke(
        FunctionName=f"comms-reprocess-dev-{name}", Payload=json.dumps(body).encode()
    )
    return json.loads(answer["Payload"].read())["errorType"] if "FunctionError" in answer else None


@pytest.fixture
def half_done(system, request):
    """A run of an earlier version as a deployment finds it: nothing of it has been recorded yet."""
    version = request.param
    items = [item for item in recorded(version, "items") if not item["sk"]["S"].startswith("BATCH#")]
    run = next(item for item in items if item["sk"]["S"] == "RUN")
    run |= {"status": {"S": "running"}, "open": {"S": "OPEN"}}
    for closed in ("endedAt", "counts", "told", "trouble", "n_accepted", "n_rejected"):
        run.pop(closed, None)
    for item in items:
        system.client("dynamodb").put_item(TableName="comms-reprocess-dev", Item=item)
    manifest = json.dumps(recorded(version, "manifest")).encode()
    system.client("s3").put_object(Bucket=BUCKET, Key=run["manifest"]["S"], Body=manifest)
    return version, run["runId"]["S"]


@pytest.mark.parametrize("half_done", VERSIONS, indirect=True)
def test_new_functions_take_what_earlier_executions_send(system, viewer, half_done):
    """Each function, given what an earlier version's execution or event gave it, does its work and breaks nowhere."""
    version, run_id = half_done
    for name, event in (
        ("reprocess", "reprocess"),
        ("record", "record"),
        ("record", "record-halted"),
        ("report", "report"),
        ("report", "report-failure"),
        ("collector", "collector-schedule"),
    ):
        body = recorded(version, event)
        if name == "collector":
            body["id"] = str(uuid.uuid4())  # the recorded one's run has ended
        error = invoke(system, name, body)
        assert error in (None, *REPROCESS_ERRORS), name
    run = system.call("GET", f"/runs/{run_id}", viewer).json()
    assert run["status"] in ("partial", "succeeded"), run
    assert sum(run["counts"].values()) == run["matched"]


@pytest.mark.parametrize("half_done", VERSIONS, indirect=True)
def test_new_functions_take_what_an_earlier_wait_for_approval_sends(system, viewer, half_done):
    """An earlier version's execution asks for approval, and ends declined."""
    version, run_id = half_done
    assert invoke(system, "request_approval", recorded(version, "request_approval")) is None
    assert invoke(system, "report", recorded(version, "report-declined")) is None
    run = system.call("GET", f"/runs/{run_id}", viewer).json()
    assert run["status"] == "declined", run

"""Functions of this version serve executions that an earlier version has started."""

import json
import uuid
from pathlib import Path

import pytest

from chalicelib import times
from chalicelib.errors import REPROCESS_ERRORS
from sandbox.aws import ACCOUNT, REGION
from tests.e2e.driver import PREFIX, invoke
from tests.fakes import DAY

# Recorded from a run of each version: the inputs of its functions, its items, and its manifest.
DATA = Path(__file__).parents[1] / "data"
VERSIONS = sorted(folder.name for folder in DATA.iterdir())
BUCKET = f"{PREFIX}-{ACCOUNT}-{REGION}"


def recorded(version: str, name: str):
    return json.loads((DATA / version / f"{name}.json").read_text())


@pytest.fixture
def interrupted_run(system, request):
    """A run of an earlier version during an upgrade: no batch has been recorded yet."""
    version = request.param
    run_id = recorded(version, "execution")["runId"]
    items = {(item["pk"]["S"], item["sk"]["S"]): item for item in recorded(version, "items")}
    communications = [item for (_, kind), item in items.items() if kind == "COMM"]
    run = items[f"RUN#{run_id}", "RUN"] | {"status": {"S": "running"}, "open": {"S": "OPEN"}}
    for later in ("endedAt", "counts", "told", "trouble", "decision", "decidedBy", "decidedAt", "postMs", "posts"):
        run.pop(later, None)
    run = {name: value for name, value in run.items() if not name.startswith("n_")}
    later = {"expiresAt": {"N": str((times.now() + DAY) // 1000)}}  # DynamoDB deletes what has expired
    for item in (*communications, items[f"RUN#{run_id}", "SWITCH"], run):
        system.client("dynamodb").put_item(TableName=PREFIX, Item=item | (later if "expiresAt" in item else {}))
    manifest = json.dumps(recorded(version, "manifest")).encode()
    system.client("s3").put_object(Bucket=BUCKET, Key=run["manifest"]["S"], Body=manifest)
    return version, run_id


@pytest.mark.parametrize("interrupted_run", VERSIONS, indirect=True)
def test_functions_accept_the_inputs_of_executions_of_earlier_versions(system, viewer, interrupted_run):
    """Each function does its work, and the run is complete in the end."""
    version, run_id = interrupted_run
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
            body["id"] = str(uuid.uuid4())  # the run of the recorded event has ended
        error = invoke(system, name, body)
        assert error is None or error["errorType"] in REPROCESS_ERRORS, name
    run = system.call("GET", f"/runs/{run_id}", viewer).json()
    assert run["status"] in ("partial", "succeeded"), run
    assert sum(run["counts"].values()) == run["matched"]


@pytest.mark.parametrize("interrupted_run", VERSIONS, indirect=True)
def test_functions_accept_the_inputs_of_an_earlier_versions_wait_for_approval(system, viewer, interrupted_run):
    """The execution asks for approval, and the run ends as `declined`."""
    version, run_id = interrupted_run
    assert invoke(system, "request_approval", recorded(version, "request_approval")) is None
    assert invoke(system, "report", recorded(version, "report-declined")) is None
    run = system.call("GET", f"/runs/{run_id}", viewer).json()
    assert run["status"] == "declined", run

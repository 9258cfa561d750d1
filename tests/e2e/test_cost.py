"""The model of a run's cost, against what a real run asks AWS for."""

import sqlite3
import time

from chalicelib.models import CLOSED
from chalicelib.runs import cost
from sandbox.application.database import timestamp
from sandbox.aws.model import INTERPRETER

COMMUNICATIONS = 1000
PATIENCE = 240
PREFIX = "comms-reprocess-dev"


def test_the_counts_of_the_model_are_those_of_a_run_of_a_thousand(system, operator):
    """A run of 1,000 makes exactly the calls, of functions and of the table, that the model charges for."""
    ids = _failed(system)
    already = counted(system)
    run = _run(system, operator, {"createdBy": "thousand", "operation": "send.email"})
    assert run["counts"] == {"accepted": COMMUNICATIONS}
    assert len(ids) == run["matched"] == COMMUNICATIONS
    now = counted(system)
    assert {name: now[name] - already[name] for name in now} == cost.requests(COMMUNICATIONS, 50)


def counted(system) -> dict[str, int]:
    """How often each thing was asked for so far, under the model's names."""
    found = dict.fromkeys(cost.requests(0, 0), 0)
    for right, number in system.aws.requests.counts.items():
        caller = "state machine" if right.caller == INTERPRETER else right.caller.removeprefix(f"{PREFIX}-")
        invoked = right.action == "lambda:InvokeFunction" and caller == "state machine"
        name = right.resource.rpartition("-")[2] if invoked else f"{right.action} by {caller}"
        if name in found:
            found[name] += number
    return found


def _failed(system) -> list[str]:
    """Communications that the application has given up already: through its queue it would take minutes."""
    ids = [f"thousand-{number}" for number in range(COMMUNICATIONS)]
    moment = timestamp()
    rows = [(each, "send.email", "to@example.com", "-", "-", "thousand", moment, "failed", moment) for each in ids]
    database = sqlite3.connect(system.folder / "application.db", timeout=60)
    with database:
        database.executemany(
            "INSERT INTO communications"
            " (id, operation, recipient, subject, body, created_by, created, state, failed_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )
    database.close()
    return ids


def _run(system, token: str, selection: dict) -> dict:
    run_id = system.call("POST", "/reprocess", token, json=selection).json()["runId"]
    deadline = time.monotonic() + PATIENCE
    run = {}
    while run.get("status") not in CLOSED:
        assert time.monotonic() < deadline, run
        time.sleep(0.5)
        run = system.call("GET", f"/runs/{run_id}", token).json()
    return run

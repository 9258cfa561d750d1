"""The cost model, compared with what a real run requests from AWS."""

import sqlite3

from chalicelib.runs import cost
from sandbox.application.database import timestamp
from sandbox.aws.model import INTERPRETER
from tests.e2e.driver import PREFIX, start_run, wait_for_end

COMMUNICATIONS = 200

# How long the run may take, in seconds: longer than the small runs of other tests.
RUN_PATIENCE = 240


def test_a_run_of_200_makes_exactly_the_requests_that_the_cost_model_counts(system, operator):
    """The requests are calls of functions and of the table, in a run in which everything goes well."""
    ids = _insert_failed(system)
    before = count_requests(system)
    run_id = start_run(system, operator, createdBy="cost", operation="send.email")
    run = wait_for_end(system, operator, run_id, RUN_PATIENCE)
    assert run["counts"] == {"accepted": COMMUNICATIONS}
    assert len(ids) == run["matched"] == COMMUNICATIONS
    after = count_requests(system)
    assert {name: after[name] - before[name] for name in after} == cost.requests(COMMUNICATIONS, 10)


def count_requests(system) -> dict[str, int]:
    """How often each request was made so far, under the model's names."""
    found = dict.fromkeys(cost.requests(0, 0), 0)
    for request, number in system.aws.iam_requests().items():
        caller = "state machine" if request.caller == INTERPRETER else request.caller.removeprefix(f"{PREFIX}-")
        invoked = request.action == "lambda:InvokeFunction" and caller == "state machine"
        name = request.resource.rpartition("-")[2] if invoked else f"{request.action} by {caller}"
        if name in found:
            found[name] += number
    return found


def _insert_failed(system) -> list[str]:
    """Insert communications that have finally failed: to fail through the queue, they would take minutes."""
    ids = [f"cost-{number}" for number in range(COMMUNICATIONS)]
    moment = timestamp()
    rows = [(each, "send.email", "to@example.com", "-", "-", "cost", moment, "failed", moment) for each in ids]
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

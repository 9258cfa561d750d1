"""The cost model, compared with what a real run requests from AWS."""

from chalicelib.runs import cost
from sandbox.aws.model import INTERPRETER
from tests.e2e.driver import PREFIX, insert_failed, start_run, wait_for_end

COMMUNICATIONS = 200

# How long the run may take, in seconds: longer than the small runs of other tests.
RUN_PATIENCE = 240


def test_a_run_of_200_makes_exactly_the_requests_that_the_cost_model_counts(system, operator):
    """The requests are calls of functions and of the table, in a run in which everything goes well.

    Without those with which `record` tells the pace something new: they depend on the application.
    """
    ids = insert_failed(system, COMMUNICATIONS, "cost")
    before = count_requests(system)
    run_id = start_run(system, operator, createdBy="cost", operation="send.email")
    run = wait_for_end(system, operator, run_id, RUN_PATIENCE)
    assert run["counts"] == {"accepted": COMMUNICATIONS}
    assert len(ids) == run["matched"] == COMMUNICATIONS
    after = count_requests(system)
    assert {name: after[name] - before[name] for name in after} == cost.requests(COMMUNICATIONS, 12)


def count_requests(system) -> dict[str, int]:
    """How often each request was made so far, under the model's names."""
    found = dict.fromkeys(cost.requests(0, 0), 0)
    for request, number in system.aws.iam_requests().items():
        caller = "state machine" if request.caller == INTERPRETER else request.caller.removeprefix(f"{PREFIX}-")
        invoked = request.action == "lambda:InvokeFunction" and caller == "state machine"
        name = request.resource.rpartition("-")[2] if invoked else f"{request.action} by {caller}"
        learns = caller == "record" and request.partitions == "PACE"
        if name in found and not learns:
            found[name] += number
    return found

"""statemachine.json, errors.py and the Lambdas' settings say the same."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chalicelib import configuration
from chalicelib.errors import REPROCESS_ERRORS, ApprovalDeclined
from chalicelib.executions import Executions
from chalicelib.models import AWAITING, Run
from chalicelib.settings import Names, Place, Settings
from deployment import definition

ROOT = Path(__file__).parents[2]
NAMES = Names("comms-reprocess-dev", Place("aws", "eu-central-1", "123456789012"))

# The five minutes of an EXPRESS child (AWS Step Functions Developer Guide, "Quotas").
EXPRESS_LIMIT = 300


def states(machine: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every state, those inside of Maps included."""
    for name, state in machine["States"].items():
        yield name, state
        yield from states(state.get("ItemProcessor", {"States": {}}))


@pytest.fixture
def machine() -> dict[str, Any]:
    return json.loads(definition.render(ROOT / "statemachine.json", definition.placeholders(NAMES)))


@pytest.fixture
def by_name(machine):
    return dict(states(machine))


def custom(names: list[str]) -> list[str]:
    return [name for name in names if "." not in name]


def retried(state: dict[str, Any]) -> list[str]:
    return [name for retry in state.get("Retry", []) for name in retry["ErrorEquals"]]


def caught(state: dict[str, Any]) -> list[str]:
    return [name for catch in state.get("Catch", []) for name in catch["ErrorEquals"]]


def longest(state: dict[str, Any]) -> float:
    """How many seconds a Task can take at worst: each try its timeout, each wait its longest."""
    waits, tries = 0.0, 1
    for retry in state["Retry"]:
        tries += retry["MaxAttempts"]
        waits += sum(retry["IntervalSeconds"] * retry["BackoffRate"] ** n for n in range(retry["MaxAttempts"]))
    return tries * state["TimeoutSeconds"] + waits


def test_every_error_name_of_ours_is_a_class(machine):
    """An `ErrorEquals` that names no class of errors.py could never match."""
    names = {name for _, state in states(machine) for name in custom(retried(state) + caught(state))}
    assert names == {*REPROCESS_ERRORS, ApprovalDeclined.__name__}


def test_each_error_is_caught_and_retried_as_the_design_says(by_name):
    """Only what may succeed when repeated is retried; everything is caught, so that one failure stays alone."""
    reprocess = by_name["Reprocess"]
    assert set(custom(retried(reprocess))) == {"ApplicationUnavailable", "ApplicationError", "OutcomeUnknown"}
    assert set(custom(caught(reprocess))) == set(REPROCESS_ERRORS)
    assert "States.ALL" in caught(reprocess)


def test_a_lambda_that_died_or_was_throttled_is_tried_again(by_name):
    """Amazon's own error names are retried, under the names that Lambda and Step Functions use."""
    assert {
        "Lambda.TooManyRequestsException",
        "Lambda.ServiceException",
        "Lambda.Unknown",
        "Sandbox.Timedout",
        "Runtime.ExitError",
        "States.Timeout",
    } <= set(retried(by_name["Reprocess"]))


def test_every_retry_backs_off_with_full_jitter(machine):
    """Retries that come back in step would hit an application that is just getting up."""
    retries = [retry for _, state in states(machine) for retry in state.get("Retry", [])]
    assert retries
    assert all(retry["BackoffRate"] > 1 and retry["JitterStrategy"] == "FULL" for retry in retries)


def test_every_task_has_a_timeout_and_retries(machine):
    """A Task without a timeout waits for a year."""
    tasks = {name: state for name, state in states(machine) if state["Type"] == "Task"}
    timed = {"CheckSwitch", "Reprocess", "RecordBatch", "Report", "NotifySuccess", "NotifyFailure"}
    assert timed | {"RequestApproval"} == set(tasks)
    assert all(tasks[name]["TimeoutSeconds"] > 0 for name in timed)
    assert all(task["Retry"] for task in tasks.values())


class _Client:
    """Step Functions, which keeps what an execution was started with."""

    def __init__(self):
        self.inputs = []

    def start_execution(self, **request):
        self.inputs.append(json.loads(request["input"]))


@pytest.mark.parametrize(("status", "required"), [("running", False), (AWAITING, True)])
def test_the_wait_for_approval_is_as_the_input_says(by_name, status, required):
    """The setting's timeout and the run's status are where the definition looks for them; a longer wait never is."""
    client = _Client()
    settings = Settings(resource_prefix="mail-dev", approval_timeout="2h")
    run = Run(run_id="r", trigger="request", requested_by="Jo", status=status, requested_at=0, manifest="m")
    Executions(client, NAMES, settings).start(run)
    assert client.inputs[0]["approval"] == {"required": required, "timeoutSeconds": 7_200}
    assert by_name["RequestApproval"]["TimeoutSecondsPath"] == "$.approval.timeoutSeconds"
    (choice,) = by_name["IsApprovalRequired"]["Choices"]
    assert (choice["Variable"], choice["BooleanEquals"]) == ("$.approval.required", True)
    assert choice["Next"] == "RequestApproval"


def test_a_refused_or_late_approval_leads_to_the_report(by_name):
    """Both end in Report with a mark of their own, so that the run is declined and not failed."""
    declined, broken = by_name["RequestApproval"]["Catch"]
    assert set(declined["ErrorEquals"]) == {ApprovalDeclined.__name__, "States.Timeout"}
    assert (declined["ResultPath"], declined["Next"]) == ("$.declined", "Report")
    assert (broken["ErrorEquals"], broken["Next"]) == (["States.ALL"], "Report")
    assert "States.Timeout" not in retried(by_name["RequestApproval"])


def test_no_map_is_retried_as_a_whole(machine):
    """A Retry on a Map runs all of its items again."""
    assert not [name for name, state in states(machine) if state["Type"] == "Map" and "Retry" in state]


def test_deadlines_nest(by_name):
    """The POST gives up before the Lambda, with time to write the answer; the Lambda before the Task."""
    functions = json.loads((ROOT / ".chalice/config.json").read_text())["lambda_functions"]
    post = configuration.read({"APPLICATION_URL": "https://a.example", "APPLICATION_SECRET": "s"}).reprocess.timeout
    for state, function in (("Reprocess", "reprocess"), ("RecordBatch", "record"), ("Report", "report")):
        assert functions[function]["lambda_timeout"] < by_name[state]["TimeoutSeconds"]
    # Two POSTs: after a 401 the secret is read again.
    assert 2 * post + 5 <= functions["reprocess"]["lambda_timeout"]


def test_the_worst_case_of_a_batch_fits_into_an_express_child(by_name):
    """All of a batch are worked on at once, so its worst case is that of one communication and its records."""
    worst = sum(longest(by_name[name]) for name in ("CheckSwitch", "Reprocess", "RecordBatch"))
    assert worst < EXPRESS_LIMIT


def test_every_placeholder_is_filled_and_every_value_is_used():
    """What deploy.py fills in is what statemachine.json asks for: no more and no less."""
    text = (ROOT / "statemachine.json").read_text()
    values = definition.placeholders(NAMES)
    assert "${" not in definition.render(ROOT / "statemachine.json", values)
    assert all(f"${{{name}}}" in text for name in values)
    with pytest.raises(ValueError, match="no value for the placeholder Bucket"):
        definition.render(ROOT / "statemachine.json", {name: "x" for name in values if name != "Bucket"})


def test_every_state_leads_somewhere(machine):
    """Each Next, Default and Catch names a state beside it, and each state can be reached."""

    def check(part: dict[str, Any]) -> None:
        targets = {part["StartAt"]}
        for state in part["States"].values():
            choices = [choice["Next"] for choice in state.get("Choices", [])]
            catches = [catch["Next"] for catch in state.get("Catch", [])]
            targets |= {state[key] for key in ("Next", "Default") if key in state} | set(choices) | set(catches)
            if "ItemProcessor" in state:
                check(state["ItemProcessor"])
        assert targets == set(part["States"])

    check(machine)

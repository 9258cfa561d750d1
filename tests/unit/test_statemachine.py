"""statemachine.json, errors.py and the Lambdas' settings say the same."""

import json
from pathlib import Path
from typing import Any

import pytest

from chalicelib.application import config_file
from chalicelib.errors import REPROCESS_ERRORS, ApprovalDeclined, ConfigurationError
from chalicelib.executions import Executions
from chalicelib.models import Run, RunStatus, Trigger
from chalicelib.names import AwsLocation, Names
from chalicelib.settings import Settings
from deployment import definition, worst_case
from deployment.worst_case import states

ROOT = Path(__file__).parents[2]
NAMES = Names("comms-reprocess-dev", AwsLocation("aws", "eu-central-1", "123456789012"))


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


def timeouts() -> dict[str, int]:
    functions = json.loads((ROOT / ".chalice/config.json").read_text())["lambda_functions"]
    return {name: function["lambda_timeout"] for name, function in functions.items()}


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


@pytest.mark.parametrize(("status", "required"), [("running", False), (RunStatus.AWAITING_APPROVAL, True)])
def test_the_wait_for_approval_is_as_the_input_says(by_name, status, required):
    """The setting's timeout and the run's status are where the definition looks for them; a longer wait never is."""
    client = _Client()
    settings = Settings(resource_prefix="mail-dev", approval_timeout="2h")
    run = Run(run_id="r", trigger=Trigger.REQUEST, requested_by="Jo", status=status, requested_at=0, manifest="m")
    Executions(client, NAMES, settings).start(run)
    assert client.inputs[0]["approval"] == {"required": required, "timeoutSeconds": 7_200}
    assert by_name["RequestApproval"]["TimeoutSecondsPath"] == "$.approval.timeoutSeconds"
    (choice,) = by_name["IsApprovalRequired"]["Choices"]
    # What an earlier version started has no such field, and must not fail for that.
    variable = "$.approval.required"
    assert choice["And"] == [{"Variable": variable, "IsPresent": True}, {"Variable": variable, "BooleanEquals": True}]
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


def test_deadlines_nest_and_a_batch_fits_into_its_child(machine, by_name):
    """As shipped: the POST gives up before the Lambda, the Lambda before the Task, the batch before its child."""
    post = config_file.read({"APPLICATION_URL": "https://a.example", "APPLICATION_SECRET": "s"}).reprocess.timeout
    worst_case.check(machine, timeouts(), post)
    assert timeouts()["report"] < by_name["Report"]["TimeoutSeconds"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda states, _: states["Reprocess"]["Retry"][0].update(MaxAttempts=9), "its child has 300 s"),
        (lambda states, _: states["RecordBatch"].update(TimeoutSeconds=10), "RecordBatch times out after 10 s"),
        (lambda _, functions: functions.update(reprocess=20), "two POSTs of 10 s"),
    ],
)
def test_settings_that_do_not_fit_are_refused_with_the_arithmetic(machine, by_name, change, sentence):
    """Before anything is deployed, the sentence says what takes how long and what to lower."""
    functions = timeouts()
    change(by_name, functions)
    with pytest.raises(ConfigurationError, match=sentence):
        worst_case.check(machine, functions, 10)


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

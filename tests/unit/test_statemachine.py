"""statemachine.json, errors.py and the timeouts of the functions agree with each other."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chalicelib.application import config_file
from chalicelib.errors import REPROCESS_ERRORS, ApprovalDeclined, ConfigurationError
from chalicelib.executions import Executions
from chalicelib.ledger.pace import Turn
from chalicelib.models.base import as_json
from chalicelib.models.batches import TaskResult
from chalicelib.models.outcomes import Outcome, OutcomeReason
from chalicelib.models.runs import RunStatus
from chalicelib.names import AwsLocation, Names
from chalicelib.runs.recovery import COLLECTOR_LIFETIME
from chalicelib.settings import Settings
from deployment import definition
from deployment.comms_reprocess import worst_case
from deployment.comms_reprocess.state_machine import state_machine
from deployment.comms_reprocess.worst_case import states
from tests.fakes import make_run

ROOT = Path(__file__).parents[2]
NAMES = Names("comms-reprocess-dev", AwsLocation("aws", "eu-central-1", "123456789012"))


@pytest.fixture
def machine() -> dict[str, Any]:
    """The definition of the state machine, as deploy.py fills it in."""
    return json.loads(definition.read(ROOT, state_machine(NAMES)))


@pytest.fixture
def by_name(machine):
    """The states of the definition by their names, including those inside Maps."""
    return dict(states(machine))


def our_errors(names: list[str]) -> list[str]:
    """Return those error names that are ours: AWS's contain a dot."""
    return [name for name in names if "." not in name]


def retried_errors(state: dict[str, Any]) -> list[str]:
    return [name for retry in state.get("Retry", []) for name in retry["ErrorEquals"]]


def caught_errors(state: dict[str, Any]) -> list[str]:
    return [name for catch in state.get("Catch", []) for name in catch["ErrorEquals"]]


def retrier(state: dict[str, Any], error: str) -> dict[str, Any]:
    """Return the retrier that Step Functions uses for an error: the first that names it (Amazon States Language)."""
    return next(retry for retry in state["Retry"] if {error, "States.ALL"} & set(retry["ErrorEquals"]))


def lambda_timeouts() -> dict[str, int]:
    """Return the timeouts of the functions in .chalice/config.json, in seconds."""
    functions = json.loads((ROOT / ".chalice/config.json").read_text())["lambda_functions"]
    return {name: function["lambda_timeout"] for name, function in functions.items()}


def test_every_error_of_ours_in_the_state_machine_is_a_class_of_errors_py(machine):
    """An `ErrorEquals` that names no class could never match."""
    names = {name for _, state in states(machine) for name in our_errors(retried_errors(state) + caught_errors(state))}
    assert names == {*REPROCESS_ERRORS, ApprovalDeclined.__name__}


def test_reprocess_retries_what_may_succeed_later_and_catches_every_error(by_name):
    """One communication's failure must not fail its batch."""
    reprocess = by_name["Reprocess"]
    assert set(our_errors(retried_errors(reprocess))) == {
        "ApplicationUnavailable",
        "ApplicationError",
        "OutcomeUnknown",
    }
    assert set(our_errors(caught_errors(reprocess))) == set(REPROCESS_ERRORS)
    assert "States.ALL" in caught_errors(reprocess)


def test_an_overloaded_application_is_not_sent_the_same_again_seconds_later(machine):
    """It asked for fewer requests. Whether and when there is another one, Step Functions does not know."""
    names = {name for _, state in states(machine) for name in our_errors(retried_errors(state))}
    assert "ApplicationOverloaded" not in names


@pytest.mark.parametrize("error", ["ApplicationUnavailable", "OutcomeUnknown", "Sandbox.Timedout", "States.Timeout"])
def test_what_failed_is_retried_only_once(by_name, error):
    """Each retry takes its time of the five minutes of the child, which it also needs to wait for the application."""
    assert retrier(by_name["Reprocess"], error)["MaxAttempts"] == 1


def test_reprocess_retries_a_lambda_that_died_or_was_throttled(by_name):
    """These are the error names that Lambda and Step Functions use."""
    assert {
        "Lambda.TooManyRequestsException",
        "Lambda.ServiceException",
        "Lambda.Unknown",
        "Sandbox.Timedout",
        "Runtime.ExitError",
        "States.Timeout",
    } <= set(retried_errors(by_name["Reprocess"]))


@pytest.mark.parametrize("name", ["Reprocess", "RecordBatch", "Report", "RequestApproval"])
def test_a_throttled_lambda_is_retried_more_often_than_an_error_of_the_application(by_name, name):
    """The next free execution may be seconds away, and a call that is refused costs the application nothing."""
    application = retrier(by_name["Reprocess"], "ApplicationUnavailable")["MaxAttempts"]
    assert retrier(by_name[name], "Lambda.TooManyRequestsException")["MaxAttempts"] > application


def test_every_retry_backs_off_with_full_jitter(machine):
    """Retries in step would hit an application that is just recovering."""
    retries = [retry for _, state in states(machine) for retry in state.get("Retry", [])]
    assert retries
    assert all(retry["BackoffRate"] > 1 and retry["JitterStrategy"] == "FULL" for retry in retries)


def test_every_task_has_a_timeout_and_retries(machine):
    """A Task without a timeout waits for a year."""
    tasks = {name: state for name, state in states(machine) if state["Type"] == "Task"}
    timed = set(tasks) - {"RequestApproval"}
    assert {"BeginBatch", "Reprocess", "RecordBatch", "Report", "NotifySuccess", "StartNextRun"} < timed
    assert all(tasks[name]["TimeoutSeconds"] > 0 for name in timed)
    assert all(task["Retry"] for task in tasks.values())


def test_a_batch_asks_again_until_it_has_its_turn_or_the_run_is_halted(by_name):
    """What `begin` answers decides: halted, ask again, or send. The question tells since when the child is asking."""
    question, choice = by_name["BeginBatch"], by_name["MayBegin"]
    assert question["Parameters"]["Payload"]["turn.$"] == f"{question['ResultPath']}.Payload"
    halted, later = choice["Choices"]
    assert (halted["Next"], later["Next"], choice["Default"]) == ("LeaveBatch", "AskLater", "ReprocessEach")
    assert by_name["AskLater"] == {"Type": "Wait", "SecondsPath": later["Variable"], "Next": "BeginBatch"}


def test_a_turn_says_all_that_the_state_machine_reads_of_it(by_name):
    """A path that is missing would fail the batch, so the answer leaves out nothing, not even defaults."""
    paths = set(re.findall(r"\$\.turn\.Payload\.(\w+)", json.dumps([by_name["MayBegin"], by_name["ReprocessEach"]])))
    assert {"halted", "askAfter", "waits", "epoch", "limited"} == paths
    assert paths <= set(as_json(Turn()))


def test_each_communication_waits_for_its_own_turn(by_name):
    """A negative wait stands for none: a later run takes it, and nobody POSTs it now."""
    no_turn, later = by_name["WhenIsItsTurn"]["Choices"]
    assert (no_turn["NumericLessThan"], no_turn["Next"]) == (0, "NoTurn")
    assert (later["NumericGreaterThan"], later["Next"]) == (0, "AwaitTurn")
    result = msgspec.convert({"operation": "a", "primaryId": "1"} | by_name["NoTurn"]["Parameters"], TaskResult)
    assert (result.outcome, result.reason) == (Outcome.NOT_ATTEMPTED, OutcomeReason.PACED)


def test_the_next_run_follows_the_mail(by_name):
    """Whatever the mail is. A collector that cannot be invoked fails no run: the schedule fires soon enough."""
    assert by_name["ChooseTopic"]["Default"] == "DoesNextRunFollow"
    for name in ("NotifySuccess", "NotifyFailure"):
        assert (by_name[name]["ResultPath"], by_name[name]["Next"]) == (None, "DoesNextRunFollow")
    assert by_name["DoesNextRunFollow"]["Choices"] == [
        {"Variable": "$.nextRun", "IsPresent": True, "Next": "AwaitApplication"}
    ]
    assert by_name["StartNextRun"]["Catch"][0]["ErrorEquals"] == ["States.ALL"]


class FakeStepFunctions:
    """Step Functions' client, which keeps the inputs of the executions that it starts."""

    def __init__(self):
        self.inputs = []

    def start_execution(self, **request):
        self.inputs.append(json.loads(request["input"]))


@pytest.mark.parametrize(("status", "required"), [("running", False), (RunStatus.AWAITING_APPROVAL, True)])
def test_the_executions_input_decides_whether_and_how_long_it_waits_for_approval(by_name, status, required):
    """The definition looks for the run's status and the setting's timeout where Executions puts them."""
    client = FakeStepFunctions()
    settings = Settings(resource_prefix="mail-dev", approval_timeout="2h")
    Executions(client, NAMES, settings).start(make_run(status=status, manifest="m"))
    assert client.inputs[0]["approval"] == {"required": required, "timeoutSeconds": 7_200}
    assert by_name["RequestApproval"]["TimeoutSecondsPath"] == "$.approval.timeoutSeconds"
    (choice,) = by_name["IsApprovalRequired"]["Choices"]
    # Executions that an earlier version started do not have this field, and must not fail for that.
    variable = "$.approval.required"
    assert choice["And"] == [{"Variable": variable, "IsPresent": True}, {"Variable": variable, "BooleanEquals": True}]
    assert choice["Next"] == "RequestApproval"


def test_a_rejected_or_late_approval_leads_to_report_with_a_mark_of_its_own(by_name):
    """The mark makes Report end the run as declined, and not as failed."""
    declined, broken = by_name["RequestApproval"]["Catch"]
    assert set(declined["ErrorEquals"]) == {ApprovalDeclined.__name__, "States.Timeout"}
    assert (declined["ResultPath"], declined["Next"]) == ("$.declined", "Report")
    assert (broken["ErrorEquals"], broken["Next"]) == (["States.ALL"], "Report")
    assert "States.Timeout" not in retried_errors(by_name["RequestApproval"])


def test_no_map_state_is_retried_as_a_whole(machine):
    """A Retry on a Map runs all of its items again."""
    assert not [name for name, state in states(machine) if state["Type"] == "Map" and "Retry" in state]


def test_the_shipped_timeouts_nest_and_a_batch_fits_into_its_child_workflow(machine, by_name):
    """The POST gives up before the Lambda, the Lambda before the Task, and the batch before its child."""
    post = config_file.read({"APPLICATION_URL": "https://a.example", "APPLICATION_SECRET": "s"}).reprocess.timeout
    worst_case.check(machine, lambda_timeouts(), post)
    assert lambda_timeouts()["report"] < by_name["Report"]["TimeoutSeconds"]


def test_a_collector_is_given_up_exactly_when_it_cannot_live_any_more():
    """Lambda ends it then. That is before the next firing of the usual schedule, which takes over its turn."""
    assert lambda_timeouts()["collector"] * 1000 == COLLECTOR_LIFETIME < 15 * 60_000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda states, _: states["Reprocess"]["Retry"][0].update(MaxAttempts=30), "its child has 300 s"),
        (lambda states, _: states["Reprocess"]["Retry"][1].update(MaxAttempts=9), "its child has 300 s"),
        (lambda states, _: states["RecordBatch"]["Retry"][0].update(MaxAttempts=9), "its child has 300 s"),
        (lambda states, _: states["RecordBatch"].update(TimeoutSeconds=10), "RecordBatch times out after 10 s"),
        (lambda _, functions: functions.update(reprocess=20), "two POSTs of 10 s"),
    ],
)
def test_timeouts_that_do_not_fit_are_refused_with_the_arithmetic(machine, by_name, change, message):
    """deploy.py checks this before it deploys anything, and the message says what to lower."""
    functions = lambda_timeouts()
    change(by_name, functions)
    with pytest.raises(ConfigurationError, match=message):
        worst_case.check(machine, functions, 10)


def test_the_longest_time_of_a_state_counts_every_wait_up_to_its_cap_and_every_attempt():
    """Only a call that AWS refuses does not take until its timeout."""
    died = {"ErrorEquals": ["States.ALL"], "IntervalSeconds": 2, "BackoffRate": 2.0, "MaxAttempts": 2}
    throttled = died | {
        "ErrorEquals": ["Lambda.TooManyRequestsException"],
        "MaxAttempts": 4,
        "MaxDelaySeconds": 5,
    }
    state = {"TimeoutSeconds": 10, "Retry": [throttled, died]}
    assert worst_case.longest(state) == (2 + 4 + 5 + 5) + 4 * worst_case.REFUSED + (2 + 4) + 3 * 10


def test_every_placeholder_has_a_value_and_every_value_a_placeholder():
    """deploy.py fills in exactly what statemachine.json needs."""
    text = (ROOT / "statemachine.json").read_text()
    values = {**state_machine(NAMES).placeholders, "ChildExecutionType": "STANDARD"}
    assert "${" not in definition.render(ROOT / "statemachine.json", values)
    assert all(f"${{{name}}}" in text for name in values)
    with pytest.raises(ValueError, match="no value for the placeholder Bucket"):
        definition.render(ROOT / "statemachine.json", {name: "x" for name in values if name != "Bucket"})


def test_every_transition_leads_to_a_state_and_every_state_can_be_reached(machine):
    """Each Next, Default and Catch names a state of the same level."""

    def check(level: dict[str, Any]) -> None:
        targets = {level["StartAt"]}
        for state in level["States"].values():
            choices = [choice["Next"] for choice in state.get("Choices", [])]
            catches = [catch["Next"] for catch in state.get("Catch", [])]
            targets |= {state[key] for key in ("Next", "Default") if key in state} | set(choices) | set(catches)
            if "ItemProcessor" in state:
                check(state["ItemProcessor"])
        assert targets == set(level["States"])

    check(machine)

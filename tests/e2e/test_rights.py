"""Least privilege: each function and the state machine may do what they do, and nothing else."""

import json
from collections import defaultdict
from contextlib import ExitStack
from fnmatch import fnmatchcase

import pytest

from chalicelib import times
from chalicelib.api import ids
from chalicelib.lambda_invoker import requested_event
from chalicelib.ledger import Ledger
from chalicelib.ledger.table import Table
from chalicelib.manifests import Manifests, ManifestWriter
from chalicelib.models import Communication, Run, RunStatus, Selection, Trigger
from chalicelib.names import AwsLocation, Names
from chalicelib.runs.start import record_request
from deployment import state_machine
from sandbox.aws import ACCOUNT, REGION
from sandbox.aws.model import INTERPRETER
from sandbox.project import ROOT
from tests.e2e.driver import environment, fail, finish, start_run, wait_for_status

PREFIX = "comms-reprocess-dev"
NAMES = Names(PREFIX, AwsLocation("aws", REGION, ACCOUNT))
HOUR = 3_600_000
PATIENCE = 120

OF_A_TOKEN = ("states:SendTaskSuccess", "states:SendTaskFailure")

# Rights that nothing asks for here. Each needs its reason.
NOT_SEEN = {
    "logs:CreateLogStream": "Lambda itself writes what a function prints, with the function's role",
    "logs:PutLogEvents": "the same",
    "xray:PutTraceSegments": "Lambda's and Step Functions' own agents send the traces",
    "xray:PutTelemetryRecords": "the same",
}
NOT_SEEN_OF_THE_MACHINE = NOT_SEEN | {
    "xray:GetSamplingRules": "Step Functions asks whether to trace",
    "xray:GetSamplingTargets": "the same",
    **dict.fromkeys(
        state_machine.policy(NAMES)["Statement"][-2]["Action"],
        "AWS asks for it when a state machine with logging is made",
    ),
    "states:StartExecution": "AWS starts the children of a distributed Map with it; moto runs them itself",
    "states:DescribeExecution": "the same",
    "states:StopExecution": "the same",
    "s3:GetObject": "AWS reads a Map's results back; manifests are read in any case",
    "s3:ListMultipartUploadParts": "AWS writes large results in parts",
    "s3:AbortMultipartUpload": "the same",
}


def _ledger(system, clock):
    return Ledger(Table(system.client("dynamodb"), NAMES.table), clock, 90 * 24 * HOUR)


@pytest.fixture
def ledger(system):
    return _ledger(system, times.now)


@pytest.fixture
def other_secret(system):
    """The application's token in a parameter of SSM, as those may have it who do not use Secrets Manager."""
    token = system.application.token
    system.client("ssm").put_parameter(Name=f"{PREFIX}-application", Value=token, Type="SecureString", Overwrite=True)
    with ExitStack() as stack:
        yield lambda: [
            stack.enter_context(environment(system, function, APPLICATION_SECRET=f"ssm:{PREFIX}-application"))
            for function in ("", "collector", "reprocess")
        ]


@pytest.mark.usefixtures("tidy")
def test_every_right_is_needed_and_none_is_missing(system, operator, approver, ledger, other_secret):
    """The requests of each function, told apart by their access keys, are exactly what its policy allows."""
    _meet_everything(system, operator, ledger)
    _work_with_the_api(system, operator)
    _approve_and_reject(system, operator, approver, ledger)
    other_secret()
    _work_with_a_parameter(system, operator)
    asked = defaultdict(set)
    for right in system.aws.requests.counts:
        asked[right.caller].add((right.action, right.resource))
    problems = []
    for file in sorted((ROOT / ".chalice" / "dev").glob("*.json")):
        name = PREFIX if file.stem == "api_handler" else f"{PREFIX}-{file.stem}"
        problems += _compare(file.stem, _pairs(json.loads(file.read_text())), asked[name], NOT_SEEN)
    problems += _compare(
        "state machine", _pairs(state_machine.policy(NAMES)), asked[INTERPRETER], NOT_SEEN_OF_THE_MACHINE
    )
    assert problems == []


def test_actions_and_names_are_never_stars():
    """A policy may leave account and region open, the action never, and the resource only where AWS knows none."""
    policies = {file.stem: json.loads(file.read_text()) for file in (ROOT / ".chalice" / "dev").glob("*.json")}
    for name, policy in (policies | {"state machine": state_machine.policy(NAMES)}).items():
        for action, resource in _pairs(policy):
            assert "*" not in action, name
            if resource == "*":
                assert action.startswith(("xray:", "logs:")), (name, action)
            else:
                assert PREFIX in resource, (name, resource)


def _pairs(policy: dict) -> set[tuple[str, str]]:
    return {
        (action, resource)
        for statement in policy["Statement"]
        for action in statement["Action"]
        for resource in statement["Resource"]
    }


def _compare(name: str, allowed: set, asked: set, not_seen: dict[str, str]) -> list[str]:
    """What is missing and what is too much, in words; IAM's `*` and `?` are those of file names."""
    missing = [need for need in asked if not any(_allows(pair, need) for pair in allowed)]
    surplus = [pair for pair in allowed if pair[0] not in not_seen and not any(_allows(pair, need) for need in asked)]
    return [f"{name} lacks {' on '.join(need)}" for need in sorted(missing)] + [
        f"{name} has but never uses {' on '.join(pair)}" for pair in sorted(surplus)
    ]


def _allows(pair: tuple[str, str], need: tuple[str, str]) -> bool:
    # A task's token names its state machine, but only AWS can read it.
    return pair[0] == need[0] and (pair[0] in OF_A_TOKEN or fnmatchcase(need[1], pair[1]))


def _meet_everything(system, operator, ledger) -> None:
    """Bring about everything that has a function or the state machine ask AWS for something."""
    manifests = Manifests(system.client("s3"), NAMES.bucket)
    system.application.wait_for_stats(PATIENCE, queued=0)
    _leave_a_request_behind(system, manifests)
    _leave_a_broken_run_behind(system, ledger, manifests)
    _schedule(system)  # helps both, and has its turn
    _cannot_list(system)
    failed = fail(system, "emails", 2)
    bad = fail(system, "emails", 1, recipient="nobody")
    _schedule(system)  # sends two, is refused one, and ends the trouble with other trouble
    _until(lambda: {system.application.communication(each)["sent"] for each in failed} == {1})
    _until(lambda: ledger.schedule.lock_holder()[0] == "")
    fail(system, "emails", 1)
    _cannot_list(system)
    _schedule(system)  # all is well: the report says so
    _until(lambda: ledger.schedule.lock_holder()[0] == "")
    _cannot_list(system)
    system.application.switch(lists_down=False)
    _schedule(system)  # nothing is due: the collector says so
    _request_and_stop(system, operator, bad)
    _complete_a_dead_batch(system, ledger, manifests)


def _invoke(system, function: str, event: dict) -> None:
    answer = system.client("lambda").invoke(FunctionName=f"{PREFIX}-{function}", Payload=json.dumps(event).encode())
    assert "FunctionError" not in answer, answer["Payload"].read()


def _schedule(system) -> None:
    event = requested_event("", ACCOUNT, REGION, times.now()) | {"detail": {}}
    _invoke(system, "collector", event)


def _cannot_list(system) -> None:
    system.application.switch(lists_down=True)
    _schedule(system)
    system.application.reset_switches()


def _until(holds) -> None:
    deadline = times.now() + PATIENCE * 1000
    while not holds():
        assert times.now() < deadline


def _leave_a_request_behind(system, manifests) -> None:
    """A request whose collector never ran."""
    past = times.now() - HOUR
    selection = Selection(operation="send.sms", limit=1)
    record_request(f"lost-{past}", "olga", selection, _ledger(system, lambda: past), manifests)


def _run_with_a_manifest(ledger, manifests, run_id: str) -> Run:
    with ManifestWriter(20) as manifest:
        manifest.add(Communication(operation="send.email", primary_id="never-claimed", listed_at=times.now()))
        manifest.finish()
        key = manifests.upload(run_id, manifest)
    run = Run(
        run_id=run_id,
        trigger=Trigger.REQUEST,
        requested_by="olga",
        status=RunStatus.RUNNING,
        requested_at=times.now(),
        manifest=key,
        batches=1,
        matched=1,
    )
    assert ledger.runs.create(run)
    return run


def _leave_a_broken_run_behind(system, ledger, manifests) -> None:
    """A run whose execution ended without its report."""
    run = _run_with_a_manifest(ledger, manifests, f"broken-{times.now()}")
    states = system.client("stepfunctions")
    states.start_execution(stateMachineArn=NAMES.state_machine_arn, name=run.run_id, input="{}")
    execution = NAMES.execution_arn(run.run_id)
    states.stop_execution(executionArn=execution)
    _until(lambda: states.describe_execution(executionArn=execution)["status"] != "RUNNING")


def _request_and_stop(system, operator, ids: list[str]) -> None:
    """A request over the API, stopped when it runs and stopped before it began."""
    answer = system.call("POST", "/reprocess", operator, json={"primaryIds": ids})
    assert answer.status_code == 202
    system.call("POST", f"/runs/{answer.json()['runId']}/stop", operator)
    system.call("GET", f"/runs/{answer.json()['runId']}", operator)
    system.aws.lambdas.wait_for_events()


def _complete_a_dead_batch(system, ledger, manifests) -> None:
    """A child that died before it could record its batch."""
    run = _run_with_a_manifest(ledger, manifests, f"dead-{times.now()}")
    _invoke(system, "report", {"runId": run.run_id})


def _work_with_the_api(system, operator) -> None:
    """Everything that a person can ask for over HTTP, of the worklist, the runs and the schedule."""
    bad = fail(system, "emails", 1, recipient="nobody")[0]
    finish(system, operator, start_run(system, operator, operation="send.email", primaryIds=[bad]))
    path = f"/communications/{ids.encode_id('send.email', bad)}"
    for method, where, body in (
        ("GET", "/runs", None),
        ("GET", "/communications", None),
        ("GET", "/communications.csv", None),
        ("GET", path, None),
        ("POST", f"{path}/dismiss", {"note": "no such person"}),
        ("POST", f"{path}/restore", None),
        ("POST", "/schedule/pause", None),
        ("POST", "/schedule/resume", None),
        ("GET", "/schedule", None),
        ("POST", "/reprocess", {"dryRun": True}),
    ):
        answer = system.call(method, where, operator, **({} if body is None else {"json": body}))
        assert answer.status_code == 200, (where, answer.text)
    run_id = start_run(system, operator, operation="send.email", primaryIds=[bad], includeManual=True)
    finish(system, operator, run_id)
    assert system.call("GET", f"/runs/{run_id}/communications", operator).status_code == 200


def _approve_and_reject(system, operator, approver, ledger) -> None:
    """Runs that wait: one approved, one rejected; and a question that is repeated when each is decided."""
    for verb in ("approve", "reject"):
        failed = fail(system, "emails", 1)
        with environment(system, "collector", APPROVAL_THRESHOLD="0"):
            run_id = start_run(system, operator, operation="send.email", primaryIds=failed)
            wait_for_status(system, operator, run_id, RunStatus.AWAITING_APPROVAL)
        _until(lambda run_id=run_id: ledger.approvals.token(run_id))
        assert system.call("POST", f"/runs/{run_id}/{verb}", approver).status_code == 200
        finish(system, operator, run_id)
        _invoke(system, "request_approval", {"runId": run_id, "token": "of-earlier", "timeoutSeconds": 1})


def _work_with_a_parameter(system, operator) -> None:
    failed = fail(system, "emails", 1)
    assert system.call("POST", "/reprocess", operator, json={"dryRun": True}).status_code == 200
    run = finish(system, operator, start_run(system, operator, operation="send.email", primaryIds=failed))
    assert run["counts"] == {"accepted": 1}

"""Least privilege: each function and the state machine may do what they do, and nothing else."""

import json
from contextlib import ExitStack
from dataclasses import replace

import pytest

from chalicelib import times
from chalicelib.api import ids
from chalicelib.application.config import Auth
from chalicelib.ledger import Ledger
from chalicelib.ledger.table import Table
from chalicelib.manifests import Manifests, ManifestWriter
from chalicelib.models.communications import Communication
from chalicelib.models.runs import ApprovalDecision, Run, RunStatus, Trigger
from chalicelib.models.selections import Selection
from chalicelib.names import AwsLocation, Names
from chalicelib.runs.start import record_request
from deployment import policies, state_machine
from deployment.comms_reprocess import function_policies
from deployment.iam_policy import document
from deployment.stage import ANYWHERE, Stage
from sandbox.aws import ACCOUNT, REGION
from sandbox.aws.iam_requests import IamRequest
from sandbox.project import ROOT
from tests import iam
from tests.e2e.driver import (
    PATIENCE,
    PREFIX,
    changed_environment,
    collect,
    create_failed,
    invoke,
    sent_flags,
    start_run,
    wait_for_end,
    wait_for_status,
    wait_until,
)
from tests.e2e.other_stage import OTHER_PREFIX

NAMES = Names(PREFIX, AwsLocation("aws", REGION, ACCOUNT))
SECRET = f"{PREFIX}-application"
HOUR = 3_600_000
LOCK_HELD = "the schedule lock is still held"

# Permissions that nothing uses in the sandbox. Each needs its reason.
UNUSED_HERE = iam.UNUSED_BY_FUNCTIONS | {
    "s3:ListBucket": "without it, S3 answers that a missing manifest is forbidden, not that it is missing",
}
UNUSED_BY_STATE_MACHINE_HERE = iam.UNUSED_BY_STATE_MACHINES | {
    "dynamodb:GetItem": "executions that version 0.1.0 has started look at the switch themselves",
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
def use_ssm_parameter(system):
    """Moves the application's token to an SSM parameter, for stages that do not use Secrets Manager."""
    token = system.application.token
    system.client("ssm").put_parameter(Name=SECRET, Value=token, Type="SecureString", Overwrite=True)
    with ExitStack() as stack:
        yield lambda: [
            stack.enter_context(changed_environment(system, function, APPLICATION_SECRET=f"ssm:{SECRET}"))
            for function in ("", "collector", "reprocess")
        ]


def test_each_function_and_the_state_machine_use_exactly_their_permissions(
    system, operator, approver, ledger, use_ssm_parameter
):
    """Each function signs with its own access key, so that its requests can be compared with its policy."""
    _run_schedules_and_requests(system, operator, ledger)
    _use_the_api(system, operator)
    _approve_and_reject(system, operator, approver, ledger)
    _deliver_decisions_again(system, operator, ledger)
    use_ssm_parameter()
    _run_with_ssm_parameter(system, operator)
    # The interpreter has one key for the state machines of all stages.
    requests = {each for each in system.aws.iam_requests() if OTHER_PREFIX not in each.resource}
    stage = Stage(system.folder / "project", "dev", NAMES.location)
    both = _function_policies(system)
    assert iam.compare_stage(stage, both, requests, UNUSED_HERE, UNUSED_BY_STATE_MACHINE_HERE) == []


def chalice_name(function: str) -> str:
    """What a function is called in AWS, and its access key in the sandbox."""
    return PREFIX if function == "api_handler" else f"{PREFIX}-{function}"


def _function_policies(system) -> dict[str, list[dict]]:
    """The policy that each function is deployed with, and the one that it would have with the SSM parameter."""
    deployed = policies.derive(Stage(system.folder / "project", "dev", ANYWHERE))
    for file, policy in deployed.items():
        assert json.loads(file.read_text()) == policy
    other = function_policies.statements(Names(PREFIX, ANYWHERE), Auth(type="bearer", secret=f"ssm:{SECRET}"))
    found = {file.stem: policy for file, policy in deployed.items()}
    return {name: [found[name], document(*statements)] for name, statements in other.items()}


def test_no_function_may_write_a_token(system, operator):
    """Whatever else a function may write: a token of its own making would give it any role."""
    assert system.call("GET", "/runs", operator).status_code == 200
    looked_up = {each.caller for each in system.aws.iam_requests() if "TOKEN" in each.partitions.split(",")}
    assert PREFIX in looked_up
    for function, (policy, _) in _function_policies(system).items():
        for action in ("PutItem", "UpdateItem", "DeleteItem"):
            write = IamRequest(chalice_name(function), f"dynamodb:{action}", NAMES.table_arn, "RUN")
            allowed = write.action in {permission for permission, _ in iam.permissions(policy)}
            assert iam.denies(policy, replace(write, partitions="RUN,TOKEN")) == allowed, function
            assert not iam.denies(policy, write), function


def test_policies_never_have_wildcards_for_actions_or_resource_names():
    """Account and region may be left open. A resource may be `*` only where AWS has no name for it."""
    found = {file.stem: json.loads(file.read_text()) for file in (ROOT / ".chalice" / "dev").glob("*.json")}
    statements = Stage(ROOT, "dev", NAMES.location).description.state_machine.statements
    for name, policy in (found | {"state machine": state_machine.policy(NAMES, statements, traced=True)}).items():
        for action, resource in iam.permissions(policy):
            assert "*" not in action, name
            if resource == "*":
                assert action.startswith(("xray:", "logs:", "lambda:GetAccountSettings")), (name, action)
            elif not action.startswith(("apigateway:", "iam:CreateServiceLinkedRole")):
                assert PREFIX in resource, (name, resource)


def _run_schedules_and_requests(system, operator, ledger) -> None:
    """Trigger every request to AWS that a function or the state machine can make in its runs."""
    manifests = Manifests(system.client("s3"), NAMES.bucket)
    system.application.wait_for_stats(PATIENCE, queued=0)
    _record_lost_request(system, manifests)
    _create_aborted_run(system, ledger, manifests)
    collect(system)  # recovers both runs, and then collects for its own
    _collect_without_lists(system)
    failed = create_failed(system, "emails", 2)
    bad = create_failed(system, "emails", 1, recipient="nobody")
    collect(system)  # two are accepted and one is rejected: the incident of the lists ends, and another begins
    wait_until(lambda: set(sent_flags(system, failed)) == {1}, "the emails were not sent")
    wait_until(lambda: ledger.schedule.lock_holder()[0] == "", LOCK_HELD)
    create_failed(system, "emails", 1)
    _forget_incidents(ledger)
    _collect_without_lists(system)
    collect(system)  # all are accepted: the report ends the incident
    wait_until(lambda: ledger.schedule.lock_holder()[0] == "", LOCK_HELD)
    _forget_incidents(ledger)
    _collect_without_lists(system)
    system.application.switch(lists_down=False)
    collect(system)  # nothing to send: the collector ends the incident
    _request_and_stop(system, operator, bad)
    _slow_down_a_run(system)
    _report_unrecorded_batch(system, ledger, manifests)


def _slow_down_a_run(system) -> None:
    """Let the application name a time to a run's second communication: the state machine starts the next run then."""
    before = system.application.stats()["refused"]
    system.application.switch(capacity={"per_second": 0.001, "retry_after": 1})
    slowed = create_failed(system, "emails", 2)
    collect(system)
    wait_until(lambda: system.application.stats()["refused"] > before, "nothing was refused")
    system.application.reset_switches()
    wait_until(lambda: set(sent_flags(system, slowed)) == {1}, "the state machine did not start the next run")


def _forget_incidents(ledger) -> None:
    """Let the last incident have ended long ago: one that comes back at once is over only hours later."""
    ledger.incidents.end(0)


def _collect_without_lists(system) -> None:
    system.application.switch(lists_down=True)
    collect(system)
    system.application.reset_switches()


def _record_lost_request(system, manifests) -> None:
    """Record a request whose collector never runs."""
    past = times.now() - HOUR
    selection = Selection(operation="send.sms", limit=1)
    record_request(f"lost-{past}", "olga", selection, _ledger(system, lambda: past), manifests)


def _create_run_with_manifest(ledger, manifests, run_id: str) -> Run:
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


def _create_aborted_run(system, ledger, manifests) -> None:
    """Create a run whose execution has ended without its report."""
    run = _create_run_with_manifest(ledger, manifests, f"broken-{times.now()}")
    states = system.client("stepfunctions")
    states.start_execution(stateMachineArn=NAMES.state_machine_arn, name=run.run_id, input="{}")
    execution = NAMES.execution_arn(run.run_id)
    states.stop_execution(executionArn=execution)
    wait_until(
        lambda: states.describe_execution(executionArn=execution)["status"] != "RUNNING",
        "the execution was not stopped",
    )


def _request_and_stop(system, operator, ids: list[str]) -> None:
    """Request a run over HTTP, and stop it while it is collected or sent."""
    answer = system.call("POST", "/reprocess", operator, json={"primaryIds": ids})
    assert answer.status_code == 202
    system.call("POST", f"/runs/{answer.json()['runId']}/stop", operator)
    system.call("GET", f"/runs/{answer.json()['runId']}", operator)
    system.aws.lambdas.wait_for_events()


def _report_unrecorded_batch(system, ledger, manifests) -> None:
    """Report a run whose child died before it recorded its batch."""
    run = _create_run_with_manifest(ledger, manifests, f"dead-{times.now()}")
    assert invoke(system, "report", {"runId": run.run_id}) is None


def _use_the_api(system, operator) -> None:
    """Make all calls of the API about the worklist, the runs, outages, the schedule and the pace."""
    bad = create_failed(system, "emails", 1, recipient="nobody")[0]
    wait_for_end(system, operator, start_run(system, operator, operation="send.email", primaryIds=[bad]))
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
        ("GET", "/summary", None),
        ("GET", "/causes", None),
        ("GET", "/schedule", None),
        ("GET", "/pace", None),
        ("PUT", "/pace", {"perSecond": 100, "minutes": 1}),
        ("DELETE", "/pace", None),
        ("POST", "/reprocess", {"dryRun": True}),
    ):
        answer = system.call(method, where, operator, **({} if body is None else {"json": body}))
        assert answer.status_code == 200, (where, answer.text)
    for outage in system.call("GET", "/outages", operator).json()["outages"]:
        assert outage["reason"] == "listing"
        answer = system.call("GET", f"/outages/{outage['outageId']}/affected.csv", operator)
        assert len(answer.text.splitlines()) == 1 + outage["hit"]
    selection = {"operation": "send.email", "primaryIds": [bad], "includeManual": True}
    preview = selection | {"dryRun": True}
    wait_until(
        lambda: system.call("POST", "/reprocess", operator, json=preview).json()["eligible"] == 1,
        "its cool-down does not end",
    )
    run_id = start_run(system, operator, **selection)
    wait_for_end(system, operator, run_id)
    (outcome,) = system.call("GET", f"/runs/{run_id}/communications", operator).json()["communications"]
    assert outcome["outcome"] == "rejected"  # it was retried, and sent


def _approve_and_reject(system, operator, approver, ledger) -> None:
    """Approve a run and reject another one, and repeat the request for approval after each decision."""
    for verb in ("approve", "reject"):
        run_id = _create_waiting_run(system, operator, ledger)
        assert system.call("POST", f"/runs/{run_id}/{verb}", approver).status_code == 200
        wait_for_end(system, operator, run_id)
        repeated = {"runId": run_id, "token": "of-earlier", "timeoutSeconds": 1}
        assert invoke(system, "request_approval", repeated) is None


def _create_waiting_run(system, operator, ledger) -> str:
    """Create a run that waits for approval."""
    failed = create_failed(system, "emails", 1)
    with changed_environment(system, "collector", APPROVAL_THRESHOLD="0"):
        run_id = start_run(system, operator, operation="send.email", primaryIds=failed)
        wait_for_status(system, operator, run_id, RunStatus.AWAITING_APPROVAL)
    wait_until(lambda: ledger.approvals.token(run_id), "the run has no task token")
    return run_id


def _deliver_decisions_again(system, operator, ledger) -> None:
    """Let the collector deliver decisions that were written, and did not reach their execution."""
    for decision in (ApprovalDecision.APPROVED, ApprovalDecision.DECLINED):
        run_id = _create_waiting_run(system, operator, ledger)
        assert ledger.approvals.decide(run_id, decision, "anna")
        collect(system)
        assert wait_for_end(system, operator, run_id)["decision"] == decision


def _run_with_ssm_parameter(system, operator) -> None:
    failed = create_failed(system, "emails", 1)
    assert system.call("POST", "/reprocess", operator, json={"dryRun": True}).status_code == 200
    run = wait_for_end(system, operator, start_run(system, operator, operation="send.email", primaryIds=failed))
    assert run["counts"] == {"accepted": 1}

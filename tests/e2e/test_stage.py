"""The life of a stage: planned, deployed, changed, interrupted, looked at, destroyed."""

import functools
import json
import re
import shutil
import threading

import pytest
from werkzeug import Response
from werkzeug.serving import make_server

from chalicelib import __version__
from chalicelib.ledger.page import PageAddress
from chalicelib.ledger.schedule import Schedule
from chalicelib.ledger.table import Table
from chalicelib.names import AwsLocation, Names
from deployment import destroy, resources, state_machine
from deployment.clients import Clients
from deployment.plan import Plan
from deployment.stage import Stage
from deployment.steps import StepResult, take
from sandbox.aws import ACCOUNT, REGION
from tests import iam
from tests.e2e.driver import PREFIX, create_failed
from tests.e2e.other_stage import DEPLOYER, OTHER_PREFIX, STAGE, OtherStage, kill_before_answer, run_plan, snapshot

# What PutMetricAlarm accepts of what DescribeAlarms returns of an alarm.
_ALARM_ARGUMENTS = (
    "AlarmName",
    "AlarmActions",
    "OKActions",
    "MetricName",
    "Namespace",
    "Statistic",
    "Dimensions",
    "Period",
    "EvaluationPeriods",
    "Threshold",
    "ComparisonOperator",
    "TreatMissingData",
)


@pytest.fixture
def stage(system, tmp_path):
    """A stage that is not deployed yet, and that is destroyed afterwards."""
    other = OtherStage(system, tmp_path)
    yield other
    other.run("destroy", "--yes", "--with-data")


def test_a_stage_can_be_planned_deployed_changed_and_destroyed_without_a_trace(system, stage):
    """plan changes nothing and predicts deploy, deploy can be repeated, and destroy removes what deploy has created."""
    before = snapshot(system)
    printed = stage.plan()
    assert "Plan: 21 created." in printed
    assert "Warning" not in printed
    stage.change(lambda config: config["environment_variables"].update(CONCURRENCY="1000"))
    assert "this account runs 200 functions at once, but a run needs up to 1005" in stage.plan()
    stage.change(lambda config: config["environment_variables"].pop("CONCURRENCY"))
    assert "is not deployed here: run .venv/bin/python deploy.py deploy --stage other" in stage.run("status", status=1)
    assert snapshot(system) == before

    assert "Done: 21 created." in stage.deploy()
    assert "Done: nothing to change." in stage.deploy()
    assert "Plan: nothing to change." in stage.plan()

    # Each of these counts what is to be changed: one, so that nothing is left of the change before.
    _change_a_setting_and_the_reserved_concurrency(system, stage)
    _change_the_secret(system, stage)
    _change_the_state_machine(stage)
    _deploy_over_another_handler(system, stage)
    _fail_before_and_in_the_middle(system, stage)
    _change_the_runtime(system, stage)
    _check_the_status(system, stage)
    create_failed(system, "emails", 1)
    assert "1 would be sent" in stage.run("check")

    _correct_what_an_earlier_version_left(system, stage)
    _move_to_a_domain(system, stage)
    _use_tokens(stage)
    _leave_data(system)
    policy = stage.policy("deployer")

    assert "deploy.py: nothing was removed" in stage.run("destroy", status=1)
    assert "state machine comms-reprocess-other ... removed" in _plain(stage.run("destroy", "--yes"))
    left = snapshot(system)
    assert set(left["tables"]) - set(before["tables"]) == {OTHER_PREFIX}
    assert "Done: 2 removed." in stage.run("destroy", "--yes", "--with-data")
    assert snapshot(system) == before
    requested = {request for request in system.aws.iam_requests() if request.caller == DEPLOYER}
    assert iam.compare("the deploying identity", [policy], requested, iam.UNUSED_BY_DEPLOYERS) == []


def _correct_what_an_earlier_version_left(system, stage) -> None:
    """An index, the table's protection, what topics need, a role's condition and policy, and the page's address are
    missing. The alarms do not name the page either.
    """
    table = system.client("dynamodb")
    table.update_table(TableName=OTHER_PREFIX, GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": "open"}}])
    table.update_table(TableName=OTHER_PREFIX, DeletionProtectionEnabled=False)
    table.delete_item(TableName=OTHER_PREFIX, Key={"pk": {"S": "PAGE"}, "sk": {"S": "address"}})
    cloudwatch = system.client("cloudwatch")
    (alarm,) = cloudwatch.describe_alarms(AlarmNames=[f"{OTHER_PREFIX}-run-failed"])["MetricAlarms"]
    assert re.search(r"run-failed\.\nhttps://\S+/api/#/runs$", alarm["AlarmDescription"])
    kept = {name: value for name, value in alarm.items() if name in _ALARM_ARGUMENTS}
    cloudwatch.put_metric_alarm(**kept | {"AlarmDescription": alarm["AlarmDescription"].partition("\n")[0]})
    for topic, attribute in (("succeeded", "KmsMasterKeyId"), ("failed", "KmsMasterKeyId"), ("alarms", "Policy")):
        system.client("sns").set_topic_attributes(
            TopicArn=f"arn:aws:sns:{REGION}:{ACCOUNT}:{OTHER_PREFIX}-{topic}",
            AttributeName=attribute,
            AttributeValue="" if attribute == "KmsMasterKeyId" else "{}",
        )
    trust = state_machine.trust(Names(OTHER_PREFIX, AwsLocation("aws", REGION, ACCOUNT)))
    del trust["Statement"][0]["Condition"]
    role = f"{OTHER_PREFIX}-state-machine"
    system.client("iam").update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(trust))
    system.client("iam").delete_role_policy(RoleName=role, PolicyName="state-machine")
    assert "Plan: 1 created, 6 changed." in stage.plan()
    assert "Done: 1 created, 6 changed." in stage.deploy()
    assert "Plan: nothing to change." in stage.plan()


def _move_to_a_domain(system, stage) -> None:
    """The address that mails and alarms name is that of the setting; the functions have another environment, too."""
    noted = PageAddress(Table(system.client("dynamodb"), OTHER_PREFIX))
    assert re.fullmatch(r"https://\w+\.execute-api\.eu-west-1\.amazonaws\.com/api", noted.read())
    own = "https://reprocess.example.com"
    stage.change(lambda config: config["environment_variables"].update(PAGE_URL=f"{own}/"))
    assert "Plan: 8 changed." in stage.plan()
    assert "Done: 8 changed." in stage.deploy()
    assert noted.read() == own
    found = system.client("cloudwatch").describe_alarms(AlarmNamePrefix=f"{OTHER_PREFIX}-")["MetricAlarms"]
    screens = sorted(each["AlarmDescription"].partition(f"\n{own}/#/")[2] for each in found)
    assert screens == ["", "causes", "runs", "runs", "schedule", "worklist"]


def _use_tokens(stage) -> None:
    stage.run("token", "add", "--name", "olga", "--role", "viewer")
    listed = stage.run("token", "list").split()
    assert "revoked" in stage.run("token", "revoke", "--id", listed[0])


def _leave_data(system) -> None:
    """Leave a manifest and a running execution, which `destroy` has to remove."""
    system.client("s3").put_object(Bucket=f"{OTHER_PREFIX}-{ACCOUNT}-{REGION}", Key="runs/x", Body=b"")
    system.client("stepfunctions").start_execution(
        stateMachineArn=f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:{OTHER_PREFIX}", name="x", input="{}"
    )


def _plain(printed: str) -> str:
    """The lines, with each row of dots cut to three."""
    return "\n".join(" ... ".join(part.strip(". ") for part in line.split(" .")) for line in printed.splitlines())


def _change_a_setting_and_the_reserved_concurrency(system, stage) -> None:
    stage.change(lambda config: config["environment_variables"].update(MAX_ATTEMPTS="4"))
    stage.change(lambda config: config["lambda_functions"]["reprocess"].update(reserved_concurrency=7))
    assert "Plan: 1 changed." in stage.plan()
    assert "Done: 1 changed." in stage.deploy()
    function = system.client("lambda").get_function_configuration(FunctionName=f"{OTHER_PREFIX}-reprocess")
    assert function["Environment"]["Variables"]["MAX_ATTEMPTS"] == "4"
    concurrency = system.client("lambda").get_function_concurrency(FunctionName=f"{OTHER_PREFIX}-reprocess")
    assert concurrency["ReservedConcurrentExecutions"] == 7


def _change_the_secret(system, stage) -> None:
    """The policies follow from its name. Until they are updated, the stage is neither planned nor deployed."""
    secret = system.client("secretsmanager").describe_secret(SecretId=f"{PREFIX}-application")["ARN"]
    stage.change(lambda config: config["environment_variables"].update(APPLICATION_SECRET=secret))
    for command in ("plan", "deploy", "check", "template"):
        assert "Run .venv/bin/python deploy.py stage update other" in stage.run(command, status=1)
    stage.stage("update")
    assert "Plan: 1 changed." in stage.plan()
    assert "Done: 1 changed." in stage.deploy()
    role = f"{OTHER_PREFIX}-reprocess"
    deployed = system.client("iam").get_role_policy(RoleName=role, PolicyName=role)["PolicyDocument"]
    assert secret in str(deployed)
    assert deployed == stage.policy("reprocess")


def _change_the_state_machine(stage) -> None:
    file = stage.project / "statemachine.json"
    file.write_text(file.read_text().replace('"TimeoutSeconds": 320', '"TimeoutSeconds": 310'))
    printed = stage.plan()
    assert '-      "TimeoutSeconds": 320' in printed
    assert '+      "TimeoutSeconds": 310' in printed
    assert "Done: 1 changed." in stage.deploy()


def _deploy_over_another_handler(system, stage) -> None:
    """Chalice never updates a handler, so a function with the handler of an earlier version would not start."""
    client, name = system.client("lambda"), f"{OTHER_PREFIX}-authorizer"
    client.update_function_configuration(FunctionName=name, Handler="chalicelib.api.door.authorizer")
    assert "Plan: 1 changed." in stage.plan()
    assert "Done: 1 changed." in stage.deploy()
    assert client.get_function_configuration(FunctionName=name)["Handler"] == "app.authorizer"


def _fail_before_and_in_the_middle(system, stage) -> None:
    """Code and handler go together: a function with new code gets a new handler, one with its old code keeps it."""
    client, name = system.client("lambda"), f"{OTHER_PREFIX}-authorizer"
    old = "chalicelib.api.door.authorizer"
    for upload, handler in (("", old), (f"update_code({name!r})", "app.authorizer")):
        client.update_function_configuration(FunctionName=name, Handler=old)
        _replace_chalice(stage, upload)
        printed = stage.run("deploy", "--child-execution-type", "STANDARD", status=1)
        shutil.rmtree(stage.project / "chalice")
        assert "planted failure" in printed
        assert "run the same command again; it continues where it stopped" in printed
        assert client.get_function_configuration(FunctionName=name)["Handler"] == handler
    assert "Done: 1 changed." in stage.deploy()


def _replace_chalice(stage, upload: str) -> None:
    """Put a Chalice into the project that does `upload` and fails. Python finds it before the installed one."""
    folder = stage.project / "chalice"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "cli.py").write_text(
        f"""
import io, sys, zipfile, boto3

def update_code(name):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("app.py", "")
    boto3.client("lambda").update_function_code(FunctionName=name, ZipFile=content.getvalue())

def main():
    {upload or "pass"}
    sys.exit("planted failure")
"""
    )


def _change_the_runtime(system, stage) -> None:
    """The functions run on the Python that deploys them; another one is a change."""
    client, name = system.client("lambda"), f"{OTHER_PREFIX}-report"
    runtime = client.get_function_configuration(FunctionName=name)["Runtime"]
    client.update_function_configuration(FunctionName=name, Runtime="python3.9")
    assert "Plan: 1 changed." in stage.plan()
    assert "Done: 1 changed." in stage.deploy()
    assert client.get_function_configuration(FunctionName=name)["Runtime"] == runtime


def _check_the_status(system, stage) -> None:
    printed = stage.run("status")
    assert "8 of 8" in printed
    assert f"version    {__version__}\n" in printed
    # A URL to which a route's path can be added.
    assert re.search(r"^API +https://\S+/api$", printed, re.MULTILINE)
    assert re.search(r"^page +https://\S+/api$", printed, re.MULTILINE)
    assert f"machine    {OTHER_PREFIX}, executions under way: 0\n" in printed
    assert "rate(1 day), enabled" in printed
    assert "6, none in alarm" in printed
    assert "0 need a person" in printed
    assert "failed to someone@example.com" in printed
    assert "NOT CONFIRMED" not in printed
    ledger = Schedule(Table(system.client("dynamodb"), OTHER_PREFIX), lambda: 0)
    ledger.pause("olga")
    assert "rate(1 day), PAUSED by olga since 1970-01-01 00:00 UTC" in stage.run("status")
    ledger.resume()
    system.aws.confirm_subscriptions(False)
    try:
        printed = stage.run("status")
    finally:
        system.aws.confirm_subscriptions(True)
    assert printed.count("NOT CONFIRMED: follow the link in the mail from Amazon") == 3


def test_deploying_again_completes_a_deployment_that_was_killed_during_chalice_deploy(system, stage):
    """Whether it was killed after some functions or before Chalice noted its API, there is no second API."""
    before = snapshot(system)
    apis = system.client("apigateway")

    def start():
        return stage.start("deploy", "--notify", "someone@example.com", "--child-execution-type", "STANDARD")

    for action, number, apis_left in (("lambda:CreateFunction", 2, 0), ("apigateway:POST", 1, 1)):
        kill_before_answer(system.aws, start, action, number)
        assert len(apis.get_rest_apis()["items"]) == len(before["apis"]) + apis_left
        assert not (stage.project / ".chalice" / "deployed" / f"{STAGE}.json").exists()
        stage.deploy()
        assert len(apis.get_rest_apis()["items"]) == len(before["apis"]) + 1
        assert "Plan: nothing to change." in stage.plan()
        stage.run("destroy", "--yes", "--with-data")
        assert snapshot(system) == before


class Interrupted(BaseException):
    """Ctrl-C, a closed laptop, or a lost connection."""


class InterruptedClient:
    """A client that is interrupted before a write once `left` writes are made. All clients share one `left`."""

    def __init__(self, client, left) -> None:
        self._client, self._left = client, left

    def __getattr__(self, name):
        if name.startswith(("create_", "put_", "set_", "update_", "subscribe")):
            if not self._left[0]:
                raise Interrupted
            self._left[0] -= 1
        return getattr(self._client, name)


def test_deploying_again_completes_a_deployment_that_was_interrupted_before_any_write(system, tmp_path):
    """Each deployment makes one write and is interrupted before the next, until nothing is left to write."""
    before = snapshot(system)
    stage = Stage(OtherStage(system, tmp_path).project, STAGE, AwsLocation("aws", REGION, ACCOUNT))
    make = functools.cache(system.client)
    interruptions = 0
    while _is_interrupted(stage, make):
        interruptions += 1
        assert interruptions < 200, "a step writes again and again"
    assert interruptions > 25
    plan = Plan(make)
    for step in _own_steps(stage, plan.clients):
        assert step.ensure() is StepResult.UNCHANGED, step.label
    destroy.destroy(_own_steps(stage, Clients(make=make)), OTHER_PREFIX, with_data=True, ask=lambda _: OTHER_PREFIX)
    assert snapshot(system) == before


def _is_interrupted(stage: Stage, make) -> bool:
    """Deploy as far as one write goes; return whether there was a second one to make."""
    try:
        take(_own_steps(stage, Clients(functools.partial(InterruptedClient, left=[1]), make)))
    except Interrupted:
        return True
    return False


def _own_steps(stage: Stage, clients: Clients) -> list:
    """All steps but those of Chalice's part, which another test covers."""
    steps = resources.steps(stage, clients, ["someone@example.com"], "STANDARD", lambda: StepResult.UNCHANGED)
    return [step for step in steps if step.kind not in ("chalice deploy", "retries off", "limits", "address")]


def test_deploy_without_access_to_aws_fails_with_one_sentence_that_says_what_to_do(system):
    """There are no credentials, no region, no such profile, or the session has expired; the exit code is 1."""
    keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    expired = _serve_error("ExpiredToken")
    try:
        cases = [
            (run_plan(system, *keys), "no AWS credentials: set AWS_PROFILE, or log in"),
            (run_plan(system, "AWS_REGION", "AWS_DEFAULT_REGION"), "no AWS region: set AWS_DEFAULT_REGION"),
            (run_plan(system, AWS_PROFILE="nobody"), "AWS_PROFILE names a profile that is not in ~/.aws/config"),
            (run_plan(system, AWS_ENDPOINT_URL=expired[0]), "the AWS session has expired: log in again"),
        ]
    finally:
        expired[1].shutdown()
        expired[1].server_close()
    for finished, sentence in cases:
        assert finished.returncode == 1
        assert finished.stderr.startswith(f"deploy.py: {sentence}")
        assert finished.stderr.count("\n") == 1


def _serve_error(code: str):
    """Start a server that refuses every call as AWS does; return its URL and the server."""
    text = f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>No.</Message></Error></ErrorResponse>"
    server = make_server("127.0.0.1", 0, Response(text, status=403, content_type="text/xml"))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.port}", server

"""Every example can be planned, deployed and destroyed, and leaves the account as it was."""

import re

import pytest

from chalicelib.names import AwsLocation
from deployment import policies
from deployment.stage import Stage
from examples import folders
from sandbox.aws import ACCOUNT, REGION
from sandbox.deployed import ON_DUTY
from tests import iam
from tests.e2e.other_stage import DEPLOYER, OwnProject, kill_before_answer, snapshot

NOTHING = "nothing to change."
DEPLOY = ("deploy", "--notify", ON_DUTY)


@pytest.fixture(params=folders.names())
def project(request, tmp_path):
    """An example, and an empty account."""
    with OwnProject(tmp_path, folders.EXAMPLES / request.param) as running:
        running.configure({})
        yield running


def plan(project):
    return project.run("plan", "--notify", ON_DUTY)


def labels(printed, result):
    """The steps that deploy.py names in its lines with this result."""
    return re.findall(rf"^  (.+?) \.+ {result}$", printed, re.MULTILINE)


def stage(project):
    return Stage(project.folder / "project", "dev", AwsLocation("aws", REGION, ACCOUNT))


def assert_no_trace(project, before):
    """The account is as it was, also if it is destroyed once more."""
    assert snapshot(project) == before
    assert "Done: there was nothing left to remove." in project.run("destroy", "--yes", "--with-data")
    assert snapshot(project) == before


def test_an_example_is_planned_deployed_used_and_destroyed_without_a_trace(project):
    """Its plan names what is missing. The deploying identity has all permissions that it needs."""
    before = snapshot(project)
    planned = plan(project)
    assert snapshot(project) == before
    deployed = project.deploy()
    assert labels(planned, "would be created") == labels(deployed, "created")
    after = snapshot(project)
    assert f"Plan: {NOTHING}" in plan(project)
    assert f"Done: {NOTHING}" in project.deploy()
    assert snapshot(project) == after
    _leave_data(project, after)
    project.run("destroy", "--yes")
    kept = before | {kind: after[kind] for kind in ("tables", "buckets")}
    assert snapshot(project) == kept
    project.run("destroy", "--yes", "--with-data")
    assert_no_trace(project, before)
    requested = {request for request in project.aws.iam_requests() if request.caller == DEPLOYER}
    policy = policies.documents(stage(project))["deployer"]
    compared = iam.compare("the deploying identity", [policy], requested, iam.UNUSED_BY_DEPLOYERS)
    assert [each for each in compared if " lacks " in each] == []


def _leave_data(project, deployed):
    """An execution, which may still run, an object in each bucket, and an item in each table."""
    arn = stage(project).names.state_machine_arn
    project.client("stepfunctions").start_execution(stateMachineArn=arn, name="x", input="{}")
    for bucket in deployed["buckets"]:
        project.client("s3").put_object(Bucket=bucket, Key="x", Body=b"")
    for table in deployed["tables"]:
        keys = project.client("dynamodb").describe_table(TableName=table)["Table"]["KeySchema"]
        project.client("dynamodb").put_item(TableName=table, Item={each["AttributeName"]: {"S": "x"} for each in keys})


def test_what_is_left_of_a_deployment_can_be_destroyed(project):
    """Whether it was killed while Chalice deployed the functions, or somebody has removed things by hand."""
    before = snapshot(project)
    kill_before_answer(project.aws, lambda: project.start_command(*DEPLOY), "lambda:CreateFunction")
    left = snapshot(project)
    assert len(left["functions"]) == 1
    assert left["machines"] == []
    project.run("destroy", "--yes", "--with-data")
    assert_no_trace(project, before)

    project.deploy()
    _remove_some(project)
    project.run("destroy", "--yes", "--with-data")
    assert_no_trace(project, before)


def _remove_some(project):
    """Remove the first resource of each kind that a person might remove by hand."""
    deployed = snapshot(project)
    project.client("lambda").delete_function(FunctionName=deployed["functions"][0])
    project.client("sns").delete_topic(TopicArn=deployed["topics"][0])
    project.client("logs").delete_log_group(logGroupName=deployed["logs"][0])
    project.client("stepfunctions").delete_state_machine(stateMachineArn=stage(project).names.state_machine_arn)
    for api in deployed["apis"][:1]:
        project.client("apigateway").delete_rest_api(restApiId=api)
    for table in deployed["tables"][:1]:
        project.client("dynamodb").update_table(TableName=table, DeletionProtectionEnabled=False)
        project.client("dynamodb").delete_table(TableName=table)

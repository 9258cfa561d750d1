"""The state machine and its role."""

import json
import time
from typing import Any

from chalicelib.names import Names
from deployment import logs, roles
from deployment.aws_wait import retry_until_ready
from deployment.steps import StepResult

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"},
    ],
}

POLICY = "state-machine"

_LOG_DELIVERY = (
    "CreateLogDelivery",
    "GetLogDelivery",
    "UpdateLogDelivery",
    "DeleteLogDelivery",
    "ListLogDeliveries",
    "PutResourcePolicy",
    "DescribeResourcePolicies",
    "DescribeLogGroups",
)
_TRACING = ("PutTraceSegments", "PutTelemetryRecords", "GetSamplingRules", "GetSamplingTargets")

# What Step Functions answers until a new role, or its policy, is visible.
_ROLE_UNKNOWN = "AccessDeniedException"

# AWS deletes a state machine asynchronously, and none with its name can be created until that is done.
_DELETION_TRIES, _DELETION_WAIT_S = 40, 3.0


def role_name(names: Names) -> str:
    """Return the name of the state machine's role."""
    return f"{names.prefix}-state-machine"


def policy(names: Names) -> dict[str, Any]:
    """Return the role's policy: what the states do, and what a distributed Map needs for itself.

    The latter is from AWS Step Functions Developer Guide, "IAM policies for using Distributed Map states".
    """
    bucket = names.bucket_arn
    functions = [names.function_arn(name) for name in ("reprocess", "record", "report", "request_approval")]
    executions = names.arn("states", f"execution:{names.prefix}")
    return {
        "Version": "2012-10-17",
        "Statement": [
            _allow(["lambda:InvokeFunction"], *functions),
            _allow(["dynamodb:GetItem"], names.table_arn),
            _allow(["s3:GetObject"], f"{bucket}/runs/*"),
            _allow(
                ["s3:PutObject", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:AbortMultipartUpload"],
                f"{bucket}/results/*",
            ),
            _allow(["sns:Publish"], names.succeeded_topic_arn, names.failed_topic_arn),
            _allow(["states:StartExecution"], names.state_machine_arn),
            # The first is what AWS documents; the second is what the children of a Map Run are really called.
            _allow(["states:DescribeExecution", "states:StopExecution"], f"{executions}:*", f"{executions}/*"),
            # Log delivery and tracing have no resources: AWS accepts only "*" here (AWS Step Functions
            # Developer Guide, "Using CloudWatch Logs to log execution history in Step Functions" and "Trace Step
            # Functions request data in AWS X-Ray").
            _allow([f"logs:{action}" for action in _LOG_DELIVERY], "*"),
            _allow([f"xray:{action}" for action in _TRACING], "*"),
        ],
    }


def _allow(actions: list[str], *resources: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": list(resources)}


def ensure_role(client: Any, names: Names) -> StepResult:
    """Create or update the role, with exactly its policy."""
    name = role_name(names)
    try:
        client.get_role(RoleName=name)
        result = StepResult.UNCHANGED
    except client.exceptions.NoSuchEntityException:
        client.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))
        result = StepResult.CREATED
    wanted = policy(names)
    if roles.inline_policy(client, name, POLICY) == wanted:
        return result
    client.put_role_policy(RoleName=name, PolicyName=POLICY, PolicyDocument=json.dumps(wanted))
    return StepResult.CREATED if result is StepResult.CREATED else StepResult.CHANGED


def settings(names: Names, *, traced: bool) -> dict[str, Any]:
    """Return what a state machine has besides its definition, as CreateStateMachine accepts it.

    Errors are logged, without the executions' input: EXPRESS children have no other history.
    """
    return {
        "roleArn": names.role_arn(role_name(names)),
        "loggingConfiguration": {
            "level": "ERROR",
            "includeExecutionData": False,
            "destinations": [{"cloudWatchLogsLogGroup": {"logGroupArn": logs.children_arn(names)}}],
        },
        "tracingConfiguration": {"enabled": traced},
    }


def ensure_machine(client: Any, names: Names, definition: str, *, traced: bool) -> StepResult:
    """Create or update the state machine. Executions under way finish with the definition that they started with."""
    wanted = settings(names, traced=traced)
    try:
        found = client.describe_state_machine(stateMachineArn=names.state_machine_arn)
    except client.exceptions.StateMachineDoesNotExist:
        retry_until_ready(
            lambda: client.create_state_machine(name=names.prefix, type="STANDARD", definition=definition, **wanted),
            _ROLE_UNKNOWN,
        )
        return StepResult.CREATED
    same = all(found.get(key) == value for key, value in wanted.items())
    if same and json.loads(found["definition"]) == json.loads(definition):
        return StepResult.UNCHANGED
    retry_until_ready(
        lambda: client.update_state_machine(stateMachineArn=names.state_machine_arn, definition=definition, **wanted),
        _ROLE_UNKNOWN,
    )
    return StepResult.CHANGED


def running(client: Any, names: Names) -> list[str]:
    """Return the ARNs of the executions that are under way."""
    try:
        pages = client.get_paginator("list_executions").paginate(
            stateMachineArn=names.state_machine_arn, statusFilter="RUNNING"
        )
        return [each["executionArn"] for page in pages for each in page["executions"]]
    except client.exceptions.StateMachineDoesNotExist:
        return []


def remove_machine(client: Any, names: Names) -> bool:
    """Stop all executions and delete the state machine. Returns when it is gone: whether it existed."""
    for execution in running(client, names):
        client.stop_execution(executionArn=execution, error="Destroyed", cause="deploy.py destroy")
    try:
        client.describe_state_machine(stateMachineArn=names.state_machine_arn)
    except client.exceptions.StateMachineDoesNotExist:
        return False
    client.delete_state_machine(stateMachineArn=names.state_machine_arn)
    for _ in range(_DELETION_TRIES):
        try:
            client.describe_state_machine(stateMachineArn=names.state_machine_arn)
        except client.exceptions.StateMachineDoesNotExist:
            break
        time.sleep(_DELETION_WAIT_S)
    return True

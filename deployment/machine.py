"""The state machine and the role that it acts as."""

import json
import time
from typing import Any

from chalicelib.settings import Names
from deployment import logs, roles
from deployment.patience import patiently
from deployment.steps import Done

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

# What Step Functions answers as long as it does not know a new role, or its policy.
_ROLE_UNKNOWN = "AccessDeniedException"

# AWS deletes a state machine behind, and lets none of its name be made meanwhile.
_DELETION_TRIES, _DELETION_WAIT = 40, 3.0


def role_name(names: Names) -> str:
    """Return the name of the state machine's role."""
    return f"{names.prefix}-state-machine"


def role_arn(names: Names) -> str:
    """Return the ARN of the state machine's role."""
    return f"arn:{names.place.partition}:iam::{names.place.account}:role/{role_name(names)}"


def policy(names: Names) -> dict[str, Any]:
    """Return what the state machine may do: what its states do, and what a distributed Map needs for itself.

    The latter after AWS Step Functions Developer Guide, "IAM policies for using Distributed Map states".
    """
    bucket = f"arn:{names.place.partition}:s3:::{names.bucket}"
    functions = [names.function_arn(name) for name in ("reprocess", "record", "report", "request_approval")]
    executions = names.state_machine.replace(":stateMachine:", ":execution:")
    return {
        "Version": "2012-10-17",
        "Statement": [
            _allow(["lambda:InvokeFunction"], *functions),
            _allow(["dynamodb:GetItem"], _table_arn(names)),
            _allow(["s3:GetObject"], f"{bucket}/runs/*"),
            _allow(
                ["s3:PutObject", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:AbortMultipartUpload"],
                f"{bucket}/results/*",
            ),
            _allow(["sns:Publish"], names.succeeded_topic, names.failed_topic),
            _allow(["states:StartExecution"], names.state_machine),
            # The first as AWS documents it; the second is what the children of a Map Run are really called.
            _allow(["states:DescribeExecution", "states:StopExecution"], f"{executions}:*", f"{executions}/*"),
            # Neither log delivery nor tracing knows resources: AWS allows nothing but "*" here (AWS Step Functions
            # Developer Guide, "Using CloudWatch Logs to log execution history in Step Functions" and "Trace Step
            # Functions request data in AWS X-Ray").
            _allow([f"logs:{action}" for action in _LOG_DELIVERY], "*"),
            _allow([f"xray:{action}" for action in _TRACING], "*"),
        ],
    }


def _allow(actions: list[str], *resources: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": list(resources)}


def _table_arn(names: Names) -> str:
    place = names.place
    return f"arn:{place.partition}:dynamodb:{place.region}:{place.account}:table/{names.table}"


def ensure_role(client: Any, names: Names) -> Done:
    """Make sure of the role and of exactly its rights."""
    name = role_name(names)
    try:
        client.get_role(RoleName=name)
        done = Done.UNCHANGED
    except client.exceptions.NoSuchEntityException:
        client.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))
        done = Done.CREATED
    wanted = policy(names)
    if roles.policy(client, name, POLICY) == wanted:
        return done
    client.put_role_policy(RoleName=name, PolicyName=POLICY, PolicyDocument=json.dumps(wanted))
    return Done.CREATED if done is Done.CREATED else Done.CHANGED


def settings(names: Names, *, traced: bool) -> dict[str, Any]:
    """Return what a state machine has besides its definition, as CreateStateMachine takes it.

    Errors are logged, without what the executions were given: EXPRESS children have no other history.
    """
    return {
        "roleArn": role_arn(names),
        "loggingConfiguration": {
            "level": "ERROR",
            "includeExecutionData": False,
            "destinations": [{"cloudWatchLogsLogGroup": {"logGroupArn": logs.children_arn(names)}}],
        },
        "tracingConfiguration": {"enabled": traced},
    }


def ensure_machine(client: Any, names: Names, definition: str, *, traced: bool) -> Done:
    """Make sure of the state machine; executions that run go on with the definition that they began with."""
    wanted = settings(names, traced=traced)
    try:
        found = client.describe_state_machine(stateMachineArn=names.state_machine)
    except client.exceptions.StateMachineDoesNotExist:
        patiently(
            lambda: client.create_state_machine(name=names.prefix, type="STANDARD", definition=definition, **wanted),
            _ROLE_UNKNOWN,
        )
        return Done.CREATED
    same = all(found.get(key) == value for key, value in wanted.items())
    if same and json.loads(found["definition"]) == json.loads(definition):
        return Done.UNCHANGED
    patiently(
        lambda: client.update_state_machine(stateMachineArn=names.state_machine, definition=definition, **wanted),
        _ROLE_UNKNOWN,
    )
    return Done.CHANGED


def running(client: Any, names: Names) -> list[str]:
    """Return the ARNs of the executions under way."""
    try:
        pages = client.get_paginator("list_executions").paginate(
            stateMachineArn=names.state_machine, statusFilter="RUNNING"
        )
        return [each["executionArn"] for page in pages for each in page["executions"]]
    except client.exceptions.StateMachineDoesNotExist:
        return []


def remove_machine(client: Any, names: Names) -> bool:
    """Stop what runs and delete the state machine; return whether there was one, once there is none."""
    for execution in running(client, names):
        client.stop_execution(executionArn=execution, error="Destroyed", cause="deploy.py destroy")
    try:
        client.describe_state_machine(stateMachineArn=names.state_machine)
    except client.exceptions.StateMachineDoesNotExist:
        return False
    client.delete_state_machine(stateMachineArn=names.state_machine)
    for _ in range(_DELETION_TRIES):
        try:
            client.describe_state_machine(stateMachineArn=names.state_machine)
        except client.exceptions.StateMachineDoesNotExist:
            break
        time.sleep(_DELETION_WAIT)
    return True

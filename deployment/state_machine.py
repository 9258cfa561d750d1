"""The state machine and its role."""

import json
import time
from collections.abc import Callable, Sequence
from typing import Any

from botocore.exceptions import ClientError

from chalicelib.names import Names
from deployment import logs, roles
from deployment.aws_errors import code
from deployment.aws_wait import retry_until_ready
from deployment.iam_policy import Json, allow, document, log_streams
from deployment.steps import StepFailed, StepResult

POLICY = "state-machine"

# What CreateStateMachine and UpdateStateMachine need for a machine that logs; these actions have no resources.
LOG_DELIVERY = (
    "CreateLogDelivery",
    "GetLogDelivery",
    "UpdateLogDelivery",
    "DeleteLogDelivery",
    "ListLogDeliveries",
    "PutResourcePolicy",
    "DescribeResourcePolicies",
    "DescribeLogGroups",
)

DELETING = "DELETING"

# AWS deletes a state machine asynchronously, and none with its name can be created until that is done.
_DELETION_TRIES, _DELETION_WAIT_S = 40, 3.0


def role_name(names: Names) -> str:
    """Return the name of the state machine's role."""
    return f"{names.prefix}-state-machine"


def trust(names: Names) -> Json:
    """Return who may use the role: Step Functions, for a state machine of this account.

    From AWS Step Functions Developer Guide, "Creating an IAM role for your state machine", "Prevent cross-service
    confused deputy issue".
    """
    condition = {
        "StringEquals": {"aws:SourceAccount": names.location.account},
        "ArnLike": {"aws:SourceArn": names.arn("states", "stateMachine:*")},
    }
    service = {"Service": "states.amazonaws.com"}
    return document(
        {"Effect": "Allow", "Principal": service, "Action": "sts:AssumeRole", "Condition": condition},
    )


def policy(names: Names, statements: Sequence[Json], *, traced: bool) -> Json:
    """Return the role's policy: what the states do, and what each state machine needs for its log and its traces.

    For the latter, AWS accepts only `*` (AWS Step Functions Developer Guide, "Using CloudWatch Logs to log execution
    history in Step Functions" and "Trace Step Functions request data in AWS X-Ray").
    """
    return document(
        *statements,
        allow(f"logs:{' '.join(LOG_DELIVERY)}", "*"),
        log_streams(names, logs.children(names)),
        *([_traces()] if traced else []),
    )


def _traces() -> Json:
    return allow("xray:PutTraceSegments PutTelemetryRecords GetSamplingRules GetSamplingTargets", "*")


def ensure_role(client: Any, names: Names, wanted: Json) -> StepResult:
    """Create or update the role, with exactly this policy."""
    result, name = _ensure_trust(client, names), role_name(names)
    if roles.inline_policy(client, name, POLICY) == wanted:
        return result
    client.put_role_policy(RoleName=name, PolicyName=POLICY, PolicyDocument=json.dumps(wanted))
    return StepResult.CREATED if result is StepResult.CREATED else StepResult.CHANGED


def _ensure_trust(client: Any, names: Names) -> StepResult:
    name, wanted = role_name(names), trust(names)
    try:
        found = client.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
    except client.exceptions.NoSuchEntityException:
        client.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(wanted))
        return StepResult.CREATED
    if found == wanted:
        return StepResult.UNCHANGED
    client.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(wanted))
    return StepResult.CHANGED


def settings(names: Names, *, traced: bool) -> dict[str, Any]:
    """Return what a state machine has besides its definition, as CreateStateMachine accepts it.

    Errors are logged, without the executions' input: EXPRESS children have no other history.
    """
    return {
        "roleArn": names.role_arn(role_name(names)),
        "loggingConfiguration": {
            "level": "ERROR",
            "includeExecutionData": False,
            "destinations": [{"cloudWatchLogsLogGroup": {"logGroupArn": names.log_group_arn(logs.children(names))}}],
        },
        "tracingConfiguration": {"enabled": traced},
    }


def ensure_machine(client: Any, names: Names, definition: str, *, traced: bool) -> StepResult:
    """Create or update the state machine. Executions under way finish with the definition that they started with."""
    wanted = settings(names, traced=traced)
    found = find(client, names)
    if found is None or found["status"] == DELETING:
        retry_until_ready(
            lambda: client.create_state_machine(name=names.prefix, type="STANDARD", definition=definition, **wanted),
            is_too_early,
        )
        return StepResult.CREATED
    same = all(found.get(key) == value for key, value in wanted.items())
    if same and json.loads(found["definition"]) == json.loads(definition):
        return StepResult.UNCHANGED
    retry_until_ready(
        lambda: client.update_state_machine(stateMachineArn=names.state_machine_arn, definition=definition, **wanted),
        is_too_early,
    )
    return StepResult.CHANGED


def is_too_early(error: ClientError) -> bool:
    """Whether an earlier machine of the name is not gone yet, or Step Functions cannot use a new role yet.

    It has the same code for a caller who lacks a permission, but then it names the caller.
    """
    unusable = code(error) == "AccessDeniedException" and "User: " not in str(error)
    return unusable or code(error) == "StateMachineDeleting"


def find(client: Any, names: Names) -> dict[str, Any] | None:
    """Return the state machine, None if it does not exist. While AWS deletes it, its `status` is DELETING."""
    try:
        found: dict[str, Any] = client.describe_state_machine(stateMachineArn=names.state_machine_arn)
    except client.exceptions.StateMachineDoesNotExist:
        return None
    return found


def running(client: Any, names: Names) -> list[str]:
    """Return the ARNs of the executions that are under way."""
    try:
        pages = client.get_paginator("list_executions").paginate(
            stateMachineArn=names.state_machine_arn, statusFilter="RUNNING"
        )
        return [each["executionArn"] for page in pages for each in page["executions"]]
    except client.exceptions.StateMachineDoesNotExist:
        return []


def remove_machine(client: Any, names: Names, sleep: Callable[[float], None] = time.sleep) -> bool:
    """Stop all executions and delete the state machine. Returns when it is gone: whether it existed.

    StepFailed if AWS has not deleted it after two minutes: its executions end only with their next transition.
    """
    for execution in running(client, names):
        client.stop_execution(executionArn=execution, error="Destroyed", cause="deploy.py destroy")
    found = find(client, names)
    if found is None:
        return False
    if found["status"] != DELETING:
        client.delete_state_machine(stateMachineArn=names.state_machine_arn)
    for _ in range(_DELETION_TRIES):
        if find(client, names) is None:
            return True
        sleep(_DELETION_WAIT_S)
    raise StepFailed(
        f"state machine {names.prefix}: AWS is still deleting it. Wait a few minutes, then run the same command again; "
        "it continues where it stopped."
    )

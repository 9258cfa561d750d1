"""Compares policies with the requests that were really made, as IAM would."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from deployment import chalice_names, state_machine
from deployment.stage import Stage
from sandbox.aws import ACCOUNT, REGION
from sandbox.aws.iam_requests import IamRequest
from sandbox.aws.model import INTERPRETER

TASK_TOKEN_ACTIONS = ("states:SendTaskSuccess", "states:SendTaskFailure")

# What IAM fills in from the request.
_VARIABLES = {"${aws:PrincipalAccount}": ACCOUNT, "${aws:RequestedRegion}": REGION}


# Permissions that nothing uses in the sandbox, whatever is deployed. Each needs its reason.
UNUSED_BY_FUNCTIONS = {
    "logs:CreateLogStream": "Lambda itself writes what a function prints, with the function's role",
    "logs:PutLogEvents": "the same",
    "xray:PutTraceSegments": "Lambda's and Step Functions' own agents send the traces",
    "xray:PutTelemetryRecords": "the same",
}
UNUSED_BY_STATE_MACHINES = UNUSED_BY_FUNCTIONS | {
    "xray:GetSamplingRules": "Step Functions asks whether to trace",
    "xray:GetSamplingTargets": "the same",
    **dict.fromkeys(
        [f"logs:{action}" for action in state_machine.LOG_DELIVERY],
        "AWS requires it when a state machine with logging is created",
    ),
}
UNUSED_BY_DEPLOYERS = {
    "iam:CreateServiceLinkedRole": "API Gateway asks for it when it first traces a stage of the account",
    "lambda:PutFunctionConcurrency": "any function may be given a reserved concurrency",
    "lambda:TagResource": "Lambda asks for it when a function is created with tags, as Chalice does",
    **dict.fromkeys(
        [f"logs:{action}" for action in state_machine.LOG_DELIVERY],
        "Step Functions asks for it when a state machine with logging is created",
    ),
}


def compare_stage(
    stage: Stage,
    policies: Mapping[str, list[dict]],
    requests: Iterable[IamRequest],
    unused_by_functions: Mapping[str, str] = UNUSED_BY_FUNCTIONS,
    unused_by_state_machine: Mapping[str, str] = UNUSED_BY_STATE_MACHINES,
) -> list[str]:
    """What the functions and the state machine of a stage lack, and what they have and never use, in words.

    Each function signs with its own access key. `policies` are those that each is deployed with, one after the other.
    """
    requested = defaultdict(set)
    for request in requests:
        requested[request.caller].add(request)
    problems = []
    for name in stage.description.functions:
        caller = chalice_names.function(stage.names, name)
        problems += compare(name, policies[name], requested[caller], unused_by_functions)
    machine = state_machine.policy(stage.names, stage.description.state_machine.statements, traced=stage.traced)
    return problems + compare("state machine", [machine], requested[INTERPRETER], unused_by_state_machine)


def permissions(policy: dict) -> set[tuple[str, str]]:
    """Each action that a policy allows, with each of its resources."""
    return {
        (action, _resolved(resource))
        for statement in policy["Statement"]
        if statement["Effect"] == "Allow"
        for action in statement["Action"]
        for resource in statement["Resource"]
    }


def compare(name: str, policies: list[dict], requested: set[IamRequest], unused_here: Mapping[str, str]) -> list[str]:
    """What is missing and what is superfluous, in words; IAM's `*` and `?` are those of file names."""
    allowed = set().union(*map(permissions, policies))
    missing = {request for request in requested if not any(_allows(each, request) for each in allowed)}
    missing |= {request for request in requested if any(denies(policy, request) for policy in policies)}
    surplus = [
        permission
        for permission in allowed
        if permission[0] not in unused_here and not any(_allows(permission, request) for request in requested)
    ]
    lacking = {(each.action, each.resource, each.partitions) for each in missing}
    return [f"{name} lacks {' on '.join(filter(None, request))}" for request in sorted(lacking)] + [
        f"{name} has but never uses {' on '.join(permission)}" for permission in sorted(surplus)
    ]


def denies(policy: dict, request: IamRequest) -> bool:
    """Whether a policy denies a request because of a partition that it names."""
    return any(
        request.action in statement["Action"]
        and any(fnmatchcase(request.resource, resource) for resource in statement["Resource"])
        and set(statement["Condition"]["ForAnyValue:StringEquals"]["dynamodb:LeadingKeys"])
        & set(request.partitions.split(","))
        for statement in policy["Statement"]
        if statement["Effect"] == "Deny"
    )


def _resolved(resource: str) -> str:
    for variable, value in _VARIABLES.items():
        resource = resource.replace(variable, value)
    return resource


def _allows(permission: tuple[str, str], request: IamRequest) -> bool:
    # A task token names its state machine, but only AWS can read it.
    return permission[0] == request.action and (
        permission[0] in TASK_TOKEN_ACTIONS or fnmatchcase(request.resource, permission[1])
    )

"""Compares policies with the requests that were really made, as IAM would."""

from fnmatch import fnmatchcase

from sandbox.aws import ACCOUNT, REGION
from sandbox.aws.iam_requests import IamRequest

TASK_TOKEN_ACTIONS = ("states:SendTaskSuccess", "states:SendTaskFailure")

# What IAM fills in from the request.
_VARIABLES = {"${aws:PrincipalAccount}": ACCOUNT, "${aws:RequestedRegion}": REGION}


def permissions(policy: dict) -> set[tuple[str, str]]:
    """Each action that a policy allows, with each of its resources."""
    return {
        (action, _resolved(resource))
        for statement in policy["Statement"]
        if statement["Effect"] == "Allow"
        for action in statement["Action"]
        for resource in statement["Resource"]
    }


def compare(name: str, policies: list[dict], requested: set[IamRequest], unused_here: dict[str, str]) -> list[str]:
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

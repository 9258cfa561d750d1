"""The log groups: one for each function, and one for errors of the child workflows, which have no other history.

They are created before anything writes to them, so that no function needs the permission to create one, and none keeps
its lines for ever. Chalice's `log_retention_in_days` would create the HTTP API's group under the wrong name.
"""

from collections.abc import Iterable
from typing import Any

from chalicelib.names import Names
from deployment import chalice_names
from deployment.steps import StepResult

RETENTION_DAYS = 30


def children(names: Names) -> str:
    """Return the name of the child workflows' log group.

    Its prefix keeps the account's log resource policy short, which is limited to 5,120 characters (AWS Step Functions
    Developer Guide, "Using CloudWatch Logs to log execution history in Step Functions").
    """
    return f"/aws/vendedlogs/states/{names.prefix}"


def of_function(names: Names, function: str) -> str:
    """Return the name of a function's log group."""
    return f"/aws/lambda/{chalice_names.function(names, function)}"


def groups(names: Names, functions: Iterable[str]) -> list[str]:
    """Return the names of all log groups."""
    return [*(of_function(names, function) for function in functions), children(names)]


def ensure(client: Any, groups: Iterable[str]) -> StepResult:
    """Create log groups and set their retention."""
    results = {_ensure(client, name) for name in groups}
    return results.pop() if len(results) == 1 else StepResult.CHANGED


def _ensure(client: Any, name: str) -> StepResult:
    found = _find(client, name)
    if found is None:
        client.create_log_group(logGroupName=name)
    elif found.get("retentionInDays") == RETENTION_DAYS:
        return StepResult.UNCHANGED
    client.put_retention_policy(logGroupName=name, retentionInDays=RETENTION_DAYS)
    return StepResult.CHANGED if found else StepResult.CREATED


def _find(client: Any, name: str) -> Any:
    for page in client.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=name):
        for group in page["logGroups"]:
            if group["logGroupName"] == name:
                return group
    return None


def remove(client: Any, groups: Iterable[str]) -> bool:
    """Remove log groups and their content; return whether any existed."""
    found = [_remove(client, name) for name in groups]
    return any(found)


def _remove(client: Any, name: str) -> bool:
    try:
        client.delete_log_group(logGroupName=name)
    except client.exceptions.ResourceNotFoundException:
        return False
    return True

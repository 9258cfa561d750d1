"""The log groups: one for each function, and one for errors of the child workflows, which have no other history.

They are created before anything writes to them, so that no function needs the permission to create one, and none keeps
its lines for ever. Chalice's `log_retention_in_days` would create the HTTP API's group under the wrong name.
"""

from typing import Any

from chalicelib.names import Names
from deployment.chalice_names import functions
from deployment.steps import StepResult

RETENTION_DAYS = 30


def children(names: Names) -> str:
    """Return the name of the child workflows' log group.

    Its prefix keeps the account's log resource policy short, which is limited to 5,120 characters (AWS Step Functions
    Developer Guide, "Using CloudWatch Logs to log execution history in Step Functions").
    """
    return f"/aws/vendedlogs/states/{names.prefix}"


def groups(names: Names) -> list[str]:
    """Return the names of all log groups."""
    return [*(f"/aws/lambda/{function}" for function in functions(names)), children(names)]


def ensure(client: Any, names: Names) -> StepResult:
    """Create the log groups and set their retention."""
    results = {_ensure(client, name) for name in groups(names)}
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


def remove(client: Any, names: Names) -> bool:
    """Remove the log groups and their content; return whether any existed."""
    found = [_remove(client, name) for name in groups(names)]
    return any(found)


def _remove(client: Any, name: str) -> bool:
    try:
        client.delete_log_group(logGroupName=name)
    except client.exceptions.ResourceNotFoundException:
        return False
    return True

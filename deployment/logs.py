"""The log groups: of each function, and of the child workflows' errors, as EXPRESS children have no other history.

They are made before what writes to them, so that no function needs the right to make one, and none keeps for ever.
Chalice's `log_retention_in_days` would make the group of the HTTP API under a name that its function does not have.
"""

from typing import Any

from chalicelib.settings import Names
from deployment.naming import functions
from deployment.steps import Done

RETENTION_DAYS = 30


def children(names: Names) -> str:
    """Return the name of the log group.

    Its prefix keeps the account's log resource policy short, which has a limit of 5,120 characters (AWS Step Functions
    Developer Guide, "Using CloudWatch Logs to log execution history in Step Functions").
    """
    return f"/aws/vendedlogs/states/{names.prefix}"


def children_arn(names: Names) -> str:
    """Return the ARN of the log group, as Step Functions wants it: with all its streams."""
    place = names.place
    return f"arn:{place.partition}:logs:{place.region}:{place.account}:log-group:{children(names)}:*"


def groups(names: Names) -> list[str]:
    """Return the names of all log groups."""
    return [*(f"/aws/lambda/{function}" for function in functions(names)), children(names)]


def ensure(client: Any, names: Names) -> Done:
    """Make sure of the log groups and of how long they keep."""
    done = {_ensure(client, name) for name in groups(names)}
    return done.pop() if len(done) == 1 else Done.CHANGED


def _ensure(client: Any, name: str) -> Done:
    found = _find(client, name)
    if found is None:
        client.create_log_group(logGroupName=name)
    elif found.get("retentionInDays") == RETENTION_DAYS:
        return Done.UNCHANGED
    client.put_retention_policy(logGroupName=name, retentionInDays=RETENTION_DAYS)
    return Done.CHANGED if found else Done.CREATED


def _find(client: Any, name: str) -> Any:
    for page in client.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=name):
        for group in page["logGroups"]:
            if group["logGroupName"] == name:
                return group
    return None


def remove(client: Any, names: Names) -> bool:
    """Remove the log groups with what they hold; return whether there was any."""
    found = [_remove(client, name) for name in groups(names)]
    return any(found)


def _remove(client: Any, name: str) -> bool:
    try:
        client.delete_log_group(logGroupName=name)
    except client.exceptions.ResourceNotFoundException:
        return False
    return True

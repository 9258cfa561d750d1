"""The ledger's table."""

from typing import Any

from deployment.aws_wait import retry_until_ready
from deployment.steps import StepResult

TTL = {"Enabled": True, "AttributeName": "expiresAt"}

# Sparse indexes contain only the items that have the attribute. Name, which is also the partition key, and sort key.
_INDEXES = (("runs", "requestedAt"), ("open", "requestedAt"), ("worklist", "manualSince"))


def table_definition(name: str) -> dict[str, Any]:
    """Return the table as CreateTable accepts it."""
    numbers = sorted({sort for _, sort in _INDEXES})
    return {
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": _keys("pk", "sk"),
        "AttributeDefinitions": [
            {"AttributeName": each, "AttributeType": "S"} for each in ("pk", "sk", *(index for index, _ in _INDEXES))
        ]
        + [{"AttributeName": each, "AttributeType": "N"} for each in numbers],
        "GlobalSecondaryIndexes": [
            {"IndexName": index, "KeySchema": _keys(index, sort), "Projection": {"ProjectionType": "ALL"}}
            for index, sort in _INDEXES
        ],
        "SSESpecification": {"Enabled": True},
    }


def _keys(partition: str, sort: str) -> list[dict[str, str]]:
    return [{"AttributeName": partition, "KeyType": "HASH"}, {"AttributeName": sort, "KeyType": "RANGE"}]


def ensure(client: Any, name: str) -> StepResult:
    """Create the table, its TTL and its backups if they are missing. Nothing else is changed: it holds data."""
    result = _ensure_table(client, name)
    changed = [_enable_ttl(client, name), _enable_backups(client, name)]
    return StepResult.CHANGED if result is StepResult.UNCHANGED and any(changed) else result


def _enable_ttl(client: Any, name: str) -> bool:
    """Enable the expiry of items; False if it is enabled already."""
    if client.describe_time_to_live(TableName=name)["TimeToLiveDescription"]["TimeToLiveStatus"] != "DISABLED":
        return False
    client.update_time_to_live(TableName=name, TimeToLiveSpecification=TTL)
    return True


def _enable_backups(client: Any, name: str) -> bool:
    """Enable point-in-time recovery; False if it is enabled already."""
    backups = client.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    if backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] != "DISABLED":
        return False
    wanted = {"PointInTimeRecoveryEnabled": True}
    retry_until_ready(
        lambda: client.update_continuous_backups(TableName=name, PointInTimeRecoverySpecification=wanted),
        # A table is active a few seconds before its backups can be.
        "ContinuousBackupsUnavailableException",
    )
    return True


def _ensure_table(client: Any, name: str) -> StepResult:
    try:
        client.describe_table(TableName=name)
        result = StepResult.UNCHANGED
    except client.exceptions.ResourceNotFoundException:
        client.create_table(**table_definition(name))
        result = StepResult.CREATED
    # An earlier deployment may have been interrupted just after it had requested the table.
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 2, "MaxAttempts": 60})
    return result


def remove(client: Any, name: str) -> bool:
    """Delete the table and its content; return whether it existed. Its point-in-time backups stay for 35 days."""
    try:
        client.delete_table(TableName=name)
    except client.exceptions.ResourceNotFoundException:
        return False
    client.get_waiter("table_not_exists").wait(TableName=name, WaiterConfig={"Delay": 2, "MaxAttempts": 60})
    return True

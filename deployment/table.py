"""The ledger's table."""

from typing import Any

from deployment.patience import patiently
from deployment.steps import Done

TTL = {"Enabled": True, "AttributeName": "expiresAt"}

# Sparse indexes: only items with the attribute stand in them. Name, which is the partition key, and sort key.
_INDEXES = (("runs", "requestedAt"), ("open", "requestedAt"), ("worklist", "manualSince"))


def table_definition(name: str) -> dict[str, Any]:
    """Return the table as CreateTable takes it."""
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


def ensure(client: Any, name: str) -> Done:
    """Make sure of the table, its expiry and its backups; it is never changed otherwise, as it holds the truth."""
    done = _ensure_table(client, name)
    if client.describe_time_to_live(TableName=name)["TimeToLiveDescription"]["TimeToLiveStatus"] == "DISABLED":
        client.update_time_to_live(TableName=name, TimeToLiveSpecification=TTL)
        done = done if done is Done.CREATED else Done.CHANGED
    backups = client.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    if backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "DISABLED":
        wanted = {"PointInTimeRecoveryEnabled": True}
        patiently(
            lambda: client.update_continuous_backups(TableName=name, PointInTimeRecoverySpecification=wanted),
            # A table is active some seconds before its backups can be.
            "ContinuousBackupsUnavailableException",
        )
        done = done if done is Done.CREATED else Done.CHANGED
    return done


def _ensure_table(client: Any, name: str) -> Done:
    try:
        client.describe_table(TableName=name)
        done = Done.UNCHANGED
    except client.exceptions.ResourceNotFoundException:
        client.create_table(**table_definition(name))
        done = Done.CREATED
    # An earlier deployment may have been interrupted just after it asked for the table.
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 2, "MaxAttempts": 60})
    return done


def remove(client: Any, name: str) -> bool:
    """Delete the table and what it holds; return whether there was one. Point-in-time backups stay for 35 days."""
    try:
        client.delete_table(TableName=name)
    except client.exceptions.ResourceNotFoundException:
        return False
    client.get_waiter("table_not_exists").wait(TableName=name, WaiterConfig={"Delay": 2, "MaxAttempts": 60})
    return True

"""The ledger's table."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from deployment.aws_wait import answers, retry_until_ready
from deployment.steps import StepFailed, StepResult

TTL = {"Enabled": True, "AttributeName": "expiresAt"}

# Sparse indexes contain only the items that have the attribute. Name, which is also the partition key, and sort key.
_INDEXES = (("runs", "requestedAt"), ("open", "requestedAt"), ("worklist", "manualSince"))

# Ten minutes for a new index, which is built from all items of the table.
_INDEX_TRIES, _INDEX_WAIT_S = 120, 5.0

Json = dict[str, Any]


def table_definition(name: str) -> Json:
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
        "GlobalSecondaryIndexes": [_index(index, sort) for index, sort in _INDEXES],
        "SSESpecification": {"Enabled": True},
    }


def _index(name: str, sort: str) -> Json:
    return {"IndexName": name, "KeySchema": _keys(name, sort), "Projection": {"ProjectionType": "ALL"}}


def _keys(partition: str, sort: str) -> list[dict[str, str]]:
    return [{"AttributeName": partition, "KeyType": "HASH"}, {"AttributeName": sort, "KeyType": "RANGE"}]


def ensure(client: Any, name: str, sleep: Callable[[float], None] = time.sleep) -> StepResult:
    """Create the table, or add what it lacks: protection from deletion, indexes, TTL and backups.

    Nothing else is changed: it holds data. StepFailed if a new index takes longer than ten minutes.
    """
    result = _ensure_table(client, name)
    changed = [
        _protect(client, name),
        *(_ensure_index(client, name, index, sort, sleep) for index, sort in _INDEXES),
        _enable_ttl(client, name),
        _enable_backups(client, name),
    ]
    return StepResult.CHANGED if result is StepResult.UNCHANGED and any(changed) else result


def _ensure_table(client: Any, name: str) -> StepResult:
    found = _describe(client, name)
    if found and found["TableStatus"] != "DELETING":
        result = StepResult.UNCHANGED
    else:
        create = partial(client.create_table, **table_definition(name), DeletionProtectionEnabled=True)
        # The name is in use until AWS has deleted an earlier table.
        retry_until_ready(create, answers("ResourceInUseException"))
        result = StepResult.CREATED
    # An earlier deployment may have been interrupted just after it had requested the table, or a change of it.
    _wait_until_active(client, name)
    return result


def _describe(client: Any, name: str) -> Json | None:
    try:
        found: Json = client.describe_table(TableName=name)["Table"]
    except client.exceptions.ResourceNotFoundException:
        return None
    return found


def _wait_until_active(client: Any, name: str) -> None:
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 2, "MaxAttempts": 60})


def _protect(client: Any, name: str) -> bool:
    """Keep everybody from deleting the table; False if it is protected already."""
    if (_describe(client, name) or {}).get("DeletionProtectionEnabled"):
        return False
    client.update_table(TableName=name, DeletionProtectionEnabled=True)
    _wait_until_active(client, name)
    return True


def _ensure_index(client: Any, name: str, index: str, sort: str, sleep: Callable[[float], None]) -> bool:
    """Add an index that a table of an earlier version lacks, and wait until it is built; False if it is there.

    An update creates one index at most, and nothing can be read from it until it is built from the items (Amazon
    DynamoDB Developer Guide, "Managing Global Secondary Indexes"). So the functions that need it are deployed later.
    """
    status = _index_status(client, name, index)
    if status == "ACTIVE":
        return False
    if status is None:
        types = [{"AttributeName": index, "AttributeType": "S"}, {"AttributeName": sort, "AttributeType": "N"}]
        create = {"Create": _index(index, sort)}
        client.update_table(TableName=name, AttributeDefinitions=types, GlobalSecondaryIndexUpdates=[create])
    for _ in range(_INDEX_TRIES):
        if _index_status(client, name, index) == "ACTIVE":
            return True
        sleep(_INDEX_WAIT_S)
    raise StepFailed(
        f"table {name}: AWS is still building the index {index} from the items. Wait, then run the same command again; "
        "it continues where it stopped."
    )


def _index_status(client: Any, name: str, index: str) -> str | None:
    found = (_describe(client, name) or {}).get("GlobalSecondaryIndexes", [])
    return next((str(each["IndexStatus"]) for each in found if each["IndexName"] == index), None)


def _enable_ttl(client: Any, name: str) -> bool:
    """Enable the expiry of items; False if it is enabled already."""
    if client.describe_time_to_live(TableName=name)["TimeToLiveDescription"]["TimeToLiveStatus"] != "DISABLED":
        return False
    client.update_time_to_live(TableName=name, TimeToLiveSpecification=TTL)
    return True


def _enable_backups(client: Any, name: str) -> bool:
    """Enable point-in-time recovery; False if it is enabled already."""
    backups = client.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    # The description is optional (Amazon DynamoDB API Reference, ContinuousBackupsDescription).
    if backups.get("PointInTimeRecoveryDescription", {}).get("PointInTimeRecoveryStatus", "DISABLED") != "DISABLED":
        return False
    wanted = {"PointInTimeRecoveryEnabled": True}
    retry_until_ready(
        lambda: client.update_continuous_backups(TableName=name, PointInTimeRecoverySpecification=wanted),
        # A table is active a few seconds before its backups can be.
        answers("ContinuousBackupsUnavailableException"),
    )
    return True


def remove(client: Any, name: str) -> bool:
    """Delete the table and its content; return whether it existed. Its point-in-time backups stay for 35 days."""
    found = _describe(client, name)
    if found is None:
        return False
    if found["TableStatus"] != "DELETING":
        client.update_table(TableName=name, DeletionProtectionEnabled=False)
        _wait_until_active(client, name)
        client.delete_table(TableName=name)
    client.get_waiter("table_not_exists").wait(TableName=name, WaiterConfig={"Delay": 2, "MaxAttempts": 60})
    return True

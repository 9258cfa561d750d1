"""The DynamoDB tables."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from deployment.aws_wait import answers, retry_until_ready
from deployment.description import Index, Table
from deployment.steps import StepFailed, StepResult

# Ten minutes for a new index, which is built from all items of the table.
_INDEX_TRIES, _INDEX_WAIT_S = 120, 5.0

Json = dict[str, Any]


def table_definition(table: Table, name: str) -> Json:
    """Return a table as CreateTable accepts it."""
    keys = [table.partition, table.sort, *(key for index in table.indexes for key in (index.partition, index.sort))]
    indexes = {"GlobalSecondaryIndexes": [_index(index) for index in table.indexes]} if table.indexes else {}
    return {
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": _keys(table.partition, table.sort),
        "AttributeDefinitions": _types(table, *dict.fromkeys(keys)),
        **indexes,
        "SSESpecification": {"Enabled": True},
    }


def _types(table: Table, *keys: str) -> list[dict[str, str]]:
    """Return the types of keys: strings in their order, then numbers."""
    strings = [each for each in keys if each and each not in table.numbers]
    numbers = sorted(each for each in keys if each in table.numbers)
    types = {"S": strings, "N": numbers}
    return [{"AttributeName": each, "AttributeType": kind} for kind, named in types.items() for each in named]


def _index(index: Index) -> Json:
    keys = _keys(index.partition, index.sort)
    return {"IndexName": index.name, "KeySchema": keys, "Projection": {"ProjectionType": "ALL"}}


def _keys(partition: str, sort: str) -> list[dict[str, str]]:
    found = [{"AttributeName": partition, "KeyType": "HASH"}]
    return found + ([{"AttributeName": sort, "KeyType": "RANGE"}] if sort else [])


def expiry(table: Table) -> Json:
    """Return a table's time to live as UpdateTimeToLive accepts it."""
    return {"Enabled": True, "AttributeName": table.ttl}


def ensure(client: Any, table: Table, name: str, sleep: Callable[[float], None] = time.sleep) -> StepResult:
    """Create the table, or add what it lacks: protection from deletion, indexes, TTL and backups.

    Nothing else is changed: it holds data. StepFailed if a new index takes longer than ten minutes.
    """
    result = _ensure_table(client, table, name)
    changed = [
        _protect(client, name),
        *(_ensure_index(client, table, name, index, sleep) for index in table.indexes),
        _enable_ttl(client, table, name),
        _enable_backups(client, name),
    ]
    return StepResult.CHANGED if result is StepResult.UNCHANGED and any(changed) else result


def _ensure_table(client: Any, table: Table, name: str) -> StepResult:
    found = _describe(client, name)
    if found and found["TableStatus"] != "DELETING":
        result = StepResult.UNCHANGED
    else:
        create = partial(client.create_table, **table_definition(table, name), DeletionProtectionEnabled=True)
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


def _ensure_index(client: Any, table: Table, name: str, index: Index, sleep: Callable[[float], None]) -> bool:
    """Add an index that a table of an earlier version lacks, and wait until it is built; False if it is there.

    An update creates one index at most, and nothing can be read from it until it is built from the items (Amazon
    DynamoDB Developer Guide, "Managing Global Secondary Indexes"). So the functions that need it are deployed later.
    """
    status = _index_status(client, name, index.name)
    if status == "ACTIVE":
        return False
    if status is None:
        types = _types(table, index.partition, index.sort)
        create = {"Create": _index(index)}
        client.update_table(TableName=name, AttributeDefinitions=types, GlobalSecondaryIndexUpdates=[create])
    for _ in range(_INDEX_TRIES):
        if _index_status(client, name, index.name) == "ACTIVE":
            return True
        sleep(_INDEX_WAIT_S)
    raise StepFailed(
        f"table {name}: AWS is still building the index {index.name} from the items. Wait, then run the same command "
        "again; it continues where it stopped."
    )


def _index_status(client: Any, name: str, index: str) -> str | None:
    found = (_describe(client, name) or {}).get("GlobalSecondaryIndexes", [])
    return next((str(each["IndexStatus"]) for each in found if each["IndexName"] == index), None)


def _enable_ttl(client: Any, table: Table, name: str) -> bool:
    """Enable the expiry of items; False if it is enabled already, or items do not expire."""
    if not table.ttl:
        return False
    if client.describe_time_to_live(TableName=name)["TimeToLiveDescription"]["TimeToLiveStatus"] != "DISABLED":
        return False
    client.update_time_to_live(TableName=name, TimeToLiveSpecification=expiry(table))
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

"""The only module that talks to DynamoDB: the few calls that the ledger needs, with plain Python values."""

import functools
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

from chalicelib.models.base import PageKey

Item = dict[str, Any]

# An update of one item: its key, the expression, the values, and the condition. See Table.update.
Update = tuple[tuple[str, str], str, Item, str | None]

# The limits of BatchGetItem and of TransactWriteItems (Amazon DynamoDB API reference).
BATCH_GET = MAX_ACTIONS = 100

# In seconds: the longest pauses before BatchGetItem is asked again for what it left unread, with exponential backoff as
# its reference recommends. Each is a random part of that (AWS Builders' Library, "Timeouts, retries, and backoff with
# jitter"), so that Lambdas that were throttled together do not come back together.
PAUSES = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)

# A page of an index with a filter may take several queries: at most this many, each of so many items.
_MAX_QUERIES, _ITEMS_PER_QUERY = 10, 1000

# In seconds: the longest pauses before an update is made again that met an ongoing transaction, which takes a moment.
_CONFLICT_PAUSES = PAUSES[:3]


class _Deserializer(TypeDeserializer):
    """boto3's, but numbers become `int`: all of ours are whole."""

    def _deserialize_n(self, value: str) -> int:
        return int(value)


_serialize = TypeSerializer().serialize
_deserialize = _Deserializer().deserialize


class ConditionFailed(Exception):
    """A conditional write was refused; `item` is what the table holds instead (empty if nothing)."""

    def __init__(self, item: Item) -> None:
        super().__init__("the condition of a write was not met")
        self.item = item


class ReadsThrottled(Exception):
    """DynamoDB left items unread however often it was asked. The message says how many, and what to look at."""


def _encode(values: Item) -> Item:
    return {name: _serialize(value) for name, value in values.items()}


def _decode(item: Item) -> Item:
    return {name: _deserialize(value) for name, value in item.items()}


@functools.lru_cache(maxsize=256)
def _names(expressions: str) -> dict[str, str]:
    """Return the attributes that expressions name, by placeholder."""
    return {f"#{name}": name for name in re.findall(r"#(\w+)", expressions)}


def change_of(changes: Item, expected: Item) -> tuple[str, Item, str]:
    """Return the arguments of an update that changes attributes of an item whose others are as `expected`.

    None removes an attribute, and is expected of one that is not there.
    """
    settings = [f"#{name} = :new_{name}" for name, value in changes.items() if value is not None]
    removals = [f"#{name}" for name, value in changes.items() if value is None]
    expression = f"SET {', '.join(settings)}" + (f" REMOVE {', '.join(removals)}" if removals else "")
    conditions = [
        f"attribute_not_exists(#{name})" if value is None else f"#{name} = :old_{name}"
        for name, value in expected.items()
    ]
    values = {f"new_{name}": value for name, value in changes.items() if value is not None}
    values |= {f"old_{name}": value for name, value in expected.items() if value is not None}
    return expression, values, " AND ".join(conditions)


class Table:
    """One table with the key `pk`, `sk`; `client` is boto3's `dynamodb` client, and `sleep` takes seconds."""

    def __init__(self, client: Any, name: str, sleep: Callable[[float], None] = time.sleep) -> None:
        self._client = client
        self._name = name
        self._sleep = sleep

    def get(self, pk: str, sk: str) -> Item | None:
        """Return an item, strongly consistent, or None if it does not exist."""
        answer = self._client.get_item(TableName=self._name, Key=_encode({"pk": pk, "sk": sk}), ConsistentRead=True)
        return _decode(answer["Item"]) if "Item" in answer else None

    def put(self, item: Item) -> None:
        """Write an item, replacing one with the same key."""
        self._client.put_item(TableName=self._name, Item=_encode(item))

    def put_new(self, item: Item) -> bool:
        """Write an item unless one with its key exists; return whether it was written."""
        try:
            self._client.put_item(
                TableName=self._name, Item=_encode(item), ConditionExpression="attribute_not_exists(pk)"
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def update(self, key: tuple[str, str], expression: str, values: Item, condition: str | None = None) -> None:
        """Apply an update expression.

        In the expressions `:name` stands for `values["name"]`, and `#name` for the attribute `name`. Raises
        ConditionFailed, with what the table holds, if the condition is not met.
        """
        self._update(key, expression, values, condition, "NONE")

    def update_and_get(self, key: tuple[str, str], expression: str, values: Item, condition: str | None = None) -> Item:
        """Do what `update` does, and return the item as it is afterwards."""
        return _decode(self._update(key, expression, values, condition, "ALL_NEW")["Attributes"])

    def transact(self, updates: Sequence[Update]) -> set[int]:
        """Apply at most MAX_ACTIONS updates of different items: all, or none if a condition is not met.

        Returns the positions of the updates whose condition is not met. ClientError if DynamoDB cancels all of them for
        another reason, such as another transaction with one of the items. The items may have 4 MB in all (Amazon
        DynamoDB API reference, TransactWriteItems).
        """
        actions = [{"Update": self._request(*update)} for update in updates]
        try:
            self._client.transact_write_items(TransactItems=actions)
        except ClientError as error:
            reasons: Any = error.response.get("CancellationReasons", [])
            unmet = {place for place, reason in enumerate(reasons) if reason["Code"] == "ConditionalCheckFailed"}
            if not unmet:
                raise
            return unmet
        return set()

    def _update(
        self, key: tuple[str, str], expression: str, values: Item, condition: str | None, returned: str
    ) -> dict[str, Any]:
        request = self._request(key, expression, values, condition) | {"ReturnValues": returned}
        if condition:
            request["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        for pause in _CONFLICT_PAUSES:
            try:
                return self._checked(request)
            except ClientError as error:
                if error.response["Error"]["Code"] != "TransactionConflictException":
                    raise
            # Nothing was written (Amazon DynamoDB API reference, UpdateItem), and botocore does not repeat this one.
            self._sleep(random.uniform(0, pause))  # noqa: S311 (no secret depends on it)
        return self._checked(request)

    def _request(self, key: tuple[str, str], expression: str, values: Item, condition: str | None) -> Item:
        request: Item = {
            "TableName": self._name,
            "Key": _encode({"pk": key[0], "sk": key[1]}),
            "UpdateExpression": expression,
        }
        if names := _names(f"{expression} {condition or ''}"):
            request["ExpressionAttributeNames"] = names
        if values:
            request["ExpressionAttributeValues"] = {f":{name}": _serialize(value) for name, value in values.items()}
        if condition:
            request["ConditionExpression"] = condition
        return request

    def _checked(self, request: Item) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = self._client.update_item(**request)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            item: Any = error.response.get("Item", {})
            raise ConditionFailed(_decode(item)) from None
        return answer

    def delete(self, pk: str, sk: str) -> None:
        """Delete an item if it exists."""
        self._client.delete_item(TableName=self._name, Key=_encode({"pk": pk, "sk": sk}))

    def batch_get(self, keys: Sequence[tuple[str, str]]) -> Iterator[Item]:
        """Yield those of the items that exist, in no particular order. Keys must not repeat.

        ReadsThrottled if DynamoDB leaves some of them unread, even after pauses.
        """
        for start in range(0, len(keys), BATCH_GET):
            yield from self._batch([_encode({"pk": pk, "sk": sk}) for pk, sk in keys[start : start + BATCH_GET]])

    def _batch(self, keys: list[Item]) -> Iterator[Item]:
        wanted = keys
        for pause in (*PAUSES, None):
            answer = self._client.batch_get_item(RequestItems={self._name: {"Keys": wanted, "ConsistentRead": True}})
            yield from map(_decode, answer["Responses"].get(self._name, []))
            wanted = answer.get("UnprocessedKeys", {}).get(self._name, {}).get("Keys", [])
            if not wanted:
                return
            if pause:
                self._sleep(random.uniform(0, pause))  # noqa: S311 (no secret depends on it)
        raise ReadsThrottled(
            f"DynamoDB left {len(wanted)} of {len(keys)} items of the table {self._name} unread, "
            f"{len(PAUSES) + 1} times in a row: look at the table's throttled requests"
        )

    def query(self, pk: str, sk_prefix: str, first: str | None = None) -> Iterator[Item]:
        """Yield the items of a partition whose sort key begins with `sk_prefix`, in the order of that key.

        `first` is the sort key to start at.
        """
        condition, values = "begins_with(sk, :sk)", {":pk": pk, ":sk": sk_prefix}
        if first is not None:
            # A sort key takes one condition only; `~` sorts after everything that our keys contain.
            condition, values = "sk BETWEEN :first AND :last", {":pk": pk, ":first": first, ":last": sk_prefix + "~"}
        yield from self._items(
            KeyConditionExpression=f"pk = :pk AND {condition}",
            ExpressionAttributeValues=_encode(values),
            ConsistentRead=True,
        )

    def latest(self, pk: str, size: int, before: str | None = None) -> list[Item]:
        """Return at most `size` items of a partition, in the reverse order of their sort key, from below `before` on.

        They fit into one answer of DynamoDB, 1 MB.
        """
        condition, values = "pk = :pk", {":pk": pk}
        if before is not None:
            condition, values = "pk = :pk AND sk < :before", {":pk": pk, ":before": before}
        answer = self._client.query(
            TableName=self._name,
            KeyConditionExpression=condition,
            ExpressionAttributeValues=_encode(values),
            ScanIndexForward=False,
            ConsistentRead=True,
            Limit=size,
        )
        return [_decode(item) for item in answer["Items"]]

    def query_index(self, index: str, value: str, *, oldest_first: bool = True) -> Iterator[Item]:
        """Yield the items in a sparse index, in the order of its sort key. Its partition key has the index's name."""
        yield from self._items(**_in_index(index, value), ScanIndexForward=oldest_first)

    def count_index(self, index: str, value: str, at_most: int) -> int:
        """Return how many items a sparse index holds; counting stops at the page that reaches `at_most`."""
        total = 0
        for page in self._pages(**_in_index(index, value), Select="COUNT"):
            total += page["Count"]
            if total >= at_most:
                break
        return total

    def page(
        self,
        index: tuple[str, str, str],
        size: int,
        after: PageKey | None = None,
        *,
        oldest_first: bool = True,
        equal: Item | None = None,
    ) -> tuple[list[Item], PageKey | None]:
        """Return at most `size` items of a sparse index, and the key that the next page starts after.

        `index` is the index's name, its value and its sort key; `equal` are attributes that the items must have. A page
        may hold fewer items, even none, and still have a key; only a page without a key is the last one.
        """
        name, value, sort = index
        wanted = {"index": name} | {f"where{number}": key for number, key in enumerate(equal or {})}
        values = {"value": value} | {f"where{number}": each for number, each in enumerate((equal or {}).values())}
        request: Item = {
            "TableName": self._name,
            "IndexName": name,
            "KeyConditionExpression": "#index = :value",
            "ExpressionAttributeNames": {f"#{key}": attribute for key, attribute in wanted.items()},
            "ExpressionAttributeValues": _encode({f":{key}": each for key, each in values.items()}),
            "ScanIndexForward": oldest_first,
            "Limit": _ITEMS_PER_QUERY if equal else size + 1,
        }
        if equal:
            request["FilterExpression"] = " AND ".join(f"#{key} = :{key}" for key in wanted if key != "index")
        return self._filled(request, (name, value, sort), size, after)

    def _filled(
        self, request: Item, index: tuple[str, str, str], size: int, after: PageKey | None
    ) -> tuple[list[Item], PageKey | None]:
        """Query until the page is full, the index ends, or the queries are used up."""
        name, value, sort = index
        found: list[Item] = []
        for _ in range(_MAX_QUERIES):
            start = {"pk": after[0], "sk": after[1], name: value, sort: after[2]} if after else None
            answer = self._client.query(**request, **({"ExclusiveStartKey": _encode(start)} if start else {}))
            found += map(_decode, answer["Items"])
            if len(found) > size:
                return found[:size], _page_key(found[size - 1], sort)
            if "LastEvaluatedKey" not in answer:
                return found, None
            after = _page_key(_decode(answer["LastEvaluatedKey"]), sort)
        return found, after

    def _items(self, **request: Any) -> Iterator[Item]:
        for page in self._pages(**request):
            yield from map(_decode, page["Items"])

    def _pages(self, **request: Any) -> Iterator[dict[str, Any]]:
        yield from self._client.get_paginator("query").paginate(TableName=self._name, **request)


def _in_index(index: str, value: str) -> dict[str, Any]:
    """Return what a query for a value of a sparse index asks for."""
    return {
        "IndexName": index,
        "KeyConditionExpression": "#index = :value",
        "ExpressionAttributeNames": {"#index": index},
        "ExpressionAttributeValues": _encode({":value": value}),
    }


def _page_key(item: Item, sort: str) -> PageKey:
    return item["pk"], item["sk"], item[sort]

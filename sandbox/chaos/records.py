"""What the ledger and the application's database hold, read without comms-reprocess."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from boto3.dynamodb.types import TypeDeserializer

from chalicelib.ledger.runs import OPEN
from sandbox.deployed import PREFIX
from sandbox.system import System

Item = dict[str, Any]


def read_table(system: System) -> list[Item]:
    """Read the whole table of the ledger."""
    pages = system.client("dynamodb").get_paginator("scan").paginate(TableName=PREFIX, ConsistentRead=True)
    return [_decode(item) for page in pages for item in page["Items"]]


def read_item(system: System, pk: str, sk: str) -> Item:
    """Read an item of the ledger, {} if there is none."""
    key = {"pk": {"S": pk}, "sk": {"S": sk}}
    answer = system.client("dynamodb").get_item(TableName=PREFIX, Key=key, ConsistentRead=True)
    return _decode(answer.get("Item", {}))


def read_index(system: System, index: str, value: str) -> list[Item]:
    """Read the items in an index: reading the whole table takes longer."""
    pages = (
        system.client("dynamodb")
        .get_paginator("query")
        .paginate(
            TableName=PREFIX,
            IndexName=index,
            KeyConditionExpression="#index = :value",
            ExpressionAttributeNames={"#index": index},
            ExpressionAttributeValues={":value": {"S": value}},
        )
    )
    return [_decode(item) for page in pages for item in page["Items"]]


def open_run_ids(system: System) -> list[str]:
    """Return the ids of the runs that have not ended."""
    return [str(item["runId"]) for item in read_index(system, "open", OPEN)]


def query_application(system: System, query: str, *values: object) -> list[Any]:
    """Return the rows of a query of the application's database."""
    with closing(sqlite3.connect(system.application.database, timeout=60)) as database:
        database.row_factory = sqlite3.Row
        return database.execute(query, values).fetchall()


def _decode(item: Mapping[str, Any]) -> Item:
    decode = TypeDeserializer().deserialize
    return {key: decode(value) for key, value in item.items()}

"""The least that sending one communication takes: what benchmarks/send.py compares the handler with.

Written by hand with boto3 and requests. The writes have the attributes and conditions of the ledger's, but nothing is
checked, timed or logged.
"""

import json
import time
import uuid
from typing import Any

import requests

COOL_DOWN = 3_600_000
RETENTION = 7_776_000_000

_CLAIM = (
    "SET operation = :operation, primaryId = :primaryId, #owner = :owner, claimId = :claimId,"
    " previousStatus = if_not_exists(#status, :open), #status = :sending,"
    " previousUntil = if_not_exists(#until, :zero), #until = :until,"
    " attemptsBefore = if_not_exists(attempts, :zero), attempts = if_not_exists(attempts, :zero) + :one,"
    " #key = if_not_exists(#key, :key), created = if_not_exists(created, :created),"
    " createdBy = if_not_exists(createdBy, :createdBy), inDoubt = :no, expiresAt = :expiresAt,"
    " history = list_append(if_not_exists(history, :nothing), :entry) REMOVE answer, reason"
)
_CLAIMABLE = (
    "(attribute_not_exists(#owner) OR #owner <> :owner) AND (attribute_not_exists(#status) OR"
    " NOT #status IN (:manual, :dismissed)) AND (attribute_not_exists(#until) OR #until < :listedAt)"
    " AND (attribute_not_exists(attempts) OR attempts < :maxAttempts)"
)
_ANSWER = (
    "SET answer = :accepted, #status = :accepted, #until = :until, inDoubt = :no, history = :history"
    " REMOVE #key, created, createdBy, reason"
)
# Reserved words of DynamoDB need a placeholder.
_CLAIM_NAMES = {"#owner": "owner", "#status": "status", "#until": "until", "#key": "key"}
_ANSWER_NAMES = {"#status": "status", "#until": "until", "#key": "key"}


def send(client: Any, table: str, url: str, task: dict[str, Any]) -> None:
    """Claim a communication, POST it, and record that it was accepted."""
    communication, owner, now = task["communication"], f"{task['runId']}#{task['index']}", time.time_ns() // 1_000_000
    key = {
        "pk": {"S": f"COMM#{communication['operation']}#{communication['primaryId']}"},
        "sk": {"S": "COMM"},
    }
    item = _claim(client, table, key, communication, owner, now)
    _post(url, item, task["runId"])
    _record_accepted(client, table, key, item, now)


def _claim(
    client: Any, table: str, key: dict[str, Any], communication: dict[str, Any], owner: str, now: int
) -> dict[str, Any]:
    answer: dict[str, Any] = client.update_item(
        TableName=table,
        Key=key,
        UpdateExpression=_CLAIM,
        ConditionExpression=_CLAIMABLE,
        ExpressionAttributeNames=_CLAIM_NAMES,
        ExpressionAttributeValues=_claim_values(communication, owner, now),
        ReturnValues="ALL_NEW",
        ReturnValuesOnConditionCheckFailure="ALL_OLD",
    )
    item: dict[str, Any] = answer["Attributes"]
    return item


def _claim_values(communication: dict[str, Any], owner: str, now: int) -> dict[str, Any]:
    entry = {"owner": {"S": owner}, "at": {"N": str(now)}, "answer": {"S": "sending"}}
    return {
        ":operation": {"S": communication["operation"]},
        ":primaryId": {"S": communication["primaryId"]},
        ":owner": {"S": owner},
        ":claimId": {"S": uuid.uuid4().hex},
        ":open": {"S": "open"},
        ":sending": {"S": "sending"},
        ":manual": {"S": "manual"},
        ":dismissed": {"S": "dismissed"},
        ":until": {"N": str(now + COOL_DOWN)},
        ":listedAt": {"N": str(communication["listedAt"])},
        ":maxAttempts": {"N": "5"},
        ":key": {"S": uuid.uuid4().hex},
        ":created": {"S": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now // 1000))},
        ":createdBy": {"S": communication["createdBy"]},
        ":expiresAt": {"N": str((now + RETENTION) // 1000)},
        ":entry": {"L": [{"M": entry}]},
        ":nothing": {"L": []},
        ":zero": {"N": "0"},
        ":one": {"N": "1"},
        ":no": {"BOOL": False},
    }


def _post(url: str, item: dict[str, Any], run_id: str) -> None:
    payload = {name: item[name]["S"] for name in ("primaryId", "operation", "createdBy", "created")}
    headers = {
        "Accept": "application/json",
        "Content-Type": "application/json",
        "Authorization": "Bearer secret",
        "Idempotency-Key": item["key"]["S"],
        "X-Run-Id": run_id,
    }
    requests.post(url, data=json.dumps(payload), headers=headers, timeout=10).raise_for_status()


def _record_accepted(client: Any, table: str, key: dict[str, Any], item: dict[str, Any], now: int) -> None:
    entry = {"owner": item["owner"], "at": {"N": str(now)}, "answer": {"S": "accepted"}}
    client.update_item(
        TableName=table,
        Key=key,
        UpdateExpression=_ANSWER,
        ConditionExpression="claimId = :claim AND #status = :sending",
        ExpressionAttributeNames=_ANSWER_NAMES,
        ExpressionAttributeValues={
            ":accepted": {"S": "accepted"},
            ":until": {"N": str(now + COOL_DOWN)},
            ":no": {"BOOL": False},
            ":history": {"L": [*item["history"]["L"][:-1], {"M": entry}]},
            ":claim": item["claimId"],
            ":sending": {"S": "sending"},
        },
    )

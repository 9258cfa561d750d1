"""The mails that could not be sent. The state machine writes them; comms-reprocess lists them and has them sent."""

import json
import os
import re
from typing import Any

import boto3

from chalicelib import mails

# The index of description.py that contains what has `failed` only, so listing reads nothing else.
_INDEX = "failed"
_PAGE = 100

# DynamoDB refuses keys of more than 1,024 or 2,048 bytes, and halves of characters.
_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")
_CURSOR = re.compile(r"([0-9TZ.:+-]{1,40}),([A-Za-z0-9_-]{1,80})")


class UnknownMail(Exception):
    """No mail with this id has failed."""


class FailedMails:
    """The table of the stage."""

    def __init__(self) -> None:
        self._table: Any = boto3.resource("dynamodb").Table(os.environ["RESOURCE_PREFIX"])

    def page(self, cursor: str | None) -> dict[str, Any]:
        """Return a page of the list that `application.toml` describes, oldest failure first. ValueError: bad cursor."""
        request = {"ExclusiveStartKey": _start_key(cursor)} if cursor else {}
        answer = self._table.query(
            IndexName=_INDEX,
            KeyConditionExpression="failed = :yes",
            ExpressionAttributeValues={":yes": "yes"},
            Limit=_PAGE,
            **request,
        )
        items = [{name: item[name] for name in ("id", "failedAt")} for item in answer["Items"]]
        last = answer.get("LastEvaluatedKey")
        return {"items": items, "next": f"{last['failedAt']},{last['id']}" if last else None}

    def send_again(self, mail_id: str) -> None:
        """Send a mail. Repeating it is safe. UnknownMail, or Refused or Unavailable if it cannot be sent."""
        item = self._find(mail_id)
        if not item["sent"]:
            mails.send(mail_id, json.loads(item["state"]))
            self._mark_sent(mail_id)

    def _find(self, mail_id: str) -> dict[str, Any]:
        if not _ID.fullmatch(mail_id):
            raise UnknownMail
        answer: dict[str, Any] = self._table.get_item(Key={"id": mail_id}, ConsistentRead=True)
        if "Item" not in answer:
            raise UnknownMail
        item: dict[str, Any] = answer["Item"]
        return item

    def _mark_sent(self, mail_id: str) -> None:
        """Note that it is sent, and forget the person."""
        self._table.update_item(
            Key={"id": mail_id},
            UpdateExpression="SET sent = :sent REMOVE failed, #state",
            ExpressionAttributeNames={"#state": "state"},
            ExpressionAttributeValues={":sent": 1},
        )


def _start_key(cursor: str) -> dict[str, str]:
    match = _CURSOR.fullmatch(cursor)
    if not match:
        raise ValueError
    return {"failed": "yes", "failedAt": match[1], "id": match[2]}

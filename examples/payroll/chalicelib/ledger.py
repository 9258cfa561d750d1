"""The only module that talks to DynamoDB: what has been uploaded, and what is paid."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

from chalicelib import aws

# The partition of the tokens that may call the API.
TOKENS = "TOKEN"

_CONDITION = "ConditionalCheckFailed"


class Ledger:
    """The table. A payroll is paid if, and only if, it has the item PAID."""

    def __init__(self) -> None:
        self._client: Any = aws.client("dynamodb")
        self._table = os.environ["RESOURCE_PREFIX"]

    def has_token(self, token: str) -> bool:
        """Whether a token may call the API. Only digests are stored."""
        return bool(self._get(TOKENS, hashlib.sha256(token.encode()).hexdigest()))

    def attempt(self, payroll: str) -> int:
        """Return the number of the last attempt to pay a payroll; 0 if it was never uploaded."""
        return int(self._get(_partition(payroll), "UPLOAD").get("attempt", {"N": "0"})["N"])

    def begin(self, payroll: str, attempt: int) -> None:
        """Count an attempt. If somebody else has counted it at the same time, that was the same attempt."""
        try:
            self._client.update_item(
                TableName=self._table,
                Key=_key(payroll, "UPLOAD"),
                UpdateExpression="SET attempt = :attempt",
                ConditionExpression="attribute_not_exists(attempt) OR attempt < :attempt",
                ExpressionAttributeValues={":attempt": {"N": str(attempt)}},
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return

    def paid(self, payroll: str) -> dict[str, Any] | None:
        """Return the number of `employees`, the `total` as people write it and the `file`; None if it is not paid."""
        item = self._get(_partition(payroll), "PAID")
        if not item:
            return None
        return {"employees": int(item["employees"]["N"]), "total": item["amount"]["S"], "file": item["file"]["S"]}

    def pay(self, payroll: str, file: str, amount: str, batches: Sequence[Mapping[str, int]]) -> dict[str, Any]:
        """Write all payments of a payroll, or none, and return what `paid` returns.

        `amount` is the total as people write it: mails may come from the item alone. `batches` have the cents for each
        employee. If it is paid already, nothing changes.
        """
        pages = [
            self._put(payroll, f"PAYMENTS#{number:02}", {"payments": {"M": _numbers(payments)}})
            for number, payments in enumerate(batches)
        ]
        result = {"employees": sum(map(len, batches)), "total": sum(sum(each.values()) for each in batches)}
        head = self._put(payroll, "PAID", {**_numbers(result), "amount": {"S": amount}, "file": {"S": file}})
        head["Put"]["ConditionExpression"] = "attribute_not_exists(pk)"
        try:
            self._client.transact_write_items(TransactItems=[head, *pages])
        except self._client.exceptions.TransactionCanceledException as error:
            if error.response["CancellationReasons"][0]["Code"] != _CONDITION:
                raise
        # Of two at once, one has written it.
        return self.paid(payroll) or {}

    def _get(self, partition: str, sort: str) -> dict[str, Any]:
        key = {"pk": {"S": partition}, "sk": {"S": sort}}
        answer = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        item: dict[str, Any] = answer.get("Item", {})
        return item

    def _put(self, payroll: str, sort: str, attributes: dict[str, Any]) -> dict[str, Any]:
        return {"Put": {"TableName": self._table, "Item": _key(payroll, sort) | attributes}}


def _partition(payroll: str) -> str:
    return f"PAYROLL#{payroll}"


def _key(payroll: str, sort: str) -> dict[str, Any]:
    return {"pk": {"S": _partition(payroll)}, "sk": {"S": sort}}


def _numbers(values: Mapping[str, int]) -> dict[str, Any]:
    return {name: {"N": str(value)} for name, value in values.items()}

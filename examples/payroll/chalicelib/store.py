"""The only module that talks to Amazon S3: uploads, the work of executions, and payment files."""

import hashlib
import json
from typing import Any

from chalicelib import aws
from chalicelib.place import Place


class Store:
    """The bucket."""

    def __init__(self, place: Place) -> None:
        self._client: Any = aws.client("s3")
        self._bucket = place.bucket

    def put_upload(self, payroll: str, content: bytes) -> None:
        """Keep an uploaded file. Its key follows from its content, so doing it twice changes nothing."""
        self._put(_upload(payroll), content)

    def upload(self, payroll: str) -> bytes:
        """Return an uploaded file."""
        return self._get(_upload(payroll))

    def put_rows(self, execution: str, batch: int, rows: list[Any]) -> None:
        """Keep the rows of a batch."""
        self._put(f"work/{execution}/rows-{batch}.json", json.dumps(rows).encode())

    def rows(self, execution: str, batch: int) -> list[Any]:
        """Return the rows of a batch."""
        found: list[Any] = json.loads(self._get(f"work/{execution}/rows-{batch}.json"))
        return found

    def put_result(self, execution: str, batch: int, result: dict[str, Any]) -> None:
        """Keep what a batch pays, and its mistakes."""
        self._put(f"work/{execution}/result-{batch}.json", json.dumps(result).encode())

    def result(self, execution: str, batch: int) -> dict[str, Any]:
        """Return what a batch pays, and its mistakes."""
        found: dict[str, Any] = json.loads(self._get(f"work/{execution}/result-{batch}.json"))
        return found

    def put_payments(self, payroll: str, content: bytes) -> str:
        """Keep a payment file and return its key."""
        key = payments_key(payroll, content)
        self._put(key, content)
        return key

    def _put(self, key: str, content: bytes) -> None:
        self._client.put_object(Bucket=self._bucket, Key=key, Body=content)

    def _get(self, key: str) -> bytes:
        content: bytes = self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        return content


def payments_key(payroll: str, content: bytes) -> str:
    """Return the key of a payment file.

    Another content has another key, so nothing ever changes a file that the ledger names.
    """
    return f"payments/{payroll}/{hashlib.sha256(content).hexdigest()}.csv"


def _upload(payroll: str) -> str:
    return f"uploads/{payroll}.csv"

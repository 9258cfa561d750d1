"""The post: takes each letter from the bucket once, and keeps it in a database of its own for the printer.

.venv/bin/python -m examples.activity.post --bucket NAME --database post.db

It leaves the letters in the bucket: as long as a letter's key is there, no late worker can publish the letter again.
"""

import argparse
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any, NoReturn

import boto3

from examples.activity.stopping import Stop, StopRequested

_LOCKED_S = 60.0

_TABLE = """
CREATE TABLE IF NOT EXISTS letters (
    key TEXT PRIMARY KEY,  -- a letter is taken once, whatever happens to this process
    worker TEXT NOT NULL,  -- who has rendered it; empty if a person has put it into the bucket
    document BLOB NOT NULL
)
"""


def open_database(file: str) -> sqlite3.Connection:
    """Open the database, which need not exist yet. Whoever is writing there may have been suspended for a while."""
    database = sqlite3.connect(file, timeout=_LOCKED_S)
    database.execute(_TABLE)
    return database


class Post:
    """Takes letters. Several may share a database, and each may die anywhere."""

    def __init__(self, client: Any, bucket: str, database: sqlite3.Connection) -> None:
        self._client = client
        self._bucket = bucket
        self._database = database

    def collect(self) -> int:
        """Take what is new in the bucket; return how many letters that were."""
        return sum(self._take(key) for key in self._keys())

    def _keys(self) -> Iterator[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix="letters/")
        for page in pages:
            yield from (each["Key"] for each in page.get("Contents", []))

    def _take(self, key: str) -> bool:
        if self._has(key):
            return False
        found = self._client.get_object(Bucket=self._bucket, Key=key)
        row = (key, found["Metadata"].get("worker", ""), found["Body"].read())
        with self._database:
            return self._database.execute("INSERT OR IGNORE INTO letters VALUES (?, ?, ?)", row).rowcount == 1

    def _has(self, key: str) -> bool:
        return self._database.execute("SELECT 1 FROM letters WHERE key = ?", (key,)).fetchone() is not None


def main(arguments: list[str] | None = None) -> int:
    """Collect until SIGTERM or SIGINT, then return 0. What AWS refuses ends it, too; started again, it goes on."""
    parser = argparse.ArgumentParser(prog="post", description=__doc__.partition("\n")[0])
    parser.add_argument("--bucket", required=True, metavar="NAME")
    parser.add_argument("--database", required=True, metavar="FILE")
    parser.add_argument("--every", type=float, default=60.0, metavar="SECONDS", help="default: 60")
    options = parser.parse_args(arguments)
    stop = Stop()
    stop.listen()
    with closing(open_database(options.database)) as database:
        try:
            _run(Post(boto3.client("s3"), options.bucket, database), options.every, stop)
        except StopRequested:
            return 0


def _run(post: Post, every: float, stop: Stop) -> NoReturn:
    while True:
        post.collect()
        with stop.while_waiting():
            time.sleep(every)


if __name__ == "__main__":
    sys.exit(main())

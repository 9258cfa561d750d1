"""How long `GET /summary` takes here, beside `GET /health`, on a ledger of 100,000 communications and 1,000 runs.

`make bench-summary`. The API is that of the sandbox: its gateway, authorizer and function.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from boto3.dynamodb.types import TypeSerializer

from benchmarks.aws import OPERATION
from chalicelib.ledger import Ledger
from chalicelib.ledger.communications import key_of
from chalicelib.ledger.situations import KnownCause, OperationCounts, ScanPoint, Situation
from chalicelib.ledger.table import Table
from chalicelib.models.communications import CauseKind
from chalicelib.models.outcomes import Outcome
from chalicelib.models.runs import Run, RunStatus, Trigger
from chalicelib.times import now
from sandbox.deployed import Deployed

COMMUNICATIONS, RUNS, CALLS, TABLE = 100_000, 1_000, 50, "comms-reprocess-dev"

# The most that the summary may take of `GET /health`, on a ledger with the same runs and no communications: MiniStack
# looks at all items for each query of an index, which DynamoDB does not.
MAX_RATIO = 30.0

_DAY = 24 * 3_600_000
APPLICATION_TOML = """
[[sources]]
operation = "send.email"
list = "https://a.example/failed"
cool_down = "1h"

[reprocess]
url = "https://a.example/communications"
"""
_serialize = TypeSerializer().serialize


def _communications(count: int) -> Iterator[dict[str, Any]]:
    """Yield the items of communications, of which each fifth is on the worklist."""
    for number in range(count):
        pk, sk = key_of(OPERATION, str(number))
        item = {"pk": pk, "sk": sk, "operation": OPERATION, "primaryId": str(number), "status": "accepted"}
        manual = {"status": "manual", "worklist": "manual", "manualSince": number, "manualReason": "http_422"}
        yield item | (manual if number % 5 == 0 else {})


def put_communications(client: Any, name: str, count: int) -> None:
    """Put communications into the ledger, each fifth of them on the worklist."""
    items = [{key: _serialize(value) for key, value in item.items()} for item in _communications(count)]
    for first in range(0, len(items), 25):
        puts = [{"PutRequest": {"Item": item}} for item in items[first : first + 25]]
        client.batch_write_item(RequestItems={name: puts})


def fill_ledger(client: Any, name: str) -> None:
    """Put runs and the last scan into the ledger."""
    ledger, at = Ledger(Table(client, name), now, 90 * _DAY), now() - _DAY
    for number in range(RUNS):
        _put_run(ledger, number, at + number * _DAY // RUNS)
    ledger.situations.change(lambda _: _situation(at))


def _put_run(ledger: Ledger, number: int, at: int) -> None:
    run = Run(
        run_id=f"run-{number}",
        trigger=Trigger.SCHEDULE,
        requested_by="schedule",
        status=RunStatus.RUNNING,
        requested_at=at,
        matched=COMMUNICATIONS,
    )
    ledger.runs.create(run)
    if number % 50:
        ledger.runs.change(run, status=RunStatus.SUCCEEDED, counts={Outcome.ACCEPTED.value: 100})


def _situation(at: int) -> Situation:
    causes = [
        KnownCause(
            id=f"{number:016x}",
            operation=OPERATION,
            kind=CauseKind.FAILED,
            reason=f"http_{number}",
            count=1000 - number,
            first_seen=at,
            last_seen=at,
            trend=[1000] * 12,
        )
        for number in range(100)
    ]
    scans = [ScanPoint(at=at + number, run_id=f"run-{number}", failing=number, complete=True) for number in range(100)]
    counts = {OPERATION: OperationCounts(failing=COMMUNICATIONS)}
    return Situation(run_id="run-99", at=at, complete=True, by_operation=counts, causes=causes, scans=scans)


def _median(service: Deployed, path: str, token: str) -> float:
    """Return the median of the milliseconds that calls take."""
    times = []
    for _ in range(CALLS):
        began = time.monotonic()
        service.call("GET", path, token).raise_for_status()
        times.append((time.monotonic() - began) * 1000)
    return statistics.median(times)


def main() -> int:
    """Measure both, print them, and return 1 if the summary takes too long."""
    with tempfile.TemporaryDirectory() as folder, Deployed(Path(folder)) as service:
        service.configure({"SCHEDULE": "rate(1 hour)"}, APPLICATION_TOML)
        service.deploy()
        token, dynamodb = service.token("viewer"), service.client("dynamodb")
        fill_ledger(dynamodb, TABLE)
        health, summary = _median(service, "/health", token), _median(service, "/summary", token)
        put_communications(dynamodb, TABLE, COMMUNICATIONS)
        full, size = _median(service, "/summary", token), len(service.call("GET", "/summary", token).content)
    print(f"GET /health                            {health:6.1f} ms")
    print(
        f"GET /summary, {RUNS:,} runs               {summary:6.1f} ms  x {summary / health:.1f}, {size / 1024:.0f} KB"
    )
    print(f"the same, {COMMUNICATIONS:,} communications      {full:6.1f} ms  x {full / health:.1f}")
    return int(summary / health > MAX_RATIO)


if __name__ == "__main__":
    sys.exit(main())

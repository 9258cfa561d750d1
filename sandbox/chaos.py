"""`make chaos`: everything breaks at once, and at the end each communication is delivered once, or is on the worklist.

The application refuses, breaks after it has accepted, does not answer, cuts connections; Lambdas are killed while they
send, and a share of their events is delivered twice at the same time; schedules and requests overlap.
"""

import random
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from boto3.dynamodb.types import TypeDeserializer
from rich.console import Console
from rich.table import Table

from chalicelib.models import CLOSED, RunStatus
from sandbox.project import APPLICATION_TOML, ROOT
from sandbox.system import System

FOLDER = ROOT / ".sandbox" / "chaos"

EMAILS, SMS = 600, 400

# All of it has to end within five minutes: setting up, breaking, and going on until nothing is left to do.
_BREAKING, _MENDING = 55.0, 180.0

_COOL_DOWN = 6

# What POST /communications does for some seconds each; the share is that of the calls that it hits.
_FAULTS: tuple[dict[str, Any], ...] = (
    {"status": {"value": 429, "share": 0.3}},
    {"status_after": {"value": 500, "share": 0.3}},
    {"cut": {"value": "after", "share": 0.3}},
    {"status_after": {"value": 502, "share": 0.3}},
    {"slow": {"value": 3.5, "share": 0.1}},
    {"cut": {"value": "before", "share": 0.3}},
    {"status_after": {"value": 504, "share": 0.3}},
    {"status": 401},
    {"status": 503},
)
_EACH_FAULT = 3.0
_EACH_KILL = 2.0
_EACH_RUN = 7.0
_DELIVERED_TWICE = 0.1

_SEED = 20261120


def main() -> int:
    """Run it; return 0 if every promise was kept, else 1."""
    console = Console(highlight=False)
    shutil.rmtree(FOLDER, ignore_errors=True)
    settings = {
        "SCHEDULE": "rate(1 hour)",
        "COOL_DOWN": f"{_COOL_DOWN}s",
        "CONCURRENCY": "20",
        "BREAKER_BATCHES": "5",
        "MAX_ATTEMPTS": "8",
        "APPROVAL_THRESHOLD": str((EMAILS + SMS) // 2),
    }
    toml = APPLICATION_TOML.read_text(encoding="utf-8").replace("timeout = 10", "timeout = 2")
    with System(FOLDER, settings, toml, rounds=1, requeue_after=0.2) as system:
        system.deploy()
        _fail(system, console)
        hits = _break(system, console)
        console.print(f"hit: {dict(hits)}")
        _mend(system, console)
        kept = _verdict(system, console)
    console.print("Every promise was kept." if kept else f"A promise was BROKEN; logs in {FOLDER.relative_to(ROOT)}.")
    return 0 if kept else 1


def _fail(system: System, console: Console) -> None:
    console.print(f"Letting {EMAILS} emails and {SMS} SMS fail for good ...")
    system.email.down = system.sms.down = True
    system.application.create("emails", EMAILS)
    system.application.create("sms", SMS)
    system.application.wait_for_stats(120, failed=EMAILS + SMS)
    system.email.down = system.sms.down = False


def _break(system: System, console: Console) -> Counter[str]:
    """Break what can break for a while; return how often it was hit."""
    console.print(f"Breaking everything for {_BREAKING:.0f} s ...")
    dice = random.Random(_SEED)  # noqa: S311 (no secret)
    names = ("comms-reprocess-dev-reprocess", "comms-reprocess-dev-record")
    hits: Counter[str] = Counter()

    def twice(name: str) -> bool:
        hit = name in names and dice.random() < _DELIVERED_TWICE
        hits["delivered twice"] += hit
        return hit

    def kill() -> None:
        hits["killed"] += system.aws.lambdas.kill_one(names[0])

    system.aws.lambdas.deliver_twice = twice
    token, approver = system.token("operator", "chaos"), system.token("approver", "order")
    faults = _turns(_FAULTS)
    over = threading.Event()
    workers = [
        _every(_EACH_FAULT, over, lambda: _fault(system, next(faults))),
        _every(_EACH_KILL, over, kill),
        _every(_EACH_RUN, over, system.fire),
        _every(_EACH_RUN * 1.5, over, system.fire),
        _every(1.0, over, lambda: _request(system, token, over)),
        _every(_COOL_DOWN + 1, over, lambda: _approve(system, approver)),
    ]
    over.wait(_BREAKING)
    over.set()
    for worker in workers:
        worker.join()
    system.aws.lambdas.deliver_twice = lambda _name: False
    system.application.mend()
    return hits


def _turns(values: tuple[dict[str, Any], ...]) -> Iterator[dict[str, Any]]:
    while True:
        yield from values


def _fault(system: System, fault: dict[str, Any]) -> None:
    system.application.mend()
    system.application.switch(**fault)


def _request(system: System, token: str, over: threading.Event) -> None:
    """Ask for a run of the SMS, beside the scheduled ones of all, and let it end before the next one is asked for.

    It needs no approval, so it sends what a run that waits for one has in its manifest.
    """
    run_id = system.call("POST", "/reprocess", token, json={"operation": "send.sms"}).json().get("runId")
    while not over.wait(1.0):
        # An API that has no time for us answers 504: then we ask again.
        if system.call("GET", f"/runs/{run_id}", token).json().get("status") in CLOSED:
            return


def _approve(system: System, token: str) -> None:
    """Approve what waits, later than the cool-down of what another run has sent meanwhile."""
    for run in system.call("GET", "/runs", token).json().get("runs", []):
        if run["status"] == RunStatus.AWAITING_APPROVAL:
            system.call("POST", f"/runs/{run['runId']}/approve", token)


def _every(seconds: float, over: threading.Event, do: Callable[[], object]) -> threading.Thread:
    def work() -> None:
        while not over.wait(seconds):
            do()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def _mend(system: System, console: Console) -> None:
    console.print("All is mended; schedules go on until nothing is left to do ...")
    deadline = time.monotonic() + _MENDING
    approver = system.token("approver", "order")
    while time.monotonic() < deadline:
        system.fire()
        time.sleep(_COOL_DOWN / 2)
        _approve(system, approver)
        if not _count(system, "open", "OPEN") and not _left_over(system):
            return


def _left_over(system: System) -> int:
    """Return how many communications are neither sent nor on the worklist."""
    stats = system.application.stats()
    return stats["total"] - stats["sent"] - _count(system, "worklist", "manual")


def _count(system: System, index: str, value: str) -> int:
    """Count in an index: moto takes seconds to put the whole table into an answer, and everything else waits."""
    pages = (
        system.client("dynamodb")
        .get_paginator("query")
        .paginate(
            TableName="comms-reprocess-dev",
            IndexName=index,
            KeyConditionExpression="#index = :value",
            ExpressionAttributeNames={"#index": index},
            ExpressionAttributeValues={":value": {"S": value}},
            Select="COUNT",
        )
    )
    return sum(page["Count"] for page in pages)


class Ledger:
    """What stands in the table, read whole."""

    def __init__(self, system: System) -> None:
        decode = TypeDeserializer().deserialize
        pages = system.client("dynamodb").get_paginator("scan").paginate(TableName="comms-reprocess-dev")
        items = [{key: decode(value) for key, value in item.items()} for page in pages for item in page["Items"]]
        self.runs = [item for item in items if item["sk"] == "RUN"]
        self.open_runs = [run for run in self.runs if "open" in run]
        self.worklist = [item for item in items if item["sk"] == "COMM" and item["status"] == "manual"]

    def unsound(self) -> list[str]:
        """Return the runs whose outcomes do not add up to what they matched."""
        return [
            str(run["runId"])
            for run in self.runs
            if "open" not in run and sum(run.get("counts", {}).values()) != run.get("matched", 0)
        ]


def _verdict(system: System, console: Console) -> bool:
    ledger, stats = Ledger(system), system.application.stats()
    delivered = Counter(str(each["X-Communication-Id"]) for each in system.email.messages())
    delivered.update(each.communication_id for each in system.sms.messages())
    statuses = Counter(str(run["status"]) for run in ledger.runs)
    console.print(f"runs: {dict(statuses)}; mails: {len(system.mailbox.messages())}; POSTs: {stats['payloads']}")
    console.print(f"on the worklist: {dict(Counter(str(item['manualReason']) for item in ledger.worklist))}")
    rows = [
        ("delivered, or on the worklist", EMAILS + SMS - _left_over(system), EMAILS + SMS),
        ("delivered more than once, as the providers count", sum(count > 1 for count in delivered.values()), 0),
        ("delivered more than once, as the application counts", stats["delivered_twice"], 0),
        ("sent two keys for one sending", stats["two_keys"], 0),
        ("one key with two bodies", stats["changed_bodies"], 0),
        ("runs that have not ended", len(ledger.open_runs), 0),
        ("runs that do not add up", len(ledger.unsound()), 0),
        ("runs that broke by themselves", statuses["failed"], 0),
    ]
    table = Table("what", "count", "expected", "", box=None)
    for what, count, expected in rows:
        table.add_row(what, str(count), str(expected), "ok" if count == expected else "WRONG")
    console.print(table)
    return all(count == expected for _, count, expected in rows)

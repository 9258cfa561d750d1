"""How much time and memory the collector needs for a long list: `make bench-collect`.

Each measurement has a process of its own. It fails if the collector, with a fake ledger, takes more than 1.5 times as
long as a bare loop with `requests` over the same pages, or more than 200 MB. Reads of the ledger (moto's DynamoDB in
the same process) are shown separately.
"""

import sys
import time
from typing import Any

import requests
from moto import mock_aws

from benchmarks.pages import PAGE
from benchmarks.processes import measured, print_measurement, server
from chalicelib import aws_clients, times
from chalicelib.application.client import ApplicationClient
from chalicelib.application.config import Auth, Configuration, Next, Reprocess, Source
from chalicelib.application.credentials import Credentials
from chalicelib.ledger.claims import Rules
from chalicelib.ledger.communications import Communications
from chalicelib.ledger.table import Table
from chalicelib.models.batches import Task
from chalicelib.models.communications import Communication
from chalicelib.models.runs import Run, RunStatus, Trigger
from chalicelib.models.selections import Selection
from chalicelib.runs.collect import Collector
from chalicelib.settings import Settings
from deployment.comms_reprocess.storage import LEDGER
from deployment.table import table_definition

SIZES = (100_000, 1_000_000)
MAX_RATIO, MAX_MB = 1.5, 200


def bare(url: str) -> int:
    """Read all pages as simply as possible; return how many records there were."""
    records, following = 0, url
    with requests.Session() as session:
        while following:
            page = session.get(following, timeout=20).json()
            records += len(page["results"])
            following = page["next"] and requests.compat.urljoin(following, page["next"])
    return records


class _NoLedger:
    """Knows nothing, and takes no time for it."""

    clock = staticmethod(times.now)

    def __init__(self) -> None:
        self.communications = self.runs = self

    def read(self, _: object) -> dict[tuple[str, str], Any]:
        return {}

    def change(self, run: Run, **changes: Any) -> Run:
        self.changes = changes
        return run


class _NoManifests:
    """Accepts the manifest and throws it away."""

    def upload(self, _run_id: str, manifest: Any) -> str:
        self.bytes = manifest.file.seek(0, 2)
        return "manifest.json"


def collect(url: str) -> int:
    """Collect the same pages; return how many records went into the manifest."""
    source = Source(
        operation="send.email",
        list=url,
        items="results",
        created="created_at",
        created_by="author",
        failed_at="failed_at",
        next=Next(url="next"),
        total="count",
        cool_down="1h",
    )
    configuration = Configuration(sources=[source], reprocess=Reprocess(url=url))
    application = ApplicationClient(configuration, Credentials(Auth(), str, times.now), times.now)
    settings = Settings(resource_prefix="bench", max_per_run=10_000_000)
    ledger: Any = _NoLedger()
    manifests: Any = _NoManifests()
    nothing: Any = None
    run = Run(
        run_id="bench",
        trigger=Trigger.REQUEST,
        requested_by="bench",
        status=RunStatus.COLLECTING,
        requested_at=0,
    )
    collector = Collector(application, ledger, manifests, nothing, configuration, settings, lambda: 10**9)
    collector.collect(run, Selection())
    return int(ledger.changes["matched"])


def reads(number: int) -> int:
    """Read what the ledger knows about this many communications, page by page; it knows one in a hundred."""
    with mock_aws():
        client = aws_clients.make("dynamodb", region_name="eu-central-1")
        client.create_table(**table_definition(LEDGER, "bench"))
        communications = Communications(Table(client, "bench"), times.now)
        for each in range(0, min(number, 100_000), 100):
            task = Task(run_id="r", index=0, communication=_communication(each), requested_by="bench")
            communications.claim(task, Rules(cool_down=1, retention=1, max_attempts=5, honours_key=True))
        began, known = time.monotonic(), 0
        for start in range(0, number, PAGE):
            known += len(communications.read(map(_communication, range(start, start + PAGE))))
        print_measurement(time.monotonic() - began, number)
    return known


def _communication(number: int) -> Communication:
    return Communication(operation="send.email", primary_id=f"email-{number:08}", listed_at=0)


def exceeded(size: int, loop: dict[str, float], ours: dict[str, float]) -> list[str]:
    """Return which limits the collector exceeded for a list of `size`, compared with the bare loop."""
    ratio = ours["seconds"] / loop["seconds"]
    slow = [f"{ratio:.2f} times the bare loop at {size:,}"] if ratio > MAX_RATIO else []
    return slow + ([f"{ours['megabytes']:.0f} MB at {size:,}"] if ours["megabytes"] > MAX_MB else [])


def main() -> int:
    """Measure everything, print it, and return 1 if a limit is exceeded."""
    broken = []
    with server("benchmarks.pages") as url:
        for size in SIZES:
            loop, ours = (measured("benchmarks.collect", what, f"{url}/{size}") for what in ("bare", "collect"))
            ratio = ours["seconds"] / loop["seconds"]
            print(f"{size:>9,} records  bare loop    {loop['seconds']:6.1f} s  {loop['megabytes']:4.0f} MB")
            print(f"{'':>9}          collector    {ours['seconds']:6.1f} s  {ours['megabytes']:4.0f} MB  x {ratio:.2f}")
            broken += exceeded(size, loop, ours)
    for size in SIZES:
        ledger = measured("benchmarks.collect", "reads", str(size))
        each = ledger["seconds"] / size * 1_000_000
        print(f"{size:>9,} records  ledger reads {ledger['seconds']:6.1f} s  {each:.0f} us each (moto, separately)")
    print(f"Limits exceeded: {', '.join(broken)}" if broken else f"Within x {MAX_RATIO} and {MAX_MB} MB.")
    return 1 if broken else 0


def _one(what: str, argument: str) -> int:
    if what == "reads":
        return 0 if reads(int(argument)) else 1
    began = time.monotonic()
    records = {"bare": bare, "collect": collect}[what](argument)
    print_measurement(time.monotonic() - began, records)
    return 0 if records == int(argument.rpartition("/")[2]) else 1


if __name__ == "__main__":
    sys.exit(_one(*sys.argv[1:]) if sys.argv[1:] else main())

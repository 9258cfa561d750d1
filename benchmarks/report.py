"""How much time and memory the report, the dry run and the worklist need for a million: `make bench-report`.

Each measurement has a process of its own, and its peak is that of the whole process, with Python and boto3. S3 and
DynamoDB are played by another process (benchmarks/aws.py), so boto3 really speaks to them, but they are as fast as this
machine. It fails if anything takes more than 200 MB.
"""

import sys
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.aws import BATCH_SIZE, NOON, OPERATION, listed
from benchmarks.processes import measured, print_measurement, server
from chalicelib import aws_clients
from chalicelib.api.csv_files import worklist_csv
from chalicelib.api.serializers.communications import communication_view
from chalicelib.application.config import Configuration, Reprocess, Source
from chalicelib.application.list_pages import Page
from chalicelib.application.list_requests import PageRequest
from chalicelib.ledger import Ledger
from chalicelib.ledger.table import Table
from chalicelib.manifests import Manifests
from chalicelib.models.communications import CommunicationStatus
from chalicelib.models.selections import Selection
from chalicelib.runs.dry_run import DryRun
from chalicelib.runs.report import report
from chalicelib.runs.worklist import list_communications
from chalicelib.settings import Settings

COMMUNICATIONS = 1_000_000
BATCHES = COMMUNICATIONS // BATCH_SIZE
MAX_MB = 200

_SETTINGS = Settings(resource_prefix="bench", max_per_run=COMMUNICATIONS * 10)
# Communications on a page of the application's list, and of the worklist as CSV, which is its largest.
_PAGE, _WORKLIST_PAGE = 200, 2000


class _Lists:
    """The application's list, without HTTP: `make bench-collect` measures that."""

    def failed_pages(self, source: Source, _selection: Selection, _start: PageRequest | None = None) -> Iterator[Page]:
        """Yield its pages."""
        for first in range(0, COMMUNICATIONS, _PAGE):
            following = PageRequest(source.list, {"start": first + _PAGE})
            more = first + _PAGE < COMMUNICATIONS
            yield Page([listed(each) for each in range(first, first + _PAGE)], following, following if more else None)


def client(service: str, url: str) -> Any:
    """Return a client of the AWS at a URL."""
    access = {"aws_access_key_id": "bench", "aws_secret_access_key": "bench", "region_name": "eu-central-1"}
    return aws_clients.make(service, endpoint_url=url, **access)


def _ledger(url: str) -> Ledger:
    return Ledger(Table(client("dynamodb", url), "bench"), lambda: NOON, _SETTINGS.retention_ms)


def measure_report(url: str, recorded: int) -> int:
    """Report a run of which so many batches are recorded; return how many communications its mail is about."""
    manifests = Manifests(client("s3", url), "bench")
    mail = report(f"{recorded}-recorded", None, _ledger(url), manifests, _SETTINGS)
    # The run is one that ended as partial only if its outcomes add up.
    return COMMUNICATIONS if "partial" in mail.subject and f"{COMMUNICATIONS} matched" in mail.message else 0


def measure_dry_run(url: str, _: int) -> int:
    """Return how many communications a dry run would send. Its time does not pass: otherwise it stops after 12 s."""
    source = Source(operation=OPERATION, list=url, cool_down="1h", created="created")
    configuration = Configuration(sources=[source], reprocess=Reprocess(url=url))
    return DryRun(_Lists(), _ledger(url), configuration, _SETTINGS).preview(Selection(), "bench").eligible


def measure_worklist(url: str, pages: int) -> int:
    """Return how many communications the first pages of the worklist have, each also as CSV."""
    ledger, entries, after = _ledger(url), 0, None
    for _ in range(pages):
        page, after = list_communications(ledger, CommunicationStatus.MANUAL, None, None, _WORKLIST_PAGE, after)
        worklist_csv(map(communication_view, page))
        entries += len(page)
    return entries


# What is measured: its name in the table, the function, what it is given besides the server's URL, and how many
# communications it is about. Nothing is kept between pages of the worklist, so a tenth of it shows as much as all.
_MEASUREMENTS = (
    ("report, all batches recorded", measure_report, BATCHES, COMMUNICATIONS),
    ("report, a tenth to complete", measure_report, BATCHES * 9 // 10, COMMUNICATIONS),
    ("dry run", measure_dry_run, COMMUNICATIONS, COMMUNICATIONS),
    ("worklist, a tenth of its pages", measure_worklist, COMMUNICATIONS // 10 // _WORKLIST_PAGE, COMMUNICATIONS // 10),
)


def exceeded(name: str, megabytes: float) -> list[str]:
    """Return the limit that a measurement exceeded, if it did."""
    return [f"{megabytes:.0f} MB for {name}"] if megabytes > MAX_MB else []


def main() -> int:
    """Measure everything, print it, and return 1 if the limit is exceeded."""
    broken = []
    print(f"{COMMUNICATIONS:,} communications in {BATCHES:,} batches")
    with server("benchmarks.aws", str(COMMUNICATIONS)) as url:
        for number, (name, *_) in enumerate(_MEASUREMENTS):
            found = measured("benchmarks.report", str(number), url)
            print(f"  {name:<30} {found['seconds']:6.1f} s  {found['megabytes']:4.0f} MB", flush=True)
            broken += exceeded(name, found["megabytes"])
    print(f"Limits exceeded: {', '.join(broken)}" if broken else f"Within {MAX_MB} MB.")
    return 1 if broken else 0


def _one(number: str, url: str) -> int:
    _, measure, argument, expected = _MEASUREMENTS[int(number)]
    began = time.monotonic()
    records = measure(url, argument)
    print_measurement(time.monotonic() - began, records)
    return 0 if records == expected else 1


if __name__ == "__main__":
    sys.exit(_one(*sys.argv[1:]) if sys.argv[1:] else main())

"""The AWS that the benchmark of the report, `make bench-report`, measures against."""

import pytest

from benchmarks import processes
from benchmarks.aws import MANIFEST, listed
from benchmarks.report import client
from chalicelib.ledger.table import Table
from chalicelib.manifests import Manifests


@pytest.fixture(scope="module")
def url():
    """The AWS of a run of 20,000 communications in 1,000 batches."""
    with processes.server("benchmarks.aws", "20000") as url:
        yield url


def test_the_manifest_that_is_measured_is_complete(url):
    """It is written as the collector writes it, and arrives in several chunks."""
    batches = Manifests(client("s3", url), "bench", 1_000_000).read(MANIFEST)
    read = [communication for batch in batches for communication in batch.communications]
    assert read == [listed(number) for number in range(20_000)]


def test_the_batches_that_are_measured_come_page_by_page(url):
    """Those that were recorded at first, and those that were put later."""
    table = Table(client("dynamodb", url), "bench")
    table.put_new({"pk": "RUN#990-recorded", "sk": "BATCH#000995", "index": 995})
    items = list(table.query("RUN#990-recorded", "BATCH#"))
    assert [item["index"] for item in items] == [*range(990), 995]

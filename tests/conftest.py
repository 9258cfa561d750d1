"""The fixtures that all tests share: the clock, and the ledger on a table of each of two DynamoDBs."""

import gc
import itertools
from collections import Counter

import boto3
import pytest
from moto import mock_aws

from chalicelib.ledger import Communications, Ledger
from chalicelib.ledger.table import Table
from deployment.comms_reprocess.storage import LEDGER
from deployment.table import table_definition
from tests.fakes import DAY, FakeClock, FakeCommunications

RETENTION = 90 * DAY

_REGION = "eu-central-1"

_numbers = itertools.count()


@pytest.fixture
def clock():
    """A clock that stands still unless a test moves it."""
    return FakeClock()


@pytest.fixture(scope="module")
def moto():
    """A client of moto's DynamoDB, in this process."""
    with mock_aws():
        yield boto3.client("dynamodb", region_name=_REGION)


@pytest.fixture(scope="session")
def ministack():
    """A client of MiniStack's DynamoDB, in a process of its own, as in the embedded AWS."""
    # The embedded AWS imports nearly all of moto, which takes seconds: many tests need nothing of it.
    from sandbox.aws.dynamodb import DynamoDb  # noqa: PLC0415
    from sandbox.aws.logs import FunctionLogs  # noqa: PLC0415

    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    with DynamoDb(FunctionLogs()) as running:
        yield boto3.client("dynamodb", region_name=_REGION, endpoint_url=running.url, **keys)


@pytest.fixture(scope="module", params=["moto", "ministack"])
def dynamodb(request):
    """A client of DynamoDB. Each test runs with both implementations: the ledger relies on the habits of neither."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def table(dynamodb):
    """An empty table with the definition that deploy.py uses."""
    return new_table(dynamodb)


@pytest.fixture
def ledger(table, clock):
    """The real ledger, on an empty table."""
    return Ledger(table, clock, RETENTION)


@pytest.fixture(params=["fake", "moto", "ministack"])
def communications(request, clock):
    """The ledger's communications; each test runs with the fake, and with the real ones on both DynamoDBs."""
    if request.param == "fake":
        return FakeCommunications(clock)
    return Communications(new_table(request.getfixturevalue(request.param)), clock)


def pytest_collection_finish():
    """Keep the garbage collector from looking at all of moto again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


def pytest_terminal_summary(terminalreporter):
    """Print how long the tests of each folder took, added up over the workers."""
    seconds = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                seconds["/".join(report.nodeid.split("/")[:2])] += report.duration
    folders = ", ".join(f"{folder} {total:.0f} s" for folder, total in seconds.most_common())
    terminalreporter.write_line(f"time in tests: {folders}")


def new_table(client):
    definition = table_definition(LEDGER, f"ledger-{next(_numbers)}")
    client.create_table(**definition)
    return Table(client, definition["TableName"])

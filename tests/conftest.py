"""The table that every test of the ledger may use: the real one, on moto."""

import itertools

import boto3
import pytest
from moto import mock_aws

from chalicelib.ledger import Communications, Ledger
from chalicelib.ledger.table import Table
from deployment.table import table_definition
from tests.fakes import FakeClock, FakeCommunications

RETENTION = 90 * 86_400_000

_numbers = itertools.count()


@pytest.fixture
def clock():
    """The time, which stands still unless a test moves it."""
    return FakeClock()


@pytest.fixture(scope="module")
def dynamodb():
    """DynamoDB's client; moto in this process."""
    with mock_aws():
        yield boto3.client("dynamodb", region_name="eu-central-1")


@pytest.fixture
def table(dynamodb):
    """An empty table as deploy.py makes it."""
    definition = table_definition(f"ledger-{next(_numbers)}")
    dynamodb.create_table(**definition)
    return Table(dynamodb, definition["TableName"])


@pytest.fixture
def ledger(table, clock):
    """The real ledger."""
    return Ledger(table, clock, RETENTION)


@pytest.fixture(params=["fake", "real"])
def communications(request, clock):
    """The ledger's communications: each test runs against the fake and the real ones."""
    return (
        FakeCommunications(clock)
        if request.param == "fake"
        else Communications(request.getfixturevalue("table"), clock)
    )

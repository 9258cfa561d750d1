"""The fixtures that all tests share: the clock, and the ledger on a table of moto."""

import itertools

import boto3
import pytest
from moto import mock_aws

from chalicelib.ledger import Communications, Ledger
from chalicelib.ledger.table import Table
from deployment.table import table_definition
from tests.fakes import DAY, FakeClock, FakeCommunications

RETENTION = 90 * DAY

_numbers = itertools.count()


@pytest.fixture
def clock():
    """A clock that stands still unless a test moves it."""
    return FakeClock()


@pytest.fixture(scope="module")
def dynamodb():
    """A client of DynamoDB, which moto simulates in this process."""
    with mock_aws():
        yield boto3.client("dynamodb", region_name="eu-central-1")


@pytest.fixture
def table(dynamodb):
    """An empty table with the definition that deploy.py uses."""
    definition = table_definition(f"ledger-{next(_numbers)}")
    dynamodb.create_table(**definition)
    return Table(dynamodb, definition["TableName"])


@pytest.fixture
def ledger(table, clock):
    """The real ledger, on an empty table."""
    return Ledger(table, clock, RETENTION)


@pytest.fixture(params=["fake", "real"])
def communications(request, clock):
    """The ledger's communications; each test runs once with the fake and once with the real ones."""
    return (
        FakeCommunications(clock)
        if request.param == "fake"
        else Communications(request.getfixturevalue("table"), clock)
    )

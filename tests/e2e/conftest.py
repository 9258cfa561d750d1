"""The whole system, deployed once for all end-to-end tests."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from sandbox.system import System
from tests.e2e.driver import PATIENCE


@pytest.fixture(scope="package")
def system(tmp_path_factory) -> Iterator[System]:
    """A cool-down of two seconds and few attempts let a test see what later runs do."""
    settings = {"SCHEDULE": "rate(1 hour)", "COOL_DOWN": "2s", "MAX_ATTEMPTS": "3"}
    with System(tmp_path_factory.mktemp("system"), settings, requeue_after=0.2, lost_after=2.0) as running:
        running.deploy()
        yield running


@pytest.fixture(scope="package")
def operator(system) -> str:
    """An operator's token."""
    return system.token("operator", "olga")


@pytest.fixture(scope="package")
def viewer(system) -> str:
    """A viewer's token."""
    return system.token("viewer", "vera")


@pytest.fixture(scope="package")
def approver(system) -> str:
    """An approver's token."""
    return system.token("approver", "anna")


@pytest.fixture(scope="module")
def tidy(system):
    """Leave nothing in the application that has failed: other modules count all that there is."""
    yield
    system.application.wait_for_stats(PATIENCE, queued=0)
    with closing(sqlite3.connect(system.application.database, timeout=PATIENCE)) as database, database:
        # Not deleted: the application would give their ids to others.
        database.execute("UPDATE communications SET state = 'sent', sent = 1 WHERE state = 'failed'")


@pytest.fixture(autouse=True)
def clean(system):
    """Leave no failed communication and no switch behind for the next test."""
    yield
    system.email.down = system.sms.down = False
    system.application.reset_switches()

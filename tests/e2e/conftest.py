"""The whole system, deployed once for all end-to-end tests."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from chalicelib import times
from chalicelib.ledger.incidents import Incidents
from chalicelib.ledger.runs import Runs
from chalicelib.ledger.table import Table
from sandbox.project import APPLICATION_TOML
from sandbox.system import System
from tests.e2e.driver import COOL_DOWN, PATIENCE, POST_TIMEOUT, PREFIX, wait_for_turn, wait_until


@pytest.fixture(scope="package")
def system(tmp_path_factory) -> Iterator[System]:
    """The system, with a short cool-down and few attempts so that a test can see what later runs do."""
    settings = {"SCHEDULE": "rate(1 day)", "COOL_DOWN": f"{COOL_DOWN}s", "MAX_ATTEMPTS": "3"}
    application = {"rounds": 2, "requeue_after": 0.2, "lost_after": 2.0}
    toml = APPLICATION_TOML.read_text(encoding="utf-8").replace("timeout = 10", f"timeout = {POST_TIMEOUT}")
    with System(tmp_path_factory.mktemp("system"), settings, toml, **application) as running:
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


@pytest.fixture(scope="package")
def tokens(operator, viewer, approver) -> dict[str, str]:
    """One token for each role, always the same, so that API Gateway's cached policies decide."""
    return {"viewer": viewer, "operator": operator, "approver": approver}


@pytest.fixture(scope="module", autouse=True)
def _nothing_has_failed_yet(system):
    """Before each module, nothing in the application has failed: modules count all failures, and run in any order.

    And nobody knows what the application can take or how many fail usually, or has had a mail about an incident or an
    outage. No run of an earlier module is under way: it would send, and write all that.
    """
    table = Table(system.client("dynamodb"), PREFIX)
    system.aws.lambdas.wait_for_events()
    wait_until(lambda: not Runs(table, times.now, 0).open_runs(), "a run of an earlier module is under way")
    wait_for_turn(system)
    for partition in ("PACE", "SITUATION", "OUTAGE"):
        for item in table.latest(partition, 100):
            table.delete(item["pk"], item["sk"])
    Incidents(table).end(0)
    system.application.wait_for_stats(PATIENCE, queued=0)
    with closing(sqlite3.connect(system.application.database, timeout=PATIENCE)) as database, database:
        # Deleted rows would not do: the application would use their ids again.
        database.execute("UPDATE communications SET state = 'sent', sent = 1 WHERE state = 'failed'")


@pytest.fixture(autouse=True)
def _reset_faults(system):
    """After each test, the providers work again, and the application's switches are off."""
    yield
    system.email.down = system.sms.down = False
    system.application.reset_switches()

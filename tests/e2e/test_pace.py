"""The pace, against an application that cannot take everything at once."""

import pytest

from chalicelib.ledger.pacing import Pacing
from chalicelib.ledger.table import Table
from tests.e2e.driver import PATIENCE, PREFIX, collect, insert_failed, sent_flags, wait_for_mail, wait_until


@pytest.fixture
def pacing(system):
    """The pace in the ledger; afterwards, nobody knows the application any more."""
    client = system.client("dynamodb")
    yield Pacing(Table(client, PREFIX), lambda: 0)
    client.delete_item(TableName=PREFIX, Key={"pk": {"S": "PACE"}, "sk": {"S": "PACE"}})


def first_run(system, token: str, matched: int) -> dict:
    """The last run that found so many communications; those that follow it find fewer."""
    runs = system.call("GET", "/runs?limit=50", token).json()["runs"]
    return next(run for run in runs if run["matched"] == matched)


def test_an_application_that_locks_out_whoever_is_too_fast_gets_what_it_can_take(system, operator, pacing):
    """It takes 6 a second. Hardly any POST is refused, and runs follow each other until everything is sent."""
    before = system.application.stats()
    system.application.switch(capacity={"per_second": 6, "lockout": 3, "retry_after": 3})
    ids = insert_failed(system, 100, "locked-out")
    collect(system)
    wait_until(lambda: set(sent_flags(system, ids)) == {1}, "not all sent", 2 * PATIENCE)
    after = system.application.stats()
    refused = after["refused"] - before["refused"]
    assert 0 < refused <= 0.2 * len(ids)
    assert after["delivered_twice"] == before["delivered_twice"]
    pace = pacing.read()
    assert pace.reason in ("too_busy", "slow_answers")  # this machine may be slow, too
    assert pace.canary == 0
    first = first_run(system, operator, len(ids))
    assert first["counts"]["accepted"] > 0
    assert "accepted" in wait_for_mail(system, first["runId"])["Subject"]


def test_an_application_that_gets_slow_is_not_pushed_until_it_times_out(system, operator, pacing):
    """It has one lane for three POSTs a second, and a POST may take three seconds: 20 at once would lose half."""
    before = system.application.stats()
    system.application.switch(lanes={"number": 1, "seconds": 0.3})
    ids = insert_failed(system, 80, "slow")
    collect(system)
    wait_until(lambda: set(sent_flags(system, ids)) == {1}, "not all sent", 2 * PATIENCE)
    assert system.application.stats()["delivered_twice"] == before["delivered_twice"]
    wait_until(lambda: first_run(system, operator, len(ids)).get("endedAt"), "the run has not ended")
    counts = first_run(system, operator, len(ids))["counts"]
    assert counts["accepted"] > 4 * counts.get("unknown", 0)
    assert pacing.read().reason in ("no_answer_in_time", "slow_answers")

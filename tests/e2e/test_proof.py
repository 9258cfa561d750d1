"""Proving that a cause is fixed, against an application that works again, and one of which only half does."""

import sqlite3
from contextlib import closing

import pytest

from chalicelib.models import CauseKind
from chalicelib.runs.causes import Cause
from tests.e2e.driver import PATIENCE, changed_environment, insert_failed, start_run, wait_for_end, wait_for_mail

# What all communications here have in common: nobody has sent them again yet.
UNTRIED = Cause(operation="send.email", kind=CauseKind.UNTRIED)


@pytest.fixture(autouse=True)
def _four_batches_at_once(system):
    """So that batches have to wait for each other."""
    with changed_environment(system, "collector", CONCURRENCY="80"):
        yield


def posted(system, ids: list[str]) -> list[str]:
    """Those of some communications that the application got, in the order of its POSTs."""
    with closing(sqlite3.connect(system.application.database, timeout=PATIENCE)) as database:
        rows = database.execute("SELECT communication_id FROM payloads ORDER BY number").fetchall()
    return [each for (each,) in rows if each in set(ids)]


def outcomes(system, token: str, run_id: str) -> list[str]:
    """The ids of a run's communications in the order of its manifest."""
    page = system.call("GET", f"/runs/{run_id}/communications?limit=200", token).json()
    return [each["primaryId"] for each in page["communications"]]


def test_a_fix_that_holds_is_proved_by_one_then_five_then_twenty(system, operator):
    """Each of the first batches is sent when the one before it has ended, and then all others."""
    ids = insert_failed(system, 80, "fixed")
    run = wait_for_end(system, operator, start_run(system, operator, cause=UNTRIED.id, prove=True))
    assert (run["status"], run["counts"]) == ("succeeded", {"accepted": 80})
    assert run["proof"] == {"cause": UNTRIED.id, "stage": "all", "sent": 80, "failedAgain": 0, "stopped": False}
    assert "all 80 accepted" in wait_for_mail(system, run["runId"]).get_content()
    order, manifest = posted(system, ids), outcomes(system, operator, run["runId"])
    assert len(order) == 80
    for first, end in ((0, 1), (1, 6), (6, 26)):
        assert set(order[first:end]) == set(manifest[first:end])


def test_of_a_thousand_six_are_sent_if_only_half_of_it_is_fixed(system, operator):
    """The first one succeeds by chance, and three of the next five do not."""
    ids = insert_failed(system, 1_000, "half-fixed")
    system.application.switch(status={"value": 422, "share": 0.5})
    run = wait_for_end(system, operator, start_run(system, operator, cause=UNTRIED.id, prove=True))
    assert (run["status"], run["counts"]) == ("stopped", {"accepted": 3, "rejected": 3, "not_attempted": 994})
    assert run["proof"] == {"cause": UNTRIED.id, "stage": 5, "sent": 6, "failedAgain": 3, "stopped": True}
    assert len(posted(system, ids)) == 6
    mail = wait_for_mail(system, run["runId"])
    assert "stopped: not fixed yet, 3 of 6 failed again" in mail["Subject"].replace("\n", "")
    assert "It sent nothing else." in mail.get_content()

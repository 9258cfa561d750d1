"""Proving that a cause is fixed, against an application that works again, and one of which only half does."""

import sqlite3
from contextlib import closing

import pytest

from tests.e2e.driver import PATIENCE, changed_environment, insert_failed, start_run, wait_for_end, wait_for_mail


@pytest.fixture(autouse=True)
def _four_batches_at_once(system):
    """So that batches have to wait for each other."""
    with changed_environment(system, "collector", CONCURRENCY="80"):
        yield


def cause_of(system, token: str, number: int) -> str:
    """The id of the cause that so many communications have. The schedule is paused: it looks, and sends nothing."""
    system.call("POST", "/schedule/pause", token)
    system.scan()
    system.call("POST", "/schedule/resume", token)
    causes = system.call("GET", "/causes", token).json()["causes"]
    [cause] = [each for each in causes if each["count"] == number]
    assert (cause["operation"], cause["kind"]) == ("send.email", "untried")
    return cause["id"]


def posted(system, ids: list[str]) -> list[str]:
    """Those of some communications that the application got, in the order of the first POST of each."""
    with closing(sqlite3.connect(system.application.database, timeout=PATIENCE)) as database:
        rows = database.execute(
            "SELECT communication_id FROM payloads GROUP BY communication_id ORDER BY min(number)"
        ).fetchall()
    return [each for (each,) in rows if each in set(ids)]


def outcomes(system, token: str, run_id: str) -> list[str]:
    """The ids of a run's communications in the order of its manifest."""
    page = system.call("GET", f"/runs/{run_id}/communications?limit=200", token).json()
    return [each["primaryId"] for each in page["communications"]]


def test_a_fix_that_holds_is_proved_by_one_then_five_then_twenty(system, operator):
    """Each of the first batches is sent when the one before it has ended, and then all others."""
    ids = insert_failed(system, 80, "fixed")
    cause = cause_of(system, operator, 80)
    run = wait_for_end(system, operator, start_run(system, operator, cause=cause, prove=True))
    assert (run["status"], run["counts"]) == ("succeeded", {"accepted": 80})
    assert run["proof"] == {"cause": cause, "stage": "all", "sent": 80, "failedAgain": 0, "stopped": False}
    assert "all 80 accepted" in wait_for_mail(system, run["runId"]).get_content()
    order, manifest = posted(system, ids), outcomes(system, operator, run["runId"])
    assert len(order) == 80
    for first, end in ((0, 1), (1, 6), (6, 26)):
        assert set(order[first:end]) == set(manifest[first:end])


def test_of_a_thousand_six_are_sent_if_only_half_of_it_is_fixed(system, operator):
    """The first one succeeds by chance, and three of the next five do not."""
    ids = insert_failed(system, 1_000, "half-fixed")
    system.application.switch(status={"value": 422, "share": 0.5})
    cause = cause_of(system, operator, 1_000)
    run = wait_for_end(system, operator, start_run(system, operator, cause=cause, prove=True))
    assert (run["status"], run["counts"]) == ("stopped", {"accepted": 3, "rejected": 3, "not_attempted": 994})
    assert run["proof"] == {"cause": cause, "stage": 5, "sent": 6, "failedAgain": 3, "stopped": True}
    assert len(posted(system, ids)) == 6
    mail = wait_for_mail(system, run["runId"])
    assert "stopped: not fixed yet, 3 of 6 failed again" in mail["Subject"].replace("\n", "")
    assert "It sent nothing else." in mail.get_content()

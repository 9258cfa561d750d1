"""What truly needs a human: seen, sent again, dismissed, and brought back; all of it on the record."""

import csv
import io
import json
import time

import pytest

from chalicelib.models import CommunicationStatus
from tests.e2e.driver import PATIENCE, fail, finish, start_run, wait_until

pytestmark = pytest.mark.usefixtures("tidy")

COOL_DOWN = 2.0


@pytest.fixture(autouse=True)
def clean(system, operator):
    """Nothing is left on the worklist for the next test, and nothing fails any more."""
    yield
    system.application.reset_switches()
    for each in worklist(system, operator):
        system.call("POST", f"/communications/{each['id']}/dismiss", operator, json={"note": "end of the test"})


def worklist(system, token, **filters):
    return system.call("GET", "/communications", token, params=filters | {"limit": 200}).json()["communications"]


def rejected(system, operator, count):
    """Emails to impossible addresses, which a run has put on the worklist; their cool-down is over."""
    ids = fail(system, "emails", count, recipient="nobody")
    run = finish(system, operator, start_run(system, operator, primaryIds=ids, operation="send.email"))
    assert run["counts"] == {"rejected": count}
    time.sleep(COOL_DOWN + 0.2)  # a person's retry has a key of its own, which has to wait for it
    return ids, run["runId"]


def test_one_is_seen_retried_and_sent_at_once(system, operator, viewer):
    """Its history names the runs, its attempts begin again, and what was done by whom is kept."""
    (wanted,), run_id = rejected(system, operator, 1)
    (found,) = worklist(system, viewer, reason="invalid_address", primaryId=wanted)
    assert (found["primaryId"], found["status"], found["reason"]) == (wanted, "manual", "invalid_address")
    path = f"/communications/{found['id']}"
    assert system.call("POST", f"{path}/retry", viewer).status_code == 403
    answer = system.call("POST", f"{path}/retry", operator, json={"startRun": True})
    assert (answer.status_code, answer.json()["communication"]["attempts"]) == (200, 0), answer.text
    second = finish(system, operator, answer.json()["runId"])
    assert second["counts"] == {"rejected": 1}
    again = system.call("POST", f"{path}/retry", operator)
    assert (again.status_code, again.json()["Code"]) == (409, "ConflictError")
    assert "coolDownUntil" in again.json()["Message"]
    seen = system.call("GET", path, viewer).json()
    assert [each["runId"] for each in seen["history"]] == [run_id, second["runId"]]
    assert [(each["action"], each["by"]) for each in seen["decisions"]] == [("retry", "olga")]
    assert (seen["status"], seen["attempts"]) == ("manual", 1)


def test_a_dismissed_one_is_never_sent_until_somebody_restores_it(system, operator, viewer):
    """Neither a run nor includeManual sends it; restored it is on the worklist, and may be retried."""
    (wanted,), _ = rejected(system, operator, 1)
    (found,) = worklist(system, viewer, primaryId=wanted)
    path = f"/communications/{found['id']}"
    assert system.call("POST", f"{path}/dismiss", operator).json()["Message"] == "note: is required"
    assert system.call("POST", f"{path}/dismiss", operator, json={"note": "no such person"}).status_code == 200
    assert system.call("POST", f"{path}/dismiss", operator, json={"note": "twice"}).status_code == 409
    assert system.call("POST", f"{path}/retry", operator).status_code == 409
    assert worklist(system, viewer) == []
    assert found["id"] in [each["id"] for each in worklist(system, viewer, status=CommunicationStatus.DISMISSED)]
    selection = {"operation": "send.email", "primaryIds": [wanted], "includeManual": True}
    assert finish(system, operator, start_run(system, operator, **selection))["skipped"] == {"dismissed": 1}
    assert system.call("POST", f"{path}/restore", operator).json()["status"] == "manual"
    assert system.call("POST", f"{path}/restore", operator).status_code == 409
    assert [each["id"] for each in worklist(system, viewer)] == [found["id"]]
    assert system.call("POST", f"{path}/retry", operator).json()["runId"] is None
    assert finish(system, operator, start_run(system, operator, **selection))["counts"] == {"rejected": 1}
    decisions = system.call("GET", path, viewer).json()["decisions"]
    assert [each["action"] for each in decisions] == ["dismiss", "restore", "retry"]
    assert decisions[0]["note"] == "no such person"


def test_include_manual_resets_the_items_first_on_the_record(system, operator, viewer):
    """Without it they are left alone; with it they are sent again, by the name of whoever asked."""
    ids, _ = rejected(system, operator, 2)
    selection = {"operation": "send.email", "primaryIds": ids}
    assert finish(system, operator, start_run(system, operator, **selection))["skipped"] == {"manual": 2}
    dry = system.call("POST", "/reprocess", operator, json=selection | {"includeManual": True, "dryRun": True}).json()
    assert (dry["eligible"], dry["skipped"]) == (2, {})
    assert len(worklist(system, viewer)) == 2
    run = finish(system, operator, start_run(system, operator, **selection, includeManual=True))
    assert run["counts"] == {"rejected": 2}
    seen = system.call("GET", f"/communications/{worklist(system, viewer)[0]['id']}", viewer).json()
    assert [(each["action"], each["by"]) for each in seen["decisions"]] == [("retry", "olga")]
    assert seen["attempts"] == 1


def test_many_are_retried_and_dismissed_by_reason_or_by_list(system, operator, viewer):
    """Pages, CSV, all of a reason, a list of ids; what could not be changed is counted with why."""
    ids, _ = rejected(system, operator, 5)
    whole = worklist(system, viewer)
    assert {each["primaryId"] for each in whole} == set(ids)
    assert [each["since"] for each in whole] == sorted(each["since"] for each in whole)
    paged, cursor = [], {}
    while cursor is not None:
        page = system.call(
            "GET", "/communications", viewer, params={"limit": 2, "reason": "invalid_address"} | cursor
        ).json()
        paged += page["communications"]
        cursor = {"cursor": page["nextCursor"]} if page["nextCursor"] else None
    assert paged == whole
    answer = system.call("GET", "/communications.csv?limit=3", viewer)
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["primaryId"] for row in rows] == [each["primaryId"] for each in whole[:3]]
    rest = system.call("GET", "/communications.csv", viewer, params={"cursor": answer.headers["X-Next-Cursor"]})
    assert len(list(csv.DictReader(io.StringIO(rest.text)))) == 2

    two = [each["id"] for each in whole[:2]]
    answer = system.call("POST", "/communications/dismiss", operator, json={"ids": [*two, two[0]], "note": "gone"})
    assert answer.json() == {"changed": 2, "refused": {}, "runIds": [], "nextCursor": None}
    answer = system.call("POST", "/communications/retry", operator, json={"ids": two})
    assert answer.json()["refused"] == {"not_on_worklist": 2}
    wanted = {"reason": "invalid_address", "operation": "send.email", "startRun": True}
    answer = system.call("POST", "/communications/retry", operator, json=wanted).json()
    assert (answer["changed"], len(answer["runIds"])) == (3, 1)
    assert finish(system, operator, answer["runIds"][0])["counts"] == {"rejected": 3}
    answer = system.call("POST", "/communications/retry", operator, json=wanted).json()
    assert (answer["changed"], answer["refused"], answer["runIds"]) == (0, {"cool_down": 3}, [])
    assert system.call("POST", "/communications/retry", operator, json={}).status_code == 400
    lines = [line for line in system.log().splitlines() if '"audit": "dismissCommunications"' in line]
    audit = json.loads(lines[-1][lines[-1].index("{") :])
    assert (audit["by"], audit["ids"]) == ("olga", two)


def test_a_retried_one_is_sent_with_a_key_of_its_own_and_once(system, operator, viewer):
    """After five failed tries it is on the worklist; retried, it goes out, and no cool-down saw two keys."""
    (wanted,) = fail(system, "emails", 1)
    system.application.switch(status=500)
    selection = {"operation": "send.email", "primaryIds": [wanted]}

    def on_worklist() -> bool:
        finish(system, operator, start_run(system, operator, **selection))
        return bool(worklist(system, viewer))

    wait_until(on_worklist, "it never came to the worklist")
    system.application.reset_switches()
    (found,) = worklist(system, viewer)
    path = f"/communications/{found['id']}/retry"
    first = system.call("POST", path, operator, json={"startRun": True})
    assert first.status_code == 409  # the last POST may have been processed: its cool-down counts
    time.sleep(COOL_DOWN + 0.2)
    answer = system.call("POST", path, operator, json={"startRun": True})
    assert answer.status_code == 200, answer.text
    assert finish(system, operator, answer.json()["runId"])["counts"] == {"accepted": 1}
    system.application.wait_for_stats(PATIENCE, queued=0)
    assert system.application.communication(wanted)["sent"] == 1

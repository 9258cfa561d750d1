"""The worklist: communications that need a person are looked up, retried, dismissed and restored, on the record."""

import csv
import io
import json

import pytest

from chalicelib.models.communications import CommunicationStatus
from tests.e2e.driver import (
    PATIENCE,
    changed_environment,
    create_failed,
    end_cool_down,
    start_run,
    wait_for_end,
    wait_for_mail,
    wait_out_cool_down,
    wait_until,
)


@pytest.fixture(autouse=True)
def _empty_worklist(system, operator):
    """After each test, dismiss what is on the worklist."""
    yield
    for each in worklist(system, operator):
        system.call("POST", f"/communications/{each['id']}/dismiss", operator, json={"note": "end of the test"})


def worklist(system, token, **filters):
    return system.call("GET", "/communications", token, params=filters | {"limit": 200}).json()["communications"]


def long_cool_down(system):
    """What is sent meanwhile stays in its cool-down, however long the test takes."""
    return changed_environment(system, "reprocess", COOL_DOWN="1h")


def create_rejected(system, operator, count):
    """Create emails to impossible addresses that a run has moved to the worklist, and wait out their cool-down."""
    ids = create_failed(system, "emails", count, recipient="nobody")
    run = wait_for_end(system, operator, start_run(system, operator, primaryIds=ids, operation="send.email"))
    assert run["counts"] == {"rejected": count}
    wait_out_cool_down()  # a person's retry gets a new key, so it is refused until then
    return ids, run["runId"]


def test_a_communication_on_the_worklist_can_be_looked_up_and_retried_in_a_run_at_once(system, operator, viewer):
    """Its history has both runs, its attempts start again, and the decision is recorded."""
    (primary_id,), run_id = create_rejected(system, operator, 1)
    (found,) = worklist(system, viewer, reason="invalid_address", primaryId=primary_id)
    assert (found["primaryId"], found["status"], found["reason"]) == (primary_id, "manual", "invalid_address")
    path = f"/communications/{found['id']}"
    assert system.call("POST", f"{path}/retry", viewer).status_code == 403
    with long_cool_down(system):
        answer = system.call("POST", f"{path}/retry", operator, json={"startRun": True})
        assert (answer.status_code, answer.json()["communication"]["attempts"]) == (200, 0), answer.text
        second = wait_for_end(system, operator, answer.json()["runId"])
    assert second["counts"] == {"rejected": 1}
    again = system.call("POST", f"{path}/retry", operator)
    assert (again.status_code, again.json()["Code"]) == (409, "ConflictError")
    assert "coolDownUntil" in again.json()["Message"]
    seen = system.call("GET", path, viewer).json()
    assert [each["runId"] for each in seen["history"]] == [run_id, second["runId"]]
    assert [(each["action"], each["by"]) for each in seen["decisions"]] == [("retry", "olga")]
    assert (seen["status"], seen["attempts"]) == ("manual", 1)


def test_a_dismissed_communication_is_not_sent_until_it_is_restored_and_retried(system, operator, viewer):
    """Not even a run with includeManual sends it."""
    (primary_id,), _ = create_rejected(system, operator, 1)
    (found,) = worklist(system, viewer, primaryId=primary_id)
    path = f"/communications/{found['id']}"
    assert system.call("POST", f"{path}/dismiss", operator).json()["Message"] == "note: is required"
    assert system.call("POST", f"{path}/dismiss", operator, json={"note": "no such person"}).status_code == 200
    assert system.call("POST", f"{path}/dismiss", operator, json={"note": "twice"}).status_code == 409
    assert system.call("POST", f"{path}/retry", operator).status_code == 409
    assert worklist(system, viewer) == []
    assert found["id"] in [each["id"] for each in worklist(system, viewer, status=CommunicationStatus.DISMISSED)]
    selection = {"operation": "send.email", "primaryIds": [primary_id], "includeManual": True}
    assert wait_for_end(system, operator, start_run(system, operator, **selection))["skipped"] == {"dismissed": 1}
    assert system.call("POST", f"{path}/restore", operator).json()["status"] == "manual"
    assert system.call("POST", f"{path}/restore", operator).status_code == 409
    assert [each["id"] for each in worklist(system, viewer)] == [found["id"]]
    assert system.call("POST", f"{path}/retry", operator).json()["runId"] is None
    assert wait_for_end(system, operator, start_run(system, operator, **selection))["counts"] == {"rejected": 1}
    decisions = system.call("GET", path, viewer).json()["decisions"]
    assert [each["action"] for each in decisions] == ["dismiss", "restore", "retry"]
    assert decisions[0]["note"] == "no such person"


def test_a_run_with_include_manual_retries_its_communications_in_the_requesters_name(system, operator, viewer):
    """Without includeManual, the run skips them."""
    ids, _ = create_rejected(system, operator, 2)
    selection = {"operation": "send.email", "primaryIds": ids}
    assert wait_for_end(system, operator, start_run(system, operator, **selection))["skipped"] == {"manual": 2}
    dry = system.call("POST", "/reprocess", operator, json=selection | {"includeManual": True, "dryRun": True}).json()
    assert (dry["eligible"], dry["skipped"]) == (2, {})
    assert len(worklist(system, viewer)) == 2
    run = wait_for_end(system, operator, start_run(system, operator, **selection, includeManual=True))
    assert run["counts"] == {"rejected": 2}
    seen = system.call("GET", f"/communications/{worklist(system, viewer)[0]['id']}", viewer).json()
    assert [(each["action"], each["by"]) for each in seen["decisions"]] == [("retry", "olga")]
    assert seen["attempts"] == 1


def test_many_communications_can_be_listed_dismissed_and_retried_at_once(system, operator, viewer):
    """They are selected by ids or by reason. What could not be changed is counted by the reason."""
    ids, _ = create_rejected(system, operator, 5)
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
    selection = {"reason": "invalid_address", "operation": "send.email", "startRun": True}
    with long_cool_down(system):
        answer = system.call("POST", "/communications/retry", operator, json=selection).json()
        assert (answer["changed"], len(answer["runIds"])) == (3, 1)
        assert wait_for_end(system, operator, answer["runIds"][0])["counts"] == {"rejected": 3}
    answer = system.call("POST", "/communications/retry", operator, json=selection).json()
    assert (answer["changed"], answer["refused"], answer["runIds"]) == (0, {"cool_down": 3}, [])
    assert system.call("POST", "/communications/retry", operator, json={}).status_code == 400
    lines = [line for line in system.log().splitlines() if '"audit": "dismissCommunications"' in line]
    audit = [json.loads(line[line.index("{") :]) for line in lines[-2:]]
    assert [(each["by"], each["id"]) for each in audit] == [("olga", each) for each in two]


def test_all_that_match_are_retried_or_dismissed_by_a_run(system, operator, viewer):
    """The call only starts it; a run then carries it out, page by page, and its mail says how it went."""
    ids, _ = create_rejected(system, operator, 5)
    filters = {"all": True, "reason": "invalid_address"}
    path = "/communications/retry"
    assert system.call("POST", path, viewer, json=filters).status_code == 403
    key = {"Idempotency-Key": "retry-all-5"}
    answer = system.call("POST", path, operator, json=filters, headers=key)
    assert answer.status_code == 202, answer.text
    run_id = answer.json()["runId"]
    assert answer.headers["Location"].endswith(f"/runs/{run_id}")
    run = wait_for_end(system, viewer, run_id)
    assert (run["kind"], run["status"], run["matched"], run["counts"]) == ("retry", "succeeded", 5, {"changed": 5})
    assert worklist(system, viewer) == []
    assert system.call("POST", path, operator, json=filters, headers=key).json()["runId"] == run_id
    other = system.call("POST", path, operator, json=filters | {"operation": "send.email"}, headers=key)
    assert (other.status_code, other.json()["Message"][:15]) == (409, "Idempotency-Key")
    mail = wait_for_mail(system, run_id)
    assert mail["Subject"] == "comms-reprocess: 5 of 5 on the worklist retried"

    with long_cool_down(system):
        sent = wait_for_end(system, operator, start_run(system, operator, primaryIds=ids, operation="send.email"))
    assert (sent["kind"], sent["counts"]) == ("reprocess", {"rejected": 5})
    again = system.call("POST", path, operator, json={"all": True, "operation": "send.email"})
    run = wait_for_end(system, viewer, again.json()["runId"])
    assert (run["status"], run["counts"], run["refused"]) == ("partial", {"refused": 5}, {"cool_down": 5})
    body = filters | {"note": "they will never work"}
    run_id = system.call("POST", "/communications/dismiss", operator, json=body).json()["runId"]
    run = wait_for_end(system, viewer, run_id)
    assert (run["kind"], run["status"], run["counts"]) == ("dismiss", "succeeded", {"changed": 5})
    (found,) = worklist(system, viewer, primaryId=ids[0])
    decision = system.call("GET", f"/communications/{found['id']}", viewer).json()["decisions"][-1]
    assert (decision["action"], decision["by"], decision["note"], decision["runId"]) == (
        "dismiss",
        "olga",
        "they will never work",
        run_id,
    )


def test_a_communication_that_used_up_its_attempts_is_sent_after_a_retry(system, operator, viewer):
    """The retry is refused during the cool-down, because the last POST may have been processed."""
    (primary_id,) = create_failed(system, "emails", 1)
    system.application.switch(status=500)
    selection = {"operation": "send.email", "primaryIds": [primary_id]}

    def on_worklist() -> bool:
        wait_for_end(system, operator, start_run(system, operator, **selection))
        return bool(worklist(system, viewer))

    with long_cool_down(system):
        wait_until(on_worklist, "the communication did not move to the worklist")
    system.application.reset_switches()
    (found,) = worklist(system, viewer)
    path = f"/communications/{found['id']}/retry"
    first = system.call("POST", path, operator, json={"startRun": True})
    assert first.status_code == 409  # the cool-down of the last POST is not over
    end_cool_down(system, "send.email", primary_id)
    answer = system.call("POST", path, operator, json={"startRun": True})
    assert answer.status_code == 200, answer.text
    assert wait_for_end(system, operator, answer.json()["runId"])["counts"] == {"accepted": 1}
    system.application.wait_for_stats(PATIENCE, queued=0)
    assert system.application.communication(primary_id)["sent"] == 1

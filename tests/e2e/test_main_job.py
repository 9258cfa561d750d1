"""A failed communication is found, sent and reported: the whole way, with nothing replaced."""

import time
from datetime import UTC, datetime

from chalicelib import __version__
from tests.e2e.driver import PATIENCE, collect, executions, fail, finish, fire, mail_about, mails_about, start_run


def test_the_schedule_sends_what_had_failed(system, viewer):
    """What failed through queue, dead letter queue and rounds is really sent, and one mail says so."""
    emails, sms = fail(system, "emails", 15), fail(system, "sms", 10)
    run_id = fire(system)
    run = finish(system, viewer, run_id)
    assert (run["status"], run["matched"], run["counts"]) == ("succeeded", 25, {"accepted": 25})
    system.application.wait_for_stats(PATIENCE, failed=0, queued=0)
    assert {system.application.communication(each)["sent"] for each in emails + sms} == {1}
    assert set(emails) <= {str(mail["X-Communication-Id"]) for mail in system.email.messages()}
    assert set(sms) <= {each.communication_id for each in system.sms.messages()}
    mail = mail_about(system, run_id)
    assert mail["Subject"] == "comms-reprocess: 25 of 25 accepted"
    assert "15 send.email" in mail.get_content()
    assert len(mails_about(system, run_id)) == 1
    assert system.application.stats()["delivered_twice"] == 0


def test_nothing_due_starts_nothing_and_tells_nobody(system):
    """An empty schedule leaves no execution, no run, no mail."""
    before = (executions(system), len(system.mailbox.messages()))
    collect(system)
    assert (executions(system), len(system.mailbox.messages())) == before


def test_a_request_sends_exactly_what_it_selects(system, operator):
    """A run on request takes those that fit its filters, no other."""
    wanted = fail(system, "emails", 4, created_by="bob")
    others = fail(system, "emails", 3, created_by="carol") + fail(system, "sms", 2, created_by="bob")
    run = finish(system, operator, start_run(system, operator, operation="send.email", createdBy="bob"))
    assert (run["requestedBy"], run["matched"], run["counts"]) == ("olga", 4, {"accepted": 4})
    system.application.wait_for_stats(PATIENCE, failed=5, queued=0)
    assert {system.application.communication(each)["sent"] for each in wanted} == {1}
    assert {system.application.communication(each)["sent"] for each in others} == {0}
    assert mail_about(system, run["runId"])["Subject"] == "comms-reprocess: 4 of 4 accepted"

    moment = datetime.now(UTC).isoformat()
    run = finish(system, operator, start_run(system, operator, createdAfter=moment))
    assert (run["status"], run["matched"]) == ("empty", 0)
    run = finish(system, operator, start_run(system, operator, primaryIds=[others[0], "no-such-id"], limit=5))
    assert (run["matched"], run["notFound"]) == (1, ["no-such-id"])
    run = finish(system, operator, start_run(system, operator, createdBefore=moment, limit=2))
    assert (run["matched"], run["counts"], run["truncated"]) == (2, {"accepted": 2}, True)
    run = finish(system, operator, start_run(system, operator))
    assert run["counts"]["accepted"] == 2
    system.application.wait_for_stats(PATIENCE, failed=0, queued=0)


def test_one_refused_address_fails_alone(system, operator):
    """Of 20 in a batch the one with an impossible address is rejected and named; 19 are delivered."""
    bad = fail(system, "emails", 1, recipient="nobody")
    good = fail(system, "emails", 19)
    run = finish(system, operator, start_run(system, operator))
    assert (run["status"], run["counts"]) == ("partial", {"accepted": 19, "rejected": 1})
    system.application.wait_for_stats(PATIENCE, failed=1, queued=0)
    assert {system.application.communication(each)["sent"] for each in good} == {1}
    text = mail_about(system, run["runId"]).get_content()
    assert f"send.email '{bad[0]}': invalid_address" in text

    again = finish(system, operator, start_run(system, operator))
    assert (again["status"], again["skipped"]) == ("empty", {"manual": 1})


def test_an_application_that_dies_in_the_middle(system, operator):
    """A run whose application is killed reports what happened, and a later one finishes the job."""
    ids = fail(system, "emails", 60)
    system.application.switch(slow=0.5)
    before = system.application.stats()["payloads"]
    run_id = start_run(system, operator, operation="send.email")
    deadline = time.monotonic() + PATIENCE
    while system.application.stats()["payloads"] == before and time.monotonic() < deadline:
        time.sleep(0.05)
    system.application.kill()
    run = finish(system, operator, run_id)
    text = mail_about(system, run_id).get_content()
    system.application.start()

    assert run["status"] in ("partial", "stopped")
    assert sum(run["counts"].values()) == run["matched"] == 61  # the one that was refused before is skipped
    assert set(run["counts"]) - {"accepted", "skipped"}
    assert run_id in text

    deadline = time.monotonic() + PATIENCE
    while system.application.stats()["failed"] > 1 and time.monotonic() < deadline:
        finish(system, operator, start_run(system, operator, operation="send.email"))
    system.application.wait_for_stats(PATIENCE, failed=1, queued=0)
    assert {system.application.communication(each)["sent"] for each in ids} == {1}
    stats = system.application.stats()
    assert (stats["two_keys"], stats["changed_bodies"]) == (0, 0)


def test_a_list_that_cannot_be_read_is_told_at_once(system, operator):
    """A collector that cannot list starts nothing, and says by mail which source failed and how."""
    system.application.switch(lists_down=True)
    known = executions(system)
    run = finish(system, operator, start_run(system, operator))
    assert run["status"] == "failed"
    assert "send.email" in run["error"]
    assert "503" in run["error"]
    mail = mail_about(system, run["runId"])
    assert mail["Subject"] == "comms-reprocess: cannot list the failed communications"
    assert executions(system) == known


def test_who_may_not_and_what_makes_no_sense(system, operator, viewer):
    """Without a token 401, without the role 403, a typing error 400 that names the field; nothing is started."""
    known = executions(system)
    assert system.call("GET", "/health").json() == {"status": "ok", "version": __version__}
    assert system.call("POST", "/reprocess", json={}).status_code == 401
    assert system.call("POST", "/reprocess", "wrong", json={}).status_code == 401
    assert system.call("POST", "/reprocess", viewer, json={}).status_code == 403
    for body, field in (
        ({"operatoin": "send.email"}, "operatoin"),
        ({"operation": 5}, "operation"),
        ({"operation": "send.fax"}, "operation"),
        ({"limit": 0}, "limit"),
        ({"createdAfter": "yesterday"}, "createdAfter"),
        ({"createdAfter": "2026-11-02T00:00:00Z", "createdBefore": "2026-11-01T00:00:00Z"}, "createdBefore"),
    ):
        answer = system.call("POST", "/reprocess", operator, json=body)
        assert (answer.status_code, answer.json()["Code"]) == (400, "BadRequestError")
        assert answer.json()["Message"].startswith(f"{field}:")
    assert system.call("GET", "/runs/no-such-run", viewer).status_code == 404
    assert executions(system) == known

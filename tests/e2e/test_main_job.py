"""The main job from end to end, with nothing replaced: what failed is found, sent and reported."""

import time
from datetime import UTC, datetime

from chalicelib import __version__
from tests.e2e.driver import (
    PATIENCE,
    collect,
    create_failed,
    executions,
    fire,
    mails_about,
    sent_flags,
    start_run,
    wait_for_end,
    wait_for_mail,
)


def test_a_scheduled_run_sends_what_had_failed_and_one_mail_reports_it(system, viewer):
    """The communications had really failed, through queue, dead letter queue and rounds."""
    emails, sms = create_failed(system, "emails", 15), create_failed(system, "sms", 10)
    run_id = fire(system)
    run = wait_for_end(system, viewer, run_id)
    assert (run["status"], run["matched"], run["counts"]) == ("succeeded", 25, {"accepted": 25})
    system.application.wait_for_stats(PATIENCE, failed=0, queued=0)
    assert set(sent_flags(system, emails + sms)) == {1}
    assert set(emails) <= {str(mail["X-Communication-Id"]) for mail in system.email.messages()}
    assert set(sms) <= {each.communication_id for each in system.sms.messages()}
    mail = wait_for_mail(system, run_id)
    assert mail["Subject"] == "comms-reprocess: 25 of 25 accepted"
    assert "15 send.email" in mail.get_content()
    assert len(mails_about(system, run_id)) == 1
    assert system.application.stats()["delivered_twice"] == 0


def test_a_scheduled_run_with_nothing_due_starts_no_execution_and_sends_no_mail(system):
    """Nothing in the application has failed."""
    before = (executions(system), len(system.mailbox.messages()))
    collect(system)
    system.aws.lambdas.wait_for_events()
    assert (executions(system), len(system.mailbox.messages())) == before


def test_a_requested_run_sends_exactly_what_matches_its_selection(system, operator):
    """Everything else stays failed until a run selects it."""
    selected = create_failed(system, "emails", 4, created_by="bob")
    others = create_failed(system, "emails", 3, created_by="carol") + create_failed(system, "sms", 2, created_by="bob")
    run = wait_for_end(system, operator, start_run(system, operator, operation="send.email", createdBy="bob"))
    assert (run["requestedBy"], run["matched"], run["counts"]) == ("olga", 4, {"accepted": 4})
    system.application.wait_for_stats(PATIENCE, failed=5, queued=0)
    assert set(sent_flags(system, selected)) == {1}
    assert set(sent_flags(system, others)) == {0}
    assert wait_for_mail(system, run["runId"])["Subject"] == "comms-reprocess: 4 of 4 accepted"

    moment = datetime.now(UTC).isoformat()
    run = wait_for_end(system, operator, start_run(system, operator, createdAfter=moment))
    assert (run["status"], run["matched"]) == ("empty", 0)
    run = wait_for_end(system, operator, start_run(system, operator, primaryIds=[others[0], "no-such-id"], limit=5))
    assert (run["matched"], run["notFound"]) == (1, ["no-such-id"])
    run = wait_for_end(system, operator, start_run(system, operator, createdBefore=moment, limit=2))
    assert (run["matched"], run["counts"], run["truncated"]) == (2, {"accepted": 2}, True)
    run = wait_for_end(system, operator, start_run(system, operator))
    assert run["counts"]["accepted"] == 2
    system.application.wait_for_stats(PATIENCE, failed=0, queued=0)


def test_a_rejected_communication_fails_alone_in_its_batch(system, operator):
    """The other 19 are delivered, and the mail names the rejected one."""
    bad = create_failed(system, "emails", 1, recipient="nobody")
    good = create_failed(system, "emails", 19)
    run = wait_for_end(system, operator, start_run(system, operator))
    assert (run["status"], run["counts"]) == ("partial", {"accepted": 19, "rejected": 1})
    system.application.wait_for_stats(PATIENCE, failed=1, queued=0)
    assert set(sent_flags(system, good)) == {1}
    text = wait_for_mail(system, run["runId"]).get_content()
    assert f"send.email '{bad[0]}': invalid_address" in text

    again = wait_for_end(system, operator, start_run(system, operator))
    assert (again["status"], again["skipped"]) == ("empty", {"manual": 1})


def test_a_run_whose_application_is_killed_is_reported_and_a_later_run_sends_the_others(system, operator):
    """The application is killed while the run sends."""
    ids = create_failed(system, "emails", 60)
    system.application.switch(slow=60)  # none is answered before it is killed
    before = system.application.stats()["payloads"]
    run_id = start_run(system, operator, operation="send.email")
    deadline = time.monotonic() + PATIENCE
    while system.application.stats()["payloads"] == before and time.monotonic() < deadline:
        time.sleep(0.05)
    system.application.kill()
    run = wait_for_end(system, operator, run_id)
    text = wait_for_mail(system, run_id).get_content()
    system.application.start()

    assert run["status"] in ("partial", "stopped")
    # The 61st was rejected by an earlier run, and is skipped.
    assert sum(run["counts"].values()) == run["matched"] == 61
    assert set(run["counts"]) - {"accepted", "skipped"}
    assert run_id in text

    deadline = time.monotonic() + PATIENCE
    while system.application.stats()["failed"] > 1 and time.monotonic() < deadline:
        wait_for_end(system, operator, start_run(system, operator, operation="send.email"))
    system.application.wait_for_stats(PATIENCE, failed=1, queued=0)
    assert set(sent_flags(system, ids)) == {1}
    stats = system.application.stats()
    assert (stats["two_keys"], stats["changed_bodies"]) == (0, 0)


def test_a_requested_run_that_cannot_read_a_list_fails_with_a_mail_and_no_execution(system, operator):
    """Its error names the source and the status."""
    system.application.switch(lists_down=True)
    known = executions(system)
    run = wait_for_end(system, operator, start_run(system, operator))
    assert run["status"] == "failed"
    assert "send.email" in run["error"]
    assert "503" in run["error"]
    mail = wait_for_mail(system, run["runId"])
    assert mail["Subject"] == "comms-reprocess: cannot list the failed communications"
    assert executions(system) == known


def test_requests_without_permission_or_with_invalid_fields_start_no_run(system, operator, viewer):
    """They are a 401 without a token, a 403 without the role, and a 400 that names the field."""
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

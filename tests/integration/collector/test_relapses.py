"""Whether what was accepted arrived: scans count relapses and settle runs, and the next mail names the worse ones."""

import contextlib
import itertools

import pytest
from botocore.exceptions import ClientError

from chalicelib.models.notifications import NotifyReason
from chalicelib.models.selections import Selection
from chalicelib.runs.dry_run import DryRun
from tests.integration.collector.fakes import MINUTE, Killed

EMAILS = [str(number) for number in range(10)]
WORSE = "Earlier runs turned out worse than their mails said:\n  {}: 10 accepted, 1 of these failed again (90% arrived)"


@pytest.fixture
def sent(deployment) -> str:
    """A scheduled run that got ten emails accepted, of which the application fails to send the first."""
    deployment.add_failed("send.email", *EMAILS)
    run_id = deployment.fire(1)
    assert len(deployment.send(run_id)) == 10
    assert "worse" not in deployment.report(run_id).message
    deployment.lists.failed.clear()
    deployment.add_failed("send.email", EMAILS[0])
    return run_id


def seen(deployment, run_id):
    """Return what people see of how a run turned out."""
    run = deployment.ledger.runs.read(run_id)
    return run.relapsed, run.settled_at is not None, run.recovery


def pass_cool_down(deployment) -> None:
    deployment.clock.advance(60 * MINUTE + 1)


def test_a_run_is_settled_when_a_complete_scan_has_looked_after_its_cool_down(deployment, sent):
    """The scan before is too early, and the one after changes nothing."""
    assert seen(deployment, sent) == (0, False, None)
    deployment.clock.advance(60 * MINUTE)
    deployment.fire(2)
    assert seen(deployment, sent) == (0, False, None)
    deployment.clock.advance(1)
    second = deployment.fire(3)
    settled_at = deployment.clock()
    assert seen(deployment, sent) == (1, True, 0.9)
    deployment.send(second)
    assert WORSE.format(sent) in deployment.report(second).message
    deployment.clock.advance(MINUTE)
    deployment.fire(4)
    run = deployment.ledger.runs.read(sent)
    assert (run.relapsed, run.settled_at) == (1, settled_at)


def test_a_scan_that_finds_nothing_to_send_settles_runs_too(deployment, sent):
    """All has arrived, and there is nothing to tell."""
    deployment.lists.failed.clear()
    pass_cool_down(deployment)
    deployment.fire(2)
    assert seen(deployment, sent) == (0, True, 1.0)
    deployment.add_failed("send.sms", "1")
    third = deployment.fire(3)
    deployment.send(third)
    assert "worse" not in deployment.report(third).message


@pytest.mark.parametrize("limit", ["broken list", "time", "request"])
def test_a_scan_that_has_not_read_everything_counts_what_it_saw_and_settles_nothing(deployment, sent, limit):
    """What else has relapsed may be on the pages that it has not read."""
    deployment.add_failed("send.email", "11", "12")
    pass_cool_down(deployment)
    if limit == "request":
        deployment.request()
    elif limit == "broken list":
        deployment.lists.broken_after_first_page.add("send.email")
        deployment.fire(2)
    else:
        deployment.fire(2, time_left=lambda: 0)
    assert seen(deployment, sent) == (1, False, None)
    deployment.lists.broken_after_first_page.clear()
    if limit != "request":
        deployment.complete(deployment.fired)
    deployment.fire(4)
    assert seen(deployment, sent) == (1, True, 0.9)


def test_a_dry_run_counts_nothing(deployment, sent):
    """It changes nothing at all."""
    pass_cool_down(deployment)
    DryRun(deployment.lists, deployment.ledger, deployment.configuration, deployment.settings).preview(
        Selection(), "olga"
    )
    assert seen(deployment, sent) == (0, False, None)


@pytest.mark.parametrize("call", ["transact_write_items", "get_paginator"])
def test_a_run_begins_although_its_bookkeeping_fails_and_the_next_scan_makes_up_for_it(deployment, sent, caplog, call):
    """The error is in the log."""
    pass_cool_down(deployment)
    deployment.refused.add(call)
    with contextlib.suppress(ClientError):  # recovery cannot query the open runs
        deployment.fire(2)
    second = deployment.fired
    assert deployment.manifest(second) == [EMAILS[0]]
    assert "survived" in caplog.messages
    deployment.refused.clear()
    assert seen(deployment, sent) == (0 if call == "transact_write_items" else 1, False, None)
    deployment.send(second)
    deployment.report(second)
    deployment.fire(3)
    assert seen(deployment, sent) == (1, True, 0.9)
    assert [run.run_id for run in deployment.ledger.runs.worse()] == [sent]


def test_what_relapses_for_the_last_time_is_counted_before_it_is_handed_over(deployment, sent):
    """Its attempts are used up, so this run moves it to the worklist."""
    for number in itertools.count(2):
        pass_cool_down(deployment)
        run_id = deployment.fire(number)
        if not deployment.send(run_id):
            break
        deployment.report(run_id)
    assert deployment.ledger.worklist.read("send.email", EMAILS[0]).status == "manual"
    runs, _ = deployment.ledger.runs.page(50)
    assert {run.run_id: run.relapsed for run in runs} == {run.run_id: 0 if run.run_id == run_id else 1 for run in runs}
    assert len(runs) == deployment.settings.max_attempts + 1
    assert sent in {run.run_id for run in runs}


# -- the next mail


def settle(deployment, number: int = 2) -> str:
    """Let a scan settle the run that was sent, and return the run that the scan is for."""
    pass_cool_down(deployment)
    return deployment.fire(number)


def test_the_next_mail_tells_once_and_a_repeated_report_returns_the_same(deployment, sent):
    """Also the mail about a requested run."""
    settle(deployment)
    deployment.add_failed("send.sms", "1", "2")
    for run_id in ("first", "second"):
        run = deployment.request(run_id, operation="send.sms", primary_ids=["1" if run_id == "first" else "2"])
        deployment.send(run.run_id)
    mail = deployment.report("first")
    assert WORSE.format(sent) in mail.message
    assert "worse" not in deployment.report("second").message
    assert deployment.report("first") == mail


def test_a_run_whose_mail_is_not_sent_leaves_it_for_the_next_mail(deployment, sent):
    """People know of the incident, so there is no mail."""
    deployment.add_failed("send.sms", "1")
    second = deployment.fire(2)
    deployment.send(second, lambda: "ApplicationError")
    deployment.report(second)  # the incident begins
    third = settle(deployment, 3)
    deployment.send(third, lambda: "ApplicationError")
    deployment.report(third)
    run = deployment.ledger.runs.read(third)
    assert (run.notify_reason, run.worse_runs) == (NotifyReason.NONE, [])
    deployment.add_failed("send.sms", "2")
    deployment.request("asked", primary_ids=["2"])
    deployment.send("asked")
    assert WORSE.format(sent) in deployment.report("asked").message


def test_a_report_that_dies_before_it_has_noted_what_it_tells_tells_it_when_it_is_repeated(deployment, sent):
    """After any of its writes."""
    second = settle(deployment)
    deployment.send(second)
    for writes in itertools.count(1):
        deployment.writes_left = writes
        try:
            mail = deployment.report(second)
            break
        except Killed:
            continue
    deployment.writes_left = None
    assert writes > 1
    assert WORSE.format(sent) in mail.message
    assert list(deployment.ledger.runs.worse()) == []


def test_a_mail_names_at_most_ten_earlier_runs_and_the_next_one_names_the_others(deployment):
    """The oldest first."""
    ids = [str(number) for number in range(12)]
    deployment.add_failed("send.sms", *ids)
    for each in ids:
        deployment.clock.advance(1)
        deployment.request(f"run-{each}", operation="send.sms", primary_ids=[each])
        deployment.send(f"run-{each}")
        deployment.report(f"run-{each}")
    next_run = settle(deployment)
    deployment.send(next_run)
    message = deployment.report(next_run).message
    assert [each for each in ids if f"  run-{each}: 1 accepted, 1 of these" in message] == ids[:10]
    deployment.add_failed("send.sms", "more")
    deployment.request("asked", primary_ids=["more"])
    deployment.send("asked")
    message = deployment.report("asked").message
    assert [each for each in ids if f"  run-{each}: 1 accepted, 1 of these" in message] == ids[10:]


def test_a_collector_that_is_killed_after_any_write_counts_and_settles_once(deployment, sent):
    """And so does the next one that is killed."""
    pass_cool_down(deployment)
    for writes in itertools.count(1):
        deployment.writes_left = writes
        try:
            deployment.fire(2)
            break
        except Killed:
            deployment.writes_left = None
            assert seen(deployment, sent)[0] <= 1
    deployment.writes_left = None
    deployment.complete(deployment.fired)
    deployment.fire(3)
    assert writes > 3
    assert seen(deployment, sent) == (1, True, 0.9)

"""Bulk runs: whatever dies, repeats or happens at once, each communication is decided once and counted once."""

import contextlib
import itertools
import json
import re

import pytest

from chalicelib.errors import Conflict
from chalicelib.ledger.claims import Rules
from chalicelib.ledger.worklist import Refusal
from chalicelib.models.batches import Task
from chalicelib.models.communications import Communication
from chalicelib.models.runs import RunKind, RunStatus
from chalicelib.models.selections import WorklistSelection
from chalicelib.notifications import bulk_result
from chalicelib.runs.bulk import RESERVED_MS
from chalicelib.runs.causes import cause_on_worklist
from chalicelib.runs.recovery import COLLECTOR_LIFETIME, MAX_COLLECTIONS
from chalicelib.runs.stop import stop_run
from tests.fakes import DAY, HOUR, attempt, make_run
from tests.integration.collector.fakes import Killed

RULES = Rules(cool_down=HOUR, honours_key=True, max_attempts=5, retention=90 * DAY)
KINDS = (RunKind.RETRY, RunKind.DISMISS)

# What can be retried, is in its cool-down, and has an operation that no source lists any more.
READY, HOT, FAX = ["1", "2", "3"], ["hot"], ["fax"]

# What a run for `bad_address` decides about: which, its numbers, and its end.
EXPECTED = {
    RunKind.RETRY: (READY, {"changed": 3, "refused": 2}, {"cool_down": 1, "no_source": 1}, RunStatus.PARTIAL),
    RunKind.DISMISS: (sorted([*READY, *HOT, *FAX]), {"changed": 5}, {}, RunStatus.SUCCEEDED),
}


def put_on_worklist(deployment, *ids, operation="send.email", reason="bad_address", apart=1):
    """Put communications on the worklist, so many milliseconds apart, each after an attempt that was rejected."""
    for each in ids:
        deployment.clock.advance(apart)
        listed = Communication(operation=operation, primary_id=each, listed_at=deployment.clock())
        task = Task(run_id="earlier", index=0, communication=listed, requested_by="Jo")
        attempt(deployment.ledger.communications, task, "CommunicationRejected", RULES, reason)
        assert deployment.ledger.communications.move_to_worklist(listed, task.owner, reason)


@pytest.fixture
def deployment(new_deployment):
    """A deployment with five on the worklist that a retry treats differently, and two with another reason."""
    return filled(new_deployment())


def filled(deployment):
    put_on_worklist(deployment, *READY[:2])
    put_on_worklist(deployment, "other", reason="blocked")
    put_on_worklist(deployment, *FAX, operation="send.fax")
    put_on_worklist(deployment, *READY[2:])
    deployment.clock.advance(2 * HOUR)
    put_on_worklist(deployment, *HOT)
    put_on_worklist(deployment, "other-hot", reason="blocked")
    return deployment


def entry(deployment, primary_id):
    operation = "send.fax" if primary_id in FAX else "send.email"
    return deployment.ledger.worklist.read(operation, primary_id)


def decided(deployment, run_id="bulk"):
    """Return the ids about which a run has decided, once for each of its decisions."""
    found = [(each, entry(deployment, each)) for each in sorted([*READY, *HOT, *FAX, "other", "other-hot"])]
    return [each for each, known in found for decision in known.decisions if decision.run_id == run_id]


def check_ended(deployment, kind):
    """A run for `bad_address` has ended with exactly the decisions and the numbers that it should have."""
    run, (ids, counts, refused, status) = deployment.ledger.runs.read("bulk"), EXPECTED[kind]
    assert (run.status, run.matched, run.counts, run.refused) == (status, 5, counts, refused)
    assert decided(deployment) == ids
    assert deployment.ledger.runs.open_runs() == []
    assert list(deployment.ledger.mails.due()) == []


def finish(deployment):
    """Let later collectors go on with what one has left: those that were invoked, and those of the schedule."""
    deployment.writes_left = None
    for number in range(MAX_COLLECTIONS + 1):
        while deployment.invoked:
            deployment.collect_requested(deployment.invoked.pop())
        if not deployment.ledger.runs.open_runs() and not list(deployment.ledger.mails.due()):
            return
        deployment.clock.advance(COLLECTOR_LIFETIME)
        deployment.fire(number)
    raise AssertionError("the run is still open")


@pytest.mark.parametrize("kind", KINDS)
def test_a_bulk_run_decides_about_all_that_matches_in_its_requesters_name(deployment, kind):
    """What has another reason stays as it is, and nothing is sent."""
    deployment.request_bulk(kind, reason="bad_address", note="gone")
    deployment.collect_requested("bulk")
    check_ended(deployment, kind)
    [decision] = entry(deployment, "1").decisions
    note = "gone" if kind == RunKind.DISMISS else None
    assert (decision.action, decision.by, decision.note, decision.run_id) == (kind, "olga", note, "bulk")
    assert deployment.executions.started == {}


def test_its_mail_says_how_many_of_how_many_and_what_to_do_about_refusals(deployment):
    """It goes to those who act if something was refused."""
    deployment.request_bulk(RunKind.RETRY, reason="bad_address")
    deployment.collect_requested("bulk")
    [mail] = deployment.mails
    assert (mail.topic, mail.subject) == ("failed", "comms-reprocess: partial, 3 of 5 on the worklist retried")
    assert "Run bulk (requested by olga) ended after 0 s: partial. It was to retry all" in mail.message
    assert "with reason bad_address." in mail.message
    assert "3  retried - the next run sends them; above APPROVAL_THRESHOLD it waits for approval" in mail.message
    assert "1  cool_down: what was sent before may still arrive; retry them after the cool-down" in mail.message
    assert "1  no_source: no source in application.toml" in mail.message
    deployment.request_bulk(RunKind.DISMISS, "second", operation="send.email", reason="bad_address", note="gone")
    deployment.collect_requested("second")
    mail = deployment.mails[-1]
    assert (mail.topic, mail.subject) == ("succeeded", "comms-reprocess: 1 of 1 on the worklist dismissed")
    assert "with operation send.email, reason bad_address." in mail.message


@pytest.mark.parametrize("refusal", ["cool_down", "not_on_worklist", "no_source", "unknown"])
def test_the_mail_says_what_to_do_about_each_refusal_that_a_bulk_run_meets(refusal):
    """Nobody has to look codes up."""
    run = make_run(kind=RunKind.RETRY, status=RunStatus.PARTIAL, refused={Refusal(refusal): 1}, counts={"refused": 1})
    message = bulk_result.ended(run, WorklistSelection(reason="bad_address"), None).message
    assert re.search(rf"1  {refusal}: \w.*; ", message)


def test_a_filter_that_matches_nothing_ends_the_run_as_empty_without_a_mail(deployment):
    """As with any other run that somebody requested: its status says so."""
    deployment.request_bulk(RunKind.RETRY, reason="bad_address", operation="send.sms")
    deployment.request_bulk(RunKind.RETRY, "by-cause", cause="0123456789abcdef")
    for run_id in ("bulk", "by-cause"):
        deployment.collect_requested(run_id)
        run = deployment.ledger.runs.read(run_id)
        assert (run.status, run.matched, run.counts) == ("empty", 0, {})
    assert deployment.mails == []


def test_a_bulk_run_can_be_for_a_cause(deployment):
    """It is compared with each entry, whose cause no index holds."""
    cause = cause_on_worklist(entry(deployment, "other")).id
    deployment.request_bulk(RunKind.DISMISS, cause=cause, note="gone")
    deployment.collect_requested("bulk")
    assert decided(deployment) == ["other", "other-hot"]


def test_a_search_for_a_rare_cause_goes_on_page_by_page(deployment):
    """A stop is checked after each page, so none may take long. Here each call of AWS takes three seconds."""

    def advance_time():
        deployment.clock.advance(3_000)
        deployment.interrupt_with = advance_time

    cause = cause_on_worklist(entry(deployment, "other")).id
    deployment.request_bulk(RunKind.DISMISS, cause=cause, note="gone")
    deployment.interrupt_with = advance_time
    deployment.collect_requested("bulk")
    deployment.interrupt_with = None
    assert decided(deployment) == ["other", "other-hot"]
    assert deployment.ledger.runs.read("bulk").pages == 4  # of two each, of which seven are there


def test_entries_that_came_to_the_worklist_at_the_same_time_are_all_found(new_deployment):
    """Pages end in the middle of them, and what was decided has left the index by the time of the next one."""
    deployment = new_deployment()
    put_on_worklist(deployment, *map(str, range(9)), apart=0)
    deployment.request_bulk(RunKind.DISMISS, reason="bad_address", note="gone")
    deployment.collect_requested("bulk")
    assert deployment.ledger.runs.read("bulk").counts == {"changed": 9}
    assert deployment.ledger.worklist.page("manual", 10, None, equal={}) == ([], None)


def test_what_comes_to_the_worklist_after_the_request_is_left_alone(deployment):
    """So is what returns to it: the set does not grow while the run is at work."""
    deployment.request_bulk(RunKind.DISMISS, reason="bad_address", note="gone")
    put_on_worklist(deployment, "late")
    for each in ("1", "hot"):
        assert deployment.ledger.worklist.dismiss("send.email", each, "bert", "later") is None
        assert deployment.ledger.worklist.restore("send.email", each, "bert") is None
    deployment.collect_requested("bulk")
    run = deployment.ledger.runs.read("bulk")
    assert (run.status, run.matched, run.counts) == ("succeeded", 3, {"changed": 3})
    assert [entry(deployment, each).status for each in ("late", "1", "hot")] == ["manual"] * 3


def test_what_somebody_decides_while_its_page_is_in_hand_is_refused(deployment):
    """Also if it is back on the worklist by then, which it has been only since later."""
    run = deployment.request_bulk(RunKind.DISMISS, reason="bad_address", note="gone")

    def decide():
        deployment.clock.advance(1)
        for each in ("1", "2"):
            assert deployment.ledger.worklist.dismiss("send.email", each, "bert", "mine") is None
        assert deployment.ledger.worklist.restore("send.email", "2", "bert") is None

    deployment.writes_left = 3  # the collector's beginning, its first page, and the run's step to it
    with pytest.raises(Killed):
        deployment.collect_requested("bulk")
    assert deployment.ledger.runs.read("bulk").pages == 1
    decide()
    finish(deployment)
    run = deployment.ledger.runs.read("bulk")
    assert (run.matched, run.counts, run.refused) == (5, {"changed": 3, "refused": 2}, {"not_on_worklist": 2})
    assert [entry(deployment, each).status for each in ("1", "2")] == ["dismissed", "manual"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_collector_may_be_killed_after_any_write(new_deployment, kind):
    """Another one goes on with the page in hand, and recognises what was decided about it."""
    for writes in itertools.count(1):
        deployment = filled(new_deployment())
        deployment.request_bulk(kind, reason="bad_address", note="gone")
        deployment.writes_left = writes
        try:
            deployment.collect_requested("bulk")
        except Killed:
            finish(deployment)
            check_ended(deployment, kind)
            # Killed between SNS's answer and the next write, the mail is sent twice.
            assert len({mail.subject for mail in deployment.mails_about("bulk")}) == 1
        else:
            check_ended(deployment, kind)
            assert len(deployment.mails) == 1
            return


@pytest.mark.parametrize("order", ["wait, then decide", "decide, then wait"])
@pytest.mark.parametrize("time_left", [RESERVED_MS, RESERVED_MS - 1], ids=["to the end", "one page"])
def test_two_collectors_may_carry_out_the_same_run_at_once(new_deployment, order, time_left):
    """Before any call of the first one, the second one goes a page further, or to the end. Cool-downs end meanwhile.

    So each of the two may be the late one, to which what the other one has refused would look eligible.
    """
    for calls in itertools.count():
        deployment = filled(new_deployment())
        deployment.request_bulk(RunKind.RETRY, reason="bad_address")

        def carry_out(deployment=deployment):
            deployment.clock.advance(2 * HOUR if order.startswith("wait") else 0)
            deployment.recovery_time_left = lambda: time_left
            deployment.collect_requested("bulk")
            deployment.recovery_time_left = lambda: RESERVED_MS
            deployment.clock.advance(2 * HOUR if order.startswith("decide") else 0)

        deployment.calls_left, deployment.interrupt_with = calls, carry_out
        deployment.collect_requested("bulk")
        if deployment.interrupt_with:
            return
        finish(deployment)
        check_exactly_once(deployment)
        # Two hours after a collector has taken the mail, another one may send it.
        assert len({mail.message for mail in deployment.mails_about("bulk")}) == 1


def check_exactly_once(deployment):
    """Whatever has been refused when: the run's numbers are those of its decisions."""
    run, ids = deployment.ledger.runs.read("bulk"), decided(deployment)
    assert run.closed
    assert len(ids) == len(set(ids)) == run.counts.get("changed", 0)
    assert sum(run.refused.values()) == run.counts.get("refused", 0)
    assert run.counts.get("changed", 0) + run.counts.get("refused", 0) == run.matched


@pytest.mark.parametrize("other", ["no other", "another one before", "another one after"])
def test_a_run_may_be_stopped_at_any_moment(new_deployment, other):
    """It ends after the page in hand, and its numbers are exact; even if another collector is at work as well.

    That one may have gone a page further just before, or notice the stop first.
    """
    statuses = []
    with contextlib.suppress(Conflict):  # It has ended already.
        for calls in itertools.count():
            deployment = filled(new_deployment())
            deployment.request_bulk(RunKind.DISMISS, reason="bad_address", note="gone")

            def stop(deployment=deployment):
                if other.endswith("before"):
                    deployment.recovery_time_left = lambda: RESERVED_MS - 1
                    deployment.collect_requested("bulk")
                    deployment.recovery_time_left = lambda: RESERVED_MS
                stop_run("bulk", "bert", deployment.ledger, deployment.executions)
                if other.endswith("after"):
                    deployment.collect_requested("bulk")

            deployment.calls_left, deployment.interrupt_with = calls, stop
            deployment.collect_requested("bulk")
            finish(deployment)
            check_exactly_once(deployment)
            statuses.append(deployment.ledger.runs.read("bulk").status)
    assert set(statuses) == {"stopped", "succeeded"}


def test_the_mail_of_a_stopped_run_says_who_stopped_it_and_what_became_of_the_rest(deployment):
    """What it did not get to is still on the worklist."""
    deployment.request_bulk(RunKind.DISMISS, reason="bad_address", note="gone")
    deployment.calls_left = 5
    deployment.interrupt_with = lambda: stop_run("bulk", "bert", deployment.ledger, deployment.executions)
    deployment.collect_requested("bulk")
    [mail] = deployment.mails
    assert (mail.topic, mail.subject) == (
        "failed",
        "comms-reprocess: stopped by a person, 2 of 2 on the worklist dismissed",
    )
    assert "It was stopped by bert; all else is still on the worklist." in mail.message
    assert len(deployment.ledger.worklist.page("manual", 100, None, equal={"manualReason": "bad_address"})[0]) == 3


def test_a_run_that_is_stopped_before_it_began_says_so(deployment):
    """The API may not publish, so the next collector sends the mail."""
    deployment.request_bulk(RunKind.DISMISS, reason="bad_address", note="gone")
    assert stop_run("bulk", "bert", deployment.ledger, deployment.executions).status == "stopped"
    deployment.collect_requested("bulk")
    [mail] = deployment.mails
    assert mail.subject == "comms-reprocess: stopped, nothing was changed"
    assert "so nothing was changed. What it was to dismiss is still on the worklist." in mail.message
    assert decided(deployment) == []


def test_a_collector_without_time_invokes_the_next_one(deployment):
    """Each gets at least a page further, however many it takes, and recovery leaves the run alone meanwhile."""
    deployment.recovery_time_left = lambda: RESERVED_MS - 1
    deployment.request_bulk(RunKind.DISMISS, reason="bad_address", note="gone")
    collectors = 0
    deployment.invoked.append("bulk")
    while deployment.invoked:
        collectors += 1
        deployment.collect_requested(deployment.invoked.pop())
        assert len(deployment.invoked) <= 1
    assert collectors == 1 + 3  # The first one pins a page, and each of the others decides about one.
    check_ended(deployment, RunKind.DISMISS)


def test_a_run_whose_collectors_all_die_is_given_up_and_says_what_nobody_knows(deployment, capsys):
    """What it has decided stays decided; the page in hand may be or not."""
    deployment.request_bulk(RunKind.DISMISS, reason="bad_address", note="gone")
    for number in range(MAX_COLLECTIONS + 1):
        deployment.writes_left = 4 if number == 0 else 1  # a decision about the first page, then nothing more
        with contextlib.suppress(Killed):
            deployment.collect_requested("bulk")
        deployment.writes_left = None
        deployment.clock.advance(COLLECTOR_LIFETIME)
        deployment.invoked.clear()
        deployment.fire(number)
    run = deployment.ledger.runs.read("bulk")
    assert (run.status, run.matched, run.counts) == ("failed", 2, {"unknown": 2})
    [mail] = deployment.mails_about("bulk")
    assert mail.subject == "comms-reprocess: failed, 0 of 2 on the worklist dismissed"
    assert "2  unknown - they may be dismissed, or still on the worklist" in mail.message
    assert "make the same request again" in mail.message
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"RunsFailed"' in line]
    assert [line["RunsFailed"] for line in lines] == [[1.0]]


@pytest.mark.parametrize("kind", KINDS)
def test_a_retry_needs_the_configuration_and_a_dismissal_does_not(deployment, kind):
    """Only application.toml says how long a cool-down is. The run ends at once and says what is wrong."""
    deployment.misconfigured = True
    deployment.request_bulk(kind, reason="bad_address", note="gone")
    deployment.collect_requested("bulk")
    run = deployment.ledger.runs.read("bulk")
    if kind == RunKind.DISMISS:
        check_ended(deployment, kind)
        return
    assert (run.status, run.error) == ("failed", "application.toml: APPLICATION_URL is not set")
    [mail] = deployment.mails
    assert "could not be carried out to its end: application.toml: APPLICATION_URL is not set." in mail.message


def test_a_bulk_run_has_no_part_in_the_metrics_of_reprocessing_runs(deployment, capsys):
    """Its duration says nothing about sending."""
    deployment.request_bulk(RunKind.DISMISS, reason="bad_address", note="gone")
    deployment.collect_requested("bulk")
    assert "RunDuration" not in capsys.readouterr().out

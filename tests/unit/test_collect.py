"""Collecting for a run: its status, its one manifest, and the age of what people have retried."""

import msgspec
import pytest

from chalicelib.application.config import Configuration, Reprocess, Source
from chalicelib.ledger import Ledger
from chalicelib.ledger.claims import Rules
from chalicelib.models.batches import Task
from chalicelib.models.communications import CauseKind, Communication
from chalicelib.models.runs import Proof, RunStatus, Trigger
from chalicelib.models.selections import Selection
from chalicelib.runs.causes import Cause
from chalicelib.runs.collect import Collector
from chalicelib.runs.eligibility import is_expired
from chalicelib.settings import Settings
from tests.fakes import DAY, HOUR, FakeExecutions, FakeLists, FakeManifests, InterruptedTable, attempt, make_run

SOURCE = Source(
    operation="send.email",
    list="https://a.example",
    cool_down="1h",
    min_age="10m",
    max_age="7d",
    failed_at="failed_at",
)
CONFIGURATION = Configuration(sources=[SOURCE], reprocess=Reprocess(url="https://a.example"))
SETTINGS = Settings(resource_prefix="mail-dev", max_attempts=1, approval_threshold=2, batch_size=2)
RULES = Rules(cool_down=HOUR, honours_key=False, max_attempts=1, retention=90 * DAY)


@pytest.fixture
def executions():
    return FakeExecutions()


@pytest.fixture
def manifests():
    return FakeManifests()


@pytest.fixture
def collector(ledger, manifests, executions):
    """Return a function that creates a collector for some lists, with plenty of time left."""
    return lambda lists: Collector(lists, ledger, manifests, executions, CONFIGURATION, SETTINGS, lambda: 10**9)


@pytest.fixture
def run(ledger):
    """A requested run whose collector has just begun."""
    run = make_run("r", status=RunStatus.COLLECTING)
    ledger.runs.create(run)
    return run


@pytest.mark.parametrize(("pages", "status"), [(["1", "2"], "running"), (["1", "2", "3"], RunStatus.AWAITING_APPROVAL)])
def test_a_run_above_the_approval_threshold_starts_as_awaiting_approval(
    run, clock, collector, executions, pages, status
):
    """A run of exactly as many communications as the threshold needs no approval."""
    collected = collector(FakeLists(clock, pages)).collect(run, Selection())
    assert collected.status == status
    assert [(each.status, each.manifest) for each in executions.started] == [(status, "runs/r/manifest")]


@pytest.mark.parametrize(
    ("changes", "passed", "status"),
    [
        ({}, 0, RunStatus.AWAITING_APPROVAL),
        ({}, HOUR + 1, "running"),
        ({"requested_by": "jo"}, 0, "running"),
        ({"trigger": Trigger.SCHEDULE}, 0, "running"),
    ],
)
def test_what_a_requester_has_started_within_the_last_hour_counts_for_the_approval_threshold(
    run, ledger, clock, collector, changes, passed, status
):
    """Two runs of two are as many as one of four. Scheduled runs take all there is, so each counts by itself."""
    run = msgspec.structs.replace(run, trigger=changes.get("trigger", run.trigger))
    assert collector(FakeLists(clock, ["1", "2"])).collect(run, Selection()).status == "running"
    clock.advance(passed)
    second = make_run("r-2", status=RunStatus.COLLECTING, **changes)
    ledger.runs.create(second)
    assert collector(FakeLists(clock, ["3"])).collect(second, Selection()).status == status


def test_a_run_that_waited_for_approval_does_not_count_for_the_next_one(run, ledger, clock, collector):
    """Somebody else has looked at it."""
    collected = collector(FakeLists(clock, ["1", "2", "3"])).collect(run, Selection())
    assert collected.status == RunStatus.AWAITING_APPROVAL
    second = make_run("r-2", status=RunStatus.COLLECTING)
    ledger.runs.create(second)
    assert collector(FakeLists(clock, ["4", "5"])).collect(second, Selection()).status == "running"


def test_collecting_again_keeps_the_manifest_and_starts_its_execution_again(run, clock, collector, executions):
    """The execution may be reading that manifest already, so no list is read for another."""
    collected = collector(FakeLists(clock, ["1"])).collect(run, Selection())
    lists = FakeLists(clock, ["1", "2"])
    assert collector(lists).collect(collected, Selection()) == collected
    assert lists.timeouts == []
    assert len(executions.started) == 2


def test_the_age_of_a_retried_communication_counts_from_its_retry(run, ledger, clock, collector, manifests):
    """Otherwise a stale communication that somebody has retried would expire again."""
    communication = Communication(operation="send.email", primary_id="stale", listed_at=clock())
    task = Task(run_id="r-1", index=0, communication=communication, requested_by="Jo")
    attempt(ledger.communications, task, "CommunicationRejected", RULES, "no_such_address")
    ledger.communications.move_to_worklist(communication, task.owner, "no_such_address")
    clock.advance(2 * HOUR)
    ledger.worklist.retry(*communication.key, "olga", HOUR)
    clock.advance(20 * 60_000)
    collected = collector(FakeLists(clock, ["stale"])).collect(run, Selection())
    [batch] = manifests.read(collected.manifest)
    [entry] = batch.communications
    assert not is_expired(entry, SOURCE, clock())
    assert entry.since == ledger.worklist.read(*communication.key).retried_at


UNTRIED = Cause(operation="send.email", kind=CauseKind.UNTRIED)
PROVE = Selection(cause=UNTRIED.id, prove=True)


def test_a_run_that_is_to_prove_a_fix_says_so_before_its_execution_starts(run, ledger, clock, collector, executions):
    """No batch can begin without knowing it, also if the run waits for approval first."""
    expected = Proof(cause=UNTRIED.id, kind=CauseKind.UNTRIED, sizes=[1, 2, 2])
    collected = collector(FakeLists(clock, ["1", "2", "3"])).collect(run, PROVE)
    assert collected.proof == executions.started[0].proof == expected
    assert ledger.runs.read_switch("r").proof == expected


def test_a_collector_that_dies_before_it_pins_the_run_has_told_its_batches(run, table, clock, manifests, executions):
    """Another one pins the run, and whichever execution that starts is one that proves the fix."""
    interrupted = InterruptedTable(table)
    ledger, lists = Ledger(interrupted, clock, 90 * DAY), FakeLists(clock, ["1"])
    collector = Collector(lists, ledger, manifests, executions, CONFIGURATION, SETTINGS, lambda: 10**9)

    def die():
        assert ledger.runs.read_switch("r").proof
        raise ConnectionError

    interrupted.before_second_update(die)  # The first is the switch.
    with pytest.raises(ConnectionError):
        collector.collect(run, PROVE)
    assert (ledger.runs.read("r").manifest, executions.started) == (None, [])
    collected = collector.collect(run, PROVE)
    assert collected.proof == ledger.runs.read_switch("r").proof


def test_a_run_that_proves_nothing_has_no_switch(run, clock, collector, table):
    """It costs no write."""
    assert collector(FakeLists(clock, ["1"])).collect(run, Selection(cause=UNTRIED.id)).proof is None
    assert table.get("RUN#r", "SWITCH") is None

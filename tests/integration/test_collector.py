"""The collector on a real table and a real bucket (moto): what it selects, and that it may die after any write."""

import contextlib
import itertools
from typing import Any

import boto3
import pytest

from chalicelib import run_ids, times
from chalicelib.application import config_file
from chalicelib.application.config import Configuration, Reprocess, Source
from chalicelib.application.list_pages import Page
from chalicelib.application.list_requests import PageRequest
from chalicelib.errors import ListingFailed, NotificationFailed
from chalicelib.lambda_invoker import requested_event
from chalicelib.ledger import Ledger
from chalicelib.ledger.table import Table
from chalicelib.manifests import Manifests
from chalicelib.models import BatchRecord, Communication, Outcome, OutcomeRecord, Run, Selection
from chalicelib.runs import collect, report, start, stop
from chalicelib.runs.collect import Collector
from chalicelib.runs.recovery import COLLECTOR_LIFETIME, MAX_COLLECTIONS, Recovery
from chalicelib.settings import Settings
from deployment.table import table_definition

MINUTE = 60_000
_WRITES = ("put_item", "update_item", "delete_item", "put_object", "upload_fileobj")
_numbers = itertools.count()


class Died(BaseException):
    """The Lambda was killed."""


class Mortal:
    """A boto3 client that dies just after its life's last write."""

    def __init__(self, client: Any, world: "World") -> None:
        self._client = client
        self._world = world

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        return self._writing(found) if name in _WRITES else found

    def _writing(self, call: Any) -> Any:
        def write(*arguments, **named):
            answer = call(*arguments, **named)
            self._world.wrote()
            return answer

        return write


class Lists:
    """An application that lists what it is given, in pages of two."""

    def __init__(self, clock) -> None:
        self.clock = clock
        self.failing: dict[str, list[dict]] = {}
        self.broken = False

    def failed_pages(self, source: Source, _selection: Selection, _start: PageRequest | None = None):
        if self.broken:
            raise ListingFailed(f"{source.operation}: the list answered 503, not 200")
        records = self.failing.get(source.operation, [])
        for first in range(0, len(records), 2):
            listed_at = self.clock()
            page = [
                Communication(operation=source.operation, listed_at=listed_at, **record)
                for record in records[first : first + 2]
            ]
            more = PageRequest(source.list, {"offset": first + 2}) if records[first + 2 :] else None
            yield Page(page, PageRequest(source.list, {"offset": first}), more)


class Executions:
    """Step Functions, as far as starting goes; `ended` says how some have ended."""

    def __init__(self, world: "World") -> None:
        self.started: dict[str, Run] = {}
        self.ended: dict[str, str] = {}
        self._world = world

    def start(self, run: Run) -> None:
        self.started.setdefault(run.run_id, run)
        self._world.wrote()

    def status(self, run_id: str) -> str | None:
        return self.ended.get(run_id, "RUNNING") if run_id in self.started else None


class World:
    """A deployment without Lambda: events go in, executions and mails come out."""

    def __init__(self, dynamodb, s3, clock) -> None:
        name = f"collector-{next(_numbers)}"
        dynamodb.create_table(**table_definition(name))
        s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        self.clock = clock
        self.writes_left: int | None = None
        self.settings = Settings(resource_prefix="mail-dev", max_per_run=50, batch_size=3)
        self.configuration = Configuration(
            sources=[
                Source(operation=f"send.{kind}", list="https://a.example/x", cool_down="1h", created="c", **more)
                for kind, more in (("email", {"min_age": "10m", "max_age": "7d"}), ("sms", {}))
            ],
            reprocess=Reprocess(url="https://a.example/y"),
        )
        self.ledger = Ledger(Table(Mortal(dynamodb, self), name), clock, self.settings.retention_ms)
        self.manifests = Manifests(Mortal(s3, self), name)
        self.lists = Lists(clock)
        self.executions = Executions(self)
        self.mails: list[Any] = []
        self.mail_refused = False
        self.invoked: list[str] = []
        self.recovery = Recovery(self.ledger, self.executions, self.invoked.append, self.report, self.mail)

    def wrote(self) -> None:
        if self.writes_left is not None:
            self.writes_left -= 1
            if self.writes_left == 0:
                raise Died

    def mail(self, notification) -> None:
        if self.mail_refused:
            raise NotificationFailed("AuthorizationError")
        self.mails.append(notification)
        self.wrote()

    def report(self, run_id: str, failure: str | None, notify=lambda _: None):
        return report.report(run_id, failure, self.ledger, self.manifests, self.settings, notify)

    def collector(self, time_left=lambda: 600_000) -> Collector:
        return Collector(
            self.lists,
            self.ledger,
            self.manifests,
            self.executions,
            self.configuration,
            self.settings,
            time_left,
        )

    def event(self, body: dict, **more) -> None:
        """What app.collector does with an event."""
        collect.handle_event(
            body,
            self.recovery,
            self.collector(**more),
            self.ledger,
            self.manifests,
            self.settings,
            self.mails.append,
        )

    def fire(self, number: int = 0, **more) -> str:
        """The schedule's event; return the run's id."""
        body = {"id": f"event{number}", "time": times.format_iso(self.clock()), "detail": {}}
        self.event(body, **more)
        return run_ids.for_schedule(body["id"], body["time"])

    def request(self, run_id: str = "asked", **selection) -> Run:
        chosen = Selection(**selection)
        run = start.record_request(run_id, "olga", chosen, self.ledger, self.manifests)
        self.event(requested_event(run_id, "1", "eu-central-1", self.clock()))
        return self.ledger.runs.read(run.run_id)

    def fail(self, operation: str, *ids: str, age: int = 60 * MINUTE, **more) -> None:
        since = self.clock() - age
        records = [{"primary_id": each, "since": since, "created": since} | more for each in ids]
        self.lists.failing.setdefault(operation, []).extend(records)

    def manifest(self, run_id: str) -> list[str]:
        run = self.executions.started[run_id]
        return [it.primary_id for batch in self.manifests.read(run.manifest) for it in batch.communications]


@pytest.fixture(scope="module")
def s3(dynamodb):  # noqa: ARG001 (moto is on while it lives)
    return boto3.client("s3", region_name="eu-central-1")


@pytest.fixture
def world(dynamodb, s3, clock):
    return World(dynamodb, s3, clock)


def close(world, run_id: str) -> None:
    """The execution of a run, done: every communication accepted, and reported."""
    run = world.ledger.runs.read(run_id)
    for batch in world.manifests.read(run.manifest):
        outcomes = [
            OutcomeRecord(operation=it.operation, primary_id=it.primary_id, outcome=Outcome.ACCEPTED)
            for it in batch.communications
        ]
        world.ledger.runs.record_batch(run_id, BatchRecord(index=batch.index, outcomes=outcomes, at=world.clock()))
    world.report(run_id, None)


def test_what_is_due_enters_the_manifest_in_batches(world):
    """Every source's failed communications are in the manifest, in batches of the set size, and the run is running."""
    world.fail("send.email", "1", "2", "3", "4")
    world.fail("send.sms", "5")
    run_id = world.fire()
    assert world.manifest(run_id) == ["1", "2", "3", "4", "5"]
    run = world.ledger.runs.read(run_id)
    assert (run.status, run.batches, run.matched, run.skipped, run.truncated) == ("running", 2, 5, {}, False)
    assert not world.mails


def test_an_empty_schedule_leaves_nothing(world):
    """Nothing due: no execution, no run, no mail, and the next schedule may begin."""
    world.fire(1)
    assert (world.executions.started, world.mails, world.ledger.runs.open_runs()) == ({}, [], [])
    world.fail("send.sms", "1")
    assert world.manifest(world.fire(2)) == ["1"]


def test_what_must_be_left_alone_is_counted_by_reason(world):
    """Too fresh, in a cool-down, on the worklist: none of it enters the manifest, each is counted under its reason."""
    world.fail("send.email", "fresh", age=MINUTE)
    world.fail("send.email", "stale", age=8 * 24 * 60 * MINUTE)
    world.fail("send.sms", "manual", "due")
    stuck = Communication(operation="send.sms", primary_id="manual", listed_at=world.clock())
    assert world.ledger.communications.move_to_worklist(stuck, "somebody", "rejected")
    run_id = world.fire()
    # What is stale enters it once: the run hands it over to the worklist.
    assert world.manifest(run_id) == ["stale", "due"]
    run = world.ledger.runs.read(run_id)
    assert (run.matched, run.skipped) == (4, {"too_fresh": 1, "manual": 1})


def test_only_one_scheduled_run_at_a_time(world):
    """While a scheduled run is under way the next event starts nothing; a request may overlap."""
    world.fail("send.sms", "1")
    first = world.fire(1)
    world.fail("send.sms", "2")
    world.fire(2)
    assert list(world.executions.started) == [first]
    assert world.request().status == "running"
    close(world, first)
    third = world.fire(3)
    assert third in world.executions.started


def test_the_same_event_again_starts_nothing_twice(world):
    """An event that is delivered twice is the same run and the same execution."""
    world.fail("send.sms", "1")
    assert world.fire(1) == world.fire(1)
    assert len(world.executions.started) == 1


def test_an_event_that_comes_again_after_its_run_has_ended_keeps_nobody_waiting(world):
    """It starts nothing, and the next event is not held up by it."""
    world.fail("send.sms", "1")
    first = world.fire(1)
    close(world, first)
    assert world.fire(1) == first
    assert world.ledger.schedule.lock_holder()[0] == ""
    assert len(world.executions.started) == 1


@pytest.mark.parametrize(
    ("selection", "chosen"),
    [
        ({"operation": "send.sms"}, ["b1", "s1"]),
        ({"created_by": "bob"}, ["b2", "b1"]),
        ({"primary_ids": ["s1", "e1", "none"]}, ["e1", "s1"]),
        ({"limit": 3}, ["e1", "b2", "b1"]),
        ({"created_after": "2026-11-20T11:30:00Z"}, ["b1"]),
        ({"created_before": "2026-11-20T11:30:00Z"}, ["e1", "b2", "s1"]),
    ],
)
def test_a_selection_is_kept_to_whatever_the_application_lists(world, selection, chosen):
    """What does not fit a request's selection is never in its manifest, even if the application lists it."""
    world.fail("send.email", "e1", created_by="alice")
    world.fail("send.email", "b2", created_by="bob")
    world.fail("send.sms", "b1", created_by="bob", age=20 * MINUTE)
    world.fail("send.sms", "s1", created_by="alice")
    run = world.request(**selection)
    assert world.manifest(run.run_id) == chosen
    assert run.matched == len(chosen)
    assert run.not_found == (["none"] if "primary_ids" in selection else [])
    assert run.truncated == ("limit" in selection)


def test_limits_are_said(world):
    """MAX_PER_RUN and the collector's remaining time cut a run off, and the run says that there is more."""
    world.fail("send.sms", *map(str, range(60)))
    run = world.ledger.runs.read(world.fire())
    assert (run.matched, run.truncated) == (50, True)
    close(world, run.run_id)
    run = world.ledger.runs.read(world.fire(2, time_left=lambda: 1_000))
    assert (run.matched, run.truncated) == (2, True)


def test_a_list_that_cannot_be_read_is_told_once_and_when_it_is_over(world):
    """Ten schedules that cannot list make one mail, then one every REMIND_AFTER, then one that says "recovered"."""
    world.lists.broken = True
    for number in range(10):
        run_id = world.fire(number)
        world.clock.advance(15 * MINUTE)
    assert [mail.subject for mail in world.mails] == ["comms-reprocess: cannot list the failed communications"]
    assert "send.email" in world.mails[0].message
    assert world.ledger.runs.read(run_id).status == "failed"
    world.clock.advance(6 * 60 * MINUTE)
    world.fire(11)
    assert len(world.mails) == 2
    world.lists.broken = False
    world.fire(12)
    assert world.mails[2].subject == "comms-reprocess: recovered, nothing is due"
    world.fire(13)
    assert len(world.mails) == 3


def test_a_request_that_cannot_list_is_always_told(world):
    """Who asked for a run hears of its failure, whatever people know already."""
    world.lists.broken = True
    world.fire(1)
    assert world.request("one").status == "failed"
    assert world.request("two").status == "failed"
    assert len(world.mails) == 3


@pytest.mark.parametrize("kind", ["schedule", "request"])
def test_a_collector_may_die_after_any_of_its_writes(world, kind):
    """Killed after each write in turn, the next collectors bring it to an end: sent once, closed, or told as failed."""
    for number in itertools.count(1):
        world.lists.failing.clear()
        wanted = [f"{number}-{each}" for each in range(4)]
        world.fail("send.sms", *wanted)
        known = set(world.executions.started)
        world.writes_left = number
        died = True
        try:
            if kind == "schedule":
                world.fire(number)
            else:
                world.request(f"asked-{number}")
            died = False
        except Died:
            pass
        world.writes_left = None
        for later in range(MAX_COLLECTIONS + 2):
            world.clock.advance(COLLECTOR_LIFETIME)
            world.fire(1000 * number + later)
            for run_id in world.invoked:
                world.event(requested_event(run_id, "1", "eu-central-1", world.clock()))
            world.invoked.clear()
            for run_id in set(world.executions.started) - known:
                if not world.ledger.runs.read(run_id).closed:
                    close(world, run_id)
        taken = [it for run_id in set(world.executions.started) - known for it in world.manifest(run_id)]
        assert set(taken) == set(wanted)
        assert world.ledger.runs.open_runs() == []
        assert world.ledger.schedule.lock_holder()[0] == ""
        if not died:
            return


def test_an_execution_that_ended_without_its_report_is_closed_and_told(world):
    """Stopped from outside, a run is completed from its manifest, closed, and told by the next collector, once."""
    world.fail("send.sms", "1", "2", "3", "4")
    first = world.fire(1)
    world.executions.ended[first] = "ABORTED"
    world.clock.advance(15 * MINUTE)
    world.fire(2)
    run = world.ledger.runs.read(first)
    assert (run.status, run.counts) == ("failed", {"not_attempted": 4})
    assert "ABORTED" in run.error
    assert [mail.topic for mail in world.mails] == ["failed"]
    assert len(world.executions.started) == 2
    world.fire(3)
    assert len(world.mails) == 1


@pytest.mark.parametrize("trouble", ["ended without its report", "never started"])
def test_whoever_closes_a_run_for_others_may_die_after_any_write(world, trouble):
    """Killed after each write in turn, mails included: the run is closed by a later one, and people were told."""
    for number in itertools.count(1):
        world.mails.clear()
        if trouble == "never started":
            run_id = f"lost-{number}"
            start.record_request(run_id, "olga", Selection(), world.ledger, world.manifests)
            for _ in range(MAX_COLLECTIONS):
                start.begin_requested(run_id, world.ledger)
        else:
            world.fail("send.sms", f"{number}-1", f"{number}-2")
            run_id = world.request(f"asked-{number}").run_id
            world.executions.ended[run_id] = "ABORTED"
        world.lists.failing.clear()
        world.clock.advance(COLLECTOR_LIFETIME)
        world.writes_left = number
        with contextlib.suppress(Died):
            world.recovery.recover_open_runs()
        finished = world.writes_left > 0
        world.writes_left = None
        world.recovery.recover_open_runs()
        assert world.ledger.runs.read(run_id).status == "failed"
        assert any(run_id in mail.message for mail in world.mails)
        if finished:
            assert len(world.mails) == 1
            return


def test_a_mail_that_is_refused_blocks_no_schedule(world):
    """All that can be closed is closed, the collector fails for its alarm, and the next schedule has its turn."""
    world.fail("send.sms", "1")
    first = world.fire(1)
    world.executions.ended[first] = "ABORTED"
    start.record_request("lost", "olga", Selection(), world.ledger, world.manifests)
    for _ in range(MAX_COLLECTIONS):
        start.begin_requested("lost", world.ledger)
    world.clock.advance(COLLECTOR_LIFETIME)
    world.mail_refused = True
    with pytest.raises(NotificationFailed, match="AuthorizationError"):
        world.fire(2)
    assert {world.ledger.runs.read(run_id).status for run_id in (first, "lost")} == {"failed"}
    assert world.fire(3) in world.executions.started


def test_a_request_whose_collector_was_never_run_is_found(world):
    """A lost invocation is made again by the next collectors, a few times; then people are told."""
    start.record_request("lost", "olga", Selection(), world.ledger, world.manifests)
    for number in range(MAX_COLLECTIONS + 1):
        world.clock.advance(COLLECTOR_LIFETIME)
        world.fire(number)
        for run_id in world.invoked:
            again = start.begin_requested(run_id, world.ledger)
            assert again.collections == number + 1
        world.invoked.clear()
    assert world.ledger.runs.read("lost").status == "failed"
    assert [mail.subject for mail in world.mails] == ["comms-reprocess: a run never started"]


def test_a_run_that_is_stopped_before_it_sends_ends_at_once(world):
    """Stopped while it is collected, a run starts no execution."""
    world.fail("send.sms", "1")
    start.record_request("asked", "olga", Selection(), world.ledger, world.manifests)
    assert stop.stop_run("asked", "sam", world.ledger, world.executions).status == "stopped"
    world.event(requested_event("asked", "1", "eu-central-1", world.clock()))
    assert world.executions.started == {}


def test_the_configuration_that_ships_can_be_read():
    """The application.toml of this project is valid."""
    read = config_file.read({"APPLICATION_URL": "https://a.example", "APPLICATION_SECRET": "s"})
    assert read.sources[0].operation == "send.email"

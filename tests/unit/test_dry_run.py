"""The dry run: what a run would do, without doing it."""

import msgspec
import pytest

from chalicelib.application.config import Configuration, Reprocess, Source
from chalicelib.application.list_pages import Page
from chalicelib.application.list_requests import PageRequest
from chalicelib.errors import ListingFailed
from chalicelib.ledger.claims import Rules
from chalicelib.models import Communication, Run, RunStatus, Selection, Task, Trigger
from chalicelib.runs import cost
from chalicelib.runs.collect import Collector
from chalicelib.runs.dry_run import LISTING_MS, PAGE_TIMEOUT, DryRun
from chalicelib.runs.eligibility import is_expired
from chalicelib.settings import Settings

HOUR = 3_600_000
SOURCE = Source(
    operation="send.email",
    list="https://a.example",
    cool_down="1h",
    min_age="10m",
    max_age="7d",
    failed_at="failed_at",
    timeout=20,
)
CONFIGURATION = Configuration(sources=[SOURCE], reprocess=Reprocess(url="https://a.example"))
SETTINGS = Settings(resource_prefix="mail-dev", max_attempts=1, approval_threshold=2, batch_size=2)
RULES = Rules(cool_down=HOUR, honours_key=False, max_attempts=1, retention=90 * 24 * HOUR)

EVERYTHING = Selection()


class FakeLists:
    """The application's list: pages of ids, each of which takes a while, and at its end perhaps an error."""

    def __init__(self, clock, *pages, takes=0, age=24 * HOUR, breaks=False):
        self.asked = []
        self.rest = list(pages)
        self._clock, self._takes, self._age, self._breaks = clock, takes, age, breaks

    def failed_pages(self, source, _selection, _start=None):
        self.asked.append(source.timeout)
        for number, page in enumerate(self.rest, 1):
            listed_at = self._clock()
            self._clock.advance(self._takes)
            found = [
                Communication(operation=source.operation, primary_id=each, listed_at=listed_at, since=self._since(each))
                for each in page
            ]
            following = PageRequest(source.list, {"page": number + 1}) if number < len(self.rest) else None
            yield Page(found, PageRequest(source.list, {"page": number}), following)
        if self._breaks:
            raise ListingFailed("send.email: it broke")

    def _since(self, primary_id):
        ages = {"fresh": 1, "stale": 8 * 24 * HOUR}
        return self._clock() - ages.get(primary_id, self._age)


@pytest.fixture
def look(ledger, clock):
    """Look at what a list holds."""

    def look(*pages, selection=EVERYTHING, **more):
        return DryRun(FakeLists(clock, *pages, **more), ledger, CONFIGURATION, SETTINGS).preview(selection)

    return look


def claim(ledger, clock, primary_id, run_id="r-1"):
    it = Communication(operation="send.email", primary_id=primary_id, listed_at=clock())
    return it, ledger.communications.claim(Task(run_id=run_id, index=0, communication=it, requested_by="Jo"), RULES)


def on_worklist(ledger, clock, primary_id):
    it, state = claim(ledger, clock, primary_id)
    ledger.communications.record_answer(state, "CommunicationRejected", "no_such_address", RULES)
    ledger.communications.move_to_worklist(it, "r-1#0", "no_such_address")


def test_each_is_counted_with_the_reason_that_a_run_would_have(look, ledger, clock):
    """Also what a run finds out in its batches only: expired, and those that it hands over to a person."""
    on_worklist(ledger, clock, "manual")
    on_worklist(ledger, clock, "dismissed")
    ledger.worklist.dismiss("send.email", "dismissed", "olga", "gone")
    for name in ("relapsed", "used up"):
        _, state = claim(ledger, clock, name)
        ledger.communications.record_answer(state, "accepted" if name == "relapsed" else "OutcomeUnknown", None, RULES)
    clock.advance(2 * HOUR)
    claim(ledger, clock, "in flight")
    clock.advance(1)
    seen = look(["a", "fresh", "stale", "manual"], ["dismissed", "relapsed", "used up", "in flight", "a", "b"])
    assert (seen.matched, seen.eligible) == (10, 2)
    assert seen.skipped == {
        "too_fresh": 1,
        "expired": 1,
        "manual": 1,
        "dismissed": 1,
        "relapsed": 1,
        "attempts_used_up": 1,
        "in_flight": 1,
        "duplicate": 1,
    }
    assert ([primary_id for _, primary_id in seen.sample], seen.by_operation) == (["a", "b"], {"send.email": 2})


def test_nothing_is_changed(look, ledger, clock, table):
    """Not even those that includeManual would reset."""
    on_worklist(ledger, clock, "1")
    clock.advance(2 * HOUR)
    before = table.get("COMM#send.email#1", "COMM")
    seen = look(["1", "2"], selection=Selection(include_manual=True))
    assert (seen.eligible, seen.skipped) == (2, {})
    assert table.get("COMM#send.email#1", "COMM") == before
    assert ledger.runs.page(10, None) == ([], None)


def test_include_manual_leaves_alone_what_may_still_arrive(look, ledger, clock):
    """As the retry itself would."""
    on_worklist(ledger, clock, "1")
    clock.advance(1)
    assert look(["1"], selection=Selection(include_manual=True)).skipped == {"cool_down": 1}


def test_it_ends_in_time_and_says_so(look, clock):
    """After the bound no further page is asked for, and no page may take long: all fits into 29 seconds."""
    lists = FakeLists(clock, ["1"], ["2"], ["3"], takes=LISTING_MS // 2 + 1)
    seen = look(*lists.rest, takes=LISTING_MS // 2 + 1, selection=Selection(primary_ids=["1", "2", "3", "4"]))
    assert (seen.eligible, seen.incomplete, seen.truncated) == (2, True, False)
    assert (seen.not_found, seen.not_found_count) == ([], 0)
    assert LISTING_MS / 1000 + 2 * PAGE_TIMEOUT < 28 - 4
    assert not look(["1"]).incomplete


def test_a_page_may_take_no_longer_than_the_bound_allows(ledger, clock):
    """The source's own timeout is for the collector."""
    lists = FakeLists(clock, ["1"])
    DryRun(lists, ledger, CONFIGURATION, SETTINGS).preview(Selection())
    assert lists.asked == [PAGE_TIMEOUT]


def test_a_list_that_breaks_is_told_with_what_was_seen(look):
    """The run itself would send nothing and tell this very error."""
    seen = look(["1"], breaks=True)
    assert (seen.error, seen.eligible, seen.incomplete) == ("send.email: it broke", 1, True)


def test_a_limit_is_said(look):
    """As the run says it."""
    seen = look(["1", "2", "3"], selection=Selection(limit=2))
    assert (seen.matched, seen.eligible, seen.truncated, seen.incomplete) == (2, 2, True, False)


def test_its_sums_are_those_of_the_formula(look, clock):
    """Batches, approval, time and price by the one place that knows them; the ages from when they failed."""
    seen = look(["1", "2", "3"])
    assert (seen.estimate.batches, seen.needs_approval) == (2, True)
    assert seen.estimate == cost.estimate(3, SETTINGS)
    assert seen.oldest == seen.newest == clock() - 24 * HOUR
    nothing = look()
    assert (nothing.estimate.seconds, nothing.estimate.dollars, nothing.oldest) == (0, 0, None)


# -- the collector, as far as it shares this


class FakeManifests:
    """The bucket, which keeps the communications of the manifest that was put last."""

    def upload(self, run_id, manifest):
        with manifest.file:
            self.kept = msgspec.json.decode(manifest.file.read())[0]["communications"]
        return f"runs/{run_id}/manifest"


class FakeExecutions:
    def __init__(self):
        self.started = []

    def start(self, run):
        self.started.append((run.status, run.manifest))


@pytest.fixture
def collector(ledger):
    def collector(lists, executions):
        return Collector(lists, ledger, FakeManifests(), executions, CONFIGURATION, SETTINGS, lambda: 10**9)

    return collector


def collecting(ledger, clock):
    run = Run(
        run_id="r", trigger=Trigger.REQUEST, requested_by="olga", status=RunStatus.COLLECTING, requested_at=clock()
    )
    ledger.runs.create(run)
    return run


@pytest.mark.parametrize(("pages", "status"), [(["1", "2"], "running"), (["1", "2", "3"], RunStatus.AWAITING_APPROVAL)])
def test_a_run_above_the_threshold_is_pinned_as_one_that_waits(ledger, clock, collector, pages, status):
    """And started so; exactly as many as the threshold go at once."""
    executions = FakeExecutions()
    run = collector(FakeLists(clock, pages), executions).collect(collecting(ledger, clock), Selection())
    assert run.status == status
    assert executions.started == [(status, "runs/r/manifest")]


def test_a_collector_that_comes_twice_changes_nothing(ledger, clock, collector):
    """The manifest that the execution has is the one that the run keeps."""
    executions = FakeExecutions()
    first = collector(FakeLists(clock, ["1"]), executions).collect(collecting(ledger, clock), Selection())
    lists = FakeLists(clock, ["1", "2"])
    assert collector(lists, executions).collect(first, Selection()) == first
    assert lists.asked == []
    assert len(executions.started) == 2


def test_what_a_person_retried_is_not_expired_again(ledger, clock):
    """Its age counts from the retry: who retries a stale one means it."""
    on_worklist(ledger, clock, "stale")
    clock.advance(2 * HOUR)
    ledger.worklist.retry("send.email", "stale", "olga", HOUR)
    clock.advance(20 * 60_000)
    manifests = FakeManifests()
    lists = FakeLists(clock, ["stale"])
    collector = Collector(lists, ledger, manifests, FakeExecutions(), CONFIGURATION, SETTINGS, lambda: 10**9)
    collector.collect(collecting(ledger, clock), Selection())
    assert not is_expired(msgspec.convert(manifests.kept[0], Communication), SOURCE, clock())
    assert manifests.kept[0]["since"] == ledger.worklist.read("send.email", "stale").retried_at

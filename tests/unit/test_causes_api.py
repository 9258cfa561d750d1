"""Causes over the API: how they are shown, and how the worklist, a dry run and a run select by one."""

import csv
import io
from functools import partial

import pytest

from chalicelib.api import causes, communications
from chalicelib.api.ids import encode_id
from chalicelib.api.parsing import parse_query
from chalicelib.api.schemas.bulk import BulkDismissal, BulkRetry
from chalicelib.api.schemas.causes import CausesQuery, CausesView
from chalicelib.api.schemas.communications import CommunicationsQuery, ExportQuery
from chalicelib.application.config import Configuration, Reprocess, Source
from chalicelib.errors import InvalidRequest, NotFound
from chalicelib.ledger.claims import Rules
from chalicelib.ledger.situations import KnownCause, Situation
from chalicelib.models.batches import Task
from chalicelib.models.communications import CauseKind, Communication, SkipReason
from chalicelib.models.selections import Selection
from chalicelib.runs import situation, worklist
from chalicelib.runs.causes import Cause
from chalicelib.runs.collect import Collector
from chalicelib.runs.dry_run import DryRun
from chalicelib.runs.tally import Snapshot
from chalicelib.settings import Settings
from tests.conftest import RETENTION
from tests.fakes import HOUR, NOON, FakeCall, FakeExecutions, FakeLists, FakeManifests, attempt, make_run

CONFIGURATION = Configuration(
    sources=[Source(operation="send.email", list="https://a.example", cool_down="1h", total="count")],
    reprocess=Reprocess(url="https://a.example"),
)
SETTINGS = Settings(resource_prefix="mail-dev")
RULES = Rules(cool_down=HOUR, honours_key=False, max_attempts=5, retention=RETENTION)
REJECTED = Cause(operation="send.email", kind=CauseKind.REJECTED, reason="invalid_address")
FAILED = Cause(operation="send.email", kind=CauseKind.FAILED, reason="http_500")
UNTRIED = Cause(operation="send.email", kind=CauseKind.UNTRIED)
OTHER = Cause(operation="send.sms", kind=CauseKind.REJECTED, reason="other")


def known(cause, count=1, **fields):
    times = {"first_seen": NOON, "last_seen": NOON + HOUR, "trend": [count]}
    names = {"id": cause.id, "operation": cause.operation, "kind": cause.kind, "reason": cause.reason}
    return KnownCause(count=count, **names, **times | fields)


@pytest.fixture
def seen(ledger):
    """What a scan has seen: these three causes, and one that adds up rare ones."""
    listed = [
        known(REJECTED, 3, on_worklist=2, example="a/7"),
        known(FAILED, 5),
        known(UNTRIED),
        known(OTHER, folded=True),
    ]
    situation.note_scan("run", Snapshot(at=NOON, causes=listed), lambda: 9, ledger)


def tried(ledger, clock, primary_id, error, reason, *, manual):
    """Let the application answer the POST of a communication, and put it on the worklist if it is `manual`."""
    listed = Communication(operation="send.email", primary_id=primary_id, listed_at=clock())
    task = Task(run_id="r", index=0, communication=listed, requested_by="Jo")
    attempt(ledger.communications, task, error, RULES, reason)
    if manual:
        assert ledger.communications.move_to_worklist(listed, task.owner, reason)
    clock.advance(1)


def put_on_worklist(ledger, clock, *ids, reason="invalid_address"):
    for each in ids:
        tried(ledger, clock, each, "CommunicationRejected", reason, manual=True)


# -- the situation in the table


@pytest.mark.usefixtures("seen")
def test_the_situation_is_kept_as_it_was_written(ledger):
    """The number of the ledger's worklist does not put it into an index."""
    written = ledger.situations.read()
    assert isinstance(written, Situation)
    assert (written.run_id, written.worklist, written.complete, len(written.causes)) == ("run", 9, True, 4)
    assert ledger.worklist.page("manual", 10, None, equal={}) == ([], None)


def test_a_scan_that_is_written_meanwhile_is_taken_into_account(ledger):
    """The one of a collector that is slow does not replace it, and a newer one builds on it."""

    def note(run_id, at, count, meanwhile=lambda: None):
        def rule(before):
            after = situation.situation_after(before, run_id, Snapshot(at=at, causes=[known(FAILED, count)]), 0)
            meanwhile()
            return after

        ledger.situations.change(rule)

    def once(*scan):
        scans = [scan]
        return lambda: note(*scans.pop()) if scans else None

    note("first", NOON, 1)
    note("slow", NOON + 1, 2, once("second", NOON + 2, 4))
    note("third", NOON + 3, 8, once("in between", NOON + 2, 5))
    read = ledger.situations.read()
    assert (read.run_id, read.causes[0].trend[-1]) == ("third", 8)
    assert [point.run_id for point in read.scans] == ["first", "second", "in between", "third"]


# -- GET /causes


@pytest.mark.usefixtures("seen")
def test_causes_are_shown_with_the_highest_counts_first(ledger):
    """With what the scan was like; the ids are those of every other listing."""
    shown = causes.list_causes(FakeCall(ledger, query=CausesQuery()))
    assert (shown.as_of, shown.complete, shown.last_complete) == (
        "2026-11-20T12:00:00.000Z",
        True,
        "2026-11-20T12:00:00.000Z",
    )
    assert shown.capped
    assert [(each.id, each.count) for each in shown.causes[:2]] == [(FAILED.id, 5), (REJECTED.id, 3)]
    rejected = shown.causes[1]
    assert (rejected.kind, rejected.reason, rejected.on_worklist) == ("rejected", "invalid_address", 2)
    assert (rejected.example.id, rejected.example.primary_id) == (encode_id("send.email", "a/7"), "a/7")
    assert [each.id for each in shown.causes[2:]] == sorted([UNTRIED.id, OTHER.id])
    assert causes.get_cause(FakeCall(ledger), REJECTED.id) == rejected


@pytest.mark.usefixtures("seen")
def test_causes_can_be_those_of_one_operation(ledger):
    shown = causes.list_causes(FakeCall(ledger, query=CausesQuery(operation="send.sms")))
    assert [each.folded for each in shown.causes] == [True]


def test_before_the_first_scan_nothing_is_known(ledger):
    shown = causes.list_causes(FakeCall(ledger, query=CausesQuery()))
    assert shown == CausesView(as_of=None, complete=False, last_complete=None, capped=False, causes=[])
    with pytest.raises(NotFound, match="take ids from GET /causes"):
        causes.get_cause(FakeCall(ledger), REJECTED.id)


# -- GET /communications?cause=


def page(ledger, cause, **query):
    return communications._page(FakeCall(ledger, query=CommunicationsQuery(cause=cause.id, **query)))


@pytest.mark.usefixtures("seen")
def test_the_worklist_can_be_listed_by_cause(ledger, clock):
    """Each entry once, in pages and as a CSV file, and what has another cause not at all."""
    for number in range(7):
        put_on_worklist(ledger, clock, f"{number}", reason="invalid_address" if number % 2 else "blocked")
    found, cursor = [], None
    for _ in range(3):
        views, cursor = page(ledger, REJECTED, limit=1, cursor=cursor)
        found += [each.primary_id for each in views]
    assert (found, page(ledger, REJECTED, limit=1, cursor=cursor)) == (["1", "3", "5"], ([], None))
    answer = communications.export_communications(FakeCall(ledger, query=ExportQuery(cause=REJECTED.id)))
    assert [row["primaryId"] for row in csv.DictReader(io.StringIO(answer.body))] == ["1", "3", "5"]
    assert page(ledger, FAILED) == ([], None)


@pytest.mark.usefixtures("seen")
@pytest.mark.parametrize("dynamodb", ["ministack"], indirect=True)  # moto's would take half a minute
def test_a_long_worklist_is_searched_in_several_calls(ledger, clock):
    """A page may be empty and have a next one. The call begins with no further part when its time is over."""
    put_on_worklist(ledger, clock, *map(str, range(worklist._SEARCHED)), reason="blocked")
    put_on_worklist(ledger, clock, "wanted")
    slow = FakeCall(ledger, query=CommunicationsQuery(cause=REJECTED.id))
    ticks = iter([0, worklist._SEARCH_MS + 1])
    read = partial(ledger.worklist.page, "manual", equal={})
    entries, key = worklist._search(read, REJECTED.id, 50, None, lambda: next(ticks))
    assert (entries, key is None) == ([], False)
    entries, key = worklist._search(read, REJECTED.id, 50, key, clock)
    assert ([each.primary_id for each in entries], key) == (["wanted"], None)
    views, cursor = communications._page(slow)
    assert ([each.primary_id for each in views], cursor) == (["wanted"], None)


@pytest.mark.usefixtures("seen")
def test_a_cursor_belongs_to_its_cause(ledger, clock):
    put_on_worklist(ledger, clock, "1", "2")
    _, cursor = page(ledger, REJECTED, limit=1)
    with pytest.raises(InvalidRequest, match="cursor: it is not from this listing"):
        page(ledger, FAILED, limit=1, cursor=cursor)


@pytest.mark.usefixtures("seen")
@pytest.mark.parametrize(
    ("query", "error"),
    [
        ({"cause": REJECTED.id, "status": "dismissed"}, "cause: what is dismissed has none"),
        ({"cause": "f" * 16}, "cause: no scan of the last 24 hours has seen it; see GET /causes"),
        ({"cause": OTHER.id}, "cause: it adds up many rare causes"),
        ({"cause": "invalid_address"}, "cause: "),
    ],
)
def test_a_cause_that_cannot_be_listed_is_refused(ledger, query, error):
    with pytest.raises(InvalidRequest) as caught:
        communications._page(FakeCall(ledger, query=parse_query(query, CommunicationsQuery)))
    assert str(caught.value).startswith(error)


@pytest.mark.usefixtures("seen")
@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"cause": "f" * 16}, "cause: no scan of the last 24 hours has seen it; see GET /causes"),
        ({"cause": OTHER.id}, "cause: it adds up many rare causes"),
        ({"cause": REJECTED.id, "operation": "send.sms"}, "operation: the cause is one of send.email"),
    ],
)
def test_a_cause_that_nothing_can_have_starts_no_bulk_run(ledger, body, error):
    """It would find nothing, and nobody would hear of it."""
    for handler, request in (
        (communications.retry_communications, BulkRetry(every=True, **body)),
        (communications.dismiss_communications, BulkDismissal(every=True, note="gone", **body)),
    ):
        with pytest.raises(InvalidRequest) as caught:
            handler(FakeCall(ledger, body=request))
        assert str(caught.value).startswith(error)


# -- POST /reprocess with a cause


@pytest.fixture
def lists(ledger, clock):
    """A list of two that nobody has tried, one that failed, and three that were rejected: one of them a moment ago."""
    put_on_worklist(ledger, clock, "rejected", "moved")
    tried(ledger, clock, "failed", "ApplicationError", "http_500", manual=False)
    clock.advance(2 * HOUR)
    put_on_worklist(ledger, clock, "just now")
    return FakeLists(clock, ["rejected", "new"], ["failed", "just now"], ["moved", "newer"])


def test_a_run_for_a_cause_takes_what_has_it_from_the_worklist_too(ledger, lists):
    """What has another cause does not match. A retry waits for what was sent before, as always."""
    run, manifests = make_run("r-2", status="collecting"), FakeManifests()
    ledger.runs.create(run)
    collector = Collector(lists, ledger, manifests, FakeExecutions(), CONFIGURATION, SETTINGS, lambda: 10**9)
    collected = collector.collect(run, Selection(cause=REJECTED.id))
    taken = [each for batch in manifests.read(collected.manifest) for each in batch.communications]
    assert [(each.primary_id, each.retry) for each in taken] == [("rejected", True), ("moved", True)]
    assert (collected.matched, collected.skipped, collected.truncated) == (3, {SkipReason.COOL_DOWN: 1}, False)


@pytest.mark.parametrize(
    ("cause", "limit", "matched", "eligible"),
    [(REJECTED, None, 3, 2), (REJECTED, 1, 1, 1), (FAILED, None, 1, 1), (UNTRIED, None, 2, 2)],
)
def test_a_dry_run_for_a_cause_shows_what_its_run_would_take(ledger, lists, cause, limit, matched, eligible):
    preview = DryRun(lists, ledger, CONFIGURATION, SETTINGS).preview(Selection(cause=cause.id, limit=limit), "olga")
    assert (preview.matched, preview.eligible, preview.truncated) == (matched, eligible, limit is not None)


def test_what_is_sent_meanwhile_has_the_cause_no_more(ledger, lists):
    """It is judged when its page is read."""
    ledger.worklist.retry("send.email", "rejected", "olga", HOUR)
    preview = DryRun(lists, ledger, CONFIGURATION, SETTINGS).preview(Selection(cause=REJECTED.id), "olga")
    assert [primary_id for _, primary_id in preview.sample] == ["moved"]

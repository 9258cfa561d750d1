"""The collector with real lists and a real ledger: what it takes, what a limit leaves out, and where it resumes."""

import itertools

import msgspec
import pytest

from chalicelib.application.client import ApplicationClient
from chalicelib.application.config import Auth, Configuration, Next, Reprocess, Source
from chalicelib.application.credentials import Credentials
from chalicelib.models import Batch, Run, RunStatus, Selection, Trigger
from chalicelib.runs.collect import RESERVED_MS, Collector
from chalicelib.settings import Settings
from tests.servers import answering, reply, serving

_numbers = itertools.count()


@pytest.fixture(autouse=True)
def _directly(monkeypatch):
    """No proxy of the machine's stands between a test and its server."""
    monkeypatch.setenv("NO_PROXY", "*")


class Lists:
    """An application with two lists of 10 records a page, by cursors or by offsets; a test may break it."""

    def __init__(self):
        self.records = {"/emails": [f"e{each}" for each in range(30)], "/sms": [f"s{each}" for each in range(30)]}
        self.forgotten = set()
        self.broken = False

    def __call__(self, request):
        if self.broken or request.query.get("cursor") in self.forgotten:
            return reply(410)
        records = self.records[request.path]
        start = self._start(request.query, records)
        page = records[start : start + 10]
        following = records[start + 9] if start + 10 < len(records) else None
        items = [{"id": each, "created": None, "author": None} for each in page]
        return reply(200, {"items": items, "next": following, "count": len(records)})

    def _start(self, query, records):
        if "cursor" in query:  # the last one that was seen, which may have left the list
            return next((at for at, each in enumerate(records) if each > query["cursor"]), len(records))
        return int(query.get("offset", "0"))


class Manifests:
    """Keeps the last manifest."""

    def upload(self, run_id, manifest):
        self.ids = [
            it.primary_id
            for batch in msgspec.json.decode(manifest.file.read(), type=list[Batch])
            for it in batch.communications
        ]
        return f"runs/{run_id}/manifest.json"


class Executions:
    """Starts nothing."""

    def start(self, run):
        self.started = run.run_id


CURSOR, OFFSET = Next(cursor="next", param="cursor"), Next(offset="offset")


class Setup:
    """A collector around an application, and the runs it is asked for."""

    def __init__(self, url, lists, ledger, clock):
        self.url, self.lists, self.ledger, self.clock = url, lists, ledger, clock
        self.manifests = Manifests()
        self.sources = [self.source("send.email", "/emails"), self.source("send.sms", "/sms")]

    def source(self, operation, path, **more):
        given = {"operation": operation, "list": self.url + path, "cool_down": "1h", "items": "items", "next": CURSOR}
        return Source(**given | more)

    def run(self, most=15, trigger=Trigger.SCHEDULE, selection=None, time_left=lambda: 900_000):
        """Collect once; return the run, and the ids in its manifest."""
        configuration = Configuration(sources=self.sources, reprocess=Reprocess(url=self.url))
        application = ApplicationClient(configuration, Credentials(Auth(), str, self.clock), self.clock)
        settings = Settings(resource_prefix="app-dev", max_per_run=most)
        self.manifests.ids = []
        collector = Collector(
            application, self.ledger, self.manifests, Executions(), configuration, settings, time_left
        )
        run = Run(
            run_id=f"run-{next(_numbers)}",
            trigger=trigger,
            requested_by="olga",
            status=RunStatus.COLLECTING,
            requested_at=self.clock(),
        )
        assert self.ledger.runs.create(run)
        return collector.collect(run, selection or Selection()), self.manifests.ids


@pytest.fixture
def setup(ledger, clock):
    lists = Lists()
    lists.records["/emails"].sort()
    lists.records["/sms"].sort()
    with serving(answering(lists)) as server:
        yield Setup(server.url, lists, ledger, clock)


# -- bounds, and going on


def test_a_scheduled_run_resumes_where_the_last_one_stopped(setup):
    """By cursors, through the first source and the second, to the end, and then from the front again."""
    emails, sms = setup.lists.records["/emails"], setup.lists.records["/sms"]
    runs = [setup.run() for _ in range(6)]
    # A page that a limit has cut off is read again: what was sent of it is in its cool-down by then.
    assert [found for _, found in runs] == [
        emails[:15],
        emails[10:25],
        [*emails[20:], *sms[:5]],
        sms[:15],
        sms[10:25],
        [*sms[20:], *emails[:5]],
    ]
    assert [run.truncated for run, _ in runs] == [True] * 6


def test_a_run_that_reaches_the_end_forgets_where_the_last_one_stopped(setup):
    """The next one begins at the front."""
    setup.run(most=20)
    run, found = setup.run(most=100)
    assert (len(found), run.truncated) == (10 + 30, False)
    run, found = setup.run(most=100)
    assert (len(found), run.truncated) == (60, False)


def test_what_was_sent_and_left_the_list_is_not_missed(setup):
    """The list is shorter by then, and a cursor still leads to what comes after it."""
    emails = list(setup.lists.records["/emails"])
    setup.run(most=10)
    setup.lists.records["/emails"] = emails[10:]
    assert setup.run(most=10)[1] == emails[10:20]


def test_offsets_are_read_from_the_front_again_after_the_other_sources(setup):
    """Entries that were sent leave the list and move the others: an offset would skip as many."""
    setup.sources = [
        setup.source("send.email", "/emails", next=OFFSET),
        setup.source("send.sms", "/sms", next=OFFSET),
    ]
    found = [setup.run(most=15)[1] for _ in range(3)]
    assert found == [setup.lists.records[path][:15] for path in ("/emails", "/sms", "/emails")]


def test_the_collectors_time_bounds_a_run(setup):
    """It stops after the page that it is at, says so, and the next run goes on there."""
    left = iter([900_000, RESERVED_MS - 1])
    run, found = setup.run(most=100, time_left=lambda: next(left))
    assert (found, run.truncated) == (setup.lists.records["/emails"][:20], True)
    assert setup.run(most=10)[1] == setup.lists.records["/emails"][20:]


def test_where_nothing_is_due_the_next_run_resumes_too(setup):
    """A list that begins with more than a run can read of what is left alone hides nothing for ever."""
    setup.sources = [setup.source("send.email", "/emails", created="created")]
    left = iter([RESERVED_MS - 1])
    nobody = Selection(created_before="2000-01-01T00:00:00.000Z")
    run, found = setup.run(selection=nobody, time_left=lambda: next(left))
    assert (run.status, found, run.truncated) == ("empty", [], True)
    assert setup.run(most=10)[1] == setup.lists.records["/emails"][10:20]


def test_a_requested_run_neither_resumes_nor_leaves_a_checkpoint(setup):
    """Each request is a whole selection from the front."""
    first = setup.lists.records["/emails"][:15]
    assert setup.run(trigger=Trigger.REQUEST)[1] == first
    assert setup.run()[1] == first
    assert setup.run(trigger=Trigger.REQUEST)[1] == first
    assert setup.run()[1] == setup.lists.records["/emails"][10:25]


def test_a_page_that_the_application_no_longer_knows_is_no_failure(setup):
    """Cursors expire: the list is read from its front."""
    setup.run(most=10)
    setup.lists.forgotten = {setup.lists.records["/emails"][9]}
    run, found = setup.run(most=10)
    assert (run.status, found) == ("running", setup.lists.records["/emails"][:10])


def test_an_application_that_is_down_keeps_the_checkpoint(setup):
    """A failed run changes nothing for the next one."""
    setup.run(most=10)
    setup.lists.broken = True
    run, _ = setup.run(most=10)
    assert (run.status, run.error) == (
        "failed",
        f"send.email: {setup.url}/emails answered 410, not 200 (see list in application.toml)",
    )
    setup.lists.broken = False
    assert setup.run(most=10)[1] == setup.lists.records["/emails"][10:20]


def test_another_configuration_begins_at_the_front(setup):
    """A place of a list that is asked for in another way now may mean anything."""
    setup.run(most=10)
    setup.sources[0] = setup.source("send.email", "/emails", params={"page_size": 10})
    assert setup.run(most=10)[1] == setup.lists.records["/emails"][:10]


def test_a_source_that_is_gone_is_not_resumed(setup):
    """The sources that are left are read from their front."""
    setup.run(most=10)
    del setup.sources[0]
    assert setup.run(most=10)[1] == setup.lists.records["/sms"][:10]


def test_a_limit_that_is_just_enough_truncates_nothing(setup):
    """The last page of the last source says that there is no more."""
    run, found = setup.run(most=60)
    assert (len(found), run.truncated, run.truncated_count) == (60, False, None)


# -- what was left out


@pytest.mark.parametrize(("most", "count"), [(10, 20), (15, 15), (29, 1), (30, None), (45, 15)])
def test_what_a_limit_left_out_is_counted_where_the_list_tells(setup, most, count):
    """Of the list that was being read; those that were not begun are said to be "more"."""
    setup.sources = [
        setup.source("send.email", "/emails", total="count"),
        setup.source("send.sms", "/sms", total="count"),
    ]
    run, _ = setup.run(most=most)
    assert (run.truncated, run.truncated_count) == (True, count)


def test_what_is_left_out_of_the_rest_of_a_list_is_not_counted(setup):
    """The list tells how long it is, not how much of it an earlier run has read."""
    setup.sources = [setup.source("send.email", "/emails", total="count")]
    setup.run(most=10)
    run, _ = setup.run(most=10)
    assert (run.truncated, run.truncated_count) == (True, None)


def test_a_list_that_ends_before_its_total_says_so(setup):
    """An expression that finds no next page would otherwise make half a list look whole."""
    setup.sources = [setup.source("send.email", "/emails", total="count", next=Next(cursor="nxt", param="cursor"))]
    run, found = setup.run(most=100)
    assert (len(found), run.truncated, run.truncated_count) == (10, True, 20)


# -- filters that the record leaves open


@pytest.mark.parametrize(
    "selection",
    [
        Selection(created_after="2026-01-01T00:00:00.000Z"),
        Selection(created_before="2027-01-01T00:00:00.000Z"),
        Selection(created_by="Jo"),
    ],
)
@pytest.mark.parametrize("served", [True, False])
def test_a_record_that_leaves_open_what_is_asked_for_is_not_taken(setup, selection, served):
    """Null is neither after nor before, nor anybody, even if the application let it pass its own filter."""
    filters = {"createdAfter": "from", "createdBefore": "to", "createdBy": "by"} if served else {}
    setup.sources = [setup.source("send.email", "/emails", created="created", created_by="author", filters=filters)]
    run, found = setup.run(trigger=Trigger.REQUEST, selection=selection)
    assert (run.status, run.matched, found) == ("empty", 0, [])


def test_where_records_have_no_such_field_the_applications_filter_is_trusted(setup):
    """It is all there is."""
    setup.sources = [setup.source("send.email", "/emails", filters={"createdBy": "by"})]
    _, found = setup.run(trigger=Trigger.REQUEST, selection=Selection(created_by="Jo"))
    assert found == setup.lists.records["/emails"][:15]

"""Where a limit stops the collector, where the next run resumes, and what the filters match; with real lists."""

import itertools

import msgspec
import pytest

from chalicelib.application.client import ApplicationClient
from chalicelib.application.config import Auth, Configuration, Next, Reprocess, Source
from chalicelib.application.credentials import Credentials
from chalicelib.models.batches import Batch
from chalicelib.models.communications import CauseKind
from chalicelib.models.runs import Run, RunStatus, Trigger
from chalicelib.models.selections import Selection
from chalicelib.runs.causes import Cause
from chalicelib.runs.collect import RESERVED_MS, Collector, collect_run
from chalicelib.settings import Settings
from tests.servers import answering, reply, serving

_numbers = itertools.count()


class FakeLists:
    """An application with two lists, 10 records a page, by cursor or by offset."""

    def __init__(self):
        self.records = {"/emails": [f"e{each}" for each in range(30)], "/sms": [f"s{each}" for each in range(30)]}
        self.expired = set()
        self.broken = False

    def __call__(self, request):
        if request.path not in self.records:
            return reply(404)
        if self.broken or request.query.get("cursor") in self.expired:
            return reply(410)
        records = self.records[request.path]
        start = self._start(request.query, records)
        page = records[start : start + 10]
        following = records[start + 9] if start + 10 < len(records) else None
        items = [{"id": each, "created": None, "author": None} for each in page]
        return reply(200, {"items": items, "next": following, "count": len(records)})

    def _start(self, query, records):
        if "cursor" in query:  # the last id that was listed, which may have left the list since
            return next((at for at, each in enumerate(records) if each > query["cursor"]), len(records))
        return int(query.get("offset", "0"))


class FakeManifests:
    """Keeps the selection of the next run, and the ids in the last manifest."""

    def read_selection(self, _key, _kind):
        return self.selection

    def upload(self, run_id, manifest):
        self.ids = [
            each.primary_id
            for batch in msgspec.json.decode(manifest.file.read(), type=list[Batch])
            for each in batch.communications
        ]
        return f"runs/{run_id}/manifest.json"


class FakeExecutions:
    """Starts nothing."""

    def start(self, run):
        self.started = run.run_id


CURSOR, OFFSET = Next(cursor="next", param="cursor"), Next(offset="offset")


class CollectorRunner:
    """Runs the collector for an application."""

    def __init__(self, url, lists, ledger, clock):
        self.url, self.lists, self.ledger, self.clock = url, lists, ledger, clock
        self.manifests = FakeManifests()
        self.sources = [self.source("send.email", "/emails"), self.source("send.sms", "/sms")]

    def source(self, operation, path, **keys):
        url = self.url + path
        defaults = {"operation": operation, "list": url, "cool_down": "1h", "items": "items", "next": CURSOR}
        return Source(**defaults | keys)

    def run(self, max_per_run=15, trigger=Trigger.SCHEDULE, selection=None, time_left=lambda: 900_000):
        """Collect for a new run; return it and the ids in its manifest."""
        configuration = Configuration(sources=self.sources, reprocess=Reprocess(url=self.url))
        application = ApplicationClient(configuration, Credentials(Auth(), str, self.clock), self.clock)
        settings = Settings(resource_prefix="app-dev", max_per_run=max_per_run)
        self.manifests.ids = []
        collector = Collector(
            application, self.ledger, self.manifests, FakeExecutions(), configuration, settings, time_left
        )
        run = Run(
            run_id=f"run-{next(_numbers)}",
            trigger=trigger,
            requested_by="olga",
            status=RunStatus.COLLECTING,
            requested_at=self.clock(),
            selection="selection" if selection else None,
        )
        assert self.ledger.runs.create(run)
        self.manifests.selection = selection
        run = collect_run(
            run,
            lambda: collector,
            self.ledger,
            self.manifests,
            settings,
            notify=lambda _: None,
            count_worklist=lambda: 0,
        )
        return run, self.manifests.ids


@pytest.fixture
def runner(ledger, clock):
    lists = FakeLists()
    lists.records["/emails"].sort()
    lists.records["/sms"].sort()
    with serving(answering(lists)) as server:
        yield CollectorRunner(server.url, lists, ledger, clock)


# -- limits and checkpoints


def test_a_scheduled_run_resumes_where_the_last_one_stopped(runner):
    """The runs go through both sources to the end, and then start again."""
    emails, sms = runner.lists.records["/emails"], runner.lists.records["/sms"]
    runs = [runner.run() for _ in range(6)]
    # A page that was cut by the limit is read again; what was sent of it is in its cool-down then.
    assert [found for _, found in runs] == [
        emails[:15],
        emails[10:25],
        [*emails[20:], *sms[:5]],
        sms[:15],
        sms[10:25],
        [*sms[20:], *emails[:5]],
    ]
    assert [run.truncated for run, _ in runs] == [True] * 6


def test_a_run_that_reaches_the_end_drops_the_checkpoint(runner):
    """The next one reads from the start."""
    runner.run(max_per_run=20)
    run, found = runner.run(max_per_run=100)
    assert (len(found), run.truncated) == (10 + 30, False)
    run, found = runner.run(max_per_run=100)
    assert (len(found), run.truncated) == (60, False)


def test_a_run_that_stops_or_resumes_has_not_read_a_list_whole(runner):
    """The causes of such a list keep the larger count; the next run that reads everything says what there is."""
    situations = []
    for max_per_run in (20, 100, 100):
        runner.run(max_per_run=max_per_run)
        situations.append(runner.ledger.situations.read())
        del runner.lists.records["/emails"][25:]
    assert [each.complete for each in situations] == [False, False, True]
    counts = [{cause.operation: cause.count for cause in each.causes} for each in situations]
    assert counts == [
        {"send.email": 20},
        {"send.email": 20, "send.sms": 30},
        {"send.email": 25, "send.sms": 30},
    ]


def test_resuming_at_a_cursor_misses_nothing_when_sent_records_have_left_the_list(runner):
    """The list is shorter then, but the cursor still leads to the same next record."""
    emails = list(runner.lists.records["/emails"])
    runner.run(max_per_run=10)
    runner.lists.records["/emails"] = emails[10:]
    assert runner.run(max_per_run=10)[1] == emails[10:20]


def test_a_source_with_offsets_is_read_from_the_start_again_after_the_other_sources(runner):
    """Sent records leave the list and shift the others, so an offset would skip some."""
    runner.sources = [
        runner.source("send.email", "/emails", next=OFFSET),
        runner.source("send.sms", "/sms", next=OFFSET),
    ]
    found = [runner.run(max_per_run=15)[1] for _ in range(3)]
    assert found == [runner.lists.records[path][:15] for path in ("/emails", "/sms", "/emails")]


def test_a_collector_that_runs_out_of_time_truncates_the_run(runner):
    """It finishes the current page, and the next run resumes after it."""
    left = iter([900_000, RESERVED_MS - 1])
    run, found = runner.run(max_per_run=100, time_left=lambda: next(left))
    assert (found, run.truncated) == (runner.lists.records["/emails"][:20], True)
    assert runner.run(max_per_run=10)[1] == runner.lists.records["/emails"][20:]


def test_a_truncated_run_leaves_a_checkpoint_even_if_nothing_was_eligible(runner):
    """Otherwise a long run of skipped records at the start would hide all others for ever."""
    runner.sources = [runner.source("send.email", "/emails", created="created")]
    left = iter([RESERVED_MS - 1])
    matches_nothing = Selection(created_before="2000-01-01T00:00:00.000Z")
    run, found = runner.run(selection=matches_nothing, time_left=lambda: next(left))
    assert (run.status, found, run.truncated) == ("empty", [], True)
    assert runner.run(max_per_run=10)[1] == runner.lists.records["/emails"][10:20]


def test_a_requested_run_neither_resumes_nor_leaves_a_checkpoint(runner):
    """It reads its whole selection from the start."""
    first = runner.lists.records["/emails"][:15]
    assert runner.run(trigger=Trigger.REQUEST)[1] == first
    assert runner.run()[1] == first
    assert runner.run(trigger=Trigger.REQUEST)[1] == first
    assert runner.run()[1] == runner.lists.records["/emails"][10:25]


def test_an_expired_cursor_is_no_failure(runner):
    """The list is read from the start."""
    runner.run(max_per_run=10)
    runner.lists.expired = {runner.lists.records["/emails"][9]}
    run, found = runner.run(max_per_run=10)
    assert (run.status, found) == ("running", runner.lists.records["/emails"][:10])


def test_a_failed_run_keeps_the_checkpoint(runner):
    """The application was down during that run, and the next one resumes."""
    runner.run(max_per_run=10)
    runner.lists.broken = True
    run, _ = runner.run(max_per_run=10)
    assert run.status == "failed"
    assert run.error == (
        f"send.email: {runner.url}/emails answered 410, not 200 (see list in application.toml); "
        f"send.sms: {runner.url}/sms answered 410, not 200 (see list in application.toml)"
    )
    runner.lists.broken = False
    assert runner.run(max_per_run=10)[1] == runner.lists.records["/emails"][10:20]


def test_a_list_that_fails_does_not_keep_a_long_one_from_being_read_to_its_end(runner):
    """The long one has nothing to send up to where the time runs out, so the run fails. The next one resumes there."""
    runner.sources[0] = runner.source("send.email", "/no-such-list")
    left = iter([900_000, 900_000, RESERVED_MS - 1])
    nothing = Selection(primary_ids=["none"])
    run, _ = runner.run(selection=nothing, time_left=lambda: next(left))
    assert (run.status, run.truncated) == ("failed", True)
    assert "send.email: " in run.error
    assert runner.run(max_per_run=10)[1] == runner.lists.records["/sms"][20:]


def test_lists_that_fail_slowly_stop_the_collector_in_time(runner):
    """Each may take as long as a page, so there may be no time for all of them."""
    runner.sources = [runner.source(f"send.{number}", "/no-such-list") for number in range(5)]
    left = iter([900_000, RESERVED_MS - 1])
    run, _ = runner.run(time_left=lambda: next(left))
    assert (run.status, run.truncated, len(run.list_errors)) == ("failed", True, 2)


def test_a_page_that_expired_is_not_followed_by_the_first_one_if_the_time_is_up(runner):
    """It may take as long again, and the collector would be killed."""
    runner.run(max_per_run=10)
    runner.lists.expired = {runner.lists.records["/emails"][9]}
    run, found = runner.run(time_left=lambda: RESERVED_MS - 1)
    assert (run.status, found, len(run.list_errors)) == ("failed", [], 1)


def test_a_changed_source_drops_the_checkpoint(runner):
    """A cursor may mean something else in a list that is requested in another way."""
    runner.run(max_per_run=10)
    runner.sources[0] = runner.source("send.email", "/emails", params={"page_size": 10})
    assert runner.run(max_per_run=10)[1] == runner.lists.records["/emails"][:10]


def test_a_removed_source_drops_the_checkpoint(runner):
    """The remaining sources are read from the start."""
    runner.run(max_per_run=10)
    del runner.sources[0]
    assert runner.run(max_per_run=10)[1] == runner.lists.records["/sms"][:10]


def test_a_limit_that_is_just_enough_does_not_truncate_the_run(runner):
    """The last page of the last source says that there are no more."""
    run, found = runner.run(max_per_run=60)
    assert (len(found), run.truncated, run.truncated_count) == (60, False, None)


# -- truncated count


@pytest.mark.parametrize(("max_per_run", "count"), [(10, 20), (15, 15), (29, 1), (30, None), (45, 15)])
def test_truncated_count_is_what_is_left_of_the_list_that_was_being_read(runner, max_per_run, count):
    """The list has to report its total. Lists that were not begun are not counted."""
    runner.sources = [
        runner.source("send.email", "/emails", total="count"),
        runner.source("send.sms", "/sms", total="count"),
    ]
    run, _ = runner.run(max_per_run=max_per_run)
    assert (run.truncated, run.truncated_count) == (True, count)


def test_truncated_count_is_unknown_for_a_run_that_resumed(runner):
    """The list reports its total, but not how much of it earlier runs have read."""
    runner.sources = [runner.source("send.email", "/emails", total="count")]
    runner.run(max_per_run=10)
    run, _ = runner.run(max_per_run=10)
    assert (run.truncated, run.truncated_count) == (True, None)


def test_a_list_that_ends_before_its_total_truncates_the_run(runner):
    """The expression for the next page is wrong, and half a list must not look like a whole one."""
    runner.sources = [runner.source("send.email", "/emails", total="count", next=Next(cursor="nxt", param="cursor"))]
    run, found = runner.run(max_per_run=100)
    assert (len(found), run.truncated, run.truncated_count) == (10, True, 20)


def test_truncated_count_is_unknown_for_a_run_for_a_cause(runner):
    """The list reports its total, but not how many fail for that cause."""
    runner.sources = [runner.source("send.email", "/emails", total="count")]
    untried = Selection(cause=Cause(operation="send.email", kind=CauseKind.UNTRIED).id)
    run, found = runner.run(trigger=Trigger.REQUEST, selection=untried)
    assert (len(found), run.truncated, run.truncated_count) == (15, True, None)


# -- filters


@pytest.mark.parametrize(
    "selection",
    [
        Selection(created_after="2026-01-01T00:00:00.000Z"),
        Selection(created_before="2027-01-01T00:00:00.000Z"),
        Selection(created_by="Jo"),
    ],
)
@pytest.mark.parametrize("filtered", [True, False])
def test_a_record_with_null_in_a_filtered_field_does_not_match(runner, selection, filtered):
    """The application's own filter may have let it pass."""
    filters = {"createdAfter": "from", "createdBefore": "to", "createdBy": "by"} if filtered else {}
    runner.sources = [runner.source("send.email", "/emails", created="created", created_by="author", filters=filters)]
    run, found = runner.run(trigger=Trigger.REQUEST, selection=selection)
    assert (run.status, run.matched, found) == ("empty", 0, [])


def test_the_applications_filter_is_trusted_if_its_records_do_not_have_the_field(runner):
    """Then there is nothing to compare."""
    runner.sources = [runner.source("send.email", "/emails", filters={"createdBy": "by"})]
    _, found = runner.run(trigger=Trigger.REQUEST, selection=Selection(created_by="Jo"))
    assert found == runner.lists.records["/emails"][:15]

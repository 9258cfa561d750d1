"""The dry run: it shows what a run would do, and changes nothing."""

import pytest

from chalicelib.api.serializers.runs import preview_view
from chalicelib.application.config import Configuration, Reprocess, Source
from chalicelib.ledger.claims import Rules
from chalicelib.ledger.pace import Pace
from chalicelib.models.batches import Task
from chalicelib.models.communications import Communication
from chalicelib.models.selections import Selection
from chalicelib.runs import cost
from chalicelib.runs.dry_run import LISTING_MS, PAGE_TIMEOUT, DryRun
from chalicelib.settings import Settings
from tests.fakes import DAY, HOUR, NOON, FakeLists, attempt, make_run

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
RULES = Rules(cool_down=HOUR, honours_key=False, max_attempts=1, retention=90 * DAY)

EVERYTHING = Selection()


@pytest.fixture
def dry_run(ledger, clock):
    """Return a function that gives the preview of a selection for a list with these pages."""

    def dry_run(*pages, selection=EVERYTHING, **options):
        return DryRun(FakeLists(clock, *pages, **options), ledger, CONFIGURATION, SETTINGS).preview(selection, "olga")

    return dry_run


def task(primary_id, listed_at):
    """Return a run's task for a communication."""
    communication = Communication(operation="send.email", primary_id=primary_id, listed_at=listed_at)
    return Task(run_id="r-1", index=0, communication=communication, requested_by="Jo")


def put_on_worklist(ledger, clock, primary_id):
    """Let a run attempt a communication, which the application rejects."""
    rejected = task(primary_id, clock())
    attempt(ledger.communications, rejected, "CommunicationRejected", RULES, "no_such_address")
    ledger.communications.move_to_worklist(rejected.communication, rejected.owner, "no_such_address")


def test_a_preview_counts_each_communication_with_the_skip_reason_of_a_run(dry_run, ledger, clock):
    """That includes what a run only finds out in its batches: what has expired, and what it hands over to a person."""
    put_on_worklist(ledger, clock, "manual")
    put_on_worklist(ledger, clock, "dismissed")
    ledger.worklist.dismiss("send.email", "dismissed", "olga", "gone")
    attempt(ledger.communications, task("relapsed", clock()), "accepted", RULES, None)
    attempt(ledger.communications, task("used up", clock()), "OutcomeUnknown", RULES, None)
    clock.advance(2 * HOUR)
    attempt(ledger.communications, task("in flight", clock()), None, RULES)
    clock.advance(1)
    preview = dry_run(["a", "fresh", "stale", "manual"], ["dismissed", "relapsed", "used up", "in flight", "a", "b"])
    assert (preview.matched, preview.eligible) == (10, 2)
    assert preview.skipped == {
        "too_fresh": 1,
        "expired": 1,
        "manual": 1,
        "dismissed": 1,
        "relapsed": 1,
        "attempts_used_up": 1,
        "in_flight": 1,
        "duplicate": 1,
    }
    assert ([primary_id for _, primary_id in preview.sample], preview.by_operation) == (["a", "b"], {"send.email": 2})


def test_a_dry_run_changes_nothing_even_with_include_manual(dry_run, ledger, clock, table):
    """A run would retry the communication that is on the worklist."""
    put_on_worklist(ledger, clock, "1")
    clock.advance(2 * HOUR)
    before = table.get("COMM#send.email#1", "COMM")
    preview = dry_run(["1", "2"], selection=Selection(include_manual=True))
    assert (preview.eligible, preview.skipped) == (2, {})
    assert table.get("COMM#send.email#1", "COMM") == before
    assert ledger.runs.page(10, None) == ([], None)


def test_a_dry_run_with_include_manual_respects_the_cool_down(dry_run, ledger, clock):
    """The retry that a run would make is refused then, too."""
    put_on_worklist(ledger, clock, "1")
    clock.advance(1)
    assert dry_run(["1"], selection=Selection(include_manual=True)).skipped == {"cool_down": 1}


def test_a_dry_run_stops_listing_in_time_and_says_that_it_is_incomplete(dry_run):
    """The whole call, with its last page, has to fit into API Gateway's 29 seconds."""
    selection = Selection(primary_ids=["1", "2", "3", "4"])
    preview = dry_run(["1"], ["2"], ["3"], page_ms=LISTING_MS // 2 + 1, selection=selection)
    assert (preview.eligible, preview.incomplete, preview.truncated) == (2, True, False)
    assert (preview.not_found, preview.not_found_count) == ([], 0)
    assert LISTING_MS / 1000 + 2 * PAGE_TIMEOUT < 28 - 4
    assert not dry_run(["1"]).incomplete


def test_a_dry_run_shortens_the_timeout_of_a_source(ledger, clock):
    """The source's own timeout is meant for the collector, which has minutes."""
    lists = FakeLists(clock, ["1"])
    DryRun(lists, ledger, CONFIGURATION, SETTINGS).preview(Selection(), "olga")
    assert lists.timeouts == [PAGE_TIMEOUT]


def test_a_preview_shows_the_error_of_a_list_and_what_was_read_before_it(dry_run):
    """The run itself would send that, and report the same error."""
    preview = dry_run(["1"], fails=True)
    assert (preview.error, preview.eligible, preview.incomplete) == ("send.email: the list failed", 1, True)


def test_a_preview_says_that_a_limit_would_truncate_the_run(dry_run):
    """It is not incomplete then: the run would stop at the same place."""
    preview = dry_run(["1", "2", "3"], selection=Selection(limit=2))
    assert (preview.matched, preview.eligible, preview.truncated, preview.incomplete) == (2, 2, True, False)


def test_the_estimate_of_a_preview_is_that_of_the_cost_model(dry_run, clock):
    """The approval depends on the threshold, and the ages on when the communications failed."""
    preview = dry_run(["1", "2", "3"])
    assert (preview.estimate.batches, preview.needs_approval) == (2, True)
    assert preview.estimate == cost.estimate(3, SETTINGS)
    assert preview.oldest == preview.newest == clock() - DAY
    empty = dry_run()
    assert (empty.estimate.seconds, empty.estimate.dollars, empty.oldest) == (0, 0, None)


def test_the_estimate_of_a_preview_considers_the_pace_and_says_so(dry_run, ledger):
    """An application that has refused more than one in two seconds needs 6 s for three."""
    ledger.pacing.change(lambda _, now: (None, Pace(heard_at=now, rate=500, refused=600)))
    preview = dry_run(["1", "2", "3"])
    assert preview.estimate == cost.estimate(3, SETTINGS, per_second=0.5)
    assert preview_view(preview).expected_cost.basis.endswith("; the pace stays at 0.5 a second")


def test_a_pace_that_does_not_hold_a_run_up_is_no_assumption(dry_run, ledger):
    """What was never refused rises as soon as a run needs more."""
    for pace in (Pace(heard_at=NOON, rate=500), Pace(heard_at=NOON, rate=500_000, refused=600_000)):
        ledger.pacing.change(lambda *_, pace=pace: (None, pace))
        preview = dry_run(["1", "2", "3"])
        assert preview.estimate == cost.estimate(3, SETTINGS)
        assert "the pace" not in preview_view(preview).expected_cost.basis


def test_a_preview_needs_approval_with_what_its_requester_has_started_within_the_last_hour(dry_run, ledger, clock):
    """As the run itself would."""
    assert not dry_run(["1"]).needs_approval
    ledger.allowances.take(make_run(requested_by="olga"), 2, SETTINGS.approval_threshold)
    assert dry_run(["1"]).needs_approval
    clock.advance(HOUR + 1)
    assert not dry_run(["1"]).needs_approval


@pytest.mark.parametrize("page_ms", [1000, -1000])
def test_a_preview_shows_since_when_the_oldest_and_the_newest_have_been_waiting(dry_run, clock, page_ms):
    """Whatever the order of the list."""
    now = clock()
    preview = dry_run(["1"], ["2"], ["3"], page_ms=page_ms)
    ages = [now + number * page_ms - DAY for number in (1, 2, 3)]
    assert (preview.oldest, preview.newest) == (min(ages), max(ages))

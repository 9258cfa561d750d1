"""The pace over the API: how it is shown, set and given back, and what a run says about it."""

import pytest

from chalicelib.api import runs, service
from chalicelib.api.parsing import parse_body, parse_query
from chalicelib.api.schemas.runs import RunPace, RunsQuery
from chalicelib.api.schemas.service import NewPace, PaceView
from chalicelib.application.config import Configuration, Reprocess, Source
from chalicelib.errors import InvalidRequest
from chalicelib.ledger.pace import Pace
from chalicelib.models.runs import RunStatus
from tests.fakes import HOUR, NOON, FakeCall, make_run

CONFIGURATION = Configuration(
    sources=[Source(operation="send.email", list="https://a.example", cool_down="1h")],
    reprocess=Reprocess(url="https://a.example", max_per_second=20, max_in_flight=8),
)
LOWERED = Pace(
    heard_at=NOON,
    rate=4_000,
    since=NOON - HOUR,
    refused=5_000,
    sustained=3_500,
    usual_ms=180,
    reason="http_429",
    lowered_at=NOON - HOUR,
)


@pytest.fixture
def make_call(ledger):
    return lambda **request: FakeCall(ledger, CONFIGURATION, **request)


def put(ledger, pace):
    ledger.pacing.change(lambda *_: (None, pace))


def test_the_pace_is_shown_with_everything_that_is_known_about_it(ledger, make_call):
    """Rates in communications a second, times in ISO 8601."""
    put(ledger, LOWERED)
    assert service.get_pace(make_call()) == PaceView(
        per_second=4,
        since="2026-11-20T11:00:00.000Z",
        reason="http_429",
        why="Slowed down, because the application answered http_429 at higher rates.",
        blocked_until=None,
        sustained_per_second=3.5,
        refused_per_second=5,
        usual_ms=180,
        canary=False,
        max_per_second=20,
        max_in_flight=8,
        set_by=None,
        set_until=None,
    )


def test_what_nobody_knows_about_the_pace_is_null(make_call):
    """Before the first run."""
    seen = service.get_pace(make_call())
    unknown = (seen.since, seen.reason, seen.blocked_until, seen.sustained_per_second, seen.refused_per_second)
    assert unknown == (None,) * 5
    assert (seen.per_second, seen.usual_ms, seen.canary) == (10, None, True)


def test_setting_the_pace_and_giving_it_back_write_audit_lines(make_call):
    """With the numbers, and for every call."""
    call = make_call(body=NewPace(per_second=5, minutes=120))
    seen = service.set_pace(call)
    assert (seen.per_second, seen.set_by, seen.set_until) == (5, "Jo", "2026-11-20T14:00:00.000Z")
    assert call.audit == [{"perSecond": 5, "minutes": 120}]
    for _ in range(2):
        call = make_call()
        assert (service.release_pace(call).per_second, call.audit) == (10, [{}])


def test_a_pace_above_the_ceiling_changes_nothing_and_writes_no_audit_line(ledger, make_call):
    """The caller learns which ceiling."""
    call = make_call(body=NewPace(per_second=21))
    with pytest.raises(InvalidRequest, match=r"^perSecond: 21 is more than max_per_second"):
        service.set_pace(call)
    assert (call.audit, ledger.pacing.read()) == ([], Pace())


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("{}", "perSecond: is required"),
        ('{"perSecond": 0.09}', "perSecond: Expected `float` >= 0.1"),
        ('{"perSecond": 10001}', "perSecond: Expected `float` <= 10000.0"),
        ('{"perSecond": 1e400}', "perSecond: Number out of range"),
        ('{"perSecond": "5"}', "perSecond: Expected `float`, got `str`"),
        ('{"perSecond": 5, "minutes": 0}', "minutes: Expected `int` >= 1"),
        ('{"perSecond": 5, "minutes": 10081}', "minutes: Expected `int` <= 10080"),
        ('{"perSecond": 5, "minutes": null}', "minutes: Expected `int`, got `null`"),
        ('{"perSecond": 5, "for": "2h"}', "for: there is no such field; the fields are perSecond, minutes"),
    ],
)
def test_a_pace_that_makes_no_sense_is_refused(body, error):
    """The error names the field and its rule."""
    with pytest.raises(InvalidRequest) as raised:
        parse_body(body.encode(), NewPace)
    assert str(raised.value) == error


def test_a_pace_holds_for_an_hour_unless_the_body_says_otherwise():
    """Whole numbers are rates, too."""
    assert parse_body(b'{"perSecond": 5}', NewPace) == NewPace(per_second=5, minutes=60)


# -- runs


def test_a_run_that_is_under_way_says_how_fast_it_is_and_when_it_ends(ledger, make_call):
    """Four a second, for the 400 that are neither skipped nor done."""
    put(ledger, LOWERED)
    ledger.runs.create(make_run(matched=1_000, skipped={"cool_down": 100}, counts={"accepted": 499, "failed": 1}))
    view = runs.get_run(make_call(), "run")
    assert (view.pace, view.expected_end) == (
        RunPace(per_second=4, reason="http_429"),
        "2026-11-20T12:01:40.000Z",
    )


@pytest.mark.parametrize(
    ("pace", "run", "expected_end"),
    [
        (Pace(heard_at=NOON, rate=4_000), {"post_ms": 92_000, "posts": 10}, "2026-11-20T12:08:12.500Z"),
        (Pace(heard_at=NOON, usual_ms=9_200), {}, "2026-11-20T12:08:12.500Z"),
        (LOWERED, {"counts": {"accepted": 900}}, "2026-11-20T12:00:00.000Z"),
    ],
    ids=["its POSTs take long", "answers usually take long", "nothing is left"],
)
def test_a_run_ends_when_the_slower_of_pace_and_concurrency_lets_it(ledger, make_call, pace, run, expected_end):
    """50 batches of 8, one at a time: 9.2 s for the POSTs of each, and 0.65 s for everything else."""
    put(ledger, pace)
    ledger.runs.create(make_run(**{"matched": 900, "counts": {"accepted": 500}} | run))
    assert runs.get_run(make_call(), "run").expected_end == expected_end


def test_a_run_that_waits_for_the_application_ends_after_the_pause(ledger, make_call):
    """It begins in half a minute, and takes 100 s."""
    ledger.runs.create(make_run(matched=400))
    put(ledger, Pace(heard_at=NOON, rate=4_000, refused=5_000, blocked_until=NOON + 30_000))
    assert runs.get_run(make_call(), "run").expected_end == "2026-11-20T12:02:10.000Z"


def test_nobody_knows_when_a_run_ends_that_is_being_stopped(ledger, make_call):
    """It ends after what is in flight."""
    ledger.runs.create(make_run(matched=400))
    ledger.runs.halt("run", "hand:olga")
    view = runs.get_run(make_call(), "run")
    assert (view.pace.per_second, view.expected_end) == (10, None)


@pytest.mark.parametrize("status", [RunStatus.COLLECTING, RunStatus.AWAITING_APPROVAL, RunStatus.EMPTY])
def test_a_run_that_does_not_send_has_no_pace(ledger, make_call, status):
    """It has not begun, or never will."""
    ledger.runs.create(make_run(status=status))
    view = runs.get_run(make_call(), "run")
    assert (view.pace, view.expected_end, view.next_run_at) == (None, None, None)


def test_a_run_that_was_slowed_down_keeps_how_fast_it_was_and_when_the_next_one_begins(ledger, make_call):
    """Whatever the pace is now; in a list of runs as well."""
    ended = {"pace": 2_500, "pace_reason": "set_by:olga", "next_run_at": NOON + 5_000}
    ledger.runs.create(make_run(status=RunStatus.PARTIAL, ended_at=NOON, **ended))
    put(ledger, LOWERED)
    [listed] = runs.list_runs(make_call(query=parse_query({}, RunsQuery))).runs
    for view in (runs.get_run(make_call(), "run"), listed):
        assert view.pace == RunPace(per_second=2.5, reason="set_by:olga")
        assert (view.expected_end, view.next_run_at) == (None, "2026-11-20T12:00:05.000Z")


def test_a_list_of_runs_reads_nothing_for_each_run(ledger, make_call):
    """So those that are under way say nothing about the pace."""
    ledger.runs.create(make_run(matched=400))
    [view] = runs.list_runs(make_call(query=parse_query({}, RunsQuery))).runs
    assert (view.pace, view.expected_end) == (None, None)

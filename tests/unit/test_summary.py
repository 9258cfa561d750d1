"""Everything at one look: what it says, and how few requests it takes."""

import msgspec
import pytest

from chalicelib.api import service
from chalicelib.api.schemas.summary import IncidentView, OperationView
from chalicelib.application.config import Configuration, Reprocess, Source
from chalicelib.ledger.situations import KnownCause, OperationCounts, ScanPoint, Situation
from chalicelib.models.communications import CauseKind
from chalicelib.models.notifications import Incident
from chalicelib.models.outages import Outage
from chalicelib.models.outcomes import Outcome
from chalicelib.models.runs import RunStatus, Trigger
from tests.fakes import HOUR, NOON, FakeCall, make_run

CONFIGURATION = Configuration(
    sources=[Source(operation="send.email", list="https://a.example", cool_down="1h")],
    reprocess=Reprocess(url="https://a.example", max_per_second=20),
)
QUARTER = HOUR // 4


def cause(number):
    return KnownCause(
        id=f"{number:016x}",
        operation="send.email",
        kind=CauseKind.FAILED,
        reason=f"r{number}",
        count=100 - number,
        first_seen=NOON - HOUR,
        last_seen=NOON,
        trend=[0] * 11 + [100 - number],
    )


def point(number, run_id, **counts):
    return ScanPoint(at=NOON + number * QUARTER, run_id=run_id, complete=True, **counts)


SITUATION = Situation(
    run_id="third",
    at=NOON + 2 * QUARTER,
    complete=True,
    last_complete=NOON + 2 * QUARTER,
    oldest=NOON - HOUR,
    worklist=7,
    skipped={"manual": 7},
    by_operation={"send.email": OperationCounts(failing=50, on_worklist=7, sent=3, dismissed=1)},
    causes=[cause(number) for number in range(12)],
    scans=[point(0, "first", failing=9), point(1, "second", failing=4), point(2, "third", failing=50)],
)


@pytest.fixture
def summary(ledger):
    return lambda: service.get_summary(FakeCall(ledger, CONFIGURATION))


def put_situation(ledger, situation=SITUATION):
    ledger.situations.change(lambda _: situation)


def put_run(ledger, run_id, status=RunStatus.RUNNING, at=NOON, trigger=Trigger.SCHEDULE, **changes):
    run = msgspec.structs.replace(make_run(run_id), requested_at=at, trigger=trigger, status=RunStatus.COLLECTING)
    assert ledger.runs.create(run)
    return ledger.runs.change(run, status=status, **changes)


def test_before_the_first_scan_there_is_nothing_but_the_schedule_and_the_pace(summary):
    view = summary()
    assert (view.as_of, view.complete, view.operations, view.causes, view.scans, view.runs) == (
        None,
        False,
        {},
        [],
        [],
        [],
    )
    assert (view.incident, view.outage, view.oldest, view.worklist) == (None, None, None, 0)
    assert view.pace.per_second == 10
    assert view.schedule.paused is False


def test_what_fails_is_as_the_last_scan_saw_it(ledger, summary):
    put_situation(ledger)
    view = summary()
    assert view.as_of == "2026-11-20T12:30:00.000Z"
    assert view.operations == {"send.email": OperationView(failing=50, on_worklist=7, sent=3, dismissed=1)}
    assert (view.worklist, view.skipped, view.oldest) == (7, {"manual": 7}, "2026-11-20T11:00:00.000Z")
    assert [each.reason for each in view.causes] == [f"r{number}" for number in range(10)]


def test_each_scan_has_what_its_run_got_accepted(ledger, summary):
    """The second one had nothing to send, so it left no run."""
    put_situation(ledger)
    put_run(ledger, "first", RunStatus.PARTIAL, counts={Outcome.ACCEPTED: 5, Outcome.FAILED: 2, Outcome.REJECTED: 1})
    put_run(ledger, "third", at=NOON + 2 * QUARTER)
    ledger.runs.add_progress("third", {Outcome.ACCEPTED: 20, Outcome.UNKNOWN: 4}, [])
    assert [(each.failing, each.accepted, each.failed) for each in summary().scans] == [
        (9, 5, 3),
        (4, 0, 0),
        (50, 20, 4),
    ]


def test_what_came_of_a_scan_that_is_older_than_the_newest_runs_is_unknown(ledger, summary):
    put_situation(ledger)
    put_run(ledger, "first", RunStatus.PARTIAL, counts={Outcome.ACCEPTED: 5})
    for number in range(100):
        put_run(ledger, f"asked-{number}", RunStatus.EMPTY, at=NOON + QUARTER + 1 + number, trigger=Trigger.REQUEST)
    assert [each.accepted for each in summary().scans] == [None, None, 0]


def test_runs_under_way_are_shown_with_how_they_get_on(ledger, summary):
    """Newest first; the counts are of all."""
    for number in range(25):
        put_run(ledger, f"run-{number}", at=NOON + number, matched=40)
    put_run(ledger, "waits", RunStatus.AWAITING_APPROVAL, at=NOON + 30, matched=4)
    ledger.runs.halt("run-23", "hand:olga")
    view = summary()
    assert [run.run_id for run in view.runs][:3] == ["waits", "run-24", "run-23"]
    assert (len(view.runs), view.runs_under_way, view.awaiting_approval) == (20, 26, 1)
    assert [run.expected_end is not None for run in view.runs][:4] == [False, True, False, True]
    assert view.runs[1].pace.per_second == 10


def test_an_incident_an_outage_and_a_pause_are_shown(ledger, summary):
    ledger.incidents.write(Incident(kind="nothing_accepted", since=NOON, notified_at=NOON))
    ledger.schedule.pause("olga")
    outage = Outage(
        outage_id="o", began_at=NOON, reason="nothing_accepted", hit=5, waiting=5, scan="s", scanned_at=NOON
    )
    ledger.outages.write(outage, None)
    view = summary()
    assert view.incident == IncidentView(kind="nothing_accepted", since="2026-11-20T12:00:00.000Z")
    assert (view.schedule.paused, view.schedule.paused_by) == (True, "olga")
    assert (view.outage.outage_id, view.outage.waiting, view.outage.expected_end) == ("o", 5, None)
    ledger.outages.write(msgspec.structs.replace(outage, scan="t", over_at=NOON, settled_at=NOON), outage)
    assert summary().outage is None


def test_it_takes_eight_requests_however_much_there_is(table, ledger, summary):
    """A thousand runs, twenty of which are under way. The look at the caller's token is one more."""
    put_situation(ledger)
    for number in range(1000):
        status = RunStatus.RUNNING if number % 50 == 0 else RunStatus.SUCCEEDED
        put_run(ledger, f"run-{number}", status, at=NOON + number, counts={Outcome.ACCEPTED: 1})
    requests = []
    events = table._client.meta.events
    events.register("before-call.dynamodb", lambda model, **_: requests.append(model.name), unique_id="counted")
    view = summary()
    events.unregister("before-call.dynamodb", unique_id="counted")
    assert view.runs_under_way == 20
    assert sorted(requests) == ["BatchGetItem", *["GetItem"] * 4, *["Query"] * 3]

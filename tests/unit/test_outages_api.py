"""Outages over the API: how they are shown, when they may end, and whom they hit."""

import csv
import io
from contextlib import closing

import boto3
import msgspec
import pytest

from chalicelib.api import outages
from chalicelib.api.parsing import parse_query
from chalicelib.api.schemas.outages import AffectedQuery, OutageCauseView, OutagesQuery, OutageView
from chalicelib.application.config import Configuration, Reprocess, Source
from chalicelib.errors import InvalidRequest, NotFound
from chalicelib.ledger.claims import ACCEPTED, Rules
from chalicelib.manifests import Manifests
from chalicelib.models.batches import Task
from chalicelib.models.communications import CauseKind, Communication
from chalicelib.models.notifications import Incident
from chalicelib.models.outages import Outage, OutageCause
from chalicelib.runs.affected import AffectedWriter, digest_of
from chalicelib.runs.eligibility import Candidate
from tests.fakes import HOUR, NOON, FakeCall, make_run

CONFIGURATION = Configuration(
    sources=[Source(operation="send.email", list="https://a.example", cool_down="1h")],
    reprocess=Reprocess(url="https://a.example", max_per_second=20),
)
CAUSE = OutageCause(operation="send.email", kind=CauseKind.FAILED, reason="http_500", most=300)
OUTAGE = Outage(
    outage_id="20261120T110000000Z",
    began_at=NOON - HOUR,
    reason="failures_rose",
    usual=5,
    most=340,
    scan="scan",
    scanned_at=NOON,
    hit=500,
    by_operation={"send.email": 500},
    waiting=200,
    sent=100,
    on_worklist=20,
    dismissed=3,
    causes=[CAUSE],
    run_ids=["run-1"],
    run_count=1,
)


@pytest.fixture
def manifests(moto):  # noqa: ARG001 (moto runs as long as this fixture)
    s3 = boto3.client("s3", region_name="us-east-1")
    s3.create_bucket(Bucket="outages")
    return Manifests(s3, "outages", chunk=1000)


@pytest.fixture
def make_call(ledger, manifests):
    def make(**request):
        call = FakeCall(ledger, CONFIGURATION, **request)
        call.deps.manifests = manifests
        return call

    return make


def query(of, **values):
    return parse_query({name: str(value) for name, value in values.items()}, of)


def test_an_outage_is_shown_with_the_numbers_of_a_report(ledger, make_call):
    ledger.outages.write(OUTAGE, None)
    view = outages.get_outage(make_call(), OUTAGE.outage_id)
    assert view == OutageView(
        outage_id="20261120T110000000Z",
        reason="failures_rose",
        began_at="2026-11-20T11:00:00.000Z",
        over_at=None,
        settled_at=None,
        # 200 at 20 a second, and the cool-down
        expected_end="2026-11-20T13:00:10.000Z",
        as_of="2026-11-20T12:00:00.000Z",
        usual=5,
        most=340,
        hit=500,
        by_operation={"send.email": 500},
        recovered=177,
        sent=100,
        waiting=200,
        on_worklist=20,
        dismissed=3,
        overfull=False,
        causes=[
            OutageCauseView(
                id=view.causes[0].id, operation="send.email", kind=CauseKind.FAILED, reason="http_500", most=300
            )
        ],
        run_ids=["run-1"],
        run_count=1,
    )
    assert len(view.causes[0].id) == 16


def test_nobody_can_know_the_end_while_nothing_is_accepted(ledger, make_call):
    ledger.outages.write(OUTAGE, None)
    ledger.incidents.write(Incident(kind="nothing_accepted", since=NOON, notified_at=NOON))
    assert outages.get_outage(make_call(), OUTAGE.outage_id).expected_end is None


def test_nobody_can_know_the_end_while_the_schedule_is_paused(ledger, make_call):
    ledger.outages.write(OUTAGE, None)
    ledger.schedule.pause("olga")
    assert outages.get_outage(make_call(), OUTAGE.outage_id).expected_end is None


@pytest.mark.parametrize(("status", "known"), [("awaiting_approval", False), ("running", True)])
def test_nobody_can_know_the_end_while_a_scheduled_run_waits_for_approval(ledger, make_call, status, known):
    ledger.outages.write(OUTAGE, None)
    ledger.runs.create(make_run("scheduled", trigger="schedule", status=status))
    ledger.schedule.acquire_lock("scheduled")
    assert (outages.get_outage(make_call(), OUTAGE.outage_id).expected_end is not None) == known


def test_a_settled_outage_has_no_expected_end(ledger, make_call):
    ledger.outages.write(msgspec.structs.replace(OUTAGE, over_at=NOON, settled_at=NOON), None)
    assert outages.get_outage(make_call(), OUTAGE.outage_id).expected_end is None


@pytest.mark.parametrize("outage_id", ["none", "x" * 2000, "ü"])
def test_an_unknown_outage_is_not_found(make_call, outage_id):
    with pytest.raises(NotFound, match="GET /outages"):
        outages.get_outage(make_call(), outage_id)
    with pytest.raises(NotFound):
        outages.export_affected(make_call(query=query(AffectedQuery)), outage_id)


def test_outages_come_in_pages(ledger, make_call):
    ids = [f"2026112{day}T110000000Z" for day in range(5)]
    for outage_id in ids:
        ledger.outages.write(msgspec.structs.replace(OUTAGE, outage_id=outage_id), None)
    first = outages.list_outages(make_call(query=query(OutagesQuery, limit=3)))
    rest = outages.list_outages(make_call(query=query(OutagesQuery, limit=3, cursor=first.next_cursor)))
    assert [each.outage_id for each in [*first.outages, *rest.outages]] == ids[::-1]
    assert rest.next_cursor is None


@pytest.mark.parametrize("cursor", ["nonsense", "WyJhYmMiLDFd"])
def test_a_cursor_from_elsewhere_is_refused(make_call, cursor):
    with pytest.raises(InvalidRequest, match=r"^cursor: "):
        outages.list_outages(make_call(query=query(OutagesQuery, cursor=cursor)))


# -- whom it has hit


def listed(primary_id):
    return Communication(operation="send.email", primary_id=primary_id, listed_at=NOON, since=NOON - HOUR)


def hit(manifests, *ids):
    with closing(AffectedWriter(None, set())) as affected:
        for primary_id in ids:
            affected.add(Candidate(CONFIGURATION.sources[0], listed(primary_id), None, None))
        return manifests.put_affected(OUTAGE.outage_id, affected.file), affected.listed(with_new=True)


def rows(response):
    return list(csv.DictReader(io.StringIO(response.body)))


def test_each_one_that_was_hit_is_in_the_file_with_its_state(ledger, manifests, make_call):
    """What the last scan did not list has recovered; what it listed is as the ledger knows it."""
    rules = Rules(cool_down=HOUR, honours_key=False, max_attempts=3, retention=24 * HOUR)
    claim = ledger.communications.claim(
        Task(run_id="run", index=0, communication=listed("sent"), requested_by="jo"), rules
    )
    ledger.communications.record_answer(claim, ACCEPTED, None, rules)
    ledger.communications.move_to_worklist(listed("manual"), "run#0", "expired")
    key, everybody = hit(manifests, "gone", "waits", "sent", "manual", "=1+1")
    still = everybody - {digest_of("send.email", "gone")}
    outage = msgspec.structs.replace(OUTAGE, parts=[key], listed=manifests.put_listed("o", still))
    ledger.outages.write(outage, None)
    response = outages.export_affected(make_call(query=query(AffectedQuery)), OUTAGE.outage_id)
    found = {row["primaryId"]: row for row in rows(response)}
    assert {name: row["state"] for name, row in found.items()} == {
        "gone": "recovered",
        "waits": "waiting",
        "sent": "sent",
        "manual": "on_worklist",
        "'=1+1": "waiting",
    }
    assert found["sent"]["lastTriedAt"] == "2026-11-20T12:00:00.000Z"
    assert found["waits"]["failedAt"] == "2026-11-20T11:00:00.000Z"
    assert found["waits"]["lastTriedAt"] == ""


@pytest.mark.parametrize("size", [1, 3, 50, 51, 2000])
def test_a_long_file_comes_in_pages(ledger, manifests, make_call, size):
    """They begin anywhere in the parts that it is kept in."""
    names = [[f"{part}-{number}" for number in range(25)] for part in range(2)]
    keys = [hit(manifests, *each)[0] for each in names]
    ledger.outages.write(msgspec.structs.replace(OUTAGE, parts=keys), None)
    found, cursor = [], None
    while True:
        wanted = query(AffectedQuery, limit=size, **({"cursor": cursor} if cursor else {}))
        response = outages.export_affected(make_call(query=wanted), OUTAGE.outage_id)
        found += [row["primaryId"] for row in rows(response)]
        cursor = response.headers.get("X-Next-Cursor")
        if cursor is None:
            break
    assert found == [*names[0], *names[1]]


def test_an_outage_that_has_hit_nobody_has_an_empty_file(ledger, make_call):
    ledger.outages.write(OUTAGE, None)
    assert rows(outages.export_affected(make_call(query=query(AffectedQuery)), OUTAGE.outage_id)) == []


def test_a_cursor_from_before_the_parts_were_merged_is_refused(ledger, manifests, make_call):
    """It would leave somebody out."""
    parts = [hit(manifests, *ids)[0] for ids in ("ab", "cd")]
    before = msgspec.structs.replace(OUTAGE, parts=parts)
    ledger.outages.write(before, None)
    first = outages.export_affected(make_call(query=query(AffectedQuery, limit=2)), OUTAGE.outage_id)
    merged = msgspec.structs.replace(before, parts=[manifests.merge_affected("o", parts)], scan="next")
    assert ledger.outages.write(merged, before)
    again = query(AffectedQuery, limit=2, cursor=first.headers["X-Next-Cursor"])
    with pytest.raises(InvalidRequest, match="start again without a cursor"):
        outages.export_affected(make_call(query=again), OUTAGE.outage_id)
    everybody = outages.export_affected(make_call(query=query(AffectedQuery)), OUTAGE.outage_id)
    assert "".join(row["primaryId"] for row in rows(everybody)) == "abcd"


@pytest.mark.parametrize("gone", ["hit", "listed"])
def test_whom_it_hit_is_not_found_once_the_bucket_has_deleted_it(ledger, manifests, make_call, gone):
    keys = {"hit": hit(manifests, "a")[0], "listed": manifests.put_listed("o", {1})} | {gone: "outages/o/gone"}
    ledger.outages.write(msgspec.structs.replace(OUTAGE, parts=[keys["hit"]], listed=keys["listed"]), None)
    with pytest.raises(NotFound, match="90 days"):
        outages.export_affected(make_call(query=query(AffectedQuery)), OUTAGE.outage_id)


def test_a_cursor_beyond_what_was_hit_gives_no_error_of_the_service(ledger, manifests, make_call):
    """A caller cannot make one up, but the part may be shorter after an update."""
    ledger.outages.write(msgspec.structs.replace(OUTAGE, parts=[hit(manifests, "a")[0]]), None)
    with pytest.raises(InvalidRequest, match=r"^cursor: "):
        outages.export_affected(make_call(query=query(AffectedQuery, cursor="WyJhIiw5OSw5OV0")), OUTAGE.outage_id)

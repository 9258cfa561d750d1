"""When an outage begins, goes on, is over, and is settled; and whom it has hit."""

from contextlib import closing

import boto3
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.ledger.claims import HistoryEntry, State
from chalicelib.manifests import Manifests
from chalicelib.models.communications import CauseKind, Communication, CommunicationStatus
from chalicelib.models.notifications import Incident
from chalicelib.models.outages import Outage, OutageCause
from chalicelib.notifications import outage_mails
from chalicelib.notifications.phrases import with_addresses
from chalicelib.runs import outages
from chalicelib.runs.affected import AffectedWriter, digest_of, digests_of
from chalicelib.runs.eligibility import Candidate
from chalicelib.runs.outages import Seen, have_risen, observe, usual_failures
from tests.fakes import HOUR, NOON

QUARTER = HOUR // 4


def seen(number, failing, *, complete=True, new=0, **members):
    """What the scan with this number sees; one scan each quarter of an hour."""
    return Seen(
        scan=f"scan-{number}",
        at=NOON + number * QUARTER,
        complete=complete,
        failing=failing,
        new={"send.email": new} if new else {},
        new_states={"waiting": new} if new else {},
        **members,
    )


def incident(kind="nothing_accepted", since=NOON):
    return Incident(kind=kind, since=since, notified_at=since)


# -- how many are many


@pytest.mark.parametrize(("earlier", "usual"), [([], None), ([9, 9, 9], None), ([1, 2, 3, 4], 2), ([0, 0, 90, 0], 0)])
def test_usual_is_the_median_of_four_scans_at_least(earlier, usual):
    assert usual_failures(earlier) == usual


@pytest.mark.parametrize(
    ("failing", "usual", "risen"),
    [(1_000_000, None, False), (19, 0, False), (20, 0, True), (59, 20, False), (60, 20, True)],
)
def test_failures_have_risen_if_they_are_many_and_many_more_than_usual(failing, usual, risen):
    assert have_risen(failing, usual) == risen


# -- the life of an outage


def test_failures_that_rise_begin_an_outage():
    outage = observe(None, seen(1, 340, new=340), None, usual=5)
    assert (outage.reason, outage.began_at, outage.usual, outage.most) == ("failures_rose", NOON + QUARTER, 5, 340)
    assert (outage.hit, outage.waiting, outage.recovered, outage.over_at) == (340, 340, 0, None)
    assert outage.by_operation == {"send.email": 340}
    assert outage.outage_id == "20261120T121500000Z"


def test_trouble_of_a_run_begins_an_outage_when_it_began():
    outage = observe(None, seen(1, 3, new=3), incident(since=NOON), usual=None)
    assert (outage.reason, outage.began_at) == ("nothing_accepted", NOON)


@pytest.mark.parametrize(
    "kind", ["partial", "worklist", "never_started", "unreported", "failed", "declined", "hand:olga"]
)
def test_what_is_about_single_communications_or_about_us_or_decided_is_no_outage(kind):
    assert observe(None, seen(1, 3, new=3), incident(kind), usual=5) is None


@pytest.mark.parametrize("kind", ["listing", "misconfigured:http_401", "overloaded", "nothing_accepted"])
def test_what_is_about_the_application_is_an_outage(kind):
    assert observe(None, seen(1, 0), incident(kind), usual=5).reason == kind


def test_usual_failures_begin_none():
    assert observe(None, seen(1, 5, new=5), None, usual=5) is None


def test_an_outage_goes_on_while_half_of_the_failures_are_left():
    outage = observe(None, seen(1, 60, new=60), None, usual=20)
    outage = observe(outage, seen(2, 30, waiting=30), None, usual=20)
    assert outage.over_at is None
    outage = observe(outage, seen(3, 29, waiting=29), None, usual=20)
    assert outage.over_at == NOON + 3 * QUARTER
    assert outage.settled_at is None


def test_what_fails_after_its_end_is_not_hit_by_it():
    outage = observe(None, seen(1, 60, new=60), None, usual=5)
    outage = observe(outage, seen(2, 4, waiting=3, new=4), None, usual=5)
    assert (outage.over_at, outage.hit, outage.waiting) == (NOON + 2 * QUARTER, 60, 3)


def test_what_is_too_much_after_its_end_is_not_missing_in_it():
    outage = observe(None, seen(1, 60, new=60), None, usual=5)
    assert not observe(outage, seen(2, 4, waiting=4, overfull=True), None, usual=5).overfull
    assert observe(outage, seen(2, 60, new=9, overfull=True), None, usual=5).overfull


def test_trouble_before_it_is_settled_belongs_to_it():
    outage = observe(None, seen(1, 60, new=60), None, usual=5)
    over = observe(outage, seen(2, 4, waiting=4), None, usual=5)
    again = observe(over, seen(3, 90, waiting=4, new=86), None, usual=5)
    assert (again.outage_id, again.over_at, again.hit, again.most) == (outage.outage_id, None, 146, 90)


def test_it_is_settled_when_nothing_of_it_waits_but_people():
    outage = observe(None, seen(1, 60, new=60), None, usual=5)
    for number, members in enumerate(({"waiting": 1, "sent": 9}, {"sent": 1, "dismissed": 2}), 2):
        outage = observe(outage, seen(number, 1, **members), None, usual=5)
        assert outage.settled_at is None
    outage = observe(outage, seen(4, 1, on_worklist=3, dismissed=2), None, usual=5)
    assert (outage.settled_at, outage.recovered) == (NOON + 4 * QUARTER, 55)
    assert observe(outage, seen(5, 1), None, usual=5) is None


def test_an_incident_that_outlives_an_outage_begins_another_one():
    outage = observe(None, seen(1, 60, new=60), incident(since=NOON), usual=5)
    outage = observe(outage, seen(2, 0), incident("partial", since=NOON), usual=5)
    assert outage.settled_at == NOON + 2 * QUARTER
    another = observe(outage, seen(3, 0), incident(since=NOON), usual=5)
    assert (another.began_at, another.run_count) == (outage.settled_at + 1, 0)
    assert another.outage_id > outage.outage_id


def test_an_incomplete_scan_settles_nothing_and_lets_nothing_recover():
    outage = observe(None, seen(1, 60, new=60), None, usual=5)
    outage = observe(outage, seen(2, 0, complete=False), None, usual=5)
    assert (outage.waiting, outage.recovered, outage.settled_at) == (60, 0, None)


def test_an_incomplete_scan_cannot_tell_that_an_outage_is_over():
    """The next one of a run that a limit has stopped sees the rest of the list only."""
    outage = observe(None, seen(1, 60, new=60), None, usual=5)
    outage = observe(outage, seen(2, 0, complete=False, new=3), None, usual=5)
    assert (outage.over_at, outage.hit) == (None, 63)
    outage = observe(outage, seen(3, 0, waiting=3), None, usual=5)
    assert outage.over_at == NOON + 3 * QUARTER
    assert observe(outage, seen(4, 0, complete=False), None, usual=5).over_at == outage.over_at


def test_failures_that_stay_for_a_week_are_usual_then():
    """Otherwise the outage would never end, and nobody would hear of the next one."""
    outage = observe(None, seen(1, 60, new=60), None, usual=5)
    outage = observe(outage, seen(24 * 4 * 7, 60, waiting=60), None, usual=5)
    assert outage.over_at is None
    over = observe(outage, seen(24 * 4 * 7 + 1, 60, waiting=60), None, usual=5)
    assert over.over_at == over.scanned_at
    assert observe(outage, seen(24 * 4 * 7 + 1, 60), incident(), usual=5).over_at is None


def test_one_scan_counts_once():
    outage = observe(None, seen(1, 60, new=60), None, usual=5)
    assert observe(outage, seen(1, 60, new=60), None, usual=5) == outage


scans = st.lists(
    st.tuples(
        st.integers(0, 100),  # newly hit
        st.floats(0, 1),  # how much of what was hit is still listed
        st.booleans(),  # whether the scan is complete
        st.booleans(),  # whether runs meet trouble
        st.booleans(),  # whether it is repeated
    ),
    max_size=12,
)


@given(scans, st.integers(0, 10))
def test_every_one_that_was_hit_is_in_one_state(steps, usual):
    outage = None
    for number, (new, part, complete, trouble, repeated) in enumerate(steps):
        listed = int(part * outage.hit) if outage and outage.is_open else 0
        members = {"waiting": listed - listed // 2, "sent": listed // 2}
        scan = seen(number, new + listed, complete=complete, new=new, **members)
        after = observe(outage, scan, incident() if trouble else None, usual)
        outage = observe(after, scan, incident(), usual) if repeated and after and after.is_open else after
        if outage:
            assert outage.recovered >= 0
            assert sum(outage.by_operation.values()) == outage.hit
            assert not outage.settled_at or (outage.over_at and not outage.waiting and not outage.sent)
            assert len(outage.causes) <= 10


def test_causes_keep_their_highest_numbers_and_the_most_frequent_stay():
    def causes(*numbers):
        return [
            OutageCause(operation="send.email", kind=CauseKind.FAILED, reason=f"r{number}", most=most)
            for number, most in enumerate(numbers)
        ]

    kept = outages.most_frequent([*causes(5, 7), *causes(9, 1), *causes(*range(2, 14))])
    assert [(cause.reason, cause.most) for cause in kept][:3] == [("r11", 13), ("r10", 12), ("r9", 11)]
    assert ("r0", 9) in [(cause.reason, cause.most) for cause in kept]
    assert len(kept) == 10


def test_runs_are_bounded_and_counted():
    outage = Outage(outage_id="o", began_at=NOON, reason="listing")
    outage = outages.with_runs(outage, [f"run-{number}" for number in range(150)])
    assert (len(outage.run_ids), outage.run_ids[-1], outage.run_count) == (100, "run-149", 150)


# -- whom it has hit


def candidate(primary_id, status=None, manual_since=None, answer="ApplicationError", tried_at=NOON):
    listed = Communication(operation="send.email", primary_id=primary_id, listed_at=NOON, since=NOON - HOUR)
    state = None
    if status:
        state = State(
            operation="send.email",
            primary_id=primary_id,
            status=CommunicationStatus(status),
            answer=answer,
            until=NOON if status == "accepted" else 0,
            manual_since=manual_since,
            history=[HistoryEntry(owner="run#0", at=tried_at, answer=answer)],
        )
    return Candidate(None, listed, state, None)


OPEN = Outage(outage_id="o", began_at=NOON, reason="failures_rose")


def test_whoever_is_listed_is_hit_but_not_what_people_had_before():
    with closing(AffectedWriter(None, set())) as affected:
        for each in (candidate("new"), candidate("failed", "open"), candidate("new"), candidate("old", "manual", 1)):
            affected.add(each)
        affected.file.seek(0)
        lines = affected.file.read().splitlines()
    assert affected.new == {"send.email": 2}
    assert [msgspec.json.decode(line)["primaryId"] for line in lines] == ["new", "failed"]
    assert msgspec.json.decode(lines[0])["since"] == NOON - HOUR


def test_what_went_to_the_worklist_in_an_outage_was_hit_by_it():
    with closing(AffectedWriter(OPEN, set())) as affected:
        affected.add(candidate("before", "manual", NOON - 1))
        affected.add(candidate("since", "manual", NOON))
    assert affected.new == {"send.email": 1}


def test_what_was_sent_before_an_outage_and_may_still_arrive_was_not_hit():
    sent = candidate("sent", "accepted", answer="accepted", tried_at=NOON - 1)
    for outage in (None, OPEN):
        with closing(AffectedWriter(outage, set())) as affected:
            affected.add(sent)
        assert not affected.new
    with closing(AffectedWriter(OPEN, set())) as affected:
        affected.add(candidate("sent-since", "accepted", answer="accepted", tried_at=NOON))
    assert affected.new == {"send.email": 1}


def test_a_scan_writes_no_more_than_the_disk_can_hold():
    with closing(AffectedWriter(None, set(), largest=200)) as affected:
        for number in range(100):
            affected.add(candidate(f"id-{number}"))
        assert affected.file.tell() < 300
    assert (affected.overfull, 2 <= affected.new.total() <= 4) == (True, True)


def test_what_is_hit_counts_as_what_has_become_of_it():
    """Somebody may have dismissed it since the outage began, or a run may have sent it again."""
    with closing(AffectedWriter(OPEN, set())) as affected:
        affected.add(candidate("waits"))
        affected.add(candidate("sent", "accepted", answer="accepted", tried_at=NOON))
        affected.add(candidate("dismissed", "dismissed", NOON))
    scan = Seen(scan="s", at=NOON, complete=True, failing=1, new=affected.new, new_states=affected.new_states)
    outage = observe(OPEN, scan, incident(), usual=5)
    assert (outage.hit, outage.waiting, outage.sent, outage.on_worklist, outage.dismissed) == (3, 1, 1, 0, 1)


def test_those_that_it_knows_are_counted_once_by_what_became_of_them():
    members = {
        "waits": candidate("waits", "open"),
        "untried": candidate("untried"),
        "sent": candidate("sent", "accepted", answer="accepted"),
        "manual": candidate("manual", "manual", 1),
        "dismissed": candidate("dismissed", "dismissed", 1),
    }
    known = {digest_of("send.email", name) for name in [*members, "recovered"]}
    with closing(AffectedWriter(OPEN, known)) as affected:
        for each in [*members.values(), *members.values()]:
            affected.add(each)
    assert affected.states == {"waiting": 2, "sent": 1, "on_worklist": 1, "dismissed": 1}
    assert not affected.new
    assert affected.listed(with_new=True) == known - {digest_of("send.email", "recovered")}


@pytest.fixture
def manifests(moto):  # noqa: ARG001 (moto runs as long as this fixture)
    """A bucket of which one request reads little."""
    s3 = boto3.client("s3", region_name="us-east-1")
    s3.create_bucket(Bucket="outages")
    return Manifests(s3, "outages", chunk=1000)


def test_what_it_has_hit_can_be_read_again(manifests):
    with closing(AffectedWriter(None, set())) as affected:
        for number in range(1000):
            affected.add(candidate(f"id-{number}"))
        key = manifests.put_affected("o", affected.file)
    found = list(manifests.read_affected(key))
    assert [each.primary_id for _, each in found] == [f"id-{number}" for number in range(1000)]
    listed_now = affected.listed(with_new=True)
    assert digests_of(each for _, each in found) == listed_now
    start = found[700][0]
    assert next(manifests.read_affected(key, start)) == found[700]
    assert manifests.read_listed(manifests.put_listed("o", listed_now)) == listed_now


# -- in the ledger


def test_only_one_of_two_scans_changes_an_outage(ledger):
    first = observe(None, seen(1, 60, new=60), None, usual=5)
    assert ledger.outages.write(first, None)
    assert ledger.outages.newest() == first
    over = observe(first, seen(2, 0, waiting=3), None, usual=5)
    other = observe(first, seen(3, 90, new=90), None, usual=5)
    assert ledger.outages.write(over, first)
    assert ledger.outages.write(over, first), "a repeated write has succeeded before"
    assert not ledger.outages.write(other, first)
    assert ledger.outages.newest() == over
    reopened = observe(over, seen(4, 90, waiting=3, new=90), None, usual=5)
    assert ledger.outages.write(reopened, over)
    assert ledger.outages.read(first.outage_id) == reopened


def test_outages_come_newest_first_in_pages(ledger):
    ids = []
    for number in range(5):
        outage = observe(None, seen(number, 60, new=60), None, usual=5)
        ledger.outages.write(outage, None)
        ids.insert(0, outage.outage_id)
    first, key = ledger.outages.page(2)
    second, key = ledger.outages.page(2, key)
    third, end = ledger.outages.page(2, key)
    assert [each.outage_id for each in [*first, *second, *third]] == ids
    assert end is None


def test_its_mail_is_due_until_it_was_sent(ledger):
    outage = observe(None, seen(1, 60, new=60), None, usual=5)
    mail = outage_mails.began(outage)
    ledger.outages.write(outage, None, mail)
    [key] = ledger.mails.due()
    assert ledger.mails.take(key) == mail
    ledger.mails.mark_sent(key)
    assert list(ledger.mails.due()) == []
    assert ledger.outages.newest() == outage


# -- its mails


CAUSES = (OutageCause(operation="send.email", kind=CauseKind.FAILED, reason="http_500", most=300),)


def test_the_mail_about_rising_failures():
    mail = outage_mails.began(observe(None, seen(1, 340, new=340, causes=CAUSES), None, usual=5))
    assert mail.subject == "comms-reprocess: failures are rising: 340 waiting, usually 5"
    assert "send.email: failed, http_500" in mail.message
    assert "GET /outages/20261120T121500000Z" in with_addresses(mail, None).message


def test_the_mail_with_the_numbers_for_a_report():
    outage = observe(None, seen(1, 340, new=340, causes=CAUSES), None, usual=5)
    outage = observe(outage, seen(4, 2, on_worklist=3, dismissed=1), None, usual=5)
    mail = outage_mails.settled(outages.with_runs(outage, ["a", "b"]))
    assert mail.subject == "comms-reprocess: settled: 340 were hit, 336 recovered"
    assert mail.topic == "failed"
    for text in ("after 45 min", "    340  send.email", "      3  on the worklist", "      1  dismissed", "time: 2."):
        assert text in mail.message
    all_well = msgspec.structs.replace(outage, on_worklist=0)
    assert outage_mails.settled(all_well).topic == "succeeded"

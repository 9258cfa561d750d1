"""The situation: what a scan adds up to, and what is kept of the scans before it. The rules, without a table."""

import itertools
from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.application.config import Source
from chalicelib.ledger.claims import State
from chalicelib.ledger.situations import Situation
from chalicelib.models.base import MAX_ID
from chalicelib.models.communications import CauseKind, Communication, CommunicationStatus
from chalicelib.models.selections import Selection
from chalicelib.runs.causes import Cause
from chalicelib.runs.collection import Collection
from chalicelib.runs.eligibility import Candidate
from chalicelib.runs.situation import KEPT_CAUSES, KEPT_FOR, MAX_SCANS, situation_after
from chalicelib.runs.tally import MAX_CAUSES, MAX_EXAMPLE, TREND, Tally
from tests.fakes import DAY, HOUR, NOON, item_size

MINUTE = 60_000
OPERATIONS = ("send.email", "send.sms")


def candidate(operation="send.email", reason="smtp_timeout", status=None, primary_id="7", **state):
    """A listed communication; `status`: the ledger knows it."""
    source = Source(operation=operation, list="https://a.example", cool_down="1h")
    listed = Communication(operation=operation, primary_id=primary_id, listed_at=NOON, failure_reason=reason)
    known = State(operation=operation, primary_id=primary_id, status=status, **state) if status else None
    return Candidate(source, listed, known, None)


def manual(reason="smtp_timeout", operation="send.email"):
    handed_over = {"manual_reason": "attempts_used_up", "failure_reason": reason}
    return candidate(operation, reason, CommunicationStatus.MANUAL, **handed_over)


def sent(operation="send.email"):
    return candidate(operation, None, CommunicationStatus.ACCEPTED, answer="accepted", until=NOON + HOUR)


def dismissed(operation="send.email"):
    return candidate(operation, None, CommunicationStatus.DISMISSED)


def scan(*candidates, at=NOON, unfinished=(), operations=OPERATIONS):
    """The snapshot of a scan that saw these."""
    tally, collection = Tally(), Collection(Selection())
    for each in candidates:
        tally.add(each)
    collection.read_whole = {each for each in operations if each not in unfinished}
    return tally.snapshot(at, operations, collection)


def after(*snapshots, known=None):
    """The situation after scans, each of a run of its own."""
    for number, snapshot in enumerate(snapshots):
        known = situation_after(known, f"run-{number}-{snapshot.at}", snapshot, 0)
    return known


def counts(situation):
    return {cause.reason: cause.count for cause in situation.causes}


# -- what a scan counts


def test_each_listed_communication_counts_once():
    """What is on the worklist and not listed is in the worklist's size only."""
    seen = scan(
        *[candidate(), candidate(), manual(), sent(), sent(), dismissed()],
        *[candidate("send.sms", None), candidate(reason="quota", primary_id="8")],
    )
    situation = situation_after(None, "run", seen, worklist=12)
    email, sms = situation.by_operation["send.email"], situation.by_operation["send.sms"]
    assert (email.failing, email.on_worklist, email.sent, email.dismissed) == (3, 1, 2, 1)
    assert (sms.failing, sms.on_worklist, sms.sent, sms.dismissed) == (1, 0, 0, 0)
    first = situation.causes[0]
    assert (first.reason, first.kind, first.count, first.on_worklist) == ("smtp_timeout", CauseKind.UNTRIED, 3, 1)
    assert first.id == Cause(operation="send.email", kind=CauseKind.UNTRIED, reason="smtp_timeout").id
    assert (first.first_seen, first.last_seen, first.example) == (NOON, NOON, "7")
    assert (situation.worklist, situation.complete, situation.last_complete, situation.capped) == (
        12,
        True,
        NOON,
        False,
    )


def test_an_example_is_an_id_that_is_not_too_long():
    """The application's ids may take 512 bytes."""
    long = candidate(primary_id="é" * (MAX_EXAMPLE // 2 + 1))
    assert after(scan(long)).causes[0].example is None
    assert after(scan(long, candidate(primary_id="8"))).causes[0].example == "8"


def test_a_reason_that_differs_for_each_communication_makes_no_thousand_causes():
    """The largest are kept, of several the one with the smallest id, and nothing is left uncounted."""
    hostile = [candidate(reason=f"code-{number}") for number in range(MAX_CAUSES + 500)]
    many = [candidate(reason="many")] * 3
    situation = after(scan(*many, *hostile))
    other = next(cause for cause in situation.causes if cause.folded)
    assert len(situation.causes) == KEPT_CAUSES + 1
    assert counts(situation)["many"] == 3
    assert (other.reason, other.count, other.example) == ("other", len(hostile) - KEPT_CAUSES + 1, "7")
    assert situation.capped
    named = sorted(Cause(operation="send.email", kind="untried", reason=f"code-{n}").id for n in range(MAX_CAUSES - 1))
    assert [cause.id for cause in situation.causes[2:]] == named[: KEPT_CAUSES - 1]


def test_a_code_of_the_application_that_is_called_other_is_a_cause_like_any_other():
    """Unless rare ones had to be added to it."""
    [cause] = after(scan(candidate(reason="other"))).causes
    assert (cause.count, cause.folded) == (1, False)
    codes = [candidate(reason=f"code-{number}") for number in range(KEPT_CAUSES + 1)]
    folded = after(scan(candidate(reason="other"), *codes))
    assert counts(folded)["other"] == 2
    assert [cause.reason for cause in folded.causes if cause.folded] == ["other"]
    alone = after(scan(candidate(reason="other"), at=NOON + 1), known=folded)
    assert (counts(alone)["other"], alone.capped, any(cause.folded for cause in alone.causes)) == (1, False, False)


# -- what is kept of the scans before


def test_a_cause_keeps_when_it_was_first_seen_and_its_counts_in_the_last_scans():
    scans = [scan(*[candidate()] * number, at=NOON + at) for at, number in enumerate((2, 0, 5))]
    [cause] = after(*scans).causes
    assert (cause.count, cause.first_seen, cause.last_seen) == (5, NOON, NOON + 2)
    assert cause.trend == [0] * (TREND - 3) + [2, 0, 5]
    many = [scan(*[candidate()] * number, at=NOON + number) for number in range(1, TREND + 4)]
    assert after(*many).causes[0].trend == list(range(4, TREND + 4))


def test_a_cause_that_is_not_seen_any_more_stays_for_a_day():
    """With nothing of it left. So people see what has just gone."""
    first = scan(candidate(), manual(), at=NOON)
    [gone] = after(first, scan(at=NOON + KEPT_FOR - 1)).causes
    assert (gone.count, gone.on_worklist, gone.last_seen, gone.trend[-2:]) == (0, 0, NOON, [2, 0])
    assert after(first, scan(at=NOON + KEPT_FOR)).causes == []


def test_a_list_that_was_not_read_whole_makes_no_cause_look_gone():
    """The numbers of its operation are lower bounds; those of the others are exact."""
    before = scan(*[candidate()] * 4, sent(), manual("full"), *[candidate("send.sms", "quota")] * 4)
    partly = scan(
        candidate(), candidate(reason="new"), candidate("send.sms", "quota"), at=NOON + 1, unfinished=OPERATIONS[:1]
    )
    situation = after(before, partly)
    assert counts(situation) == {"smtp_timeout": 4, "full": 1, "new": 1, "quota": 1}
    assert (situation.complete, situation.last_complete, situation.at) == (False, NOON, NOON + 1)
    email = situation.by_operation["send.email"]
    assert (email.failing, email.on_worklist, email.sent) == (5, 1, 1)
    assert (situation.scans[-1].failing, situation.scans[-1].complete) == (6, False)
    late = after(before, scan(at=NOON + 2 * KEPT_FOR, unfinished=OPERATIONS))
    assert counts(late)["smtp_timeout"] == 4
    assert counts(after(scan(at=NOON + 2 * KEPT_FOR + 1), known=late)) == {}


def test_the_causes_of_an_operation_that_has_no_source_any_more_are_gone():
    situation = after(scan(candidate("send.sms")), scan(at=NOON + 1, operations=OPERATIONS[:1]))
    assert (situation.causes[0].count, situation.complete) == (0, True)


def test_an_older_scan_never_replaces_a_newer_one():
    newer = after(scan(candidate(), at=NOON + 1))
    assert situation_after(newer, "older", scan(at=NOON), 0) is newer


def test_a_run_that_scans_again_replaces_what_its_first_scan_wrote():
    """Its collector may have been repeated."""
    before = after(scan(candidate(), at=NOON))
    once = situation_after(before, "run", scan(*[candidate()] * 2, at=NOON + 1), 0)
    again = situation_after(once, "run", scan(*[candidate()] * 3, at=NOON + 2), 0)
    assert again.causes[0].trend[-3:] == [0, 1, 3]
    assert [(point.at, point.failing) for point in again.scans] == [(NOON, 1), (NOON + 2, 3)]


@pytest.mark.parametrize("gap", [MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR])
def test_the_log_of_the_scans_goes_back_a_day_whatever_the_schedule(gap):
    """What is left out is close to others; the last scan is always there."""
    number = 3 * DAY // gap
    scans = after(*[scan(at=NOON + each * gap) for each in range(number)]).scans
    last = NOON + (number - 1) * gap
    gaps = [later.at - earlier.at for earlier, later in itertools.pairwise(scans)]
    assert len(scans) == min(MAX_SCANS, DAY // gap)
    assert last - DAY < scans[0].at <= last - DAY + max(gaps)
    assert max(gaps) <= max(gap, HOUR / 2)
    assert scans[-1].at == last


# -- whatever is listed

REASONS = st.sampled_from([None, "other", *(f"code-{number}" for number in range(150))])
CANDIDATES = st.lists(
    st.one_of(
        st.builds(candidate, st.sampled_from(OPERATIONS), REASONS),
        st.builds(manual, REASONS, st.sampled_from(OPERATIONS)),
        st.builds(sent, st.sampled_from(OPERATIONS)),
        st.builds(dismissed, st.sampled_from(OPERATIONS)),
    ),
    max_size=40,
)
# Enough different causes that some have to be folded, in most of the examples.
MANY = [candidate(reason=f"code-{number}") for number in range(90)]
UNFINISHED = st.sampled_from([(), OPERATIONS[:1], OPERATIONS[1:], OPERATIONS])
SCANS = st.lists(
    st.tuples(CANDIDATES, UNFINISHED, st.booleans(), st.sampled_from([1, HOUR, DAY])), min_size=1, max_size=6
)


def snapshots(scans):
    at = NOON
    for candidates, unfinished, many, gap in scans:
        at += gap
        yield scan(*candidates, *(MANY if many else []), at=at, unfinished=unfinished), candidates + MANY * many


@given(SCANS)
@settings(max_examples=150, deadline=None)
def test_to_write_a_scan_again_changes_nothing(scans):
    known = None
    for number, (snapshot, _) in enumerate(snapshots(scans)):
        once = situation_after(known, f"run-{number}", snapshot, 5)
        assert situation_after(once, f"run-{number}", snapshot, 5) == once
        known = msgspec.convert(msgspec.to_builtins(once), Situation)
        assert known == once


@given(SCANS)
@settings(max_examples=150, deadline=None)
def test_the_causes_with_what_was_sent_and_dismissed_are_all_that_is_listed(scans):
    """Exactly, where the list was read whole; otherwise no less than what the scan saw."""
    known = None
    for number, (snapshot, candidates) in enumerate(snapshots(scans)):
        known = situation_after(known, f"run-{number}", snapshot, 5)
        listed = Counter(each.listed.operation for each in candidates)
        for operation in OPERATIONS:
            of_causes = sum(cause.count for cause in known.causes if cause.operation == operation)
            found = known.by_operation.get(operation)
            total = found.sent + found.dismissed if found else 0
            assert (found.failing + found.on_worklist if found else 0) == of_causes
            if operation in snapshot.unfinished:
                assert of_causes + total >= listed[operation]
            else:
                assert of_causes + total == listed[operation]
        assert all(cause.on_worklist <= cause.count for cause in known.causes)
        assert sum(cause.reason != "other" for cause in known.causes) <= KEPT_CAUSES


def test_the_item_is_small_whatever_the_application_sends():
    """The longest codes, ids and operations, another code for each communication, and five kinds in each of ten lists.

    An item may have 400 KB (Amazon DynamoDB Developer Guide, "Quotas"), and each KB that is written costs.
    """
    operations = [f"{number}".rjust(100, "o") for number in range(10)]
    answers = ["ApplicationError", "CommunicationRejected", "OutcomeUnknown", "ApplicationUnavailable"]
    known = None
    for number in range(MAX_SCANS + 10):
        listed = []
        for each in range(1200):
            code = f"{number}x{each}".rjust(100, "c")
            longest, middling = "i" * MAX_ID, "i" * MAX_EXAMPLE
            state = {"status": CommunicationStatus.MANUAL, "answer": answers[each % 4], "manual_reason": code}
            state["failure_reason"] = code
            state |= [{}, {"manual_reason": "expired"}, {"manual_reason": "relapsed"}, {"answer": None}][each // 4 % 4]
            listed.append(
                candidate(operations[each % 10], code, primary_id=(middling, longest)[each % 7 == 0], **state)
            )
        at = NOON + number * 15 * MINUTE
        unfinished = operations if number % 2 else ()
        known = situation_after(
            known,
            f"run-{number}".rjust(64, "r"),
            scan(*listed, at=at, unfinished=unfinished, operations=operations),
            10**4,
        )
    assert len({(cause.operation, cause.kind) for cause in known.causes}) >= 50
    assert len(known.scans) > 90
    assert 50_000 < item_size(msgspec.to_builtins(known)) < 100_000

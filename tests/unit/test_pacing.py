"""The pace in the ledger: one item, which many functions change at the same time."""

from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from chalicelib.ledger.pace import START, Lease, Limits, Pace, SetPace, reserve
from chalicelib.ledger.pacing import PaceContended, Pacing
from tests.conftest import new_table
from tests.fakes import HOUR, NOON


def set_to(**fields):
    """Return a rule that changes some fields."""
    return lambda pace, _: (None, msgspec.structs.replace(pace, **fields))


def test_a_pace_that_nobody_has_changed_is_that_of_an_unknown_application(ledger):
    """Reading it writes nothing."""
    assert ledger.pacing.read() == Pace()
    assert ledger.pacing.read().rate == START


def test_what_a_rule_changes_is_kept_and_what_it_clears_is_gone(ledger):
    """Including the nested records."""
    by_hand = SetPace(rate=2_000, by="alice", at=NOON, until=NOON + HOUR)
    ledger.pacing.change(
        set_to(rate=7_000, reason="http_429", set_pace=by_hand, leases={"run#0": Lease(size=5, until=9)})
    )
    found = ledger.pacing.read()
    assert (found.rate, found.reason, found.set_pace) == (7_000, "http_429", by_hand)
    assert found.leases == {"run#0": Lease(size=5, until=9)}
    ledger.pacing.change(set_to(reason=None, set_pace=None, leases={}))
    found = ledger.pacing.read()
    assert (found.rate, found.reason, found.set_pace, found.leases) == (7_000, None, None, {})


def test_a_rule_that_changes_nothing_writes_nothing(ledger, table):
    """Most batches have nothing to tell."""
    assert ledger.pacing.change(lambda pace, now: (now, pace)) == NOON
    assert table.get("PACE", "PACE") is None


def test_a_rule_is_applied_again_to_what_others_wrote_in_between(ledger, table, clock):
    """No reservation gets lost."""
    seen = []

    def rule(pace, _):
        if not seen:
            Pacing(table, clock).change(set_to(next_free=100))
        seen.append(pace.next_free)
        return None, msgspec.structs.replace(pace, next_free=pace.next_free + 1)

    ledger.pacing.change(rule)
    assert seen == [0, 100]
    assert ledger.pacing.read().next_free == 101


def test_what_others_wrote_during_a_pause_does_not_stand_in_the_way(table, clock):
    """The longer a function stays away, the more they write: it looks again before it tries again."""
    other, tries = Pacing(table, clock), []

    def rule(pace, _):
        if not tries:
            other.change(set_to(next_free=pace.next_free + 10))
        tries.append(pace.next_free)
        return None, msgspec.structs.replace(pace, next_free=pace.next_free + 1)

    Pacing(table, clock, lambda _: other.change(lambda pace, _: set_to(next_free=pace.next_free + 10)(pace, _))).change(
        rule
    )
    assert tries == [10, 30]
    assert other.read().next_free == 31


def test_a_pace_that_others_change_each_time_is_an_error(table, clock):
    """The state machine then calls the function again."""
    pauses = []
    other = Pacing(table, clock)

    def rule(pace, _):
        other.change(set_to(next_free=pace.next_free + 10))
        return None, msgspec.structs.replace(pace, next_free=pace.next_free + 1)

    with pytest.raises(PaceContended):
        Pacing(table, clock, pauses.append).change(rule)
    assert sum(pauses) < 2


def test_batches_that_reserve_at_the_same_time_get_different_times(ministack, clock):
    """However many there are, no two of them overlap. Not with moto, which lets threads interleave in a write."""
    table = new_table(ministack)

    def take(number):
        return Pacing(table, clock).change(lambda pace, now: reserve(pace, f"run#{number}", 1, 0, Limits(), now))

    Pacing(table, clock).change(set_to(heard_at=NOON, rate=5_000))
    with ThreadPoolExecutor(8) as threads:
        turns = list(threads.map(take, range(8)))
    starts = sorted(turn.waits[0] * 1000 + turn.after for turn in turns)
    assert starts == [number * 200 for number in range(8)]

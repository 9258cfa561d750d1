"""The pace as people see it, and as they set it by hand."""

import msgspec
import pytest

from chalicelib.application.config import Configuration, Reprocess, Source
from chalicelib.errors import InvalidRequest
from chalicelib.ledger.pace import Limits, Pace, SetPace, effective_rate, reserve
from chalicelib.runs.pace import PaceState, get_pace, release_pace, set_pace
from chalicelib.settings import Settings
from tests.fakes import DAY, HOUR, NOON

SOURCE = Source(operation="send.email", list="https://a.example", cool_down="1h")


def configuration(**limits):
    return Configuration(sources=[SOURCE], reprocess=Reprocess(url="https://a.example", **limits))


def state(max_per_second=None, **fields):
    """Return the pace of an application that works, with these fields."""
    pace = Pace(**{"heard_at": NOON, "since": NOON - HOUR} | fields)
    return PaceState(pace, Limits(max_per_second=max_per_second), NOON)


BY_HAND = SetPace(rate=5_000, by="olga", at=NOON - HOUR, until=NOON + HOUR)
LOWERED = {"rate": 4_000, "refused": 10_000, "sustained": 3_000, "reason": "http_429", "lowered_at": NOON - HOUR}


@pytest.mark.parametrize(
    ("seen", "per_second", "reason", "why"),
    [
        (state(), 10, None, "Nothing holds it down: it rises as soon as a run needs more."),
        (state(**LOWERED), 4, "http_429", "Slowed down, because the application answered http_429 at higher rates."),
        (
            state(**LOWERED | {"reason": "slow_answers"}),
            4,
            "slow_answers",
            "Slowed down, because the application's answers became slow at higher rates.",
        ),
        (
            state(**LOWERED, set_pace=BY_HAND),
            5,
            "set_by:olga",
            "olga has set it by hand, until 2026-11-20T13:00:00Z.",
        ),
        (state(2), 2, "max_per_second", "max_per_second in application.toml allows no more."),
        (state(10), 10, "max_per_second", "max_per_second in application.toml allows no more."),
        (state(2, set_pace=BY_HAND), 2, "max_per_second", "max_per_second in application.toml allows no more."),
        (state(5, set_pace=BY_HAND), 5, "set_by:olga", "olga has set it by hand, until 2026-11-20T13:00:00Z."),
        (
            state(5, **LOWERED),
            4,
            "http_429",
            "Slowed down, because the application answered http_429 at higher rates.",
        ),
    ],
)
def test_the_pace_says_how_fast_it_is_and_why(seen, per_second, reason, why):
    """As a code, and in words."""
    assert (seen.per_second, seen.reason, seen.why) == (per_second, reason, why)


def test_what_was_refused_before_the_pace_rose_above_it_is_no_reason_any_more():
    """Its capacity has grown."""
    assert state(**LOWERED | {"refused": 0}).reason is None


def test_a_pause_of_the_application_holds_whatever_somebody_has_set():
    """It is named with its cause."""
    seen = state(**LOWERED, set_pace=BY_HAND, blocked_until=NOON + HOUR)
    assert seen.blocked_until == NOON + HOUR
    assert seen.why.endswith("Nothing is sent until 2026-11-20T13:00:00Z: the application answered http_429.")
    assert (state(blocked_until=NOON).blocked_until, state(blocked_until=NOON).why) == (None, state().why)


def test_a_canary_is_explained():
    """Nobody knows whether the application works."""
    seen = state(canary=5)
    assert seen.why.endswith("Nobody knows whether the application works now, so a run tries a few first.")


@pytest.mark.parametrize(
    ("fields", "since"),
    [
        ({}, NOON - HOUR),
        ({"since": 0}, None),
        ({"set_pace": BY_HAND}, BY_HAND.at),
        ({"since": NOON + 1, "lowered_at": NOON - 5}, NOON - 5),
    ],
    ids=["tried since", "never changed", "by hand", "lowered, and tried from the end of a pause"],
)
def test_the_pace_says_since_when_it_is_what_it_is(fields, since):
    """A rate that waits for the end of a pause was lowered before."""
    assert state(**fields).since == since


@pytest.mark.parametrize(
    ("seen", "lasting"),
    [
        (state(), None),
        (state(20), 20),
        (state(**LOWERED), 4),
        (state(2, **LOWERED), 2),
        (state(set_pace=BY_HAND), 5),
    ],
)
def test_a_run_has_to_live_with_a_rate_that_something_holds_down(seen, lasting):
    """Otherwise the pace doubles until the run itself is what limits it."""
    assert seen.lasting_per_second == lasting


@pytest.mark.parametrize(("max_in_flight", "batch", "at_once"), [(None, 20, 2), (1000, 20, 2), (25, 20, 1), (8, 8, 1)])
def test_a_run_sends_no_more_at_once_than_the_owner_allows(max_in_flight, batch, at_once):
    """Neither in a batch, nor in all batches together."""
    seen = PaceState(Pace(), Limits(max_in_flight=max_in_flight), NOON)
    settings = seen.within(Settings(resource_prefix="mail-dev", concurrency=40))
    assert (settings.communications_per_batch, settings.batches_at_once) == (batch, at_once)


# -- in the ledger


def test_a_pace_that_nobody_knows_is_that_of_a_canary(ledger):
    """A new deployment has no item."""
    seen = get_pace(ledger, configuration(max_per_second=20, max_in_flight=3))
    assert (seen.per_second, seen.since, seen.pace.canary) == (10, None, 1)
    assert seen.limits == Limits(max_per_second=20, max_in_flight=3)


def test_what_has_expired_is_not_shown(ledger, clock):
    """A pace that was set until now, and what was learned a day ago."""
    ledger.pacing.change(lambda _, now: (None, Pace(heard_at=now, set_pace=BY_HAND, **LOWERED)))
    clock.advance(DAY + 1)
    seen = get_pace(ledger, configuration())
    assert (seen.pace.set_pace, seen.pace.refused, seen.reason) == (None, 0, None)


def test_a_pace_that_is_set_by_hand_holds_for_a_while(ledger, clock):
    """For every batch of every run. What was learned stays, and holds again afterwards."""
    ledger.pacing.change(lambda _, now: (None, Pace(heard_at=now, **LOWERED)))
    seen = set_pace(2.5, HOUR, "olga", ledger, configuration())
    assert (seen.per_second, seen.pace.set_pace) == (
        2.5,
        SetPace(rate=2_500, by="olga", at=NOON, until=NOON + HOUR),
    )
    turn, _ = reserve(ledger.pacing.read(), "run#0", 1, 0, Limits(), clock())
    assert turn.rate == 2_500
    assert get_pace(ledger, configuration()).per_second == 2.5
    clock.advance(HOUR)
    assert get_pace(ledger, configuration()).per_second == 4


def test_whoever_sets_the_pace_last_has_set_it(ledger, clock):
    """Two people may help at once."""
    set_pace(5, HOUR, "olga", ledger, configuration())
    clock.advance(1)
    set_pace(7, HOUR, "rita", ledger, configuration())
    by_hand = ledger.pacing.read().set_pace
    assert (by_hand.by, by_hand.rate, by_hand.until) == ("rita", 7_000, NOON + 1 + HOUR)


def test_nobody_sets_a_pace_above_the_ceiling_of_the_applications_owner(ledger):
    """The error names both."""
    limited = configuration(max_per_second=4.5)
    with pytest.raises(InvalidRequest, match=r"^perSecond: 5 .* max_per_second in application.toml allows, 4.5$"):
        set_pace(5, HOUR, "olga", ledger, limited)
    assert ledger.pacing.read() == Pace()
    assert set_pace(4.5, HOUR, "olga", ledger, limited).per_second == 4.5


def test_a_pace_that_is_given_back_holds_no_more(ledger):
    """It may be given back again and again, also if nobody has set it. What was learned stays."""
    learned = Pace(heard_at=NOON, **LOWERED)
    ledger.pacing.change(lambda *_: (None, learned))
    set_pace(5, HOUR, "olga", ledger, configuration())
    for _ in range(2):
        assert release_pace(ledger, configuration()).per_second == 4
    assert msgspec.structs.replace(ledger.pacing.read(), version=0) == learned


def test_giving_the_pace_back_ends_a_block(ledger):
    """A proxy's wrong Retry-After need not keep everybody waiting for an hour."""
    blocked = Pace(heard_at=NOON, blocked_until=NOON + HOUR, next_free=NOON + HOUR, blocks=6, **LOWERED)
    ledger.pacing.change(lambda *_: (None, blocked))
    assert release_pace(ledger, configuration()).blocked_until is None
    found = ledger.pacing.read()
    assert (found.blocked_until, found.next_free, found.blocks) == (NOON, NOON, 0)


def test_giving_back_what_nobody_has_set_writes_nothing(ledger):
    """A write would stand in the way of others."""
    release_pace(ledger, configuration())
    assert ledger.pacing.read().version == 0


def test_the_lowest_and_the_highest_pace_by_hand_are_those_of_the_pace(ledger):
    """What the API accepts is what holds."""
    for per_second in (0.1, 10_000):
        assert set_pace(per_second, HOUR, "olga", ledger, configuration()).per_second == per_second
        assert effective_rate(ledger.pacing.read(), Limits(), NOON) == per_second * 1000

"""The rules of the pace: how fast the application is called, what changes that, and what must hold whatever happens."""

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from chalicelib.ledger import pace, pace_feedback
from chalicelib.ledger.pace import (
    CANARY,
    HIGHEST,
    LATE_S,
    LOWEST,
    START,
    WINDOW_S,
    Lease,
    Limits,
    Pace,
    SetPace,
    reserve,
)
from chalicelib.ledger.pace_feedback import distrusted, ended, lower, unanswered
from tests.fakes import DAY, HOUR, NOON

SECOND, MINUTE = 1000, 60_000
NO_LIMITS = Limits()

# An application that was heard just now, and of which nothing else is known.
KNOWN = Pace(heard_at=NOON, since=NOON - HOUR)


def turn_of(state, size=20, owner="run#0", waited=0.0, limits=NO_LIMITS, now=NOON):
    """Return the turn of a batch, and the pace with its reservation."""
    return reserve(state, owner, size, waited, limits, now)


def sends(turn, now):
    """Return when the communications of a turn that was given now are sent."""
    return [now + turn.after + wait * SECOND for wait in turn.waits if wait >= 0]


def refused(state, now, epoch=None, retry_after=None):
    """Return the pace after a 429."""
    return lower(state, state.epoch if epoch is None else epoch, "http_429", retry_after, now)


def answered(state, now, number=20, mean_ms=200, limits=NO_LIMITS):
    """Return the pace after a batch that was sent at its rate, waited for it, and was accepted."""
    turn = pace.Turn(epoch=state.epoch, rate=state.rate, limited=True)
    return ended(state, turn, "run#0", number, mean_ms, limits, now)


def after_good_batches(state, seconds, now=NOON):
    """Return the pace after so many seconds in which a batch is accepted each second."""
    for second in range(seconds):
        state = answered(state, now + second * SECOND)
    return state


# -- turns


def test_a_batch_is_sent_at_the_rate_beginning_at_once():
    """Ten a second: half of a batch of 20 now, and half a second later."""
    turn, state = turn_of(KNOWN)
    assert (turn.after, turn.waits) == (0, [0] * 10 + [1] * 10)
    assert state.next_free == NOON + 2 * SECOND


def test_the_next_batch_begins_to_the_millisecond_where_the_one_before_ends():
    """A state machine waits whole seconds; Begin Batch itself waits what is left of one."""
    _, state = turn_of(KNOWN, size=7)
    turn, _ = turn_of(state, size=3, owner="run#1")
    assert (turn.after, turn.waits) == (700, [0, 0, 0])


def test_below_five_a_second_no_second_takes_more_than_its_share():
    """2.5 a second: three in the first second, two in the next."""
    turn, _ = turn_of(replace(KNOWN, rate=2500), size=5)
    assert turn.waits == [0, 0, 0, 1, 1]


def test_whoever_would_wait_for_more_than_four_seconds_asks_again_instead():
    """What is reserved would be lost if the application refuses."""
    turn, state = turn_of(replace(KNOWN, next_free=NOON + 6500))
    assert (turn.ask_after, turn.waits) == (3, [])
    assert state.next_free == NOON + 6500


def test_whoever_has_waited_for_a_window_leaves_the_rest_to_the_next_run():
    """A child workflow has five minutes for everything."""
    turn, _ = turn_of(replace(KNOWN, next_free=NOON + HOUR), waited=WINDOW_S - 1)
    assert turn.waits == [-1] * 20


def test_whoever_was_held_up_until_after_the_window_sends_nothing():
    """However free the application is: the child workflow would not live long enough to send and record."""
    turn, state = turn_of(KNOWN, waited=WINDOW_S + LATE_S + 0.1)
    assert (turn.waits, turn.ask_after) == ([-1] * 20, None)
    assert state == KNOWN
    assert turn_of(KNOWN, waited=WINDOW_S + LATE_S)[0].waits == [0] * 10 + [-1] * 10


def test_a_slow_pace_sends_what_fits_into_the_window():
    """One in ten seconds: six in a minute, and one at its very end."""
    turn, state = turn_of(replace(KNOWN, rate=LOWEST))
    assert turn.waits == [0, 10, 20, 30, 40, 50, 60] + [-1] * 13
    assert state.next_free == NOON + 70 * SECOND


def test_a_long_block_halts_the_run_and_a_shorter_one_only_costs_some_batches_their_turn():
    """The next one begins when the block is over. A large run goes on after a shorter one."""
    assert turn_of(replace(KNOWN, blocked_until=NOON + 15 * MINUTE))[0].halted == "overloaded"
    assert turn_of(replace(KNOWN, blocked_until=NOON + 14 * MINUTE))[0].ask_after


def test_six_blocks_without_a_good_answer_in_between_halt_the_run():
    """However short they are: it is down. After them, one may try."""
    state = replace(KNOWN, blocks=6, blocked_until=NOON + SECOND)
    assert turn_of(state)[0].halted == "overloaded"
    assert turn_of(replace(state, blocked_until=NOON))[0].waits


def test_blocks_are_counted_until_something_goes_well():
    """An application that names the time of its quota again and again is not down."""
    state = lower(lower(KNOWN, KNOWN.epoch, "http_503", None, NOON), KNOWN.epoch + 1, "http_503", None, NOON + SECOND)
    assert state.blocks == 2
    assert answered(state, state.since + MINUTE).blocks == 0


def test_one_refusal_at_a_rate_that_goes_well_may_be_about_one_communication():
    """Two within seconds are about all."""
    state = replace(KNOWN, since=NOON - MINUTE, heard_at=NOON)
    once = pace_feedback.refused(state, state.epoch, "http_429", None, NOON)
    assert (once.rate, once.blocked_until) == (state.rate, state.blocked_until)
    assert pace_feedback.refused(once, once.epoch, "http_429", None, NOON + 11 * SECOND).rate == state.rate
    assert pace_feedback.refused(once, once.epoch, "http_429", None, NOON + 9 * SECOND).rate < state.rate


@pytest.mark.parametrize(
    ("change", "retry_after"),
    [({}, SECOND), ({"probing": True}, None), ({"since": NOON - SECOND}, None), ({"heard_at": NOON - HOUR}, None)],
    ids=["names a time", "a try", "a new rate", "nothing heard since"],
)
def test_one_refusal_is_enough_otherwise(change, retry_after):
    """Whoever sends on would be locked out, or disobey."""
    state = replace(KNOWN, **({"since": NOON - MINUTE, "heard_at": NOON} | change))
    assert pace_feedback.refused(state, state.epoch, "http_429", retry_after, NOON).blocked_until > NOON


def test_the_first_communication_after_a_block_goes_ahead_of_the_others():
    """If the application still locks us out, only one more is refused."""
    state = refused(replace(KNOWN, heard_at=NOON - SECOND), NOON)
    turn, state = turn_of(state, size=3, now=state.blocked_until)
    assert turn.waits == [0, 2, 2]
    other, _ = turn_of(state, size=1, owner="run#1", now=state.blocked_until)
    assert sends(other, 0)[0] >= 2 * SECOND


def test_it_goes_further_ahead_if_answers_take_longer():
    """Otherwise the others are sent before the first one is answered."""
    state = refused(replace(KNOWN, heard_at=NOON - SECOND, usual_ms=3400), NOON)
    assert turn_of(state, size=2, now=state.blocked_until)[0].waits == [0, 5]


def test_a_reservation_is_void_after_a_block():
    """What waits for it would be sent into the block, or all at once after it."""
    turn, state = turn_of(KNOWN)
    assert not pace.is_void(state, turn.epoch)
    assert pace.is_void(refused(state, NOON), turn.epoch)


# -- limits


def test_the_owners_limit_holds_whatever_was_learned():
    """It is a promise to the application."""
    turn, _ = turn_of(replace(KNOWN, rate=50_000), limits=Limits(max_per_second=2))
    assert turn.rate == 2000


def test_a_pace_set_by_hand_is_used_until_it_expires():
    """Then the learned one holds again."""
    state = replace(KNOWN, set_pace=SetPace(rate=2000, by="bob", at=NOON, until=NOON + HOUR))
    assert turn_of(state)[0].rate == 2000
    later, state = turn_of(state, size=1, now=NOON + HOUR)
    assert later.rate == START
    assert state.set_pace is None


def test_a_pace_set_by_hand_is_within_the_owners_limit():
    """An operator may not break the owner's promise either."""
    state = replace(KNOWN, set_pace=SetPace(rate=9000, by="bob", at=NOON, until=NOON + HOUR))
    assert turn_of(state, limits=Limits(max_per_second=5))[0].rate == 5000


def test_nothing_is_learned_from_a_pace_set_by_hand():
    """Neither that it went well, nor that it was refused; but a block is a block."""
    state = replace(KNOWN, set_pace=SetPace(rate=90_000, by="bob", at=NOON, until=NOON + HOUR))
    turn, state = turn_of(state, size=40)
    assert ended(state, replace(turn, limited=True), "run#0", 40, 200, NO_LIMITS, NOON).rate == START
    after = refused(state, NOON)
    assert (after.rate, after.refused) == (START, 0)
    assert after.blocked_until > NOON


def test_a_limit_for_what_is_under_way_makes_others_ask_again():
    """Until the first batch has ended, or its lease has."""
    limits = Limits(max_in_flight=20)
    _, state = turn_of(KNOWN, limits=limits)
    waiting, state = turn_of(state, owner="run#1", limits=limits)
    assert waiting.ask_after
    after_the_batch = ended(state, pace.Turn(), "run#0", 0, None, limits, NOON)
    assert turn_of(after_the_batch, owner="run#1", limits=limits)[0].waits
    assert turn_of(state, owner="run#1", limits=limits, now=NOON + 5 * MINUTE)[0].waits


# -- what the answers change


def test_the_rate_doubles_while_nothing_was_ever_refused():
    """A slow start: nobody knows what the application can take."""
    assert after_good_batches(KNOWN, 3).rate == 8 * START


def test_a_rate_that_nobody_waited_for_is_not_raised():
    """Then the runs' concurrency is the limit."""
    turn = pace.Turn(rate=START, limited=False)
    assert ended(KNOWN, turn, "run#0", 20, 200, NO_LIMITS, NOON).rate == START


def test_after_a_refusal_the_rate_closes_in_between_what_went_well_and_what_was_refused():
    """It never again tries what was just refused, until nothing is left to find below."""
    state = refused(replace(KNOWN, rate=40_000), NOON)
    rates = [state.rate]
    for second in range(120):
        state = answered(state, state.blocked_until + second * SECOND)
        rates.append(state.rate)
    assert rates[0] == 18_000
    assert rates == sorted(rates)
    assert 40_000 / 1.1 < rates[-1] < 40_000


def test_a_try_that_is_refused_returns_to_the_sustained_rate():
    """It has gone well for long enough."""
    state = replace(KNOWN, rate=9000, sustained=8000, refused=10_000, probing=True)
    after = refused(state, NOON)
    assert (after.rate, after.sustained, after.refused, after.probing) == (8000, 8000, 9000, False)


def test_a_rate_that_had_gone_well_is_lowered_a_little_and_then_by_half():
    """A capacity that is a little smaller is the likelier one; if it is not, the next refusal comes at once."""
    state = replace(KNOWN, rate=8000, sustained=8000, refused=8500, answered=100)
    first = refused(state, NOON)
    assert (first.rate, first.sustained, first.refused) == (7200, 0, 8000)
    heard = answered(first, first.blocked_until + SECOND, number=1)
    assert refused(heard, heard.since + 5 * SECOND).rate == 3600


def test_what_was_refused_once_is_tried_again_after_as_many_pauses_as_it_may_cost():
    """The application may be able to take more by then."""
    state = replace(KNOWN, rate=9500, sustained=9500, refused=10_000, since=NOON, answered=500, pause=10 * SECOND)
    assert answered(state, NOON + 299 * SECOND).rate == 9500
    tried = answered(state, NOON + 300 * SECOND)
    assert tried.rate == 11_000
    better = answered(tried, NOON + 311 * SECOND)
    assert (better.rate, better.refused) == (22_000, 0)


def test_several_refusals_of_one_epoch_lower_the_rate_once():
    """A batch has up to 40 communications, and several batches are under way at once."""
    once = refused(KNOWN, NOON)
    again = refused(refused(once, NOON + 1, epoch=0), NOON + 2, epoch=0)
    assert again == once


def test_a_lock_out_is_not_taken_for_a_rate():
    """Who is refused as soon as the block ends was too early, not too fast."""
    first = refused(KNOWN, NOON)
    second = refused(first, first.blocked_until + 300)
    assert second.rate == first.rate
    assert second.blocked_until - first.blocked_until == 300 + 2 * first.pause


def test_the_pause_that_sufficed_is_remembered_up_to_half_a_minute():
    """The next lock-out is likely to be as long; but an hour is not how the application usually is."""
    assert answered(replace(KNOWN, pause=10 * SECOND), NOON).pause == 10 * SECOND
    assert answered(replace(KNOWN, pause=10 * MINUTE), NOON).pause == 30 * SECOND


def test_the_application_says_how_long_and_a_later_answer_can_say_longer():
    """The block is the longest of all."""
    first = refused(KNOWN, NOON, retry_after=30 * SECOND)
    assert first.blocked_until == NOON + 30 * SECOND
    assert refused(first, NOON + SECOND, epoch=0, retry_after=MINUTE).blocked_until == NOON + SECOND + MINUTE


def test_what_was_reserved_for_after_a_block_is_void_if_that_becomes_longer():
    """A POST that was sent before the block may be answered after it."""
    state = refused(KNOWN, NOON)
    turn, state = turn_of(state, now=NOON + 5 * SECOND)
    after = refused(state, NOON + 6 * SECOND, epoch=0, retry_after=30_000)
    assert (after.blocked_until, after.rate) == (NOON + 36 * SECOND, state.rate)
    assert pace.is_void(after, turn.epoch)


def test_of_many_refusals_at_once_only_the_first_changes_the_pace():
    """Each change is a write of the same item."""
    state = refused(KNOWN, NOON, retry_after=30_000)
    assert refused(state, NOON + 900, epoch=0, retry_after=30_000) == state


def test_answers_that_take_much_longer_lower_the_rate_until_they_do_not():
    """An application with a queue refuses nothing; its answers take longer and longer."""
    state = replace(KNOWN, usual_ms=200, since=NOON - MINUTE)
    slower = answered(state, NOON, mean_ms=5000)
    assert slower.rate < state.rate
    assert slower.reason == "slow_answers"
    working_off = answered(slower, NOON + MINUTE, mean_ms=3000)
    assert working_off.rate == slower.rate
    assert not pace.is_void(slower, state.epoch), "nothing was refused, so what is reserved may be sent"


def test_the_usual_time_follows_faster_answers_at_once_and_slower_ones_little_by_little():
    """An application that always takes seconds is as usual; one that begins to is not."""
    first = answered(KNOWN, NOON, mean_ms=9000)
    assert first.usual_ms == 9000
    faster = answered(first, NOON, mean_ms=500)
    assert faster.usual_ms == 500
    assert answered(faster, NOON, mean_ms=1500).usual_ms == 510


def test_what_was_learned_is_forgotten_after_a_day():
    """Then a slow start finds out anew."""
    state = replace(KNOWN, rate=90_000, sustained=90_000, refused=99_000, heard_at=NOON - DAY - 1)
    turn, state = turn_of(state, size=1)
    assert (turn.rate, state.sustained, state.refused) == (START, 0, 0)


# -- the canary


def test_a_canary_is_one_then_five_then_twenty():
    """Whoever has heard nothing good for ten minutes begins with a handful."""
    state, allowed = replace(KNOWN, heard_at=NOON - HOUR), []
    for number, size in enumerate((*CANARY, 20)):
        turn, state = turn_of(state, size, now=NOON + number * MINUTE)
        allowed.append(sum(wait >= 0 for wait in turn.waits))
        state = ended(state, turn, "run#0", 1, 200, NO_LIMITS, NOON + number * MINUTE)
    assert allowed == [*CANARY, 20]
    assert state.canary == 0


def test_a_canary_that_a_short_run_has_left_begins_anew():
    """It sent six, hours ago: nobody knows whether the application works now."""
    state = replace(KNOWN, canary=CANARY[-1])
    assert turn_of(state, now=NOON + 10 * MINUTE)[1].canary == CANARY[-1]
    assert turn_of(state, now=NOON + 11 * MINUTE)[1].canary == 1


def test_a_larger_batch_lets_a_smaller_one_go_first_but_not_for_ever():
    """If it were cut at once, a run without any limit would leave something to the next one."""
    state = replace(KNOWN, canary=5)
    assert turn_of(state, size=20, waited=14)[0].ask_after
    assert turn_of(state, size=5, waited=0)[0].waits == [0] * 5
    assert turn_of(state, size=20, waited=15)[0].waits == [0] * 5 + [-1] * 15


def test_a_canary_that_was_not_sent_says_nothing():
    """A handful may follow it, and its lease is over."""
    state = replace(KNOWN, canary=1, leases={"run#0": Lease(size=1, until=NOON + HOUR)})
    after = unanswered(state, "run#0")
    assert (after.canary, after.leases) == (5, {})
    assert unanswered(KNOWN, "run#0").canary == 0


def test_an_application_that_seemed_down_begins_with_a_canary_and_a_slow_start():
    """Whatever it could take before, it may be weak now."""
    state = distrusted(replace(KNOWN, rate=90_000, refused=99_000))
    assert (state.canary, state.rate, state.refused) == (1, START, 0)


# -- whatever happens

_rates = st.integers(LOWEST, HIGHEST)
_times = st.integers(NOON - DAY, NOON + HOUR)
_limits = st.builds(
    Limits,
    max_per_second=st.none() | st.floats(0.01, 1000),
    max_in_flight=st.none() | st.integers(1, 100),
)
_paces = st.builds(
    Pace,
    rate=_rates,
    next_free=_times,
    blocked_until=_times,
    epoch=st.integers(0, 5),
    since=_times,
    answered=st.integers(0, 100),
    sustained=st.just(0) | _rates,
    refused=st.just(0) | _rates,
    probing=st.booleans(),
    pause=st.integers(SECOND, 15 * MINUTE),
    usual_ms=st.integers(0, 20_000),
    slow_ms=st.integers(0, 20_000),
    heard_at=st.just(0) | _times,
    canary=st.sampled_from((0, *CANARY)),
    leases=st.dictionaries(
        st.sampled_from(["other#0", "other#1"]), st.builds(Lease, size=st.integers(1, 40), until=_times)
    ),
    set_pace=st.none() | st.builds(SetPace, rate=_rates, by=st.just("bob"), at=st.just(NOON), until=_times),
)


def is_valid(state):
    """Whether a pace can be kept: numbers are whole, and within what DynamoDB and people can read."""
    fields = msgspec.structs.asdict(replace(state, leases={}, set_pace=None))
    whole = all(isinstance(value, int | str | None) for value in fields.values() if not isinstance(value, dict))
    again = msgspec.json.decode(msgspec.json.encode(state), type=Pace)
    return whole and again == state and "." not in json.dumps({**fields, "reason": None}) and state.rate >= 1


# What may happen to a pace: its name, which of two children it concerns, and a number.
_events = st.lists(
    st.tuples(
        st.sampled_from(["reserve", "reserve", "ended", "ended", "refused", "slow", "nothing sent", "distrust"]),
        st.integers(0, 1),
        st.integers(0, 30 * SECOND),
    ),
    max_size=60,
)


def happen(state, events, limits, clocks=(0, 0)):
    """Yield the pace, its turn if it is one, and the time, after each of the events; each child has a clock."""
    now, turns = NOON, [pace.Turn(), pace.Turn()]
    for kind, child, number in events:
        now += number
        local, owner, turn = now + clocks[child], f"run#{child}", turns[child]
        if kind == "reserve":
            turns[child], state = turn_of(state, owner=owner, limits=limits, now=local)
        elif kind == "refused":
            state = lower(state, turn.epoch, "http_429", number if number % 2 else None, local)
        elif kind == "nothing sent":
            state = unanswered(state, owner)
        elif kind == "distrust":
            state = distrusted(state)
        else:
            state = ended(state, turn, owner, 20, 20_000 if kind == "slow" else 200, limits, local)
        yield state, turns[child] if kind == "reserve" else None, local


@given(_rates, st.lists(st.tuples(st.integers(1, 20), st.integers(0, 3 * SECOND)), min_size=1, max_size=40))
@settings(deadline=None)
def test_no_window_takes_more_than_the_rate_and_one_batch(rate, batches):
    """Two children never reserve the same time."""
    state, now, sent = replace(KNOWN, rate=rate), NOON, []
    for number, (size, later) in enumerate(batches):
        now += later
        turn, state = turn_of(replace(state, heard_at=now), size, f"run#{number}", now=now)
        sent += sends(turn, now)
    sent.sort()
    for index, first in enumerate(sent):
        for last in range(index, len(sent)):
            window = (sent[last] - first) / SECOND
            assert last - index + 1 <= rate / SECOND * (window + 1) + 20


@given(_paces, _events, _limits, st.tuples(*[st.integers(-MINUTE, MINUTE)] * 2))
@settings(max_examples=300, deadline=None)
def test_a_pace_can_always_be_kept_and_is_never_above_its_limits(state, events, limits, clocks):
    """Whatever happens, in whatever order, with clocks that differ by up to two minutes."""
    for after, turn, now in happen(state, events, limits, clocks):
        assert is_valid(after)
        assert pace.effective_rate(after, limits, now) <= max(1, (limits.max_per_second or HIGHEST) * 1000)
        if turn and limits.max_in_flight and turn.waits and turn.leased:
            mine = sum(wait >= 0 for wait in turn.waits)
            assert mine <= limits.max_in_flight


@given(_paces, _events, _limits)
def test_leases_never_exceed_what_may_be_under_way(state, events, limits):
    """Those that have expired no longer count."""
    for after, turn, now in happen(replace(state, leases={}), events, limits):
        if turn and turn.leased and limits.max_in_flight:
            under_way = sum(lease.size for lease in after.leases.values() if lease.until > now)
            assert under_way <= limits.max_in_flight


@given(_paces, _limits, st.integers(-MINUTE, MINUTE))
def test_whoever_asks_gets_a_turn_within_the_window(state, limits, skew):
    """Nothing waits for ever: not for another clock, not for a lease, not for a slow pace."""
    waited, asked = 0.0, 0
    while True:
        now = NOON + skew + int(waited * SECOND)
        turn, state = turn_of(state, waited=waited, limits=limits, now=now)
        if turn.ask_after is None:
            break
        assert 1 <= turn.ask_after <= WINDOW_S
        waited, asked = waited + turn.ask_after, asked + 1
    assert asked <= WINDOW_S
    assert waited <= WINDOW_S
    assert turn.halted or len(turn.waits) == 20
    assert all(waited + wait <= WINDOW_S for wait in turn.waits)
    assert 0 <= turn.after < SECOND


@given(_paces, st.none() | st.integers(0, 10 * DAY), st.integers(-MINUTE, MINUTE))
def test_no_answer_blocks_for_more_than_an_hour(state, retry_after, skew):
    """Whoever says a year, by mistake or in another unit, must not stop us for a year."""
    now = NOON + skew
    after = refused(replace(state, blocked_until=0), now, retry_after=retry_after)
    assert after.blocked_until <= now + HOUR


@given(_paces, st.integers(0, 5), st.none() | st.integers(0, HOUR))
def test_an_answer_of_an_earlier_epoch_lowers_nothing(state, epoch, retry_after):
    """It only says how long."""
    state = replace(state, epoch=6)
    after = refused(state, NOON, epoch=epoch, retry_after=retry_after)
    assert (after.rate, after.refused, after.pause) == (state.rate, state.refused, state.pause)
    assert after.epoch == 6 + (after.blocked_until > state.blocked_until)


@given(_paces, _events)
@settings(max_examples=50, deadline=None)
def test_a_pace_recovers_with_good_answers(state, events):
    """However often it was refused, and however low it is."""
    for after, _, _ in happen(replace(state, set_pace=None), events, NO_LIMITS):
        state = after
    now = max(NOON, state.blocked_until) + 2 * HOUR
    state = replace(state, rate=LOWEST)
    waited = 0
    for _ in range(1000):
        turn, state = turn_of(state, waited=waited, now=now)
        waited = waited + turn.ask_after if turn.ask_after else 0
        if turn.ask_after is None:
            now += (turn.after + max(turn.waits) * SECOND) + 200
            state = ended(state, turn, "run#0", sum(wait >= 0 for wait in turn.waits), 200, NO_LIMITS, now)
        else:
            now += turn.ask_after * SECOND
    assert state.rate >= START
    assert state.canary == 0


@given(_paces)
def test_the_same_batch_may_ask_twice(state):
    """A Lambda that AWS repeats replaces its own lease."""
    _, once = turn_of(state)
    _, twice = turn_of(once)
    assert sum(owner == "run#0" for owner in twice.leases) <= 1

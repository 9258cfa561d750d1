"""The switches that limit what the reference application can take."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from sandbox.application.capacity import Capacity, LaneQueue, Lanes, Overload, TokenBucket
from sandbox.application.switches import SwitchBoard
from tests.fakes import FakeClock
from tests.integration.reference_application.system import status_and_code

# -- capacity


@pytest.fixture
def clock():
    return FakeClock(now=0)


def in_seconds(clock):
    return lambda: clock.now / 1000


def admitted(bucket, calls):
    """How many of these calls the bucket admits, all at the same moment."""
    return [bucket.take() for _ in range(calls)].count(None)


@pytest.mark.parametrize(("per_second", "room"), [(4, 4), (2.5, 2), (0.5, 1)])
def test_the_bucket_admits_one_seconds_worth_at_once_and_at_least_one_post(clock, per_second, room):
    """However long nobody has called."""
    bucket = TokenBucket(Capacity(per_second), in_seconds(clock))
    assert admitted(bucket, 10) == room
    clock.advance(60_000)
    assert admitted(bucket, 10) == room


def test_the_bucket_fills_steadily(clock):
    """A quarter of a second is one token of four a second; a refusal takes none."""
    bucket = TokenBucket(Capacity(4), in_seconds(clock))
    assert admitted(bucket, 5) == 4
    clock.advance(125)
    assert bucket.take() == Overload(429)
    clock.advance(125)
    assert admitted(bucket, 2) == 1
    clock.advance(500)
    assert admitted(bucket, 3) == 2


def test_a_post_that_finds_no_token_locks_everybody_out(clock):
    """Refusals during the lock-out do not prolong it, and the bucket fills meanwhile."""
    bucket = TokenBucket(Capacity(2, lockout=10, status=503), in_seconds(clock))
    assert admitted(bucket, 2) == 2
    clock.advance(125)
    assert bucket.take() == Overload(503)
    clock.advance(9_875)
    assert bucket.take() == Overload(503)
    clock.advance(125)
    assert admitted(bucket, 3) == 2
    clock.advance(9_875)
    assert admitted(bucket, 3) == 0


def test_a_lock_out_says_how_long_it_still_lasts(clock):
    """In whole seconds, rounded up, whatever the value of `retry_after`."""
    bucket = TokenBucket(Capacity(1, lockout=10, retry_after=30), in_seconds(clock))
    assert bucket.take() is None
    waits = []
    for milliseconds in (0, 125, 8_875, 999):
        clock.advance(milliseconds)
        waits.append(bucket.take().retry_after)
    assert waits == [10, 10, 1, 1]
    clock.advance(1)
    assert bucket.take() is None


def test_without_a_lock_out_a_refusal_says_what_the_switch_says(clock):
    """Rounded up, too."""
    bucket = TokenBucket(Capacity(1, retry_after=29.5), in_seconds(clock))
    assert [bucket.take() for _ in range(3)] == [None, Overload(429, 30), Overload(429, 30)]


def test_the_bucket_is_full_again_when_its_switch_is_set_and_only_then(clock):
    """Turning it off ends the lock-out."""
    board = SwitchBoard(in_seconds(clock))
    board.set({"capacity": {"per_second": 1, "lockout": 600}})
    assert [board.admit(), board.admit()] == [None, Overload(429)]
    board.set({"slow": 1})
    assert board.admit() == Overload(429)
    board.set({"capacity": {"per_second": 1, "lockout": 600}})
    assert [board.admit(), board.admit()] == [None, Overload(429)]
    board.set({"capacity": None})
    assert board.admit() is None


def test_a_post_above_the_capacity_is_refused_and_counted_but_not_processed(reference):
    """The next token would come after a thousand seconds. Other endpoints are not limited."""
    first, second = reference.create_failed("emails", 2)
    before = reference.app.stats()["refused"]
    reference.app.switch(capacity={"per_second": 0.001, "retry_after": 30})
    assert reference.post(first, "send.email", key="a").status_code == 202
    responses = [reference.post(second, "send.email", key="b") for _ in range(2)]
    assert [status_and_code(response) for response in responses] == [(429, "too_busy")] * 2
    assert [response.headers["Retry-After"] for response in responses] == ["30", "30"]
    row = reference.row(second)
    assert (row["state"], [payload["answered"] for payload in row["payloads"]]) == ("failed", [429, 429])
    assert reference.app.stats()["refused"] == before + 2
    reference.app.reset_switches()
    assert reference.post(second, "send.email", key="b").status_code == 202
    assert reference.app.stats()["refused"] == before + 2


def test_a_refusal_has_the_status_of_the_switch_and_no_retry_after_unless_asked_for(reference):
    """The application may be one that answers 503 while it is busy."""
    reference.app.switch(capacity={"per_second": 0.001, "lockout": 600, "status": 503})
    assert reference.post("nosuch", "send.email").status_code == 404
    refused = reference.post("nosuch", "send.email")
    assert status_and_code(refused) == (503, "too_busy")
    assert "Retry-After" not in refused.headers


# -- lanes


@given(
    number=st.integers(1, 4),
    seconds=st.integers(1, 5),
    gaps=st.lists(st.integers(0, 6), min_size=1, max_size=40),
)
def test_no_lane_ever_has_two_posts_none_is_idle_while_one_waits_and_all_keep_their_order(number, seconds, gaps):
    """Compared with lanes that are simulated one by one."""
    clock = FakeClock(now=0)
    queue = LaneQueue(Lanes(number, seconds), clock)
    free_at = [0] * number
    for gap in gaps:
        now = clock.advance(gap)
        lane = free_at.index(min(free_at))
        free_at[lane] = max(now, free_at[lane]) + seconds
        assert queue.reserve() == free_at[lane] - now


def test_two_lanes_take_two_posts_at_a_time(clock):
    """Half a second each makes four a second."""
    queue = LaneQueue(Lanes(number=2, seconds=0.5), in_seconds(clock))
    assert [queue.reserve() for _ in range(5)] == [0.5, 0.5, 1, 1, 1.5]
    clock.advance(1_250)
    assert [queue.reserve() for _ in range(2)] == [0.5, 0.75]


def test_no_more_than_a_thousand_posts_wait(clock):
    """The next one is refused at once, until one has left its lane."""
    queue = LaneQueue(Lanes(number=1, seconds=1), in_seconds(clock))
    for _ in range(1000):
        queue.reserve()
    assert queue.pass_through() == Overload(503)
    clock.advance(1_000)
    assert queue.reserve() == 1000
    assert queue.reserve() is None


def test_a_lane_that_is_free_processes_the_post_after_its_seconds(reference):
    """Then the lane is free for the next one."""
    reference.app.switch(lanes={"number": 1, "seconds": 0.05})
    assert [reference.post("nosuch", "send.email").status_code for _ in range(2)] == [404, 404]


@pytest.mark.parametrize("changes", [{"lanes": None}, {"lanes": {"number": 1000, "seconds": 0.01}}])
def test_changing_the_switch_lets_through_those_who_wait(reference, changes):
    """Here each would have been in its lane for ten minutes. A change of another switch leaves them where they are."""
    ids = reference.create_failed("emails", 3)
    reference.app.switch(lanes={"number": 1, "seconds": 600})
    with ThreadPoolExecutor(3) as pool:
        answers = post_and_wait_until_received(reference, pool, ids)
        reference.app.switch(worker_paused=True)
        assert [reference.row(id_)["state"] for id_ in ids] == ["failed"] * 3
        reference.app.switch(**changes)
        assert [answer.result().status_code for answer in answers] == [202] * 3


def test_a_post_that_waits_for_a_lane_is_processed_even_if_the_caller_hangs_up(reference):
    """The caller has long gone when its turn comes."""
    [id_] = reference.create_failed("emails")
    reference.app.switch(lanes={"number": 1, "seconds": 600})
    reference.post_and_hang_up(id_, "send.email")
    assert reference.row(id_)["state"] == "failed"
    reference.app.reset_switches()
    reference.wait_for_row(id_, sent=1)


def test_an_application_that_stops_waits_for_nobody_in_the_lanes(start_reference):
    """It ends by itself, the callers get no answer, and nothing is processed."""
    reference = start_reference(rounds=1, requeue_after=0.05)
    ids = reference.create_failed("emails", 2)
    reference.app.switch(lanes={"number": 1, "seconds": 600})
    with ThreadPoolExecutor(2) as pool:
        answers = post_and_wait_until_received(reference, pool, ids)
        process = reference.app._process
        reference.app.stop()
        assert [type(answer.exception()) for answer in answers] == [requests.ConnectionError] * 2
    assert process.returncode == 0
    assert "Traceback" not in reference.app.log.read_text()
    reference.app.start()
    assert [reference.row(id_)["state"] for id_ in ids] == ["failed"] * 2


def post_and_wait_until_received(reference, pool, ids):
    """POST these emails at once, and return the future answers as soon as the application has received all POSTs."""
    received = reference.app.stats()["payloads"]
    answers = [pool.submit(reference.post, id_, "send.email", key="a") for id_ in ids]
    reference.app.wait_for_stats(payloads=received + len(ids))
    return answers


# -- both


@pytest.mark.parametrize(
    "switches",
    [
        {"capacity": {}},
        {"capacity": {"per_second": 0}},
        {"capacity": {"per_second": 1, "lockout": -1}},
        {"capacity": {"per_second": 1, "status": 202}},
        {"capacity": {"per_second": 1, "lock_out": 1}},
        {"lanes": {"number": 0, "seconds": 1}},
        {"lanes": {"number": 1, "seconds": 0}},
        {"lanes": {"number": 1}},
    ],
)
def test_a_limit_that_makes_no_sense_is_refused_and_changes_nothing(reference, switches):
    """The answer is a 400 that names the field."""
    response = reference.app.request("POST", "/switches", json=switches)
    assert status_and_code(response) == (400, "invalid_request")
    assert set(reference.app.request("GET", "/switches").json().values()) == {None}

"""The switches that limit what the reference application can take."""

import pytest

from sandbox.application.capacity import Capacity, Overload, TokenBucket
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


@pytest.mark.parametrize(
    "switches",
    [
        {"capacity": {}},
        {"capacity": {"per_second": 0}},
        {"capacity": {"per_second": 1, "lockout": -1}},
        {"capacity": {"per_second": 1, "status": 202}},
        {"capacity": {"per_second": 1, "lock_out": 1}},
    ],
)
def test_a_limit_that_makes_no_sense_is_refused_and_changes_nothing(reference, switches):
    """The answer is a 400 that names the field."""
    response = reference.app.request("POST", "/switches", json=switches)
    assert status_and_code(response) == (400, "invalid_request")
    assert set(reference.app.request("GET", "/switches").json().values()) == {None}

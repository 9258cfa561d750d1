"""The benchmark of sending, `make bench-send`."""

import pytest

from benchmarks import send
from benchmarks.processes import server


def test_the_ratio_of_the_benchmark_is_that_of_the_median_round():
    """A round that something else has disturbed does not count."""
    assert send.ratio({"floor": [4.0, 4.0, 1.0], "handler": [5.0, 4.8, 9.0]}) == pytest.approx(1.25)


def test_the_benchmark_sends_every_communication_with_both_sides():
    """Each must have been claimed, POSTed and recorded as accepted; otherwise measuring fails."""
    with server("benchmarks.endpoints") as url:
        rounds = send.sending(url, 1)
    assert {side: len(each) for side, each in rounds.items()} == {"floor": 1, "handler": 1}

"""The bounds that the collector's benchmark, `make bench-collect`, checks."""

import pytest

from benchmarks.collect import exceeded


@pytest.mark.parametrize(
    ("seconds", "megabytes", "expected"),
    [
        (15.0, 200.0, []),
        (15.1, 200.0, ["1.51 times the bare loop at 1,000"]),
        (10.0, 201.0, ["201 MB at 1,000"]),
        (20.0, 300.0, ["2.00 times the bare loop at 1,000", "300 MB at 1,000"]),
    ],
)
def test_the_collectors_benchmark_reports_each_exceeded_bound(seconds, megabytes, expected):
    """The bounds are 1.5 times the time of the bare loop, and 200 MB."""
    loop = {"seconds": 10.0, "megabytes": 50.0}
    assert exceeded(1000, loop, {"seconds": seconds, "megabytes": megabytes}) == expected

"""The limit that the benchmark of the report, `make bench-report`, checks."""

from benchmarks.report import MAX_MB, exceeded


def test_the_benchmark_reports_what_exceeds_its_limit():
    """The limit is 200 MB."""
    assert exceeded("report", MAX_MB) == []
    assert exceeded("report", MAX_MB + 1) == ["201 MB for report"]

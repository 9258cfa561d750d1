"""Metrics in CloudWatch's embedded metric format: each is a line in the function's log, and costs no call.

They are for graphs and alarms. A repeated task counts twice here; the ledger tells the truth.
"""

from collections import Counter
from collections.abc import Iterable

from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from chalicelib.models import SCHEDULE, Outcome, Run

NAMESPACE = "CommsReprocess"

# How far the worklist is counted: beyond, its size is at least this, and the alarm has rung long before.
MOST_COUNTED = 10_000


def batch_ended(prefix: str, outcomes: Iterable[Outcome]) -> None:
    """Put out how many communications ended how, for each operation: `accepted`, `failed` and so on."""
    by_operation: dict[str, Counter[str]] = {}
    for each in outcomes:
        by_operation.setdefault(each.operation, Counter())[each.outcome] += 1
    for operation, counts in by_operation.items():
        metrics = _metrics(prefix)
        metrics.add_dimension("operation", operation)
        for outcome, number in counts.items():
            metrics.add_metric(outcome, MetricUnit.Count, number)
        metrics.flush_metrics()


def collected(prefix: str, run: Run | None, worklist: int, now: int) -> None:
    """Put out that a scheduled collector has come to its end, and what it saw (`run` is None if it was not its turn).

    One that could not list has not completed. The age in seconds is that of the oldest failure that no person has
    ruled on; `worklist` counts the communications that need a person.
    """
    failed = run is not None and run.status == "failed"
    metrics = _metrics(prefix)
    metrics.add_metric("CollectorCompleted", MetricUnit.Count, 0 if failed else 1)
    metrics.add_metric("WorklistSize", MetricUnit.Count, worklist)
    if run and not failed:
        age = max(0, now - run.oldest) / 1000 if run.oldest is not None else 0
        metrics.add_metric("OldestFailureAge", MetricUnit.Seconds, age)
    if failed:
        metrics.add_metric("RunsFailed", MetricUnit.Count, 1)
    metrics.flush_metrics()


def run_ended(prefix: str, run: Run) -> None:
    """Put out how long a run took, from its beginning to its report, and whether it failed."""
    metrics = _metrics(prefix)
    metrics.add_metric("RunsFailed", MetricUnit.Count, 1 if run.status == "failed" else 0)
    metrics.add_metric("RunDuration", MetricUnit.Milliseconds, (run.ended_at or run.requested_at) - run.requested_at)
    metrics.add_metadata("run_id", run.run_id)
    metrics.add_metadata("trigger", SCHEDULE if run.trigger == SCHEDULE else "request")
    metrics.flush_metrics()


def _metrics(prefix: str) -> EphemeralMetrics:
    return EphemeralMetrics(namespace=NAMESPACE, service=prefix)

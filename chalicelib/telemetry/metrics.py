"""Metrics in CloudWatch's embedded metric format: each is a line in the function's log, so it costs no call.

They are for graphs and alarms. A task that is repeated counts twice here; the ledger is exact.
"""

from collections import Counter
from collections.abc import Iterable

from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from chalicelib.models.outcomes import OutcomeRecord
from chalicelib.models.runs import Run, RunKind, RunStatus

NAMESPACE = "CommsReprocess"

# How far the worklist is counted. Beyond that its size is at least this, and the alarm went off long before.
MAX_WORKLIST_COUNT = 10_000


def batch_ended(prefix: str, records: Iterable[OutcomeRecord]) -> None:
    """Emit how many communications ended with which outcome, for each operation, and how many POSTs were refused.

    Those are of all operations together: each operation of a metric costs as much as another metric.
    """
    by_operation: dict[str, Counter[str]] = {}
    refused = 0
    for record in records:
        refused += record.refused
        by_operation.setdefault(record.operation, Counter())[record.outcome.value] += 1
    for operation, counts in by_operation.items():
        metrics = _metrics(prefix)
        metrics.add_dimension("operation", operation)
        for outcome, number in counts.items():
            metrics.add_metric(outcome, MetricUnit.Count, number)
        metrics.flush_metrics()
    if refused:
        metrics = _metrics(prefix)
        metrics.add_metric("PostsRefused", MetricUnit.Count, refused)
        metrics.flush_metrics()


def collector_ended(
    prefix: str, run: Run | None, worklist_size: int, rate: int, now: int, *, paused: bool = False
) -> None:
    """Emit that a scheduled collector has ended, and what it saw. `run` is None if it did not start one.

    `rate` is the pace, in communications in 1,000 seconds.
    A collector that could not list has not completed, nor has one that did nothing because the schedule is paused. The
    age is that of the oldest failure, in seconds, without those that are for people to decide; without all lists,
    nobody knows it.
    """
    failed = run is not None and run.status == RunStatus.FAILED
    metrics = _metrics(prefix)
    metrics.add_metric("CollectorCompleted", MetricUnit.Count, 0 if failed or paused else 1)
    metrics.add_metric("WorklistSize", MetricUnit.Count, worklist_size)
    metrics.add_metric("PacePerSecond", MetricUnit.CountPerSecond, rate / 1000)
    if run and not failed and not run.list_errors:
        age = max(0, now - run.oldest) / 1000 if run.oldest is not None else 0
        metrics.add_metric("OldestFailureAge", MetricUnit.Seconds, age)
    metrics.flush_metrics()


def run_ended(prefix: str, run: Run, rate: int | None = None) -> None:
    """Emit how long a run took, from its start to its report, and whether it failed. For a bulk run, only the latter.

    `rate` is the pace then, in communications in 1,000 seconds; None leaves it out.
    """
    metrics = _metrics(prefix)
    metrics.add_metric("RunsFailed", MetricUnit.Count, 1 if run.status == RunStatus.FAILED else 0)
    if run.kind == RunKind.REPROCESS:
        took = (run.ended_at or run.requested_at) - run.requested_at
        metrics.add_metric("RunDuration", MetricUnit.Milliseconds, took)
    if rate is not None:
        metrics.add_metric("PacePerSecond", MetricUnit.CountPerSecond, rate / 1000)
    metrics.add_metadata("run_id", run.run_id)
    metrics.add_metadata("trigger", run.trigger.value)
    metrics.flush_metrics()


def _metrics(prefix: str) -> EphemeralMetrics:
    return EphemeralMetrics(namespace=NAMESPACE, service=prefix)

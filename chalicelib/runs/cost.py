"""The one model of how long a run takes and what it costs: for the dry run, benchmarks/cost.py and docs/operate.md.

It counts what a run in which everything goes well asks AWS for; a test compares the counts with those of a real run.
The communications of a batch are sent side by side, so a batch takes as long as one of them.
"""

import math
from collections.abc import Iterable, Mapping

import msgspec

from chalicelib.ledger.pace import CANARY
from chalicelib.models.outcomes import Outcome
from chalicelib.models.runs import Run
from chalicelib.runs.prices import ALARM_METRIC, CUSTOM_METRIC, PRICES, SECRET
from chalicelib.settings import Settings

# How long a POST takes where no run has measured it. Milliseconds.
ASSUMED_POST_MS = 200.0

# Assumptions, in seconds. A call of `reprocess` beside its POST: the claim and the answer. A call of `begin`. A call of
# `record`. A child workflow beside these three: its start, its transitions. A page of a list. The start of the
# execution, the report and the mail.
_LEDGER_S, _BEGIN_S, _RECORD_S, _CHILD_S, _PAGE_S, _RUN_S = 0.05, 0.05, 0.1, 0.45, 0.3, 5.0
_REPORT_S_PER_BATCH = 0.0005

# Communications on a page of a list.
_PER_PAGE = 200

# In GB: the memory of the functions in .chalice/config.json, and of an EXPRESS workflow, billed in steps of 64 MB.
_SMALL_FUNCTION, _LARGE_FUNCTION, _CHILD_MEMORY = 0.25, 0.5, 0.0625

# Bytes that a call logs: our line, and Lambda's START, END and REPORT; `record` also writes metrics.
_REPROCESS_LOG, _RECORD_LOG = 800, 1600

# Bytes that stay: a communication's item and a batch's item in the table, with the 100 bytes that each item costs
# beside its content (Amazon DynamoDB pricing page, "Data storage"), and a manifest's entry.
_COMMUNICATION_ITEM, _BATCH_ITEM, _MANIFEST_ENTRY = 600, 3100, 200

# How long S3 keeps manifests, and CloudWatch keeps log lines (see deployment): months of 30 days.
_BUCKET_MONTHS, _LOG_MONTHS, _MONTH_MS = 3, 1, 30 * 86_400_000

# Calls of the API for a run: somebody starts it, looks how it goes, and reads about it.
_API_CALLS = 20

# Who uses the table in a run: collector, state machine, `reprocess`, `record`, `report`. DynamoDB asks KMS for the
# table's key once in five minutes for each (Amazon DynamoDB Developer Guide, "DynamoDB encryption at rest: How it
# works", "Table key caching"); SNS twice for each mail.
_TABLE_USERS, _KEY_CACHE_S, _KMS_PER_MAIL = 5, 300, 2

_MAILS = 3

# A scan of the schedule that finds nothing to send: how many there are in a month of 30 days if the schedule is
# `rate(15 minutes)`, how often each reads and writes the table, and how long the collector takes beside its pages. It
# writes the situation once and reads it twice, which has this many KB with twenty causes and the log of a day.
_SCANS, _SCAN_READS, _SCAN_WRITES, _SCAN_S, _SITUATION_KB = 2880, 14, 6, 1.0, 14

# X-Ray's default rule traces one request each second and 5% of the others (X-Ray Developer Guide, "Configuring sampling
# rules").
_TRACED_SHARE = 0.05


class Estimate(msgspec.Struct, frozen=True):
    """What a run takes. `post_ms` is how long a POST takes, and `measured` whether runs have measured that.

    `per_second` is the pace, if the run would be faster without it.
    """

    batches: int
    seconds: int
    dollars: float
    post_ms: float
    measured: bool
    per_second: float | None = None


def estimate(
    communications: int, settings: Settings, measured_ms: float | None = None, per_second: float | None = None
) -> Estimate:
    """Return what a run takes; `measured_ms` is how long a POST takes, None if that is not known.

    `per_second` is the pace that the run has to live with, None if that rises.
    """
    post_ms = ASSUMED_POST_MS if measured_ms is None else measured_ms
    duration = seconds(communications, settings, post_ms, per_second)
    limit = per_second if duration > seconds(communications, settings, post_ms) else None
    return Estimate(
        batches=batches(communications, settings),
        seconds=math.ceil(duration),
        dollars=round(sum(bill(usage(communications, settings, post_ms, limit)).values()), 6),
        post_ms=post_ms,
        measured=measured_ms is not None,
        per_second=limit,
    )


def measured_post_ms(runs: Iterable[Run]) -> float | None:
    """Return how long a POST took on average in the given runs, in milliseconds; None if none of them measured it."""
    known = [run for run in runs if run.posts]
    return sum(run.post_ms for run in known) / sum(run.posts for run in known) if known else None


def batches(communications: int, settings: Settings) -> int:
    """Return how many batches some communications make, with the smaller ones that a run begins with."""
    size, first = settings.communications_per_batch, 0
    for number, canary in enumerate(CANARY):
        if first >= communications:
            return number
        first += min(canary, size)
    return len(CANARY) + math.ceil(max(0, communications - first) / size)


def seconds(communications: int, settings: Settings, post_ms: float, per_second: float | None = None) -> float:
    """Return how long a run takes, in seconds; 0 if there is nothing to send."""
    if not communications:
        return 0.0
    # The first batches wait for one another.
    number = batches(communications, settings)
    rounds = min(number, len(CANARY)) + math.ceil(max(0, number - len(CANARY)) / settings.batches_at_once)
    sending = max(rounds * _child_seconds(post_ms), _paced_seconds(communications, per_second))
    return _RUN_S + _pages(communications) * _PAGE_S + sending


def seconds_left(communications: int, settings: Settings, post_ms: float, per_second: float | None) -> float:
    """Return how long a run that is under way takes for the communications that it has still to send, in seconds."""
    number = math.ceil(communications / settings.communications_per_batch)
    rounds = math.ceil(number / settings.batches_at_once)
    return max(rounds * _child_seconds(post_ms), _paced_seconds(communications, per_second))


def _paced_seconds(communications: int, per_second: float | None) -> float:
    return communications / per_second if per_second else 0.0


def _pages(communications: int) -> int:
    return math.ceil(communications / _PER_PAGE)


def _child_seconds(post_ms: float) -> float:
    return _CHILD_S + _BEGIN_S + _reprocess_seconds(post_ms) + _RECORD_S


def _reprocess_seconds(post_ms: float) -> float:
    return _LEDGER_S + post_ms / 1000


def requests(communications: int, batches: int) -> dict[str, int]:
    """Return how often a run in which everything goes well asks AWS for what.

    A communication: one call of `reprocess`, with a claim and an answer. A batch: one call of `begin`, which looks at
    the switch and reserves its time, and one of `record`, which reads the communications, resets the breaker, writes
    the outcomes and adds to the progress. Left out is what `record` tells the pace: a read and a write, but only for a
    batch that had to wait, or that has something new to say.
    """
    return {
        "begin": batches,
        "reprocess": communications,
        "record": batches,
        "report": 1,
        "dynamodb:UpdateItem by reprocess": 2 * communications,
        "dynamodb:GetItem by begin": 2 * batches,
        "dynamodb:UpdateItem by begin": batches,
        "dynamodb:BatchGetItem by record": batches,
        "dynamodb:UpdateItem by record": 2 * batches,
        "dynamodb:PutItem by record": batches,
    }


def usage(communications: int, settings: Settings, post_ms: float, per_second: float | None = None) -> dict[str, float]:
    """Return how much a run uses of everything that has a price; `per_second` is the pace, if that limits it."""
    if not communications:
        return dict.fromkeys(PRICES, 0.0)
    number = batches(communications, settings)
    calls = requests(communications, number)
    sending = communications * _reprocess_seconds(post_ms) + number * (_BEGIN_S + _RECORD_S)
    collecting = _pages(communications) * _PAGE_S
    reporting = number * _REPORT_S_PER_BATCH
    duration = seconds(communications, settings, post_ms, per_second)
    # Children wait for the pace, as many as run side by side.
    waiting = _paced_seconds(communications, per_second) * settings.batches_at_once
    logged = (communications * _REPROCESS_LOG + number * _RECORD_LOG) / 1e9
    return (
        _storage(communications, number, settings)
        | _table(communications, number, per_second)
        | {
            # The collector is the one call that `calls` does not list.
            "lambda_requests": calls["begin"] + calls["reprocess"] + calls["record"] + calls["report"] + 1,
            "lambda_gb_seconds": sending * _SMALL_FUNCTION + (collecting + reporting) * _LARGE_FUNCTION,
            # The parent has nine transitions, and one for each child (Step Functions Developer Guide, "Map state").
            "standard_transitions": number + 9,
            "express_requests": number,
            "express_gb_seconds": max(number * _child_seconds(post_ms), waiting) * _CHILD_MEMORY,
            "s3_puts": 10 + number / 1000,
            "s3_gets": 10,
            "log_gb": logged,
            "log_gb_months": logged * _LOG_MONTHS,
            "traces": min(number, number * _TRACED_SHARE + duration),
            "mails": _MAILS,
            "api_requests": _API_CALLS,
            "kms_requests": _TABLE_USERS * math.ceil(duration / _KEY_CACHE_S) + _KMS_PER_MAIL * _MAILS,
        }
    )


def _table(communications: int, batches: int, per_second: float | None) -> dict[str, float]:
    """Return the units that a run takes of the table; `per_second` is the pace that limits it, if one does."""
    # What waits for its turn looks whether its reservation still holds.
    looks = 0 if per_second is None else communications
    return {
        # A communication's item has less than 1 KB and is in no index: a claim and an answer write one unit each. The
        # outcomes of a batch of 20 have 3 KB; pace and breaker take 1 each, the progress 3, as it is in two indexes.
        "dynamodb_writes": 2 * communications + batches * (3 + 1 + 1 + 3),
        # Strongly consistent, up to 4 KB: the collector and `record` read each communication. `begin` reads the switch
        # and the pace, the report what became of the batch.
        "dynamodb_reads": 2 * communications + looks + 5 * batches,
    }


def _storage(communications: int, batches: int, settings: Settings) -> dict[str, float]:
    """Return what a run leaves behind until it expires."""
    months = settings.retention_ms / _MONTH_MS
    items = (communications * _COMMUNICATION_ITEM + batches * _BATCH_ITEM) / 1e9 * months
    manifest = communications * _MANIFEST_ENTRY / 1e9 * _BUCKET_MONTHS
    return {"table_gb_months": items, "backup_gb_months": items, "s3_gb_months": manifest}


def bill(used: Mapping[str, float]) -> dict[str, float]:
    """Return what each item of a usage costs, in US dollars."""
    return {name: number * PRICES[name].dollars for name, number in used.items()}


def monthly(operations: int) -> dict[str, float]:
    """Return what a month costs in US dollars, whether anything fails or not, for so many operations.

    The schedule is `rate(15 minutes)`.
    """
    # An outcome of an operation is a metric, and each alarm watches one: a formula is billed by the metrics in it, and
    # that of `worklist-growing` has one (Amazon CloudWatch User Guide, "Metrics concepts", and its pricing page).
    metrics, alarm_metrics = 7 + len(Outcome) * operations, 6
    return {
        f"{metrics} custom metrics": metrics * CUSTOM_METRIC.dollars,
        f"{alarm_metrics} metrics of alarms": alarm_metrics * ALARM_METRIC.dollars,
        "a secret": SECRET.dollars,
        f"{_SCANS:,} scans that find nothing to send": _SCANS * sum(bill(_scan(operations)).values()),
    }


def _scan(operations: int) -> dict[str, float]:
    """Return what a scan of the schedule uses that finds nothing to send."""
    return {
        "lambda_requests": 1,
        "lambda_gb_seconds": (_SCAN_S + operations * _PAGE_S) * _LARGE_FUNCTION,
        # A unit for each KB; everything else is small, but runs are also in an index.
        "dynamodb_writes": 2 * (_SCAN_WRITES - 1) + _SITUATION_KB,
        # A unit for each 4 KB.
        "dynamodb_reads": _SCAN_READS - 2 + 2 * math.ceil(_SITUATION_KB / 4),
    }

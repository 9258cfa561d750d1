"""What a run takes, about: one formula for its time and one for its price, and the only place with AWS's prices."""

import math

from chalicelib.executions import batch_size, concurrency
from chalicelib.settings import Settings

# US dollars, us-east-1, on-demand, without free tiers, as listed in November 2026 at
# https://aws.amazon.com/lambda/pricing/ (x86), https://aws.amazon.com/step-functions/pricing/,
# https://aws.amazon.com/dynamodb/pricing/on-demand/
LAMBDA_REQUEST = 0.20 / 1e6
LAMBDA_GB_SECOND = 0.0000166667
TRANSITION = 0.025 / 1e3
EXPRESS_REQUEST = 1.00 / 1e6
EXPRESS_GB_SECOND = 0.00001667
WRITE_UNIT = 0.625 / 1e6
READ_UNIT = 0.125 / 1e6

BASIS = "us-east-1 list prices, no free tier; one second for each POST, no retries"

# How long the application takes for a POST, and the Lambda around it: a guess that errs on the slow side. Seconds.
POST_SECONDS = 1.0
# Starting a child workflow, looking at the switch and recording the batch; starting the execution and the report.
BATCH_SECONDS, RUN_SECONDS = 1.0, 5.0

# The memory of reprocess and record in .chalice/config.json, and what Step Functions bills a small child (64 MB). GB.
_MEMORY, _CHILD_MEMORY = 0.25, 0.0625
# The claim and the answer; an item of 20 history entries is some 2 kB, and a unit of writing takes 1 kB.
_WRITES = 4
# A batch's switch, its communications, its record and the run's counters.
_BATCH_WRITES, _BATCH_READS = 6, 22
# The states of the parent, and what a distributed Map is charged for: each child that it starts.
_PARENT_TRANSITIONS = 5


def batches(number: int, settings: Settings) -> int:
    """Return how many batches `number` communications make."""
    return math.ceil(number / batch_size(settings))


def seconds(number: int, settings: Settings) -> int:
    """Return how long a run of `number` communications takes, about, in seconds; 0 if there is nothing to send."""
    if not number:
        return 0
    waves = math.ceil(batches(number, settings) / concurrency(settings)["batches"])
    return math.ceil(RUN_SECONDS + waves * (POST_SECONDS + BATCH_SECONDS))


def dollars(number: int, settings: Settings) -> float:
    """Return what AWS charges for a run of `number` communications, about, in US dollars."""
    if not number:
        return 0.0
    each = LAMBDA_REQUEST + POST_SECONDS * _MEMORY * LAMBDA_GB_SECOND + _WRITES * WRITE_UNIT
    child = EXPRESS_REQUEST + (POST_SECONDS + BATCH_SECONDS) * _CHILD_MEMORY * EXPRESS_GB_SECOND + TRANSITION
    recorded = LAMBDA_REQUEST + _MEMORY * LAMBDA_GB_SECOND + _BATCH_WRITES * WRITE_UNIT + _BATCH_READS * READ_UNIT
    return round(number * each + batches(number, settings) * (child + recorded) + _PARENT_TRANSITIONS * TRANSITION, 6)

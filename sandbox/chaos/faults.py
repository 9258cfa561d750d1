"""The faults of the experiment, all under load.

A broken application, killed functions, duplicate invocations, throttled calls of AWS, lost answers and cancelled
transactions of DynamoDB, and a manifest that somebody deletes.
"""

import random
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from itertools import cycle
from typing import Any

from sandbox.chaos.load import (
    BulkUser,
    WorklistUser,
    approve,
    cause_ids,
    pause_for_a_while,
    request_run,
    set_pace,
    waiting_runs,
)
from sandbox.deployed import PREFIX
from sandbox.system import System

# The application's switches, most of them for POST /communications, one after another; `share` is the share of the
# calls that are hit.
_FAULTS: tuple[dict[str, Any], ...] = (
    {"status": {"value": 429, "share": 0.3}},
    {"status": {"value": 422, "share": 0.3}},
    {"capacity": {"per_second": 20, "lockout": 1, "retry_after": 1}},
    {"status_after": {"value": 500, "share": 0.3}},
    {"cut": {"value": "after", "share": 0.3}},
    {"status_after": {"value": 502, "share": 0.3}},
    {"slow": {"value": 3.5, "share": 0.1}},
    {"cut": {"value": "before", "share": 0.3}},
    {"status_after": {"value": 504, "share": 0.3}},
    {"accepts_but_never_sends": {"value": True, "share": 0.5}},
    {"status": 401},
    {"lists_down": True},
    {"status": 503},
)
# The paces that people set by hand, one after another; None gives it back.
_PACES = (200, 20, None)

# In seconds.
_FAULT_INTERVAL = 3.0
_KILL_INTERVAL = 1.0
_COLLECTOR_KILL_INTERVAL = 1.7
_RUN_INTERVAL = 7.0
_BULK_INTERVAL = 9.0

_REPROCESS, _RECORD, _COLLECTOR = f"{PREFIX}-reprocess", f"{PREFIX}-record", f"{PREFIX}-collector"
_DUPLICATES = 0.1  # the share of invocations that are duplicated
_THROTTLED = 0.05  # the share of the calls of each AWS service that are throttled
_ANSWERS_LOST = 0.02  # the share of DynamoDB's answers that are lost
_CONFLICTS = 0.03  # the share of DynamoDB's updates and transactions that meet another transaction
_APPROVALS_THROTTLED = 0.5
_SEND_TASK = ("AWSStepFunctions.SendTaskSuccess", "AWSStepFunctions.SendTaskFailure")

_PEOPLE = 20
_REQUESTED = 150  # communications, so that some requested runs end while everything is broken

_DYNAMODB_FAULTS = {
    "throttled": "calls of DynamoDB throttled",
    "conflict": "writes of DynamoDB in conflict",
    "answer_lost": "answers of DynamoDB lost",
}

_SEED = 20261120


def inject(system: System, seconds: float, cool_down: float) -> Counter[str]:
    """Break what can break while runs overlap; return how often each fault has hit."""
    counts: Counter[str] = Counter()
    operator, approver = system.token("operator", "chaos"), system.token("approver", "order")
    # Requests of many people, because those of one person soon need approval.
    crowd = cycle([system.token("operator", f"person {number}") for number in range(_PEOPLE)])
    switches, stopping, paces = cycle(_FAULTS), threading.Event(), cycle(_PACES)
    worklist, bulk = WorklistUser(system, operator), BulkUser(system, operator)
    _disturb(system, counts)
    actions = [
        (_FAULT_INTERVAL, lambda: _break_application(system, next(switches))),
        (_KILL_INTERVAL, lambda: counts.update({"functions killed": system.aws.lambdas.kill_one(_REPROCESS)})),
        (_COLLECTOR_KILL_INTERVAL, lambda: _kill_collector(system, counts)),
        (_RUN_INTERVAL, system.fire),
        (_RUN_INTERVAL * 1.5, system.fire),
        (1.0, lambda: request_run(system, next(crowd), stopping, operation="send.sms", limit=_REQUESTED)),
        (2.0, lambda: request_run(system, next(crowd), stopping, includeManual=True, limit=_REQUESTED)),
        (_RUN_INTERVAL, lambda: _prove(system, next(crowd), stopping)),
        (2.0, worklist.decide),
        (_BULK_INTERVAL, bulk.decide),
        (_RUN_INTERVAL * 3, lambda: pause_for_a_while(system, operator, stopping)),
        (_FAULT_INTERVAL, lambda: set_pace(system, operator, next(paces))),
        # Later than the cool-down of what other runs have sent meanwhile.
        (cool_down + 1, lambda: _approve(system, approver, counts)),
    ]
    with ThreadPoolExecutor(len(actions)) as pool:
        repetitions = [pool.submit(_repeat, interval, stopping, action) for interval, action in actions]
        try:
            wait(repetitions, seconds, FIRST_EXCEPTION)
        finally:
            stopping.set()
    for repetition in repetitions:
        repetition.result()  # An action that failed has tested nothing since.
    _calm_down(system, counts)
    return counts


def _disturb(system: System, counts: Counter[str]) -> None:
    """Make AWS unreliable: it invokes functions twice, throttles calls, and loses answers."""
    system.aws.lambdas.deliver_twice = _duplicates(counts)
    system.aws.lambdas.throttle = _sometimes(_THROTTLED, "calls of Lambda throttled", counts)
    rarely = _sometimes(_APPROVALS_THROTTLED, "decisions throttled", counts)
    system.aws.dispatcher.throttle = lambda target: target in _SEND_TASK and rarely(target)
    system.aws.dynamodb.disturb(throttled=_THROTTLED, conflict=_CONFLICTS, answer_lost=_ANSWERS_LOST)


def _calm_down(system: System, counts: Counter[str]) -> None:
    system.aws.lambdas.deliver_twice = system.aws.lambdas.throttle = lambda _name: False
    system.aws.dispatcher.throttle = lambda _target: False
    for hit, number in system.aws.dynamodb.disturb().items():
        fault, operation = hit.split()
        counts[_DYNAMODB_FAULTS[fault]] += number
        if operation == "TransactWriteItems":
            counts["transactions disturbed"] += number
    system.application.reset_switches()


def _kill_collector(system: System, counts: Counter[str]) -> None:
    """Kill a collector wherever it is. Its event is delivered again, because the next try of ours is minutes later."""
    counts["collectors killed"] += system.aws.lambdas.kill_and_repeat(_COLLECTOR)


def _prove(system: System, token: str, stopping: threading.Event) -> None:
    """Request a run that proves that the most frequent cause is fixed, whether it is or not."""
    for cause in cause_ids(system, token)[:1]:
        request_run(system, token, stopping, cause=cause, prove=True)


def _sometimes(share: float, name: str, counts: Counter[str]) -> Callable[[str], bool]:
    """Return a function that is true for a share of its calls, and counts them."""
    generator = random.Random(_SEED)  # noqa: S311 (no secret)

    def hits(_subject: str) -> bool:
        hit = generator.random() < share
        counts[name] += hit
        return hit

    return hits


def _approve(system: System, token: str, counts: Counter[str]) -> None:
    """Approve what waits. The first run has lost its manifest by then: it can neither send nor be added up."""
    for run_id in waiting_runs(system, token):
        if not counts["manifests deleted"]:
            _delete_manifest(system, run_id)
            counts["manifests deleted"] = 1
        approve(system, token, run_id)


def _delete_manifest(system: System, run_id: str) -> None:
    manifest = system.client("dynamodb").get_item(
        TableName=PREFIX, Key={"pk": {"S": f"RUN#{run_id}"}, "sk": {"S": "RUN"}}
    )["Item"]["manifest"]["S"]
    s3 = system.client("s3")
    for bucket in s3.list_buckets()["Buckets"]:
        s3.delete_object(Bucket=bucket["Name"], Key=manifest)


def _duplicates(counts: Counter[str]) -> Callable[[str], bool]:
    """Return a function that decides which invocations are duplicated, and counts them."""
    generator = random.Random(_SEED)  # noqa: S311 (no secret)

    def is_duplicated(name: str) -> bool:
        duplicated = name in (_REPROCESS, _RECORD) and generator.random() < _DUPLICATES
        counts["functions invoked twice"] += duplicated
        return duplicated

    return is_duplicated


def _break_application(system: System, switches: dict[str, Any]) -> None:
    system.application.reset_switches()
    system.application.switch(**switches)


def _repeat(seconds: float, stopping: threading.Event, action: Callable[[], object]) -> None:
    """Repeat an action after this many seconds each, until `stopping` is set."""
    while not stopping.wait(seconds):
        action()

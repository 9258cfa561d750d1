"""The faults of the experiment: a broken application, killed functions and duplicate invocations, all under load."""

import random
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from itertools import cycle
from typing import Any

from sandbox.chaos.load import approve_waiting_runs, request_run
from sandbox.deployed import PREFIX
from sandbox.system import System

# The switches for POST /communications, one after another; `share` is the share of the calls that are hit.
_FAULTS: tuple[dict[str, Any], ...] = (
    {"status": {"value": 429, "share": 0.3}},
    {"status_after": {"value": 500, "share": 0.3}},
    {"cut": {"value": "after", "share": 0.3}},
    {"status_after": {"value": 502, "share": 0.3}},
    {"slow": {"value": 3.5, "share": 0.1}},
    {"cut": {"value": "before", "share": 0.3}},
    {"status_after": {"value": 504, "share": 0.3}},
    {"status": 401},
    {"status": 503},
)
# In seconds.
_FAULT_INTERVAL = 3.0
_KILL_INTERVAL = 1.0
_RUN_INTERVAL = 7.0

_REPROCESS, _RECORD = f"{PREFIX}-reprocess", f"{PREFIX}-record"
_DUPLICATES = 0.1  # the share of invocations that are duplicated

_SEED = 20261120


def inject(system: System, seconds: float, cool_down: float) -> Counter[str]:
    """Break what can break while runs overlap; return how many functions were killed and invoked twice."""
    counts: Counter[str] = Counter()
    system.aws.lambdas.deliver_twice = _duplicates(counts)
    operator, approver = system.token("operator", "chaos"), system.token("approver", "order")
    switches = cycle(_FAULTS)
    stopping = threading.Event()
    actions = [
        (_FAULT_INTERVAL, lambda: _break_application(system, next(switches))),
        (_KILL_INTERVAL, lambda: counts.update(killed=system.aws.lambdas.kill_one(_REPROCESS))),
        (_RUN_INTERVAL, system.fire),
        (_RUN_INTERVAL * 1.5, system.fire),
        (1.0, lambda: request_run(system, operator, stopping)),
        # Later than the cool-down of what other runs have sent meanwhile.
        (cool_down + 1, lambda: approve_waiting_runs(system, approver)),
    ]
    with ThreadPoolExecutor(len(actions)) as pool:
        repetitions = [pool.submit(_repeat, interval, stopping, action) for interval, action in actions]
        try:
            wait(repetitions, seconds, FIRST_EXCEPTION)
        finally:
            stopping.set()
    for repetition in repetitions:
        repetition.result()  # An action that failed has tested nothing since.
    system.aws.lambdas.deliver_twice = lambda _name: False
    system.application.reset_switches()
    return counts


def _duplicates(counts: Counter[str]) -> Callable[[str], bool]:
    """Return a function that decides which invocations are duplicated, and counts them."""
    generator = random.Random(_SEED)  # noqa: S311 (no secret)

    def is_duplicated(name: str) -> bool:
        duplicated = name in (_REPROCESS, _RECORD) and generator.random() < _DUPLICATES
        counts["invoked twice"] += duplicated
        return duplicated

    return is_duplicated


def _break_application(system: System, switches: dict[str, Any]) -> None:
    system.application.reset_switches()
    system.application.switch(**switches)


def _repeat(seconds: float, stopping: threading.Event, action: Callable[[], object]) -> None:
    """Repeat an action after this many seconds each, until `stopping` is set."""
    while not stopping.wait(seconds):
        action()

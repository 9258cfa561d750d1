"""The scenarios of the pace's benchmark: an application, how many communications, and what is promised."""

import math
from collections.abc import Callable
from typing import NamedTuple

import simpy

from benchmarks.pace.applications import Application, Refusing, Slow, Unlimited
from benchmarks.pace.backlog import Backlog
from benchmarks.pace.others import Aimd, Gradient, Process
from benchmarks.pace.runs import AFTER, BATCH_SIZE, BEFORE, PacedRuns, SharedPace, UnpacedRuns

# In seconds: who has not finished then is shown as such. A backlog is what an application takes in ten minutes.
LONGEST, BACKLOG_S = 6 * 3600, 600

# What is promised, as multiples of the ideal and of runs without a pace, and as a part of the communications.
TIMES_IDEAL, TIMES_BEFORE, REFUSED = 1.25, 1.0, 0.01

SENDERS = ("pace", "before", "AIMD", "gradient")


class Scenario(NamedTuple):
    """An application, and the runs that send to it, so many at once.

    `times_ideal` and `times_before` are how long it may take at most, and `refused` which part may be refused at most
    (None: nothing is promised).
    """

    name: str
    application: Callable[[], Application]
    number: int
    concurrency: int = 100
    runs: int = 1
    times_ideal: float | None = None
    times_before: float = TIMES_BEFORE
    refused: float | None = None


class Result(NamedTuple):
    """How a sender did: `seconds` is None if it had not finished after six hours."""

    refused: int
    burned: int
    seconds: float | None


def steady(capacity: int, concurrency: int) -> Scenario:
    """Return the scenario of an application that always takes as much."""
    return Scenario(
        f"{capacity} a second",
        lambda: Refusing(capacity),
        capacity * BACKLOG_S,
        concurrency,
        times_ideal=TIMES_IDEAL,
        refused=REFUSED,
    )


def _halved(now: float) -> float:
    return 5 if 300 <= now < 600 else 10  # noqa: PLR2004 (from the fifth to the tenth minute)


def _down(now: float) -> float:
    return 0 if now < 600 else 3  # noqa: PLR2004 (for ten minutes)


# Whatever changes on the way has to be found twice, and an application that comes back after ten minutes is asked
# again only after the pause that it had come to.
_CHANGES = 1.6

# Answers that take long tell less, and later, than a refusal, so an application that only gets slower may take 1.15
# times as long. Where nothing limits, a run at the default concurrency loses what it takes to find that out, which at
# five times the concurrency is more of a shorter time.
_SLOW, _UNLIMITED, _UNLIMITED_100 = 1.15, 1.1, 1.25

SCENARIOS = (
    steady(3, 100),
    steady(10, 100),
    steady(50, 100),
    steady(200, 400),
    Scenario("10 a second, half of it from 5:00 to 10:00", lambda: Refusing(_halved), 6000, times_ideal=_CHANGES),
    Scenario("10 a second, Retry-After: 30", lambda: Refusing(10, 30, retry_after=True), 6000,
             times_ideal=TIMES_IDEAL, refused=REFUSED),
    Scenario("10 a second, two runs at once", lambda: Refusing(10), 6000, runs=2, times_ideal=TIMES_IDEAL,
             refused=REFUSED),
    Scenario("503 for ten minutes, then 3 a second", lambda: Refusing(_down), 1800, times_ideal=_CHANGES),
    Scenario("two lanes of 0.2 s", lambda: Slow(2, 0.2), 3000, times_before=_SLOW),
    Scenario("two lanes of 0.5 s", lambda: Slow(2, 0.5), 1500),
    Scenario("no limit, 0.05 s", lambda: Unlimited(0.05), 10_000, 20, times_before=_UNLIMITED),
    Scenario("no limit, 0.05 s", lambda: Unlimited(0.05), 10_000, 100, times_before=_UNLIMITED_100),
)  # fmt: skip


def ideal(scenario: Scenario) -> float:
    """Return in how many seconds the application could take all, or the concurrency allows it, if that is longer."""
    application, taken, now = scenario.application(), 0.0, 0
    while math.isfinite(application.capacity(now)) and taken < scenario.number:
        taken += application.capacity(now)
        now += 1
    return max(now, scenario.number * (BEFORE + application.latency + AFTER) / (scenario.concurrency * scenario.runs))


def result(scenario: Scenario, sender: str) -> Result:
    """Return how a sender does in a scenario."""
    env, application = simpy.Environment(), scenario.application()
    backlogs = [Backlog(env, application, scenario.number // scenario.runs) for _ in range(scenario.runs)]
    for start in _starts(backlogs, scenario.concurrency, sender):
        env.process(start())
    while env.peek() <= LONGEST and not all(backlog.done for backlog in backlogs):
        env.step()
    finished = all(backlog.done for backlog in backlogs)
    return Result(
        refused=sum(backlog.refused for backlog in backlogs),
        burned=sum(backlog.burned for backlog in backlogs),
        seconds=max(backlog.last_settled_at for backlog in backlogs) if finished else None,
    )


def _starts(backlogs: list[Backlog], concurrency: int, sender: str) -> list[Callable[[], Process]]:
    """Return what makes each run send. A pace is shared; each of the others knows only of itself."""
    children, shared = max(1, concurrency // BATCH_SIZE), SharedPace(backlogs[0].env)
    make: dict[str, Callable[[Backlog], Callable[[], Process]]] = {
        "pace": lambda backlog: PacedRuns(backlog, children, shared).run_all,
        "before": lambda backlog: UnpacedRuns(backlog, children).run_all,
        "AIMD": lambda backlog: Aimd(backlog, concurrency).run_all,
        "gradient": lambda backlog: Gradient(backlog, concurrency).run_all,
    }
    return [make[sender](backlog) for backlog in backlogs]


class Promise(NamedTuple):
    """What was promised for a scenario, what was found, and whether it was kept."""

    text: str
    kept: bool


def promises(scenario: Scenario, pace: Result, before: Result) -> list[Promise]:
    """Return what is promised for a scenario, and whether the pace keeps it."""
    seconds = math.inf if pace.seconds is None else pace.seconds
    found = [Promise(f"{pace.burned:,} attempts burned (before {before.burned:,})", pace.burned <= before.burned)]
    if scenario.refused is not None:
        part = pace.refused / scenario.number
        found.append(Promise(f"{part:.2%} refused (at most {scenario.refused:.0%})", part <= scenario.refused))
    if scenario.times_ideal is not None:
        found.append(_at_most(seconds / ideal(scenario), scenario.times_ideal, "the ideal"))
    if before.seconds is None:
        return [*found, Promise("finishes, which runs without it do not", math.isfinite(seconds))]
    return [*found, _at_most(seconds / before.seconds, scenario.times_before, "the time without a pace")]


def _at_most(times: float, most: float, what: str) -> Promise:
    return Promise(f"{times:.2f} times {what} (at most {most:g})", times <= most)

"""The benchmark of the pace, `make bench-pace`: its promises for its small scenarios, and how they are checked."""

import math
import random

import pytest

from benchmarks.pace.applications import Refusing, Slow, Unlimited
from benchmarks.pace.scenarios import SCENARIOS, Result, ideal, promises, result

# Those that are simulated within a second; the benchmark has larger ones too, and more senders.
SMALL = [scenario for scenario in SCENARIOS if scenario.number <= 10_000]

BEFORE_NEVER_FINISHES = Result(refused=0, burned=0, seconds=None)


def broken(scenario, pace, before):
    """Return the promises that are not kept."""
    return [promise.text for promise in promises(scenario, pace, before) if not promise.kept]


@pytest.mark.parametrize("scenario", SMALL, ids=lambda scenario: f"{scenario.name}, {scenario.concurrency}")
def test_the_pace_keeps_its_promises(scenario):
    """Few are refused, and nearly as much is sent as the application can take."""
    before = BEFORE_NEVER_FINISHES if scenario.refused else result(scenario, "before")
    assert broken(scenario, result(scenario, "pace"), before) == []


def test_a_scenario_is_simulated_the_same_way_each_time():
    """Whatever else draws random numbers."""
    first = result(SMALL[0], "pace")
    random.seed(1)
    assert result(SMALL[0], "pace") == first


def test_a_sender_that_is_refused_too_often_or_takes_too_long_breaks_a_promise():
    """A run that never finishes breaks one as well."""
    steady = SMALL[0]
    good = Result(refused=0, burned=0, seconds=ideal(steady))
    assert broken(steady, good, BEFORE_NEVER_FINISHES) == []
    assert len(broken(steady, good._replace(refused=steady.number), BEFORE_NEVER_FINISHES)) == 1
    assert len(broken(steady, good._replace(burned=1), BEFORE_NEVER_FINISHES)) == 1
    assert len(broken(steady, good._replace(seconds=None), BEFORE_NEVER_FINISHES)) == 2
    assert len(broken(steady, good, good._replace(seconds=1))) == 1


def test_an_application_that_refuses_takes_its_capacity_and_locks_out_who_asks_for_more():
    """Three a second, then ten seconds for nobody."""
    application = Refusing(3, lockout=10, retry_after=True)
    assert [application.post(0).status for _ in range(4)] == [202, 202, 202, 429]
    assert application.post(4).retry_after == 6
    assert [application.post(10).status for _ in range(4)] == [202, 202, 202, 429]


def test_a_slow_application_answers_one_after_the_other_until_nobody_waits_any_longer():
    """It processes what it does not answer in time all the same."""
    application = Slow(lanes=1, seconds=4)
    assert [(answer.status, answer.seconds) for answer in map(application.post, [0, 0, 0])] == [
        (202, 4),
        (202, 8),
        (0, 10),
    ]
    assert application.post(12).seconds == 4


def test_the_ideal_is_what_the_application_takes_or_what_the_concurrency_allows():
    """Whichever takes longer."""
    assert ideal(SMALL[0]) == 600
    assert math.isinf(Unlimited(1).capacity(0))
    unlimited = next(scenario for scenario in SMALL if scenario.concurrency == 20)
    assert ideal(unlimited) == pytest.approx(10_000 * 0.7 / 20)

"""The one model of how long a run takes and what it costs."""

import json
from pathlib import Path

import pytest

from benchmarks import cost as benchmark
from chalicelib.models import Run, RunStatus, Trigger
from chalicelib.runs import cost
from chalicelib.runs.prices import PRICES
from chalicelib.settings import Settings

ROOT = Path(__file__).parents[2]
SETTINGS = Settings(resource_prefix="mail-dev")
FAST = Settings(resource_prefix="mail-dev", concurrency=100)


def run(**measured):
    return Run(
        run_id="r",
        trigger=Trigger.REQUEST,
        requested_by="olga",
        status=RunStatus.SUCCEEDED,
        requested_at=0,
        **measured,
    )


def test_more_communications_take_longer_and_cost_more():
    """And none take nothing."""
    estimates = [cost.estimate(number, SETTINGS) for number in (0, 1, 100, 1_000, 100_000, 1_000_000)]
    assert (estimates[0].batches, estimates[0].seconds, estimates[0].dollars) == (0, 0, 0)
    for values in zip(*[(each.batches, each.seconds, each.dollars) for each in estimates], strict=True):
        assert list(values) == sorted(set(values))


def test_the_communications_of_a_batch_are_sent_side_by_side():
    """A full batch takes as long as a single communication; a second one waits if CONCURRENCY has no room."""
    one, batch, two = (cost.seconds(number, SETTINGS, 200) for number in (1, 20, 40))
    assert one == batch < two
    assert cost.seconds(100, FAST, 200) == one
    slow = cost.seconds(1_000, SETTINGS, 1_200) - cost.seconds(1_000, SETTINGS, 200)
    assert slow == pytest.approx(50 * 1.0)


def test_a_million_costs_less_than_five_dollars():
    """With CONCURRENCY at 100, as docs/operate.md advises for so many."""
    assert cost.estimate(1_000_000, FAST).dollars < 5


def test_how_long_a_post_takes_is_measured_where_runs_have_done_so():
    """The average over all POSTs of the given runs; otherwise it is an assumption, and said to be one."""
    measured = cost.measured_post_ms([run(), run(post_ms=900, posts=3), run(post_ms=300, posts=1)])
    assert measured == 300
    assert cost.measured_post_ms([]) is cost.measured_post_ms([run()]) is None
    known, assumed = cost.estimate(1_000, SETTINGS, measured), cost.estimate(1_000, SETTINGS)
    assert (known.post_ms, known.measured) == (300, True)
    assert (assumed.post_ms, assumed.measured) == (cost.ASSUMED_POST_MS, False)
    assert known.seconds > assumed.seconds
    assert known.dollars > assumed.dollars


def test_everything_that_is_used_has_a_price():
    """With its unit and its page; and nothing has a price that is never used."""
    assert set(cost.usage(1_000, SETTINGS, 200)) == set(cost.usage(0, SETTINGS, 200)) == set(PRICES)
    assert all(price.unit and price.page.startswith("aws.amazon.com/") for price in PRICES.values())


def test_the_memory_of_the_model_is_that_of_the_functions():
    """In GB, as .chalice/config.json sets it in MB."""
    functions = json.loads((ROOT / ".chalice" / "config.json").read_text())["lambda_functions"]
    memory = {name: function["lambda_memory_size"] / 1024 for name, function in functions.items()}
    assert {memory["reprocess"], memory["record"]} == {cost._SMALL_FUNCTION}
    assert {memory["collector"], memory["report"]} == {cost._LARGE_FUNCTION}


def test_the_benchmark_prints_the_bill_of_the_model(capsys):
    """Its sum is the estimate that the dry run gives."""
    benchmark.main(["1000000", "--concurrency", "100"])
    printed = capsys.readouterr().out
    assert f"{cost.estimate(1_000_000, FAST).dollars:.2f} USD" in printed
    for name in PRICES:
        assert name.replace("_", " ") in printed

"""The model of how long a run takes and what it costs."""

import json
from pathlib import Path

import msgspec
import pytest

from benchmarks import cost as benchmark
from chalicelib import __version__
from chalicelib.ledger.pace import CANARY
from chalicelib.ledger.situations import KnownCause, ScanPoint, Situation
from chalicelib.manifests import ManifestWriter
from chalicelib.models.communications import CauseKind, Communication
from chalicelib.models.outcomes import Outcome, OutcomeRecord
from chalicelib.names import AwsLocation, Names
from chalicelib.runs import cost
from chalicelib.runs.prices import PRICES
from chalicelib.runs.situation import MAX_SCANS
from chalicelib.settings import Settings
from chalicelib.telemetry import metrics
from deployment.comms_reprocess import alarms
from tests.fakes import NOON, item_size, make_run

ROOT = Path(__file__).parents[2]
SETTINGS = Settings(resource_prefix="mail-dev")
FAST = Settings(resource_prefix="mail-dev", concurrency=100)


def test_more_communications_take_longer_and_cost_more():
    """Without any, a run takes no time and costs nothing."""
    estimates = [cost.estimate(number, SETTINGS) for number in (0, 1, 100, 1_000, 100_000, 1_000_000)]
    assert (estimates[0].batches, estimates[0].seconds, estimates[0].dollars) == (0, 0, 0)
    for values in zip(*[(each.batches, each.seconds, each.dollars) for each in estimates], strict=True):
        assert list(values) == sorted(set(values))


def test_a_full_batch_takes_as_long_as_one_communication():
    """After the first batches, of 1, 5 and 20. Another batch has to wait if CONCURRENCY leaves no room for it."""
    canary, one_more, one_batch, two_batches = (cost.seconds(26 + more, SETTINGS, 200) for more in (0, 1, 20, 40))
    assert canary < one_more == one_batch < two_batches
    assert cost.seconds(126, FAST, 200) == one_batch
    extra_seconds = cost.seconds(1_006, SETTINGS, 1_200) - cost.seconds(1_006, SETTINGS, 200)
    assert extra_seconds == pytest.approx(52 * 1.0)


@pytest.mark.parametrize(
    ("communications", "batches"), [(0, 0), (1, 1), (2, 2), (6, 2), (7, 3), (26, 3), (27, 4), (46, 4)]
)
def test_a_run_begins_with_smaller_batches(communications, batches):
    """Their number is that of the manifest which the collector writes."""
    assert cost.batches(communications, SETTINGS) == batches
    with ManifestWriter(20, CANARY) as manifest:
        for number in range(communications):
            manifest.add(Communication(operation="send.sms", primary_id=str(number), listed_at=0))
        manifest.finish()
        assert manifest.batches == batches


def test_a_million_communications_cost_less_than_five_dollars_and_what_is_kept_of_them_one_more():
    """With CONCURRENCY at 100, as docs/operate.md advises for so many, and with the longest retention of each."""
    bill = cost.bill(cost.usage(1_000_000, FAST, cost.ASSUMED_POST_MS))
    assert sum(price for name, price in bill.items() if not name.endswith("_gb_months")) < 5
    assert sum(bill.values()) < 6


def test_storage_is_billed_for_as_long_as_the_ledger_remembers():
    """Items are kept for RETENTION, manifests for 90 days."""
    short = Settings(resource_prefix="mail-dev", retention="30d")
    long_kept, kept = (cost.usage(1_000, settings, 200) for settings in (SETTINGS, short))
    for name in ("table_gb_months", "backup_gb_months"):
        assert long_kept[name] == pytest.approx(3 * kept[name])
    assert long_kept["s3_gb_months"] == kept["s3_gb_months"] > 0


def test_the_items_of_a_run_take_the_space_that_the_model_bills():
    """The sizes are those of the items that a run of this version has really written."""
    items = json.loads((ROOT / "tests" / "data" / __version__ / "items.json").read_text())
    sizes = {kind: [_size(item) for item in items if item["sk"]["S"].startswith(kind)] for kind in ("COMM", "BATCH")}
    assert min(sizes["COMM"]) < cost._COMMUNICATION_ITEM < 2 * min(sizes["COMM"])
    assert max(sizes["BATCH"]) < cost._BATCH_ITEM


def _size(item: dict) -> int:
    """The bytes of an item's names and values, and 100 more, as DynamoDB bills them."""
    return 100 + sum(len(name) + len(str(*value.values())) for name, value in item.items())


def test_an_estimate_uses_the_measured_time_of_a_post_or_says_that_it_is_assumed():
    """The time is the average over all POSTs of the given runs."""
    measured = cost.measured_post_ms([make_run(), make_run(post_ms=900, posts=3), make_run(post_ms=300, posts=1)])
    assert measured == 300
    assert cost.measured_post_ms([]) is cost.measured_post_ms([make_run()]) is None
    known, assumed = cost.estimate(1_000, SETTINGS, measured), cost.estimate(1_000, SETTINGS)
    assert (known.post_ms, known.measured) == (300, True)
    assert (assumed.post_ms, assumed.measured) == (cost.ASSUMED_POST_MS, False)
    assert known.seconds > assumed.seconds
    assert known.dollars > assumed.dollars


def test_a_run_is_no_faster_than_the_pace():
    """An application that takes 3 a second needs an hour for 10,000. The children that wait cost a little."""
    paced, free = cost.estimate(10_000, SETTINGS, 200, 3), cost.estimate(10_000, SETTINGS, 200)
    assert 10_000 / 3 < paced.seconds < 10_000 / 3 + 60
    assert (paced.per_second, free.per_second) == (3, None)
    assert free.dollars < paced.dollars < 2 * free.dollars
    assert cost.estimate(10_000, SETTINGS, 200, 1_000) == free


def test_what_is_left_of_a_run_takes_as_long_as_the_slower_of_pace_and_concurrency():
    """The canary is over by then."""
    child = cost.seconds_left(20, SETTINGS, 200, None)
    assert cost.seconds_left(100, SETTINGS, 200, None) == cost.seconds_left(100, SETTINGS, 200, 1_000) == 5 * child
    assert cost.seconds_left(100, FAST, 200, None) == child
    assert cost.seconds_left(100, SETTINGS, 200, 0.5) == 200
    assert cost.seconds_left(0, SETTINGS, 200, 0.5) == 0


def test_every_item_of_the_usage_has_a_price_and_every_price_is_used():
    """Each price has its unit, and the page of AWS that it comes from."""
    assert set(cost.usage(1_000, SETTINGS, 200)) == set(cost.usage(0, SETTINGS, 200)) == set(PRICES)
    assert all(price.unit and price.page.startswith("aws.amazon.com/") for price in PRICES.values())


def test_the_model_uses_the_memory_sizes_of_the_deployed_functions():
    """The model has them in GB, .chalice/config.json in MB."""
    functions = json.loads((ROOT / ".chalice" / "config.json").read_text())["lambda_functions"]
    memory = {name: function["lambda_memory_size"] / 1024 for name, function in functions.items()}
    assert {memory["reprocess"], memory["record"]} == {cost._SMALL_FUNCTION}
    assert {memory["collector"], memory["report"]} == {cost._LARGE_FUNCTION}


def test_the_cost_benchmark_prints_the_bill_of_the_model(capsys):
    """Its sum is the estimate that a dry run gives."""
    benchmark.main(["1000000", "--concurrency", "100"])
    printed = capsys.readouterr().out
    assert f"{cost.estimate(1_000_000, FAST).dollars:.2f} USD" in printed
    for name in PRICES:
        assert name.replace("_", " ") in printed


@pytest.mark.parametrize("operations", [1, 3])
def test_the_model_counts_the_metrics_that_are_emitted(capsys, operations):
    """Each name is one, for each operation that it is emitted for."""
    run = make_run(oldest=0, ended_at=NOON)
    metrics.collector_ended("mail-dev", run, 0, 10_000, NOON)
    metrics.run_ended("mail-dev", run, 10_000)
    metrics.batch_ended(
        "mail-dev",
        [
            OutcomeRecord(operation=str(number), primary_id="1", outcome=outcome, refused=True)
            for number in range(operations)
            for outcome in Outcome
        ],
    )
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    emitted = {
        (metric["Name"], *(line[dimension] for dimension in group["Dimensions"][0]))
        for line in lines
        for group in line["_aws"]["CloudWatchMetrics"]
        for metric in group["Metrics"]
    }
    assert f"{len(emitted)} custom metrics" in cost.monthly(operations)


def test_the_model_counts_the_metrics_that_the_alarms_watch():
    """Each alarm watches one."""
    names = Names("mail-dev", AwsLocation("aws", "eu-central-1", "123456789012"))
    assert f"{len(alarms.alarms(names, SETTINGS))} metrics of alarms" in cost.monthly(3)


def test_the_scans_of_a_month_cost_a_few_cents():
    """docs/operate.md says so."""
    (scans,) = [price for name, price in cost.monthly(3).items() if "scans" in name]
    assert 0.05 < scans < 0.15


def test_the_model_bills_the_situation_with_the_size_of_a_busy_day():
    """Twenty causes, and a log that is full."""
    cause = KnownCause(
        id="3f1c9a5b7d2e8046",
        operation="send.email",
        kind=CauseKind.REJECTED,
        first_seen=NOON,
        last_seen=NOON,
        trend=[120] * 12,
        reason="smtp_timeout",
        count=120,
        on_worklist=100,
        example="123455",
    )
    run_id = "20261121T093000Z-1f0c9a2be344"
    scan = ScanPoint(at=NOON, run_id=run_id, failing=100, on_worklist=200, sent=100, complete=True)
    situation = Situation(run_id=run_id, at=NOON, causes=[cause] * 20, scans=[scan] * MAX_SCANS)
    assert cost._SITUATION_KB - 1 < item_size(msgspec.to_builtins(situation)) / 1024 <= cost._SITUATION_KB

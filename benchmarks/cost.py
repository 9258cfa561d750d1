#!/usr/bin/env python3
"""What it costs on AWS to send communications again: python benchmarks/cost.py 1000000 [--operations 3].

Counts come first, each as a formula of the number of communications and batches; a test compares them with those of a
real run. Prices are AWS's published ones for us-east-1 in US dollars, without free tiers and discounts, as of November
2025: each names its page. Other regions differ by some per cent.
"""

import argparse
import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Assumptions:
    """What a run is like. Durations in milliseconds, sizes in bytes; `batch` communications in a batch."""

    batch: int = 20
    page: int = 200
    reprocess_ms: int = 250  # a claim, a POST to an application that answers in 200 ms, an answer written down
    record_ms: int = 100
    per_page_ms: int = 300
    report_ms_per_batch: float = 0.5
    child_seconds: float = 1.0
    log_bytes_reprocess: int = 800  # our line, and Lambda's START, END and REPORT
    log_bytes_record: int = 1600  # the same and a line of metrics for each operation
    traced: float = 0.05  # X-Ray's default rule: one request each second, and 5% of the others
    traces_per_second_seconds: float = 3600.0  # how long a run lasts, for the first part of that rule


@dataclass(frozen=True)
class Price:
    """US dollars for one of `unit`."""

    dollars: float
    unit: str
    page: str


PRICES = {
    "lambda_requests": Price(0.20e-6, "request", "aws.amazon.com/lambda/pricing"),
    "lambda_gb_seconds": Price(16.6667e-6, "GB-second (x86)", "aws.amazon.com/lambda/pricing"),
    "standard_transitions": Price(25e-6, "state transition", "aws.amazon.com/step-functions/pricing"),
    "express_requests": Price(1e-6, "request", "aws.amazon.com/step-functions/pricing"),
    "express_gb_seconds": Price(16.67e-6, "GB-second", "aws.amazon.com/step-functions/pricing"),
    "dynamodb_writes": Price(0.625e-6, "write request unit", "aws.amazon.com/dynamodb/pricing/on-demand"),
    "dynamodb_reads": Price(0.125e-6, "read request unit", "aws.amazon.com/dynamodb/pricing/on-demand"),
    "s3_puts": Price(5e-6, "PUT", "aws.amazon.com/s3/pricing"),
    "s3_gets": Price(0.4e-6, "GET", "aws.amazon.com/s3/pricing"),
    "log_gb": Price(0.50, "GB taken in", "aws.amazon.com/cloudwatch/pricing"),
    "traces": Price(5e-6, "trace", "aws.amazon.com/xray/pricing"),
    "mails": Price(2e-5, "mail", "aws.amazon.com/sns/pricing"),
}


def monthly(operations: int) -> dict[str, float]:
    """Return what stands whether anything fails or not, for one month, in US dollars."""
    metrics = 5 + 7 * operations
    return {f"{metrics} custom metrics at 0.30": metrics * 0.30, "7 metrics of alarms at 0.10": 0.70, "a secret": 0.40}


def requests(communications: int, batches: int) -> dict[str, int]:
    """Return how often a run in which all goes well asks AWS for what, in calls: what a test counts in a real run.

    A communication: one call of `reprocess`, a claim and an answer. A batch: one look at the switch, one call of
    `record`, which reads its communications, notes the success, puts its outcomes and adds to the progress.
    """
    return {
        "reprocess": communications,
        "record": batches,
        "report": 1,
        "dynamodb:UpdateItem by reprocess": 2 * communications,
        "dynamodb:GetItem by state machine": batches,
        "dynamodb:BatchGetItem by record": batches,
        "dynamodb:UpdateItem by record": 2 * batches,
        "dynamodb:PutItem by record": batches,
    }


def usage(communications: int, it: Assumptions) -> dict[str, float]:
    """Return what of each price a run of so many communications takes."""
    batches = math.ceil(communications / it.batch)
    pages = math.ceil(communications / it.page)
    calls = requests(communications, batches)
    seconds = communications * it.reprocess_ms / 1000
    collecting = pages * it.per_page_ms / 1000
    reporting = batches * it.report_ms_per_batch / 1000
    logged = communications * it.log_bytes_reprocess + batches * it.log_bytes_record
    return {
        "lambda_requests": calls["reprocess"] + calls["record"] + 2,
        "lambda_gb_seconds": (seconds + batches * it.record_ms / 1000) / 4 + (collecting + reporting) / 2,
        # The parent: its five states, and one for each child that the Map starts (Developer Guide, "Map state").
        "standard_transitions": batches + 7,
        "express_requests": batches,
        # Express workflows are billed in steps of 64 MB of memory.
        "express_gb_seconds": batches * it.child_seconds * 64 / 1024,
        # Communications' items stay below 1 KB; a claim and an answer each write one, no index holds them. A batch of
        # 20 outcomes takes 3 KB; success and progress 1 each, and progress stands in two indexes.
        "dynamodb_writes": 2 * communications + batches * (3 + 1 + 3),
        # The collector, record (strongly consistent: 1 each, for items up to 4 KB) and each child's switch; report.
        "dynamodb_reads": 2 * communications + 2 * batches + 2 * batches,
        "s3_puts": 10 + batches / 1000,
        "s3_gets": 10,
        "log_gb": logged / 1e9,
        "traces": min(communications, communications * it.traced / it.batch + it.traces_per_second_seconds),
        "mails": 3,
    }


def cost(used: Mapping[str, float]) -> dict[str, float]:
    """Return the US dollars for each part."""
    return {name: number * PRICES[name].dollars for name, number in used.items()}


def main(arguments: list[str] | None = None) -> None:
    """Print a bill."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("communications", type=int)
    parser.add_argument("--operations", type=int, default=3, help="kinds of communications (default: 3)")
    options = parser.parse_args(arguments)
    used = usage(options.communications, Assumptions())
    dollars = cost(used)
    print(f"{options.communications:,} communications, EXPRESS children, tracing sampled at its default; US dollars\n")
    for name, number in used.items():
        print(f"  {name.replace('_', ' '):<22} {number:>16,.3f}  x {PRICES[name].dollars:.9f}  = {dollars[name]:>9.4f}")
    print(f"\n  {'total':<22} {sum(dollars.values()):>46.2f}\n\nEach month, whatever fails:")
    for name, amount in monthly(options.operations).items():
        print(f"  {name:<64} {amount:>6.2f}")
    print("\nPrices as of November 2025, us-east-1:")
    for name, price in PRICES.items():
        print(f"  {name.replace('_', ' '):<22} {price.dollars:.9f} for a {price.unit}: {price.page}")


if __name__ == "__main__":
    main()

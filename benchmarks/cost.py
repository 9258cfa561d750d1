"""How long a run takes and what it costs on AWS: `python -m benchmarks.cost 1000000 --concurrency 100`.

The model, its assumptions and the prices are those of the dry run: chalicelib/runs/cost.py and prices.py.
"""

import argparse

from chalicelib import times
from chalicelib.runs import cost
from chalicelib.runs.prices import AS_OF, PRICES
from chalicelib.settings import Settings


def main(arguments: list[str] | None = None) -> None:
    """Print a bill."""
    defaults = Settings(resource_prefix="bench")
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cost", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("communications", type=int)
    parser.add_argument("--concurrency", type=int, default=defaults.concurrency, help="POSTs at once (default: 20)")
    parser.add_argument("--post-ms", type=float, help=f"how long a POST takes (default: {cost.ASSUMED_POST_MS:.0f})")
    parser.add_argument("--operations", type=int, default=3, help="kinds of communications (default: 3)")
    options = parser.parse_args(arguments)
    settings = Settings(resource_prefix="bench", concurrency=options.concurrency)
    estimate = cost.estimate(options.communications, settings, options.post_ms)
    print(
        f"{options.communications:,} communications in {estimate.batches:,} batches, {options.concurrency} POSTs of "
        f"{estimate.post_ms:.0f} ms at once: about {times.format_duration(estimate.seconds * 1000)}\n"
    )
    _print_bill(options.communications, settings, estimate.post_ms)
    print(f"  {'total':<22} {estimate.dollars:>46.2f} USD\n\nEach month, whether anything fails or not:")
    for name, amount in cost.monthly(options.operations).items():
        print(f"  {name:<64} {amount:>6.2f}")
    print(f"\nPrices as of {AS_OF}, us-east-1, without free tier:")
    for name, price in PRICES.items():
        print(f"  {name.replace('_', ' '):<22} {price.dollars:.9f} for a {price.unit}: {price.page}")


def _print_bill(communications: int, settings: Settings, post_ms: float) -> None:
    used = cost.usage(communications, settings, post_ms)
    bill = cost.bill(used)
    for name, number in used.items():
        print(f"  {name.replace('_', ' '):<22} {number:>16,.3f}  x {PRICES[name].dollars:.9f}  = {bill[name]:>9.4f}")


if __name__ == "__main__":
    main()

"""What the pace does for applications of many kinds, compared with three other senders: `make bench-pace`.

Everything is simulated, with a simulated clock and fixed seeds: the numbers are the same on every machine. It fails if
the pace breaks a promise.
"""

import sys

from rich.console import Console
from rich.table import Table

from benchmarks.pace.scenarios import SCENARIOS, SENDERS, Promise, Result, Scenario, ideal, promises, result

_COLUMNS = ("sender", "refused", "%", "burned", "seconds", "x ideal")


def main() -> int:
    """Simulate every scenario, print how each sender does, and return 1 if the pace breaks a promise."""
    table, found = Table("application", *_COLUMNS), []
    for scenario in SCENARIOS:
        results = {sender: result(scenario, sender) for sender in SENDERS}
        _add(table, scenario, results)
        found.append((scenario, promises(scenario, results["pace"], results["before"])))
    console = Console(width=120)
    console.print(table, "The pace:", sep="\n")
    for scenario, made in found:
        console.print(f"  {_name(scenario)}: {'; '.join(map(_phrase, made))}", soft_wrap=True, highlight=False)
    return 0 if all(promise.kept for _, made in found for promise in made) else 1


def _name(scenario: Scenario) -> str:
    return f"{scenario.name}, {scenario.number:,} at a concurrency of {scenario.concurrency}"


def _phrase(promise: Promise) -> str:
    return promise.text if promise.kept else f"BROKEN: {promise.text}"


def _add(table: Table, scenario: Scenario, results: dict[str, Result]) -> None:
    first = f"{_name(scenario)}: {ideal(scenario):,.0f} s at best"
    for sender, found in results.items():
        table.add_row(first, sender, *_cells(scenario, found), end_section=sender == SENDERS[-1])
        first = ""


def _cells(scenario: Scenario, found: Result) -> tuple[str, ...]:
    part = f"{100 * found.refused / scenario.number:,.2f}"
    times = "" if found.seconds is None else f"{found.seconds / ideal(scenario):.2f}"
    seconds = "over 6 h" if found.seconds is None else f"{found.seconds:,.0f}"
    return f"{found.refused:,}", part, f"{found.burned:,}", seconds, times


if __name__ == "__main__":
    sys.exit(main())

"""The processes of a benchmark: one for each measurement, and one for the server that it talks to."""

import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def print_measurement(seconds: float, records: int) -> None:
    """Print how long the measurement of this process took, its peak of memory, and how many records it was about."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # kB on Linux (getrusage(2))
    print(json.dumps({"seconds": seconds, "megabytes": peak, "records": records}))


def measured(module: str, *arguments: str) -> dict[str, float]:
    """Run one measurement in a process of its own, and return what it printed."""
    command = [sys.executable, "-m", module, *arguments]
    finished = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, timeout=1800)
    measurement: dict[str, float] = json.loads(finished.stdout)
    return measurement


@contextmanager
def server(module: str, *arguments: str) -> Iterator[str]:
    """Run a server in a process of its own; its first line is its URL."""
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().strip() if process.stdout else ""
        finally:
            process.kill()

"""How fast a run sends here, compared with a script that posts one communication after the other: `make bench-run`.

The state machine, the functions and the ledger are those of the sandbox; the application takes 200 ms for each POST.
"""

import sys
import tempfile
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import requests

from benchmarks.processes import server
from chalicelib.models.runs import CLOSED
from sandbox.deployed import Deployed

COMMUNICATIONS, CONCURRENCY = 1000, 20
SCRIPT = 50  # communications that the script posts: enough to know its pace

# The least ratio to the script's pace. On two quiet cores it is more than 8; other work on them costs some of it.
MIN_RATIO = 6.0

_TIMEOUT = 600
_TOML = """
[[sources]]
operation = "send.email"
list = "{url}/failed"
cool_down = "1h"

[reprocess]
url = "{url}/communications"
honours_idempotency_key = true
"""


def _application(failed: int) -> AbstractContextManager[str]:
    return server("benchmarks.slow_application", str(failed))


def script() -> float:
    """Return how many communications a second a script posts, one after the other."""
    with _application(SCRIPT) as url:
        began = time.monotonic()
        for record in requests.get(f"{url}/failed", timeout=10).json():
            body = {"primaryId": record["id"], "operation": "send.email"}
            requests.post(f"{url}/communications", json=body, timeout=10).raise_for_status()
        return SCRIPT / (time.monotonic() - began)


def run() -> tuple[float, dict[str, Any]]:
    """Return how many communications a second a run posts, from its start to its end, and what the application saw."""
    with (
        tempfile.TemporaryDirectory() as folder,
        _application(COMMUNICATIONS) as url,
        Deployed(Path(folder)) as service,
    ):
        settings = {"SCHEDULE": "rate(1 hour)", "CONCURRENCY": str(CONCURRENCY)}
        service.configure(settings, _TOML.format(url=url))
        service.deploy()
        token = service.token("operator")
        began = time.monotonic()
        run_id = service.call("POST", "/reprocess", token, json={}).json()["runId"]
        while (status := service.call("GET", f"/runs/{run_id}", token).json())["status"] not in CLOSED:
            if time.monotonic() - began > _TIMEOUT:
                raise TimeoutError(f"the run has not ended: {status}")
            time.sleep(0.5)
        pace = COMMUNICATIONS / (time.monotonic() - began)
        stats: dict[str, Any] = requests.get(f"{url}/stats", timeout=10).json()
        return pace, stats


def main() -> int:
    """Measure both, print them, and return 1 if the run is too slow or something was not sent exactly once."""
    slow = script()
    pace, stats = run()
    print(f"a script, one after the other  {slow:5.1f} communications a second")
    print(f"a run, CONCURRENCY {CONCURRENCY}          {pace:5.1f} communications a second  x {pace / slow:.1f}")
    print(f"POSTs {stats['posts']}, sent twice {stats['twice']}, most at once {stats['most_at_once']}")
    right = stats["posts"] == COMMUNICATIONS and not stats["twice"] and stats["most_at_once"] <= CONCURRENCY
    return 0 if right and pace / slow >= MIN_RATIO else 1


if __name__ == "__main__":
    sys.exit(main())

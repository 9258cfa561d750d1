"""What happens before `make serve` is ready, with real parts only: an outage that is settled, and one that goes on."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sandbox.system import System

# So low that a run for everything that fails in the second outage waits for approval (see docs/api.md).
THRESHOLD = 30

SETTINGS = {"SCHEDULE": "rate(1 minute)", "APPROVAL_THRESHOLD": str(THRESHOLD)}

# As many as say what is usual (see chalicelib/runs/outages.py).
QUIET_SCANS = 4

# In seconds: only a part that is broken takes that long; and how long to wait between two scans.
_PATIENCE, _PAUSE = 120.0, 0.5


@contextmanager
def running(folder: Path) -> Iterator[System]:
    """Run the whole system, with its files in `folder`, and let everything happen. Then its schedule goes on."""
    with System(folder, SETTINGS, requeue_after=1.0) as system:
        print("Deploying comms-reprocess to an embedded AWS on this machine ...", flush=True)
        system.pause_schedule()
        print(system.deploy())
        happen(system)
        yield system


def happen(system: System) -> None:
    """Let everything happen, on a system that is deployed and in which nothing has failed yet."""
    for _ in range(QUIET_SCANS):
        system.scan()
    token = system.token("viewer", "make serve")
    _let_one_outage_end(system, token)
    _let_another_begin(system, token)


def _let_one_outage_end(system: System, token: str) -> None:
    print("The SMS provider is down, and the application gives up on 24 SMS by carol. They are sent again,")
    print("and all arrive but 2 to impossible numbers ...", flush=True)
    system.sms.down = True
    system.application.create("sms", 22, created_by="carol")
    system.application.create("sms", 2, created_by="carol", recipient="nobody")
    system.application.wait_for_stats(_PATIENCE, failed=24)
    system.sms.down = False
    system.resume_schedule()

    def is_settled() -> bool:
        return any(each["settledAt"] for each in system.call("GET", "/outages", token).json()["outages"])

    _scan_until(system, is_settled)


def _let_another_begin(system: System, token: str) -> None:
    print("Both providers are down, and the application gives up on 42 communications:")
    print("20 emails by alice, 2 more by her to impossible addresses, and 20 SMS by bob ...", flush=True)
    system.pause_schedule()
    system.email.down = system.sms.down = True
    system.application.create("emails", 20, created_by="alice")
    system.application.create("emails", 2, created_by="alice", recipient="nobody")
    system.application.create("sms", 20, created_by="bob")
    system.application.wait_for_stats(_PATIENCE, failed=44)
    system.email.down = system.sms.down = False
    system.resume_schedule()
    _scan_until(system, lambda: bool(system.call("GET", "/summary", token).json()["awaitingApproval"]))


def _scan_until(system: System, condition: Callable[[], bool]) -> None:
    """Scan again and again, as the schedule does. TimeoutError if that does not lead there."""
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"the schedule's scans lead nowhere; see {system.folder}")
        system.scan()
        time.sleep(_PAUSE)

"""What people do during the experiment: they request runs and approve them."""

import threading

from chalicelib.models import CLOSED, RunStatus
from sandbox.system import System


def request_run(system: System, token: str, stopping: threading.Event) -> None:
    """Request a run for all SMS, and wait until it has ended.

    It overlaps with the scheduled runs, and it needs no approval. So it sends communications that are also in the
    manifest of a run that waits for approval.
    """
    run_id = system.call("POST", "/reprocess", token, json={"operation": "send.sms"}).json().get("runId")
    while not stopping.wait(1.0):
        # An API that is too busy answers 504, which has no status: ask again.
        if system.call("GET", f"/runs/{run_id}", token).json().get("status") in CLOSED:
            return


def approve_waiting_runs(system: System, token: str) -> None:
    """Approve every run that waits for approval."""
    for run in system.call("GET", "/runs", token).json().get("runs", []):
        if run["status"] == RunStatus.AWAITING_APPROVAL:
            system.call("POST", f"/runs/{run['runId']}/approve", token)

"""What people do during the experiment: they request runs and approve them, work on the worklist, and pause."""

import itertools
import random
import threading
from collections import Counter
from http import HTTPStatus
from typing import Any

from chalicelib.models.runs import CLOSED, RunStatus
from sandbox.system import System

_PAUSE_SECONDS = 3.0
_DECISIONS_AT_ONCE = 5

# Every third bulk run is stopped at once.
_STOPPED = 3


def request_run(system: System, token: str, stopping: threading.Event, **selection: Any) -> None:
    """Request a run of a selection, and wait until it has ended.

    It overlaps with other runs. If it needs no approval, it sends communications that are also in the manifest of a run
    that waits for one.
    """
    run_id = system.call("POST", "/reprocess", token, json=selection).json().get("runId")
    while run_id and not stopping.wait(1.0):
        # An API that is too busy answers 504, which has no status: ask again.
        if system.call("GET", f"/runs/{run_id}", token).json().get("status") in CLOSED:
            return


def cause_ids(system: System, token: str) -> list[str]:
    """Return the ids of the causes that communications fail for now, the most frequent first."""
    causes = system.call("GET", "/causes", token).json().get("causes", [])
    return [each["id"] for each in causes if each["count"]]


def waiting_runs(system: System, token: str) -> list[str]:
    """Return the ids of the runs that wait for approval."""
    runs = system.call("GET", "/runs", token).json().get("runs", [])
    return [run["runId"] for run in runs if run["status"] == RunStatus.AWAITING_APPROVAL]


def approve_waiting_runs(system: System, token: str) -> None:
    """Approve every run that waits for approval."""
    for run_id in waiting_runs(system, token):
        approve(system, token, run_id)


def approve(system: System, token: str, run_id: str) -> None:
    """Approve a run. Its approval may be refused, if the run has been decided meanwhile."""
    system.call("POST", f"/runs/{run_id}/approve", token)


def pause_for_a_while(system: System, token: str, stopping: threading.Event) -> None:
    """Pause the schedule, and resume it seconds later."""
    system.call("POST", "/schedule/pause", token)
    stopping.wait(_PAUSE_SECONDS)
    while system.call("POST", "/schedule/resume", token).status_code != HTTPStatus.OK:
        pass  # An API that is too busy answers 504, and nothing would be sent any more: ask again.


def set_pace(system: System, token: str, per_second: float | None) -> None:
    """Set the pace by hand for a minute, or give it back (None)."""
    if per_second is None:
        system.call("DELETE", "/pace", token)
    else:
        system.call("PUT", "/pace", token, json={"perSecond": per_second, "minutes": 1})


class WorklistUser:
    """A person who works on the worklist: retries and dismisses what is on it, and restores what was dismissed."""

    def __init__(self, system: System, token: str) -> None:
        self._system = system
        self._token = token
        self._sample = random.Random(1).sample  # noqa: S311 (no secret)

    def decide(self) -> None:
        """Decide about some communications. That some cannot be changed now (409) is part of the job."""
        self._apply("restore", "dismissed", None)
        self._apply("dismiss", "manual", {"note": "chaos"})
        self._apply("retry", "manual", {})

    def _apply(self, action: str, status: str, body: dict[str, str] | None) -> None:
        page = self._system.call("GET", f"/communications?status={status}", self._token).json()
        ids = [each["id"] for each in page.get("communications", [])]
        for each in self._sample(ids, min(_DECISIONS_AT_ONCE, len(ids))):
            self._system.call("POST", f"/communications/{each}/{action}", self._token, json=body)


class BulkUser:
    """A person who decides about all that is on the worklist for a reason, with bulk runs, and stops some of these."""

    def __init__(self, system: System, token: str) -> None:
        self._system = system
        self._token = token
        self._numbers = itertools.count(1)

    def decide(self) -> None:
        """Retry all that is there for the most frequent reason, and dismiss all that is there for the rarest."""
        page = self._system.call("GET", "/communications?limit=200", self._token).json()
        reasons = [reason for reason, _ in Counter(_reasons(page)).most_common()]
        if reasons:
            self._start("retry", reason=reasons[0])
        if len(reasons) > 1:
            self._start("dismiss", reason=reasons[-1], note="chaos")

    def _start(self, action: str, **selection: str) -> None:
        body = {"all": True, **selection}
        started = self._system.call("POST", f"/communications/{action}", self._token, json=body).json()
        if "runId" in started and not next(self._numbers) % _STOPPED:
            self._system.call("POST", f"/runs/{started['runId']}/stop", self._token)


def _reasons(page: dict[str, Any]) -> list[str]:
    return [each["reason"] for each in page.get("communications", []) if each["reason"]]

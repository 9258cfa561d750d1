"""Before and after the faults: a run meets trouble; runs are stopped, the schedule only looks, everything settles."""

import time
from collections.abc import Callable

from chalicelib import times
from chalicelib.ledger.runs import UNSETTLED
from chalicelib.models.runs import CLOSED
from sandbox.chaos.load import approve_waiting_runs, cause_ids
from sandbox.chaos.records import open_run_ids, read_index, read_item, read_table
from sandbox.deployed import PREFIX
from sandbox.system import System

_BEGIN = f"{PREFIX}-begin"

# In seconds.
_TROUBLE_SECONDS, _FIRE_INTERVAL = 60.0, 3.0
_STOP_SECONDS, _LOOK_SECONDS, _PROOF_SECONDS, _SETTLE_SECONDS = 60.0, 30.0, 60.0, 120.0

# With these, whatever a proof sends fails for its cause, unless the application refuses it as one too many.
_IN_VAIN = {"status": 422, "capacity": {"per_second": 3, "lockout": 1, "retry_after": 1}}

# How many communications a run gets accepted in the end, because nothing else ends an incident.
_FRESH = 10


def meet_trouble(system: System) -> None:
    """Let a scheduled run find an application that refuses its token, so that the next scan begins an outage."""
    approver = system.token("approver", "trouble")
    system.application.switch(status=401)
    system.fire()

    def has_incident() -> bool:
        approve_waiting_runs(system, approver)
        return bool(read_item(system, "ALERT", "schedule"))

    _wait(has_incident, _TROUBLE_SECONDS)
    system.application.reset_switches()


def look_without_sending(system: System, cool_down: float) -> None:
    """Let the schedule look at a list that does not change: nothing is sent, and nothing may still arrive."""
    token = system.token("operator", "quiet")
    stop_runs(system, token)
    system.aws.lambdas.throttle = lambda name: name == _BEGIN
    time.sleep(cool_down + 1)
    system.application.wait_for_stats(60, queued=0)
    look(system)


def go_on(system: System) -> None:
    """Let runs send again, but not the one that has looked."""
    system.aws.lambdas.throttle = lambda _name: False
    stop_runs(system, system.token("operator", "quiet"))


def stop_runs(system: System, token: str) -> None:
    """Stop the runs that are under way, and wait until they have ended. Collectors only help what is lost meanwhile."""
    system.call("POST", "/schedule/pause", token)

    def stop() -> bool:
        system.fire()
        run_ids = open_run_ids(system)
        for run_id in run_ids:
            system.call("POST", f"/runs/{run_id}/stop", token)
        return not run_ids

    _wait(stop, _STOP_SECONDS, pause=1)
    system.call("POST", "/schedule/resume", token)


def look(system: System) -> None:
    """Fire the schedule until a complete scan has looked that began after now."""
    began = times.now()

    def has_looked() -> bool:
        situation = read_item(system, "SITUATION", "SITUATION").get("situation", {})
        return bool(situation.get("lastComplete", 0) > began)

    def fire() -> bool:
        system.fire()  # in vain while an earlier run is under way
        time.sleep(_FIRE_INTERVAL)
        return has_looked()

    _wait(fire, _LOOK_SECONDS)


def prove_in_vain(system: System, number: int) -> list[str]:
    """Let runs prove that the most frequent causes are fixed, while everything fails; return the ids of the runs."""
    token = system.token("operator", "prover")
    system.application.switch(**_IN_VAIN)
    run_ids = [_prove(system, token, cause) for cause in cause_ids(system, token)[:number]]
    system.application.reset_switches()
    return run_ids


def _prove(system: System, token: str, cause: str) -> str:
    run_id = str(system.call("POST", "/reprocess", token, json={"cause": cause, "prove": True}).json()["runId"])
    approver = system.token("approver", "proofs")

    def has_ended() -> bool:
        approve_waiting_runs(system, approver)
        return read_item(system, f"RUN#{run_id}", "RUN").get("status") in CLOSED

    _wait(has_ended, _PROOF_SECONDS, pause=1)
    return run_id


def settle(system: System, cool_down: float) -> None:
    """Let a few more fail, and fire the schedule until they have arrived and every run and outage is settled."""
    system.email.down = True
    failed = system.application.stats()["failed"]
    system.application.create("emails", _FRESH)
    system.application.wait_for_stats(60, failed=failed + _FRESH)
    system.email.down = False
    approver = system.token("approver", "order")

    def is_settled() -> bool:
        system.fire()
        approve_waiting_runs(system, approver)
        open_outages = [item for item in read_table(system) if item["pk"] == "OUTAGE" and "settledAt" not in item]
        return not (open_outages or open_run_ids(system) or read_index(system, "open", UNSETTLED))

    _wait(is_settled, _SETTLE_SECONDS, pause=cool_down / 2)
    look(system)


def _wait(is_true: Callable[[], bool], seconds: float, pause: float = 0.2) -> None:
    """Wait until something is true, at most so long: the verdict says what is not."""
    deadline = time.monotonic() + seconds
    while not is_true() and time.monotonic() < deadline:
        time.sleep(pause)

"""The examples in docs/api.md work as they are printed."""

import csv
import io
import re
import subprocess
import threading
from collections import Counter
from contextlib import contextmanager

from chalicelib.api import routes
from sandbox.project import ROOT
from sandbox.story import QUIET_SCANS
from tests.e2e.driver import PATIENCE, changed_environment, collect, create_failed, fire, wait_for_end, wait_until

TEXT = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")

# A call that fails ends the script and is printed; loopback needs no proxy.
PROLOGUE = "set -euo pipefail\ncurl() { command curl --noproxy '*' --fail-with-body \"$@\"; }\n"

# The examples wait for two cool-downs and some scans of the schedule, in seconds.
STORY_PATIENCE = 2 * PATIENCE

# The 13th POST of those that begin then, and no earlier one.
LOST = {"value": True, "share": 0.035}


def test_the_examples_in_api_md_tell_an_outage_from_its_beginning_to_its_end(system, approver):
    """A shell runs them one after the other, on the data that `make serve` begins with.

    Their requester has started nothing before: that would count for the approval threshold. In a quiet hour, 42 fail.
    The schedule fires, and its run waits for approval; once somebody has paused and resumed it, it fires all the time.
    The application loses one of the 20 that it accepts to prove the fix.
    """
    for _ in range(QUIET_SCANS):
        collect(system)
    create_failed(system, "emails", 20, created_by="alice")
    create_failed(system, "emails", 2, created_by="alice", recipient="nobody")
    create_failed(system, "sms", 20, created_by="bob")
    system.application.switch(accepts_but_never_sends=LOST)
    script = PROLOGUE + "\n".join(re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL))
    token = system.token("operator", "ida")
    variables = system.environment() | {"API": system.api, "TOKEN": token, "APPROVER": approver}
    with changed_environment(system, "collector", APPROVAL_THRESHOLD="30"):
        waiting = fire(system)
        with firing_when_resumed(system, token):
            finished = subprocess.run(
                ["bash", "-c", script],
                env=variables,
                capture_output=True,
                text=True,
                check=False,
                timeout=STORY_PATIENCE,
            )
    assert finished.returncode == 0, finished.stdout[-2000:] + finished.stderr[-2000:]
    check_runs(system, token, waiting)
    check_outage(system, token)
    system.application.wait_for_stats(PATIENCE, queued=0)


@contextmanager
def firing_when_resumed(system, token):
    """Once the schedule was paused and is resumed, let it fire again and again, as that of `make serve` does."""
    finished = threading.Event()

    def is_paused() -> bool:
        return system.call("GET", "/schedule", token).json()["paused"]

    def keep_firing() -> None:
        wait_until(lambda: finished.is_set() or is_paused(), "nobody pauses the schedule")
        while not finished.wait(1):
            system.fire()

    thread = threading.Thread(target=keep_firing)
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join()


def check_runs(system, token, waiting) -> None:
    """The waiting run was rejected, the fix was proved by 20, 19 of these arrived, and a bulk run retried the other."""
    runs = system.call("GET", "/runs", token, params={"limit": 100}).json()["runs"]
    (rejected,) = [run for run in runs if run["runId"] == waiting]
    assert (rejected["status"], rejected["decision"]) == ("declined", "declined")
    (proof,) = [run for run in runs if run["proof"] and run["requestedBy"] == "ida"]
    shown = {name: proof["proof"][name] for name in ("stage", "sent", "failedAgain")}
    assert shown == {"stage": 20, "sent": 20, "failedAgain": 0}
    assert (proof["counts"], proof["relapsed"], proof["recovery"]) == ({"accepted": 20}, 1, 0.95)
    bulk = {run["kind"]: run for run in runs if run["kind"] != "reprocess" and run["requestedBy"] == "ida"}
    assert bulk["retry"]["matched"] == 1
    assert wait_for_end(system, token, bulk["dismiss"]["runId"])["status"] == "empty"


def check_outage(system, token) -> None:
    """It began with the 42, and is settled: 40 have arrived, and people do not want the other two to be sent."""
    (outage,) = system.call("GET", "/outages", token).json()["outages"]
    assert (outage["reason"], outage["usual"], outage["most"], outage["hit"]) == ("failures_rose", 0, 42, 42)
    assert outage["byOperation"] == {"send.email": 22, "send.sms": 20}
    assert (outage["recovered"], outage["dismissed"], outage["waiting"] + outage["sent"]) == (40, 2, 0)
    assert outage["settledAt"]
    answer = system.call("GET", f"/outages/{outage['outageId']}/affected.csv", token)
    rows = csv.DictReader(io.StringIO(answer.text))
    assert Counter(row["state"] for row in rows) == {"recovered": 40, "dismissed": 2}
    for subject in ("failures are rising: 42 waiting, usually 0", "settled: 42 were hit, 40 recovered"):
        system.mailbox.wait_for(lambda mail, subject=subject: mail["Subject"].endswith(subject), PATIENCE)


def test_every_route_is_shown_in_api_md():
    """Each has a curl."""
    for route in routes.ALL:
        path = re.sub(r"\\{\w+\\}", r"\\$\\w+", re.escape(route.path))
        assert re.search(rf"\$API{path}[\s\"?]", TEXT), route.path

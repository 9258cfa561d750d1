"""The examples in docs/api.md work as they are printed."""

import re
import subprocess

from chalicelib.api import routes
from sandbox.project import ROOT
from tests.e2e.driver import PATIENCE, changed_environment, create_failed, fire, wait_for_end

TEXT = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")

# A call that fails ends the script and is printed; loopback needs no proxy.
PROLOGUE = "set -euo pipefail\ncurl() { command curl --noproxy '*' --fail-with-body \"$@\"; }\n"


def test_every_example_in_api_md_succeeds(system, approver):
    """A shell runs them one after the other, on the data that `make serve` begins with.

    Their requester has started nothing before: that would count for the approval threshold. The schedule has fired, and
    its run is stopped while it waits for approval: it has counted the causes, and sends nothing.
    """
    create_failed(system, "emails", 20, created_by="alice")
    create_failed(system, "emails", 2, created_by="alice", recipient="nobody")
    create_failed(system, "sms", 20, created_by="bob")
    script = PROLOGUE + "\n".join(re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL))
    token = system.token("operator", "ida")
    variables = system.environment() | {"API": system.api, "TOKEN": token, "APPROVER": approver}
    with changed_environment(system, "collector", APPROVAL_THRESHOLD="30"):
        run_id = fire(system)
        assert system.call("POST", f"/runs/{run_id}/stop", approver).status_code == 200
        assert wait_for_end(system, approver, run_id)["counts"].keys() <= {"not_attempted", "skipped"}
        finished = subprocess.run(
            ["bash", "-c", script], env=variables, capture_output=True, text=True, check=False, timeout=PATIENCE
        )
    assert finished.returncode == 0, finished.stdout[-2000:] + finished.stderr[-2000:]
    system.application.wait_for_stats(PATIENCE, queued=0)


def test_every_route_is_shown_in_api_md():
    """Each has a curl, except for rejecting a run, which the text compares with approving it."""
    for route in routes.ALL:
        path = re.sub(r"\\{\w+\\}", r"\\$\\w+", re.escape(route.path))
        assert re.search(rf"\$API{path}[\s\"?]", TEXT) or route is routes.REJECT, route.path

"""docs/api.md works as it stands."""

import re
import subprocess

import pytest

from chalicelib.api import routes
from sandbox.project import ROOT
from tests.e2e.driver import PATIENCE, environment, fail

pytestmark = pytest.mark.usefixtures("tidy")

TEXT = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")

# A call that fails ends the script, and is shown; loopback needs no proxy.
PROLOGUE = "set -euo pipefail\ncurl() { command curl --noproxy '*' --fail-with-body \"$@\"; }\n"


def test_every_example_works(system, operator, approver):
    """Executed one after the other by a shell, on what `make serve` begins with, each call succeeds."""
    fail(system, "emails", 20, created_by="alice")
    fail(system, "emails", 2, created_by="alice", recipient="nobody")
    fail(system, "sms", 20, created_by="bob")
    script = PROLOGUE + "\n".join(re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL))
    variables = system.environment() | {"API": system.api, "TOKEN": operator, "APPROVER": approver}
    with environment(system, "collector", APPROVAL_THRESHOLD="30"):
        finished = subprocess.run(
            ["bash", "-c", script], env=variables, capture_output=True, text=True, check=False, timeout=PATIENCE
        )
    assert finished.returncode == 0, finished.stdout[-2000:] + finished.stderr[-2000:]
    system.application.wait_for_stats(PATIENCE, queued=0)


def test_every_route_is_shown():
    """By a curl, or for the one that is another's twin by its name."""
    for door in routes.ALL:
        path = re.sub(r"\\{\w+\\}", r"\\$\\w+", re.escape(door.path))
        assert re.search(rf"\$API{path}[\s\"?]", TEXT) or door is routes.REJECT, door.path

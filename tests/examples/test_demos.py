"""`python -m examples` as a person at a terminal sees it: when something goes wrong, and after Ctrl-C."""

import os
import signal
import subprocess
import sys

import pytest

from examples.__main__ import guarded
from examples.story import DemoFailed, Story
from sandbox.deployed import DeployPyFailed
from sandbox.project import ROOT
from tests.e2e.driver import PATIENCE, wait_until
from tests.e2e.test_serve import descendants, is_alive


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (DemoFailed("the batch: expected 'SUCCEEDED', found 'FAILED'"), "expected 'SUCCEEDED', found 'FAILED'"),
        (
            DeployPyFailed("deploy.py failed:\n  role x ... failed\ndeploy.py: role x: Denied.\n"),
            "deploy.py: role x: Denied",
        ),
        (ZeroDivisionError(), "ZeroDivisionError"),
    ],
)
def test_a_demo_that_goes_wrong_says_so_in_one_sentence(capsys, tmp_path, error, sentence):
    """The traceback is in a file."""

    def run():
        raise error

    assert guarded("letters", tmp_path, run) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("\nletters went wrong: ")
    assert printed.err.endswith(f"{sentence}. The rest is in {tmp_path / 'error.log'}.\n")
    assert printed.err.count("\n") == 2
    assert "Traceback" in (tmp_path / "error.log").read_text()


def test_a_demo_does_not_wait_for_ever(capsys):
    """It says what it has waited for."""
    with pytest.raises(DemoFailed, match="waited 0 seconds in vain until the batch ends"):
        Story().wait("the batch ends", lambda: False, seconds=0)
    assert capsys.readouterr().out == "   Waiting until the batch ends ... in vain\n"


def test_ctrl_c_ends_a_demo_and_leaves_no_process(tmp_path):
    """A terminal sends it to all processes. Nobody gets a traceback to read."""
    log = tmp_path / "demo.log"
    with log.open("wb") as out:
        command = [sys.executable, "-m", "examples", "activity"]
        process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=out, start_new_session=True)
    try:
        wait_until(lambda: "letter in hand" in log.read_text() or process.poll() is not None, "no worker has begun")
        started = descendants(process.pid)
        assert len(started) > 4, log.read_text()  # DynamoDB, a fork server, the post, two workers
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(PATIENCE) == 130, log.read_text()
        wait_until(lambda: not any(map(is_alive, started)), f"processes still run: {started}")
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert log.read_text().endswith("\nStopped.\n")
    assert "Traceback" not in log.read_text()

"""`make serve` in a separate process: it prints what you need to use it, and leaves no process running."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import requests

from sandbox.project import ROOT
from tests.e2e.driver import PATIENCE


def live_processes(leader: int) -> list[str]:
    """The commands of the live processes in the session of this leader."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().rpartition(")")
        except OSError:
            continue  # it has ended meanwhile
        state, _, _, session, *_ = rest.split()
        if int(session) == leader and state != "Z":
            found.append(name)
    return found


def test_serve_runs_until_ctrl_c_and_leaves_no_process(tmp_path):
    """The URLs and the token that it prints work, and its exit code is 0."""
    log = tmp_path / "serve.log"
    with log.open("wb") as out:
        command = [sys.executable, "-m", "sandbox", "serve"]
        environment = {**os.environ, "SANDBOX_FOLDER": str(tmp_path / "serve")}
        serving = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=out, start_new_session=True)
    try:
        _use_and_stop(serving, log)
    finally:
        if serving.poll() is None:
            os.killpg(serving.pid, signal.SIGKILL)
            serving.wait()


def _use_and_stop(serving, log):
    deadline = time.monotonic() + PATIENCE
    while "Mails to the person on duty" not in log.read_text() and serving.poll() is None:
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
    api = re.search(r"^ *API +(http\S+)", log.read_text(), re.MULTILINE)[1]
    token = re.search(r"token +(\S+)", log.read_text())[1]
    headers = {"Authorization": f"Bearer {token}"}
    assert requests.get(f"{api}/health", timeout=60).status_code == 200
    assert requests.post(f"{api}/reprocess", headers=headers, json={"limit": 1}, timeout=60).status_code == 202
    assert requests.post(f"{api}/reprocess", json={}, timeout=60).status_code == 401
    os.kill(serving.pid, signal.SIGINT)
    assert serving.wait(PATIENCE) == 0, log.read_text()
    assert log.read_text().endswith("Stopped.\n")
    while live_processes(serving.pid):
        assert time.monotonic() < deadline, live_processes(serving.pid)
        time.sleep(0.1)

"""`make serve` from the outside: a process that announces itself, and leaves nothing behind."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import requests

from sandbox.project import ROOT

PATIENCE = 120


def family(leader: int) -> list[str]:
    """The commands of the live processes in a session, by its leader."""
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
    """It prints URLs and a token that work; Ctrl-C ends it with exit code 0, and every process that it started."""
    log = tmp_path / "serve.log"
    with log.open("wb") as out:
        command = [sys.executable, "-m", "sandbox", "serve"]
        environment = {**os.environ, "SANDBOX_FOLDER": str(tmp_path / "serve")}
        serving = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=out, start_new_session=True)
    try:
        _try_it(serving, log)
    finally:
        if serving.poll() is None:
            os.killpg(serving.pid, signal.SIGKILL)
            serving.wait()


def _try_it(serving, log):
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
    while family(serving.pid):
        assert time.monotonic() < deadline, family(serving.pid)
        time.sleep(0.1)

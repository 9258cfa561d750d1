"""`make serve` in a separate process: it prints what you need to use it, and leaves no process running."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import requests

from sandbox import serve
from sandbox.project import ROOT
from tests.e2e.driver import PATIENCE, wait_until
from tests.servers import answering, reply, serving


def descendants(process: int) -> set[int]:
    """The ids of all processes that a process has started, and those that they have started."""
    children = set()
    for path in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):  # the thread has ended meanwhile
            children |= set(map(int, path.read_text().split()))
    return children.union(*map(descendants, children))


def is_alive(process: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@contextmanager
def serving_process(folder: Path, *arguments: str, **variables: str):
    """`python -m sandbox serve` in a session of its own, and the file with what it prints."""
    log = folder / "serve.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "sandbox", "serve", *arguments],
            cwd=ROOT,
            env={**os.environ, "SANDBOX_FOLDER": str(folder / "serve"), **variables},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        yield process, log
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def test_serve_runs_until_ctrl_c_and_leaves_no_process(tmp_path):
    """The URLs and the token that it prints work, and its exit code is 0.

    There is something to look at: an outage that is settled, one that goes on, and a run that waits for approval.
    """
    with serving_process(tmp_path) as (process, log):
        api, headers = _wait_until_ready(process, log)
        assert "<title>comms-reprocess</title>" in requests.get(f"{api}/", timeout=60).text
        summary = requests.get(f"{api}/summary", headers=headers, timeout=60).json()
        assert (summary["awaitingApproval"], summary["worklist"], len(summary["causes"])) == (1, 2, 4)
        outages = requests.get(f"{api}/outages", headers=headers, timeout=60).json()["outages"]
        assert [(each["hit"], each["settledAt"] is None) for each in outages] == [(42, True), (24, False)]
        assert requests.get(f"{api}/health", timeout=60).status_code == 200
        assert requests.post(f"{api}/reprocess", headers=headers, json={"limit": 1}, timeout=60).status_code == 202
        assert requests.post(f"{api}/reprocess", json={}, timeout=60).status_code == 401
        _stop(process, log)


APPLICATION_TOML = """
[[sources]]
operation = "send.letter"
list = "${LETTERS_URL}/failed"
cool_down = "1h"

[reprocess]
url = "${LETTERS_URL}/letters"

[auth]
type = "header"
header = "X-Api-Key"
secret = "arn:aws:secretsmanager:eu-west-1:999999999999:secret:letters-AbCdEf"
"""


def test_serve_sends_to_your_own_application_and_only_when_asked(tmp_path):
    """It takes the variables, the settings and the secret from the environment; the secret is never printed."""
    (tmp_path / "application.toml").write_text(APPLICATION_TOML)

    def answer(request):
        assert request.headers["X-Api-Key"] == "letter-secret"
        return reply(body=[{"id": "one"}, {"id": "two"}]) if request.method == "GET" else reply(202)

    with serving(answering(answer)) as application:
        variables = {"LETTERS_URL": application.url, "APPLICATION_TOKEN": "letter-secret", "SCHEDULE": "rate(1 hour)"}
        with serving_process(tmp_path, str(tmp_path / "application.toml"), **variables) as (process, log):
            api, headers = _wait_until_ready(process, log)
            schedule = requests.get(f"{api}/schedule", headers=headers, timeout=60).json()
            assert schedule["paused"] is True
            assert serve.fire(tmp_path / "serve" / "running.json") == 0  # the schedule is paused, so it only looks
            wait_until(lambda: len(application.requests) == 2, "the collector does not look")
            assert [request.method for request in application.requests] == ["GET", "GET"]
            body = {"limit": 1}
            run = requests.post(f"{api}/reprocess", headers=headers, json=body, timeout=60).json()["runId"]
            wait_until(lambda: f"--- comms-reprocess: 1 of 1 accepted\nRun {run}" in log.read_text(), "no mail")
            _stop(process, log)
    assert [json.loads(request.body)["primaryId"] for request in application.requests if request.method == "POST"] == [
        "one"
    ]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert not [path for path in files if b"letter-secret" in path.read_bytes()]


def test_serve_says_what_your_application_lacks_and_ends(tmp_path):
    """A missing variable, or a list that `check` does not understand: nothing is deployed and nothing is sent."""
    (tmp_path / "application.toml").write_text(APPLICATION_TOML)
    arguments = (tmp_path, str(tmp_path / "application.toml"))
    with serving_process(*arguments) as (process, log):
        assert process.wait(PATIENCE) == 1
        assert "LETTERS_URL is not set" in log.read_text()
    with serving(answering(lambda _: reply(body={"letters": []}))) as application:
        variables = {"LETTERS_URL": application.url, "APPLICATION_TOKEN": "letter-secret"}
        with serving_process(*arguments, **variables) as (process, log):
            assert process.wait(PATIENCE) == 1
            assert "PROBLEM: items = '@' finds no list in the answer" in log.read_text()
            assert "Traceback" not in log.read_text()


def _wait_until_ready(process, log) -> tuple[str, dict[str, str]]:
    """Wait until it is ready; return the API's URL, and the headers for an operator."""
    deadline = time.monotonic() + 2 * PATIENCE  # it deploys, and lets two outages happen
    while "Mails to the person on duty" not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
    api = re.search(r"^ *page +(http\S+)/$", log.read_text(), re.MULTILINE)[1]
    token = re.search(r"^ *token +(\S+)", log.read_text(), re.MULTILINE)[1]
    return api, {"Authorization": f"Bearer {token}"}


def _stop(process, log) -> None:
    """Press Ctrl-C, and wait until every process has ended."""
    started = descendants(process.pid)
    assert len(started) > 3  # DynamoDB, fork servers, functions
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(PATIENCE) == 0, log.read_text()
    assert log.read_text().endswith("Stopped.\n")
    wait_until(lambda: not any(map(is_alive, started)), f"processes still run: {started}")

"""Function processes are forked from a server that has imported the function's module, and share nothing with it."""

import dataclasses
import hashlib
import json
import os
import signal
import time
from pathlib import Path

import pytest

from sandbox.aws.fork_servers import ForkServers
from sandbox.aws.logs import FunctionLogs
from sandbox.aws.model import Function
from sandbox.aws.packages import Packages
from sandbox.aws.process import FunctionProcess
from tests.integration.embedded_aws.packages import zipped

COUNTS = """
import os, random
print("imported")
calls = []
def handler(event, context):
    calls.append(event)
    if "exit" in event:
        os._exit(event["exit"])
    return {"calls": len(calls), "pid": os.getpid(), "group": os.getpgrp(), "random": random.random(),
            "files": sorted(map(int, os.listdir("/proc/self/fd"))), "server": os.getppid()}
"""
HANGS = "import time\ntime.sleep(600)\n"


def function(source: str) -> Function:
    code = zipped(source)
    arn = "arn:aws:lambda:eu-west-1:123456789012:function:example"
    sha = hashlib.sha256(code).hexdigest()
    return Function("example", arn, "main.handler", 30, 128, (), sha, code, reserved=None, retries=2)


class Lambda:
    """Fork servers, and the processes that a test has started."""

    def __init__(self, folder: Path) -> None:
        self.logs = FunctionLogs()
        self.servers = ForkServers(Packages(folder), {}, self.logs)
        self.processes = []

    def start(self, function: Function) -> FunctionProcess:
        self.processes.append(FunctionProcess(self.servers.of(function), self.logs))
        return self.processes[-1]

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.join()
        self.servers.close()


@pytest.fixture
def aws_lambda(tmp_path):
    running = Lambda(tmp_path)
    yield running
    running.close()


def call(process: FunctionProcess, **event):
    result = process.call(json.dumps(event).encode(), "request")
    return json.loads(result.payload)


def test_a_module_is_imported_once_for_all_processes_of_a_function(aws_lambda):
    """What a process does to it, the others do not see."""
    processes = [aws_lambda.start(function(COUNTS)) for _ in range(5)]
    answers = [call(process) for process in processes]
    _wait_until(aws_lambda.logs.lines)
    assert [answer["calls"] for answer in answers] == [1] * 5
    assert call(processes[0])["calls"] == 2
    assert len({answer["pid"] for answer in answers}) == len({answer["random"] for answer in answers}) == 5
    assert {answer["server"] for answer in answers} == {answers[0]["server"]}
    aws_lambda.close()
    assert aws_lambda.logs.lines() == ["[example] imported"]


def test_a_process_leads_its_own_group_and_has_no_file_of_its_siblings(aws_lambda):
    """Standard streams, its connection, and the folder that it lists: however many processes there are."""
    processes = [aws_lambda.start(function(COUNTS)) for _ in range(5)]
    answers = [call(process) for process in processes]
    assert all(answer["group"] == answer["pid"] for answer in answers)
    assert {len(answer["files"]) for answer in answers} == {len(answers[0]["files"])}


def test_a_process_that_is_killed_before_its_module_is_imported_ends_with_its_server(aws_lambda):
    """The import hangs. The next process gets a new server."""
    process = aws_lambda.start(function(HANGS))
    server = aws_lambda.servers.of(function(HANGS))
    process.kill()
    process.join()
    assert call(process)["errorType"] == "Runtime.ExitError"
    assert not server.usable
    assert aws_lambda.servers.of(function(HANGS)) is not server


def test_a_server_that_was_killed_is_replaced_and_its_processes_go_on(aws_lambda):
    """Nobody hears of their exit status any more, so they count as killed."""
    process = aws_lambda.start(function(COUNTS))
    server = call(process)["server"]
    os.kill(server, signal.SIGKILL)
    _wait_until(lambda: not aws_lambda.processes[0]._server.usable)
    assert call(process)["calls"] == 2
    assert call(aws_lambda.start(function(COUNTS)))["server"] != server
    assert call(process, exit=3)["errorMessage"].endswith("Runtime exited with error: signal: killed")


def test_processes_of_an_earlier_deployment_end_as_usual(aws_lambda):
    """Their server forks no more, and waits for them."""
    old = aws_lambda.start(function(COUNTS))
    call(old)
    new = aws_lambda.start(dataclasses.replace(function(COUNTS), environment=(("A", "1"),)))
    assert call(new)["server"] != call(old)["server"]
    assert call(old, exit=3)["errorMessage"].endswith("Runtime exited with error: exit status 3")
    _wait_until(lambda: not old._server.usable)


STARTS = """
import subprocess
short, long = subprocess.Popen(["true"]), subprocess.Popen(["sleep", "600"])
short.wait()
def handler(event, context):
    return {"long": long.pid}
"""


def test_a_module_may_start_processes_which_end_with_its_server(aws_lambda):
    """The server does not take them for processes of the function."""
    processes = [aws_lambda.start(function(STARTS)) for _ in range(2)]
    answers = [call(process) for process in processes]
    assert answers[0] == answers[1]
    began = time.monotonic()
    aws_lambda.close()
    assert time.monotonic() - began < 200
    _wait_until(lambda: not Path(f"/proc/{answers[0]['long']}").exists())


CLOSES = "import os\nos.close(0)\nos.close(1)\ndef handler(event, context):\n    return os.getpid()\n"


def test_a_module_may_close_its_standard_streams(aws_lambda):
    """The pipes of a process then take their numbers."""
    process = aws_lambda.start(function(CLOSES))
    assert call(process) == process.pid


def _wait_until(condition) -> None:
    deadline = time.monotonic() + 100
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)

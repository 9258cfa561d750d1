"""How much CPU sending one communication takes: `make bench-send`.

The handler `app.reprocess`, called as Lambda calls it, and the floor (benchmarks/floor.py) take turns in one process,
against the same endpoints. It fails if the handler takes more than 1.3 times the CPU of the floor. What each of them
imports, and making a client of DynamoDB, is measured separately.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

import boto3
import requests
from botocore.config import Config

from benchmarks import floor
from benchmarks.processes import server

MAX_RATIO = 1.3
# Short rounds, so that whatever else the machine does meets both alike; the median round counts.
ROUNDS, PER_ROUND = 40, 50
IMPORT_ROUNDS = 11

_TABLE = "bench-dev"
_CONTEXT = SimpleNamespace(
    invoked_function_arn=f"arn:aws:lambda:eu-central-1:123456789012:function:{_TABLE}-reprocess",
    function_name=f"{_TABLE}-reprocess",
    aws_request_id="5b2c2ec7-6b9b-4b2d-9f6e-5f1f6f3f0b0e",
)
# What each side needs before its first communication.
_IMPORTS = {
    "floor": "import boto3, requests; boto3.client('dynamodb')",
    "handler": "import app; from chalicelib import wiring; wiring.client('dynamodb')",
}

# Sends one communication, given the event of the state machine.
Send = Callable[[dict[str, Any]], None]
# Milliseconds of CPU, for each side in each round.
Rounds = dict[str, list[float]]


def _environment(url: str) -> dict[str, str]:
    """Return the environment of a deployed function, with everything that it talks to at `url`."""
    return {
        "PATH": os.environ["PATH"],
        "AWS_ENDPOINT_URL": url,
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_SESSION_TOKEN": "bench",
        "AWS_LAMBDA_FUNCTION_NAME": _CONTEXT.function_name,
        "_X_AMZN_TRACE_ID": "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
        "RESOURCE_PREFIX": _TABLE,
        "APPLICATION_URL": url,
        "APPLICATION_SECRET": "secret",
    }


def _tasks(kind: str, number: int) -> Iterator[dict[str, Any]]:
    """Yield the events for communications that nobody has sent yet."""
    for each in range(number):
        now = time.time_ns() // 1_000_000
        communication = {
            "operation": "send.email",
            "primaryId": f"{kind}-{each:08}",
            "listedAt": now,
            "createdBy": "alice",
            "created": now - 3_600_000,
            "since": now - 1_800_000,
        }
        yield {
            "runId": "20261121T093000Z-1f0c9a2be344",
            "index": 0,
            "requestedBy": "schedule",
            "communication": communication,
        }


def _handler() -> Send:
    from app import reprocess  # noqa: PLC0415 (only the measuring process has the environment that it reads)

    def send(task: dict[str, Any]) -> None:
        assert reprocess(task, _CONTEXT)["outcome"] == "accepted"

    return send


def _floor() -> Send:
    client = boto3.client("dynamodb", config=Config(parameter_validation=False))
    url = os.environ["APPLICATION_URL"] + "/communications"
    return lambda task: floor.send(client, _TABLE, url, task)


def measure(number: int) -> Rounds:
    """Return the milliseconds of `number` rounds, after one to warm up; every communication must have been accepted."""
    sides = {"floor": _floor(), "handler": _handler()}
    each = (number + 1) * PER_ROUND
    tasks = {name: _tasks(name, each) for name in sides}
    rounds = [_round(sides, tasks) for _ in range(number + 1)][1:]
    accepted = requests.get(os.environ["APPLICATION_URL"], timeout=10).json()["accepted"]
    if accepted != each * len(sides):
        raise RuntimeError(f"only {accepted} of {each * len(sides)} were claimed, POSTed and recorded as accepted")
    return {name: [measured[name] for measured in rounds] for name in sides}


def _round(sides: dict[str, Send], tasks: dict[str, Iterator[dict[str, Any]]]) -> dict[str, float]:
    """Send with both sides by turns, and return the CPU of all threads for one communication of each."""
    spent = dict.fromkeys(sides, 0.0)
    for _ in range(PER_ROUND):
        for name, send in sides.items():
            task = next(tasks[name])
            began = time.process_time()
            send(task)
            spent[name] += time.process_time() - began
    return {name: seconds / PER_ROUND * 1000 for name, seconds in spent.items()}


def sending(url: str, number: int) -> Rounds:
    """Measure in a process of its own."""
    rounds: Rounds = json.loads(_printed(url, "-m", "benchmarks.send", str(number)))
    return rounds


def _importing(url: str) -> Rounds:
    """Return the milliseconds of each import, after one that writes the bytecode."""
    rounds: Rounds = {name: [] for name in _IMPORTS}
    for _ in range(IMPORT_ROUNDS + 1):
        for name, statements in _IMPORTS.items():
            code = f"import time; began = time.process_time(); {statements}; print(time.process_time() - began)"
            rounds[name].append(float(_printed(url, "-c", code)) * 1000)
    return {name: each[1:] for name, each in rounds.items()}


def _printed(url: str, *arguments: str) -> str:
    """Return what a new Python prints that has a function's environment."""
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, env=_environment(url), stdout=subprocess.PIPE, check=True, text=True, timeout=600
    ).stdout


def ratio(rounds: Rounds) -> float:
    """Return how many times the floor's CPU the handler takes, in the median round."""
    return median(ours / least for ours, least in zip(rounds["handler"], rounds["floor"], strict=True))


def _print_figures(what: str, rounds: Rounds) -> None:
    least, ours = median(rounds["floor"]), median(rounds["handler"])
    print(f"{what:<8} floor {least:7.2f} ms   handler {ours:7.2f} ms   x {ratio(rounds):.2f}")


def main() -> int:
    """Measure, print the figures, and return 1 if the handler takes too much."""
    with server("benchmarks.endpoints") as url:
        sent, imported = sending(url, ROUNDS), _importing(url)
    _print_figures("sending", sent)
    _print_figures("import", imported)
    exceeded = ratio(sent) > MAX_RATIO
    print(f"Limit exceeded: x {MAX_RATIO} for sending." if exceeded else f"Within x {MAX_RATIO} for sending.")
    return 1 if exceeded else 0


def _measure(number: int) -> int:
    with Path(os.devnull).open("w", encoding="utf-8") as nothing, redirect_stdout(nothing):  # the log lines
        rounds = measure(number)
    print(json.dumps(rounds))
    return 0


if __name__ == "__main__":
    sys.exit(_measure(int(sys.argv[1])) if sys.argv[1:] else main())

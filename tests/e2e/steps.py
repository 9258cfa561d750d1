"""What the tests of the API do over and over."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from chalicelib.models import CLOSED

PATIENCE = 120

PREFIX = "comms-reprocess-dev"


def wait_until(true: Callable[[], object], what: str) -> None:
    """Look until it is so, at most as long as patience lasts."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.1)


def fail(system, kind: str, count: int, **more) -> list[str]:
    """Have communications fail for real: provider down, queue, dead letter queue, rounds."""
    before = system.application.stats()["failed"]
    provider = system.email if kind == "emails" else system.sms
    provider.down = True
    ids = system.application.create(kind, count, **more)
    system.application.wait_for_stats(PATIENCE, failed=before + count)
    provider.down = False
    return ids


def start(system, token: str, **selection) -> str:
    """Start a run and return its id."""
    answer = system.call("POST", "/reprocess", token, json=selection)
    assert answer.status_code == 202, answer.text
    return answer.json()["runId"]


def finish(system, token: str, run_id: str) -> dict:
    """The run as it is once it has ended."""
    return wait_for_status(system, token, run_id, *CLOSED)


def wait_for_status(system, token: str, run_id: str, *statuses: str) -> dict:
    """The run as it is once it has one of the statuses."""
    seen: list[dict] = []

    def reached() -> bool:
        seen[:] = [system.call("GET", f"/runs/{run_id}", token).json()]
        return seen[0]["status"] in statuses

    wait_until(reached, f"the run is not {statuses}: {seen}\n{system.log()[-5000:]}")
    return seen[0]


def executions(system) -> list[str]:
    """The names of all executions there ever were."""
    client = system.client("stepfunctions")
    machine = client.list_state_machines()["stateMachines"][0]["stateMachineArn"]
    return [each["name"] for each in client.list_executions(stateMachineArn=machine)["executions"]]


def mails_about(system, run_id: str) -> list:
    return [mail for mail in system.mailbox.messages() if run_id in mail.get_content()]


@contextmanager
def environment(system, function: str, **values: str) -> Iterator[None]:
    """Have a function run with other environment variables for a while."""
    client, name = system.client("lambda"), f"{PREFIX}-{function}" if function else PREFIX
    before = client.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    client.update_function_configuration(FunctionName=name, Environment={"Variables": before | values})
    try:
        yield
    finally:
        client.update_function_configuration(FunctionName=name, Environment={"Variables": before})


def collect_scheduled(system) -> None:
    """Run the collector once as the schedule does, and wait until it returns."""
    event = {
        "version": "0",
        "id": "e2e",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "123456789012",
        "region": "eu-west-1",
        "time": "2026-11-20T12:00:00Z",
        "resources": [],
        "detail": {},
    }
    answer = system.client("lambda").invoke(FunctionName=f"{PREFIX}-collector", Payload=json.dumps(event).encode())
    assert "FunctionError" not in answer, answer["Payload"].read()

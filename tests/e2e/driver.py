"""What the end-to-end tests do with the system over and over."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from chalicelib import times
from chalicelib.lambda_invoker import requested_event
from chalicelib.models import CLOSED

PREFIX = "comms-reprocess-dev"

# How long anything may take, in seconds. Only a failing test waits that long.
PATIENCE = 120


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Wait until a condition is true. TimeoutError says `what` was not."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.1)


def fail(system, kind: str, count: int, **more) -> list[str]:
    """Have communications fail for real: provider down, queue, dead letter queue, rounds. Return their ids."""
    provider = system.email if kind == "emails" else system.sms
    provider.down = True
    ids = system.application.create(kind, count, **more)
    deadline = time.monotonic() + PATIENCE
    # Each by itself: communications of an earlier test may still be on their way, and fail with them.
    while left := [each for each in ids if system.application.communication(each)["state"] != "failed"]:
        assert time.monotonic() < deadline, f"not failed within {PATIENCE} s: {left[:20]}"
    provider.down = False
    return ids


def start_run(system, token: str, **selection) -> str:
    """Request a run and return its id."""
    response = system.call("POST", "/reprocess", token, json=selection)
    assert response.status_code == 202, response.text
    return response.json()["runId"]


def wait_for_status(system, token: str, run_id: str, *statuses: str) -> dict:
    """Wait until a run has one of the statuses, and return it."""
    run: dict = {}

    def reached() -> bool:
        run.clear()
        run.update(system.call("GET", f"/runs/{run_id}", token).json())
        return run.get("status") in statuses

    try:
        wait_until(reached, f"run {run_id} is not {statuses}")
    except TimeoutError as error:
        raise TimeoutError(f"{error}: {run}\n{system.log()[-5000:]}") from None
    return run


def finish(system, token: str, run_id: str) -> dict:
    """Wait until a run has ended, and return it."""
    return wait_for_status(system, token, run_id, *CLOSED)


def mail_about(system, run_id: str):
    """Wait for the mail about a run, and return it."""
    return system.mailbox.wait_for(lambda mail: run_id in mail.get_content(), PATIENCE)


def mails_about(system, run_id: str) -> list:
    """Return the mails about a run that have arrived."""
    return [mail for mail in system.mailbox.messages() if run_id in mail.get_content()]


def executions(system) -> list[str]:
    """Return the names of all executions of the state machine."""
    client = system.client("stepfunctions")
    machine = client.list_state_machines()["stateMachines"][0]["stateMachineArn"]
    return [each["name"] for each in client.list_executions(stateMachineArn=machine)["executions"]]


def fire(system) -> str:
    """Fire the schedule and return the id of the run that it starts."""
    known = set(executions(system))
    system.fire()
    started: set[str] = set()

    def has_started() -> bool:
        started.update(set(executions(system)) - known)
        return bool(started)

    wait_until(has_started, f"no execution was started\n{system.log()[-5000:]}")
    return started.pop()


def collect(system, run_id: str | None = None) -> None:
    """Run the collector for the schedule, or for a requested run, and wait until it has ended."""
    event = requested_event(run_id or "", "123456789012", "eu-west-1", times.now())
    if run_id is None:
        event["detail"] = {}
    answer = system.client("lambda").invoke(FunctionName=f"{PREFIX}-collector", Payload=json.dumps(event).encode())
    assert "FunctionError" not in answer, answer["Payload"].read()


@contextmanager
def environment(system, function: str, **values: str) -> Iterator[None]:
    """Give a function (`""`: the API's) other environment variables for a while."""
    client, name = system.client("lambda"), f"{PREFIX}-{function}" if function else PREFIX
    before = client.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    client.update_function_configuration(FunctionName=name, Environment={"Variables": before | values})
    try:
        yield
    finally:
        client.update_function_configuration(FunctionName=name, Environment={"Variables": before})

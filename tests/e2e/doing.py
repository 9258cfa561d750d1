"""What the end-to-end tests do with the system."""

import json
import time

from chalicelib import runs, times
from chalicelib.models import CLOSED

PATIENCE = 120


def fail(system, kind: str, count: int, **more) -> list[str]:
    """Have communications fail for real: provider down, queue, dead letter queue, rounds."""
    provider = system.email if kind == "emails" else system.sms
    provider.down = True
    ids = system.application.create(kind, count, **more)
    deadline = time.monotonic() + PATIENCE
    # Each by itself: an earlier test's may still be on their way, and fail with them.
    while left := [each for each in ids if system.application.communication(each)["state"] != "failed"]:
        assert time.monotonic() < deadline, f"not failed within {PATIENCE} s: {left[:20]}"
    provider.down = False
    return ids


def start(system, token: str, **selection) -> dict:
    answer = system.call("POST", "/reprocess", token, json=selection)
    assert answer.status_code == 202, answer.text
    return answer.json()


def finish(system, token: str, run_id: str) -> dict:
    """The run as it is once it has ended."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        run = system.call("GET", f"/runs/{run_id}", token).json()
        if run["status"] in CLOSED:
            return run
        time.sleep(0.2)
    raise TimeoutError(f"the run has not ended: {run}\n{system.log()[-5000:]}")


def mail_about(system, run_id: str):
    return system.mailbox.wait_for(lambda mail: run_id in mail.get_content(), PATIENCE)


def mails_about(system, run_id: str) -> list:
    return [mail for mail in system.mailbox.messages() if run_id in mail.get_content()]


def executions(system) -> list[str]:
    client = system.client("stepfunctions")
    machine = client.list_state_machines()["stateMachines"][0]["stateMachineArn"]
    return [each["name"] for each in client.list_executions(stateMachineArn=machine)["executions"]]


def fire(system) -> str:
    """Fire the schedule and return the id of the run that it starts."""
    known = set(executions(system))
    system.fire()
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        new = set(executions(system)) - known
        if new:
            return new.pop()
        time.sleep(0.2)
    raise TimeoutError(f"no execution was started\n{system.log()[-5000:]}")


def collect(system, run_id: str | None = None) -> None:
    """Run the collector for a schedule's event, or for a request, and wait until it has ended."""
    event = runs.collector_event(run_id or "", "123456789012", "eu-west-1", times.now())
    if run_id is None:
        event["detail"] = {}
    answer = system.client("lambda").invoke(
        FunctionName="comms-reprocess-dev-collector", Payload=json.dumps(event).encode()
    )
    assert "FunctionError" not in answer, answer["Payload"].read()

"""What the end-to-end tests do with the system again and again."""

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from chalicelib import times
from chalicelib.executions import RUNNING
from chalicelib.lambda_invoker import requested_event
from chalicelib.ledger.communications import key_of
from chalicelib.ledger.schedule import Schedule
from chalicelib.ledger.table import Table
from chalicelib.models.runs import CLOSED
from sandbox.application.database import timestamp
from sandbox.aws import ACCOUNT, REGION

# The prefix of everything that the system has deployed.
PREFIX = "comms-reprocess-dev"

# How long anything may take, in seconds. Only a failing test waits that long.
PATIENCE = 120

# The timeout of a POST and the cool-down in the deployed configuration, in seconds: sending may take 11 s.
POST_TIMEOUT, COOL_DOWN = 3, 12


def wait_until(condition: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    """Wait until a condition is true, or raise a TimeoutError that says `what` is wrong."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.1)


def wait_out_cool_down() -> None:
    """Sleep until the cool-down of everything that was claimed before is over: the deployed system has a real clock."""
    time.sleep(COOL_DOWN + 0.2)


# -- communications


def create_failed(system, kind: str, count: int, **options) -> list[str]:
    """Create communications that really fail, through queue, dead letter queue and rounds. Return their ids."""
    provider = system.email if kind == "emails" else system.sms
    # What an earlier run has sent must not meet the provider that is down.
    system.application.wait_for_stats(PATIENCE, queued=0)
    provider.down = True
    ids = system.application.create(kind, count, **options)
    # These, and not only as many: communications of earlier tests may still be queued, and fail with them.
    wait_until(lambda: set(ids) <= _failed(system), f"not failed within {PATIENCE} s: {kind}")
    provider.down = False
    return ids


def insert_failed(system, count: int, created_by: str) -> list[str]:
    """Insert emails that have finally failed: to fail through the queue, many would take minutes. Return their ids."""
    ids = [f"{created_by}-{number}" for number in range(count)]
    moment = timestamp()
    rows = [(each, "send.email", "to@example.com", "-", "-", created_by, moment, "failed", moment) for each in ids]
    with closing(sqlite3.connect(system.application.database, timeout=PATIENCE)) as database, database:
        database.executemany(
            "INSERT INTO communications"
            " (id, operation, recipient, subject, body, created_by, created, state, failed_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )
    return ids


def _failed(system) -> set[str]:
    """The ids of what has failed, from the application's database: its API would be asked a thousand times."""
    with closing(sqlite3.connect(system.application.database, timeout=PATIENCE)) as database:
        return {row[0] for row in database.execute("SELECT id FROM communications WHERE state = 'failed'")}


def end_cool_down(system, operation: str, primary_id: str) -> None:
    """Let the cool-down of a communication be over."""
    table, key = Table(system.client("dynamodb"), PREFIX), key_of(operation, primary_id)
    over = {"until": times.now() - 1, "doubtUntil": times.now() - 1}
    table.update(key, "SET #until = :until, #doubtUntil = :doubtUntil", over)


def sent_flags(system, ids: list[str]) -> list[int]:
    """For each communication, 1 if the application has sent it, else 0."""
    return [system.application.communication(each)["sent"] for each in ids]


# -- runs


def start_run(system, token: str, **selection) -> str:
    """Request a run and return its id."""
    response = system.call("POST", "/reprocess", token, json=selection)
    assert response.status_code == 202, response.text
    return response.json()["runId"]


def wait_for_status(system, token: str, run_id: str, *statuses: str, seconds: float = PATIENCE) -> dict:
    """Wait until a run has one of the statuses, and return it."""
    run: dict = {}

    def reached() -> bool:
        run.clear()
        run.update(system.call("GET", f"/runs/{run_id}", token).json())
        return run.get("status") in statuses

    try:
        wait_until(reached, f"run {run_id} is not {statuses}", seconds)
    except TimeoutError as error:
        raise TimeoutError(f"{error}: {run}\n{system.log()[-5000:]}") from None
    return run


def wait_for_end(system, token: str, run_id: str, seconds: float = PATIENCE) -> dict:
    """Wait until a run has ended, and return it.

    It is closed before its mail is sent and the schedule's next turn may begin: its execution, or its collector if it
    has none, does that. Nothing of it is left to disturb what a test does next.
    """
    run = wait_for_status(system, token, run_id, *CLOSED, seconds=seconds)
    client = system.client("stepfunctions")
    wait_until(lambda: not is_executing(client, run_id), f"the execution of {run_id} does not end")
    system.aws.lambdas.wait_for_events()
    return run


def is_executing(client, run_id: str) -> bool:
    """Whether the execution of a run is under way."""
    try:
        arn = f"arn:aws:states:{REGION}:{ACCOUNT}:execution:{PREFIX}:{run_id}"
        return client.describe_execution(executionArn=arn)["status"] == RUNNING
    except client.exceptions.ExecutionDoesNotExist:
        return False


def wait_for_turn(system) -> None:
    """Wait until no scheduled run is under way: another one begins only then."""
    schedule = Schedule(Table(system.client("dynamodb"), PREFIX), times.now)
    wait_until(lambda: not schedule.lock_holder()[0], "a scheduled run is still under way")


def fire(system) -> str:
    """Fire the schedule and return the id of the run that it starts."""
    wait_for_turn(system)
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
    if run_id is None:
        wait_for_turn(system)
        system.scan()
    else:
        error = invoke(system, "collector", requested_event(run_id, ACCOUNT, REGION, times.now()))
        assert error is None, error


def executions(system) -> list[str]:
    """Return the names of all executions of the state machine."""
    client = system.client("stepfunctions")
    machine = client.list_state_machines()["stateMachines"][0]["stateMachineArn"]
    return [each["name"] for each in client.list_executions(stateMachineArn=machine)["executions"]]


# -- mails


def wait_for_mail(system, run_id: str):
    """Wait for a mail about a run, and return it."""
    return system.mailbox.wait_for(lambda mail: run_id in mail.get_content(), PATIENCE)


def mails_about(system, run_id: str) -> list:
    """Return the mails about a run that have arrived."""
    return [mail for mail in system.mailbox.messages() if run_id in mail.get_content()]


# -- functions


def invoke(system, function: str, event: dict) -> dict | None:
    """Invoke a deployed function and wait for it; return its error as Lambda describes it, None if it succeeded."""
    answer = system.client("lambda").invoke(FunctionName=f"{PREFIX}-{function}", Payload=json.dumps(event).encode())
    return json.loads(answer["Payload"].read()) if "FunctionError" in answer else None


@contextmanager
def changed_environment(system, function: str, **values: str) -> Iterator[None]:
    """Give a function (`""`: the API's) other environment variables for a while."""
    client, name = system.client("lambda"), f"{PREFIX}-{function}" if function else PREFIX
    before = client.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    client.update_function_configuration(FunctionName=name, Environment={"Variables": before | values})
    try:
        yield
    finally:
        client.update_function_configuration(FunctionName=name, Environment={"Variables": before})


@contextmanager
def held(system, function: str, **fields: object) -> Iterator[threading.Event]:
    """Hold the calls of a function whose event has these fields until the block ends. The result says that one came."""
    reached, released = threading.Event(), threading.Event()

    def hold(name: str, payload: bytes) -> None:
        if name == f"{PREFIX}-{function}" and fields.items() <= json.loads(payload).items():
            reached.set()
            released.wait()

    system.aws.lambdas.observe = hold
    try:
        yield reached
    finally:
        released.set()
        system.aws.lambdas.observe = lambda _name, _payload: None

"""What the tests of the API do over and over."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.e2e import doing
from tests.e2e.doing import PATIENCE

PREFIX = "comms-reprocess-dev"


def wait_until(true: Callable[[], object], what: str) -> None:
    """Look until it is so, at most as long as patience lasts."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.1)


def start(system, token: str, **selection) -> str:
    """Start a run and return its id."""
    return doing.start(system, token, **selection)["runId"]


def wait_for_status(system, token: str, run_id: str, *statuses: str) -> dict:
    """The run as it is once it has one of the statuses."""
    seen: list[dict] = []

    def reached() -> bool:
        seen[:] = [system.call("GET", f"/runs/{run_id}", token).json()]
        return seen[0]["status"] in statuses

    wait_until(reached, f"the run is not {statuses}: {seen}\n{system.log()[-5000:]}")
    return seen[0]


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

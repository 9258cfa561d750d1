"""Step Functions: starting and stopping executions as AWS does, around moto's interpreter."""

import json
import re
import time
import uuid
from datetime import UTC, datetime
from typing import Any

from moto.stepfunctions.parser.api import ExecutionStatus
from moto.stepfunctions.parser.models import stepfunctions_parser_backends
from moto.stepfunctions.parser.utils import TMP_THREADS
from werkzeug import Response

from sandbox.aws.model import ACCOUNT

NAME = re.compile(r'[^\s<>{}\[\]?*"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f]{1,80}')
Execution = Any  # moto's parser.backend.execution.Execution, whose annotations it does not keep to
FAREWELL = 3  # seconds that the interpreter's threads get to end


class _Deaf:
    """Takes the place of the one whom the interpreter tells how an execution ended: it ended when it was stopped."""

    def terminated(self) -> None:
        """Hear nothing."""


def named(body: bytes) -> bytes | Response:
    """Give an execution without a name one of its own, which moto does not; refuse a name that AWS refuses."""
    wanted = json.loads(body)
    name = wanted.setdefault("name", str(uuid.uuid4()))
    return json.dumps(wanted).encode() if NAME.fullmatch(name) else _error("InvalidName", f"Invalid Name: '{name}'")


def stop(body: bytes) -> Response | None:
    """Abort an execution at once, as AWS does; None if moto does not know it.

    Alone, moto forgets error and cause, lets the execution run until its current task ends (a wait for a task token:
    until its timeout) and may then call it FAILED.
    """
    wanted = json.loads(body)
    execution = next((one for one in _executions() if one.exec_arn == wanted["executionArn"]), None)
    if execution is None:
        return None
    abort(execution, wanted.get("error"), wanted.get("cause"))
    return _json({"stopDate": execution.stop_date.timestamp()}, 200)


def abort(execution: Execution, error: str | None = None, cause: str | None = None) -> None:
    """End an execution and whatever it waits for. A task under way goes on, but nothing follows it."""
    if execution.exec_status != ExecutionStatus.RUNNING:
        return
    environment = _running_environment(execution)
    execution.exec_worker._execution_communication = _Deaf()  # noqa: SLF001 (moto has no other way to say so)
    execution.stop_date = datetime.now(UTC)
    execution.exec_status = ExecutionStatus.ABORTED
    execution.error, execution.cause = error, cause
    if environment:
        environment.set_stop(stop_date=execution.stop_date, error=error, cause=cause)
        for callback in list(environment.callback_pool_manager._pool.values()):  # noqa: SLF001 (the same)
            callback.interrupt_all()


def abort_all() -> None:
    """Leave no execution running."""
    for execution in _executions():
        abort(execution)


def join_threads() -> None:
    """Wait for the interpreter's threads to end; one that sleeps in a Retry is left to end when it wakes."""
    deadline = time.monotonic() + FAREWELL
    for thread in list(TMP_THREADS):
        thread.join(max(0, deadline - time.monotonic()))
    TMP_THREADS.clear()


def _running_environment(execution: Execution) -> Any | None:
    """Wait until the execution's own thread has begun: before that, moto would not hear of a stop."""
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline:
        environment = execution.exec_worker.env
        if environment and environment.is_running():
            return environment
        time.sleep(0.01)
    return None


def _executions() -> list[Execution]:
    backends = list(stepfunctions_parser_backends[ACCOUNT].values())
    return [one for backend in backends for machine in backend.state_machines for one in machine.executions]


def _error(code: str, message: str) -> Response:
    return _json({"__type": code, "message": message}, 400)


def _json(body: dict[str, Any], status: int) -> Response:
    return Response(json.dumps(body), status=status, content_type="application/x-amz-json-1.0")

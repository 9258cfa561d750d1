"""The executions of Step Functions: starts and stops them as AWS does, where moto's interpreter does not."""

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
Execution = Any  # moto's parser.backend.execution.Execution, whose annotations are wrong
JOIN_SECONDS = 3  # for the interpreter's threads to end
START_SECONDS = 60  # for the interpreter to read a definition, which takes a tenth of a second of a free core


class _IgnoreTermination:
    """Replaces the object that the interpreter notifies at the end: a stopped execution has ended already."""

    def terminated(self) -> None:
        """Do nothing."""


def with_name(body: bytes) -> bytes | Response:
    """Add a name to a StartExecution without one, as AWS does and moto does not; refuse a name that AWS refuses."""
    request = json.loads(body)
    name = request.setdefault("name", str(uuid.uuid4()))
    if not NAME.fullmatch(name):
        return error_response("InvalidName", f"Invalid Name: '{name}'")
    return json.dumps(request).encode()


def stop(body: bytes) -> Response | None:
    """Answer StopExecution: abort the execution at once, as AWS does; None if moto does not know it.

    moto itself drops error and cause, lets the execution run until its current task ends (or until the timeout of a
    task token), and may then call it FAILED.
    """
    request = json.loads(body)
    execution = next((each for each in _executions() if each.exec_arn == request["executionArn"]), None)
    if execution is None:
        return None
    abort(execution, request.get("error"), request.get("cause"))
    return json_response({"stopDate": execution.stop_date.timestamp()})


def abort(execution: Execution, error: str | None = None, cause: str | None = None) -> None:
    """Abort an execution, and end its waits. A task that is running continues, but no state follows it.

    One that has ended by itself stays as it is. One that is just starting is waited for: moto would ignore a stop.
    """
    deadline = time.monotonic() + START_SECONDS
    while execution.exec_status == ExecutionStatus.RUNNING and time.monotonic() < deadline:
        if _aborted(execution, error, cause):
            return
        time.sleep(0.01)


def abort_all() -> None:
    """Abort all executions that are running."""
    for execution in _executions():
        abort(execution)


def join_threads() -> None:
    """Wait for the interpreter's threads to end. A thread that sleeps in a Retry ends later, when it wakes up."""
    deadline = time.monotonic() + JOIN_SECONDS
    for thread in list(TMP_THREADS):
        thread.join(max(0, deadline - time.monotonic()))
    TMP_THREADS.clear()


def _aborted(execution: Execution, error: str | None, cause: str | None) -> bool:
    """Abort an execution, unless its thread has not started yet, or has come to an end. Return whether it was aborted.

    The interpreter takes the same lock to end an execution.
    """
    environment = execution.exec_worker.env
    if environment is None:
        return False
    with environment._state_mutex:  # noqa: SLF001 (moto has no other way)
        # It runs before the interpreter evaluates anything, and one that is stopped then gets no end in its history.
        if environment.next_field_name is None:
            return False
        stop_date = datetime.now(UTC)
        environment.set_stop(stop_date=stop_date, error=error, cause=cause)
        _end_waits(environment)
        execution.exec_worker._execution_communication = _IgnoreTermination()  # noqa: SLF001 (the same)
        execution.stop_date, execution.error, execution.cause = stop_date, error, cause
        execution.exec_status = ExecutionStatus.ABORTED  # last: whoever sees it finds the rest
    for callback in list(environment.callback_pool_manager._pool.values()):  # noqa: SLF001 (the same)
        callback.interrupt_all()
    return True


def _end_waits(environment: Any) -> None:
    """End the waits of Wait states, also of those that are about to begin: moto would not reach them."""
    environment.program_state_event.set()
    for frame in environment._frames:  # noqa: SLF001 (moto has no other way)
        _end_waits(frame)


def _executions() -> list[Execution]:
    backends = list(stepfunctions_parser_backends[ACCOUNT].values())
    return [each for backend in backends for machine in backend.state_machines for each in machine.executions]


def error_response(code: str, message: str) -> Response:
    """Return an error as Step Functions does."""
    return json_response({"__type": code, "message": message}, 400)


def json_response(body: dict[str, Any], status: int = 200) -> Response:
    """Return an answer as Step Functions does."""
    return Response(json.dumps(body), status=status, content_type="application/x-amz-json-1.0")

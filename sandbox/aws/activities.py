"""The activities of Step Functions, for workers outside of Lambda: what moto's API lacks of them."""

import json
import re
import socket
import time
from contextlib import AbstractContextManager
from typing import Any, NoReturn

from moto.stepfunctions.parser.asl.eval.callback.callback import CallbackOutcomeFailure, CallbackOutcomeFailureError
from moto.stepfunctions.parser.models import stepfunctions_parser_backends
from werkzeug import Request, Response

from sandbox.aws.activity_states import MAX_BYTES, activity_states
from sandbox.aws.activity_tasks import CHECK_SECONDS, Task, TaskClosedError, TaskQueues, activity_of
from sandbox.aws.executions import error_response, json_response
from sandbox.aws.model import ACCOUNT, Timings

ARN = re.compile(r"arn:aws:states:[a-z0-9-]+:\d{12}:activity:[^:]{1,80}")
# In characters, but for the output, which is in bytes of UTF-8:
# https://docs.aws.amazon.com/step-functions/latest/apireference/API_SendTaskFailure.html, and the pages next to it.
MAX_LENGTHS = {"output": MAX_BYTES, "error": 256, "cause": 32_768, "taskToken": 2_048, "workerName": 80}
# Of an activity for which nothing else was asked.
OWN_KEY = {"type": "AWS_OWNED_KEY"}


class Activities:
    """Hands tasks to the workers that poll for them, and takes their reports."""

    def __init__(self, timings: Timings) -> None:
        self._timings = timings
        self._queues = TaskQueues(timings.activity_clock)
        self._closed = False

    def interpreted(self) -> AbstractContextManager[None]:
        """Let the interpreter of state machines schedule tasks here."""
        return activity_states(self._queues, lambda arn: _find(arn) is not None)

    def close(self) -> None:
        """End all polls, and those to come."""
        with self._queues.changed:
            self._closed = True
            self._queues.changed.notify_all()

    def get_task(self, request: Request) -> Response:
        """Answer GetActivityTask: a long poll of up to 60 seconds, without a token if there was no task.

        https://docs.aws.amazon.com/step-functions/latest/apireference/API_GetActivityTask.html. A worker that has hung
        up gets no task, as far as its connection shows it. AWS promises less: it tells workers to wait for at least 65
        seconds. One that hangs up while it is being answered has the task, and only a timeout brings that back.
        """
        asked = json.loads(request.get_data())
        arn = asked["activityArn"]
        if refused := _too_long(asked):
            return refused
        if not ARN.fullmatch(arn):
            return error_response("InvalidArn", f"Invalid Arn: '{arn}'")
        task = self._poll(arn, asked.get("workerName"), request.environ["werkzeug.socket"])
        if task:
            return json_response({"taskToken": task.token, "input": task.input})
        if _find(arn) is None:
            return error_response("ActivityDoesNotExist", f"Activity Does Not Exist: '{arn}'")
        return json_response({"taskToken": None})

    def _poll(self, arn: str, worker: str | None, connection: socket.socket) -> Task | None:
        deadline = time.monotonic() + self._timings.activity_poll
        with self._queues.changed:
            while _find(arn) is not None and not self._closed and not _has_hung_up(connection):
                task = self._queues.take(arn, worker)
                remaining = deadline - time.monotonic()
                if task or remaining <= 0:
                    return task
                self._queues.changed.wait(min(CHECK_SECONDS, remaining))
        return None

    def report(self, operation: str, report: dict[str, Any]) -> Response | None:
        """Answer SendTaskSuccess, SendTaskFailure or SendTaskHeartbeat; None if the token is not of an activity.

        TaskTimedOut means "either expired or the task associated with the token has already been closed", and
        TaskDoesNotExist "the activity does not exist":
        https://docs.aws.amazon.com/step-functions/latest/apireference/API_SendTaskSuccess.html
        """
        token = report["taskToken"]
        refused = _refusal(report)
        if refused or not self._queues.knows(token):
            return refused
        if _find(activity_of(token)) is None:
            return error_response("TaskDoesNotExist", "Task Does Not Exist: 'The activity does not exist'")
        try:
            _tell(self._queues.find(token), operation, report)
        except TaskClosedError:
            return error_response("TaskTimedOut", "Task Timed Out: 'Provided task does not exist anymore'")
        return json_response({})


def existing(request: Request) -> Response | None:
    """Answer CreateActivity for an activity that exists as asked for; None if there is none.

    "CreateActivity is an idempotent API", by name:
    https://docs.aws.amazon.com/step-functions/latest/apireference/API_CreateActivity.html. moto refuses a repetition.
    """
    asked = json.loads(request.get_data())
    region = request.headers["Authorization"].split("/")[2]
    activity = _find(f"arn:aws:states:{region}:{ACCOUNT}:activity:{asked['name']}")
    encryption = asked.get("encryptionConfiguration", OWN_KEY)
    if activity is None or (activity.encryption_configuration or OWN_KEY) != encryption:
        return None
    milliseconds = int(activity.creation_date.timestamp() * 1000)  # all that moto tells
    return json_response({"activityArn": activity.arn, "creationDate": milliseconds / 1000})


def _find(arn: str | None) -> Any | None:
    """Return moto's record of an activity."""
    backends = list(stepfunctions_parser_backends[ACCOUNT].values())
    return next((backend.activities[arn] for backend in backends if arn in backend.activities), None)


def _tell(task: Task, operation: str, report: dict[str, Any]) -> None:
    if operation == "SendTaskHeartbeat":
        task.beat()
    elif operation == "SendTaskSuccess":
        task.close(report["output"])
    else:
        failure = CallbackOutcomeFailure(task.token, report.get("error"), report.get("cause"))
        task.close(CallbackOutcomeFailureError(failure))


def _refusal(report: dict[str, Any]) -> Response | None:
    """Refuse a report that AWS would refuse whatever the state of the task; None if it is valid."""
    if refused := _too_long(report):
        return refused
    try:
        json.loads(report.get("output", "{}"), parse_constant=_refuse_constant)
    except ValueError as error:
        return error_response("InvalidOutput", f"Invalid Output: '{error}'")
    return None


def _too_long(request: dict[str, Any]) -> Response | None:
    for name, limit in MAX_LENGTHS.items():
        text = request.get(name) or ""
        if len(text.encode() if name == "output" else text) > limit:
            must = f"Member must have length less than or equal to {limit}"
            message = f"1 validation error detected: Value at '{name}' failed to satisfy constraint: {must}"
            return error_response("ValidationException", message)
    return None


def _refuse_constant(name: str) -> NoReturn:
    """Refuse NaN and Infinity, which Python takes for JSON."""
    raise ValueError(f"{name} is no JSON")


def _has_hung_up(connection: socket.socket) -> bool:
    try:
        return not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True

"""The interpreter's Task state for an activity: schedules a task, and goes on with what a worker makes of it.

moto's own state has no queue that a worker could reach, and loses a report that comes at once after the hand-over.
"""

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from moto.stepfunctions.parser.api import HistoryEventType
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEvent, FailureEventException
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import StatesErrorNameType
from moto.stepfunctions.parser.asl.component.common.timeouts.timeout import TimeoutSeconds
from moto.stepfunctions.parser.asl.component.state.exec.state_task import state_task_factory
from moto.stepfunctions.parser.asl.component.state.exec.state_task.state_task_activitiy import StateTaskActivity
from moto.stepfunctions.parser.asl.eval.callback.callback import HeartbeatTimeoutError
from moto.stepfunctions.parser.asl.utils.encoding import to_json_str

from sandbox.aws.activity_tasks import Environment, Task, TaskQueues

# Of a task's input and output, in UTF-8:
# https://docs.aws.amazon.com/step-functions/latest/apireference/API_ActivityScheduledEventDetails.html
MAX_BYTES = 262_144


@contextmanager
def activity_states(queues: TaskQueues, exists: Callable[[str], bool]) -> Iterator[None]:
    """Let the interpreter put activity tasks into these queues; `exists` says whether there is an activity."""
    factory: Any = state_task_factory
    before = factory.StateTaskActivity
    factory.StateTaskActivity = lambda: _ActivityState(queues, exists)
    try:
        yield
    finally:
        factory.StateTaskActivity = before


class _MissedHeartbeat(StatesErrorName):
    """States.Timeout, which a Retry or Catch may call States.HeartbeatTimeout too.

    https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html has that name for Retry and Catch
    only. The history and the execution say States.Timeout, as LocalStack's tests have recorded on AWS.
    """

    def __init__(self) -> None:
        super().__init__(StatesErrorNameType.StatesTimeout)

    def matches(self, error_name: str | None) -> bool:
        """Return whether this error goes by a name."""
        return error_name in ("States.Timeout", "States.HeartbeatTimeout")


class _ActivityState(StateTaskActivity):
    """Puts a task into its activity's queue, and waits for what becomes of it."""

    def __init__(self, queues: TaskQueues, exists: Callable[[str], bool]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # moto has no types here
        self._queues = queues
        self._exists = exists

    def from_state_props(self, state_props: Any) -> None:
        """Take over the definition, without its timeout: the interpreter would count from when a task is scheduled."""
        super().from_state_props(state_props)
        self._task_timeout, self.timeout = self.timeout, TimeoutSeconds(TimeoutSeconds.DEFAULT_TIMEOUT_SECONDS)

    def _eval_execution(self, env: Environment) -> None:
        task = self._schedule(env)
        try:
            if task.wait_for_worker():
                _record(env, "ActivityStarted", {"workerName": task.worker} if task.worker else {})
            outcome = task.wait_for_outcome()
        finally:
            self._queues.remove(task)
            env.callback_pool_manager._pool.pop(task.token)  # noqa: SLF001 (moto has no other way)
        if isinstance(outcome, Exception):
            raise outcome
        if outcome is None:  # the interpreter goes no further, but wants a result
            env.stack.append(None)
            return
        _record(env, "ActivitySucceeded", {"output": outcome, "outputDetails": {"truncated": False}})
        env.stack.append(json.loads(outcome))

    def _schedule(self, env: Environment) -> Task:
        """Put a new task into the queue; the interpreter's pool of callbacks is where `executions.abort` finds it."""
        activity, task_input = self.resource.resource_arn, self._input(env)
        limits = self._limits(env)
        task = Task(env, activity, task_input, self._queues.clock, **limits)
        seconds = {f"{name}InSeconds": value for name, value in limits.items() if value < math.inf}
        details = {"resource": activity, "input": task_input, "inputDetails": {"truncated": False}}
        env.callback_pool_manager._pool[task.token] = task  # noqa: SLF001 (the same)
        self._queues.put(task)
        _record(env, "ActivityScheduled", details | seconds)
        return task

    def _input(self, env: Environment) -> str:
        """Return the task's input, or fail the execution: without its activity, or with too much, there is no task."""
        if not self._exists(self.resource.resource_arn):
            cause = f"The activity {self.resource.resource_arn} does not exist."
            raise _fatal(env, StatesErrorNameType.StatesRuntime, cause)
        task_input = _to_json(self._eval_parameters(env))
        if len(task_input.encode()) > MAX_BYTES:
            cause = f"The input of the state/task '{self.name}' exceeds the maximum number of bytes service limit."
            raise _fatal(env, StatesErrorNameType.StatesStatesDataLimitExceeded, cause)
        return task_input

    def _limits(self, env: Environment) -> dict[str, float]:
        """Return TimeoutSeconds and HeartbeatSeconds, infinite if the definition has none."""
        has_timeout = not self._task_timeout.is_default_value()
        return {
            "timeout": _seconds(self._task_timeout, env) if has_timeout else math.inf,
            "heartbeat": _seconds(self.heartbeat, env) if self.heartbeat else math.inf,
        }

    def _from_error(self, env: Environment, ex: Exception) -> Any:
        event: Any = super()._from_error(env, ex)
        if isinstance(ex, HeartbeatTimeoutError):
            event.error_name = _MissedHeartbeat()
        return event


def _to_json(value: Any) -> str:
    """Return compact JSON with each character as it is: its bytes count."""
    return json.dumps(json.loads(to_json_str(value)), ensure_ascii=False, separators=(",", ":"))


def _seconds(component: Any, env: Environment) -> float:
    """Return a limit. What a path finds must be a positive integer: https://states-language.net/spec.html#timeouts.

    The interpreter's own check lets zero and fractions through, and ends in a TypeError with a text.
    """
    with suppress(TypeError, ValueError):
        component.eval(env=env)
        found = env.stack.pop()
        if type(found) is int and found > 0:
            return float(found)
    cause = "TimeoutSecondsPath and HeartbeatSecondsPath must refer to a positive integer."
    raise _fatal(env, StatesErrorNameType.StatesRuntime, cause)


def _record(env: Environment, kind: str, details: dict[str, Any]) -> None:
    """Add an event to the execution's history."""
    name = kind[0].lower() + kind[1:] + "EventDetails"
    env.event_manager.add_event(env.event_history_context, HistoryEventType(kind), {name: details})


def _fatal(env: Environment, error: StatesErrorNameType, cause: str) -> FailureEventException:
    """Return the error that ends an execution without Retry and Catch."""
    details: Any = {"executionFailedEventDetails": {"error": error.to_name(), "cause": cause}}
    return FailureEventException(FailureEvent(env, StatesErrorName(error), HistoryEventType.ExecutionFailed, details))

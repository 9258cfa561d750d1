"""The tasks of Step Functions' activities: a queue for each activity, and who may still say what of a task."""

import base64
import binascii
import json
import math
import threading
import uuid
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any

from moto.stepfunctions.parser.asl.component.common.timeouts.timeout import EvalTimeoutError
from moto.stepfunctions.parser.asl.eval.callback.callback import HeartbeatTimeoutError

# How often a wait looks around: nobody tells it that a branch was abandoned, a worker hung up, an activity was deleted.
CHECK_SECONDS = 0.5

Environment = Any  # moto's parser.asl.eval.environment.Environment
Outcome = str | Exception  # the output of a task, JSON, or why it failed


class TaskClosedError(Exception):
    """The task has an outcome, ran out of time, or belongs to an execution that has ended."""


class Task:
    """A task, which has an outcome at most once.

    `timeout` and `heartbeat` are TimeoutSeconds and HeartbeatSeconds. Both count from ActivityStarted, the hand-over to
    a worker: https://docs.aws.amazon.com/step-functions/latest/dg/amazon-states-language-task-state.html. So a task
    that no worker takes waits for as long as its execution runs. Only the state machine's own TimeoutSeconds ends that:
    https://docs.aws.amazon.com/step-functions/latest/dg/troubleshooting-activities.html.
    """

    def __init__(
        self,
        environment: Environment,
        activity: str,
        task_input: str,
        clock: Callable[[], float],
        *,
        timeout: float = math.inf,
        heartbeat: float = math.inf,
    ) -> None:
        self.activity = activity
        self.input = task_input
        self.token = _new_token(activity)
        self.worker: str | None = None
        self._environment = environment
        self._clock = clock
        self._timeout = timeout
        self._heartbeat = heartbeat
        self._changed = threading.Condition()
        self._started = math.inf
        self._last_beat = math.inf
        self._outcome: Outcome | None = None

    def start(self, worker: str | None) -> bool:
        """Hand it over to a worker; return whether it was still to be done."""
        with self._changed:
            if not self._is_open():
                return False
            self.worker = worker
            self._started = self._last_beat = self._clock()
            self._changed.notify_all()
            return True

    def beat(self) -> None:
        """Restart the count of HeartbeatSeconds, or raise TaskClosedError."""
        with self._changed:
            self._check_open()
            self._last_beat = self._clock()

    def close(self, outcome: Outcome) -> None:
        """Set its outcome, or raise TaskClosedError."""
        with self._changed:
            self._check_open()
            self._outcome = outcome
            self._changed.notify_all()

    def interrupt_all(self) -> None:
        """Wake the interpreter up, as `executions.abort` does with each task of an execution that it stops."""
        with self._changed:
            self._changed.notify_all()

    def wait_for_worker(self) -> bool:
        """Wait until a worker has it; False if that will never be."""
        with self._changed:
            while self._started == math.inf and self._is_open():
                self._changed.wait(CHECK_SECONDS)
            return self._started < math.inf

    def wait_for_outcome(self) -> Outcome | None:
        """Wait for its outcome, which may be that its time is up; None if its execution or its branch has ended."""
        with self._changed:
            while self._is_open():
                self._changed.wait(min(CHECK_SECONDS, max(0, self._deadline() - self._clock())))
            if self._outcome is None and self._environment.is_running():
                self._outcome = self._timed_out()
            return self._outcome

    def _check_open(self) -> None:
        if not self._is_open():
            raise TaskClosedError

    def _is_open(self) -> bool:
        return self._outcome is None and self._environment.is_running() and self._clock() < self._deadline()

    def _deadline(self) -> float:
        return min(self._started + self._timeout, self._last_beat + self._heartbeat)

    def _timed_out(self) -> Exception:
        missed = self._last_beat + self._heartbeat < self._started + self._timeout
        return HeartbeatTimeoutError() if missed else EvalTimeoutError()


class TaskQueues:
    """The tasks that wait for a worker, by activity and oldest first, and all those that a worker may report on."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock  # of the tasks: seconds
        self.changed = threading.Condition()  # notified of each new task; hold it to take one
        self._waiting: defaultdict[str, deque[Task]] = defaultdict(deque)
        self._tasks: dict[str, Task | None] = {}  # by token; None once the interpreter has done with it

    def put(self, task: Task) -> None:
        """Add a task."""
        with self.changed:
            self._tasks[task.token] = task
            self._waiting[task.activity].append(task)
            self.changed.notify_all()

    def take(self, activity: str, worker: str | None) -> Task | None:
        """Hand the oldest task of an activity over to a worker."""
        queue = self._waiting[activity]
        while queue:
            task = queue.popleft()
            if task.start(worker):
                return task
        return None

    def remove(self, task: Task) -> None:
        """Forget a task but for its token."""
        with self.changed:
            self._tasks[task.token] = None

    def knows(self, token: str) -> bool:
        """Return whether this is the token of a task, however old."""
        return token in self._tasks

    def find(self, token: str) -> Task:
        """Return the task with this token, or raise TaskClosedError."""
        task = self._tasks[token]
        if task is None:
            raise TaskClosedError
        return task


def activity_of(token: str) -> str | None:
    """Return the ARN of the activity that a task token belongs to, None for other tokens. Only AWS reads tokens."""
    try:
        return str(json.loads(base64.urlsafe_b64decode(token))["activity"])
    except (binascii.Error, ValueError, TypeError, KeyError):
        return None


def _new_token(activity: str) -> str:
    return base64.urlsafe_b64encode(json.dumps({"activity": activity, "id": str(uuid.uuid4())}).encode()).decode()

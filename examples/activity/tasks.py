"""A task of the activity, as its worker sees it."""

import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

_LOG = logging.getLogger(__name__)

# What a report on a task that is no longer this worker's is refused with. TaskTimedOut also means that the task has
# been closed: https://docs.aws.amazon.com/step-functions/latest/apireference/API_SendTaskHeartbeat.html
_LOST = ("TaskTimedOut", "TaskDoesNotExist", "InvalidToken")

# In characters. All failures of a batch have to fit into one state's 256 KiB, and into one mail.
_MAX_CAUSE = 300


class TaskLost(Exception):
    """The task's time was up, or its execution has ended: whatever comes of this work, nobody waits for it."""


class Task:
    """A task that was handed to this worker, and what Step Functions is told about it.

    `beat_every` is in seconds. It should be at most a third of HeartbeatSeconds, so that one call may be refused.
    """

    def __init__(
        self, client: Any, handed: Mapping[str, Any], beat_every: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.input = handed["input"]
        self._token = handed["taskToken"]
        self._client = client
        self._beat_every = beat_every
        self._clock = clock
        self._last_beat = clock()  # the hand-over counts as a heartbeat

    def beat(self) -> None:
        """Send a heartbeat if one is due. To be called from the loop that does the work, after each of its steps.

        Not from a thread: it would go on beating while the work hangs, and HeartbeatSeconds would notice nothing.
        """
        if self._clock() - self._last_beat >= self._beat_every:
            self.check()

    def check(self) -> None:
        """Send a heartbeat now. TaskLost if the task is no longer this worker's.

        A call that fails otherwise says nothing about the task: the work goes on, and the next step tries again.
        """
        try:
            self._report(self._client.send_task_heartbeat)
        except (BotoCoreError, ClientError) as error:
            _LOG.warning("heartbeat refused: %s", error)
        else:
            self._last_beat = self._clock()

    def succeed(self, output: dict[str, Any]) -> None:
        """Report success. TaskLost if nobody waits for it."""
        self._report(self._client.send_task_success, output=json.dumps(output))

    def fail(self, error: str, cause: str) -> None:
        """Report a failure by the name that the state machine's Retry knows. TaskLost if nobody waits for it."""
        self._report(self._client.send_task_failure, error=error, cause=cause[:_MAX_CAUSE])

    def _report(self, call: Callable[..., Any], **report: str) -> None:
        try:
            call(taskToken=self._token, **report)
        except ClientError as error:
            if error.response["Error"]["Code"] in _LOST:
                raise TaskLost(error.response["Error"]["Code"]) from None
            raise

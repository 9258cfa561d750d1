"""The pool of function processes: like Lambda, it uses a warm process again, or else starts another."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sandbox.aws.model import Function, LambdaError
from sandbox.aws.process import FunctionProcess

KEEP_WARM = 60.0  # seconds that an idle process is kept


class Pool:
    """The processes of all functions. Above `limit` calls at once, a call is throttled.

    That is Lambda's concurrency limit for an account (Lambda quotas: 1,000 by default; new accounts have less).
    """

    def __init__(self, limit: int, start: Callable[[Function], FunctionProcess], keep_warm: float = KEEP_WARM) -> None:
        self._limit = limit
        self._start = start
        self._keep_warm = keep_warm
        self._lock = threading.Lock()
        self._idle: list[FunctionProcess] = []  # longest idle first
        self._busy: list[FunctionProcess] = []
        self._ended: list[FunctionProcess] = []
        self._closed = False

    @contextmanager
    def process(self, function: Function) -> Iterator[FunctionProcess]:
        """Reserve a process of a function for the length of the block; LambdaError if there can be none."""
        process = self._take(function)
        try:
            yield process
        finally:
            self._release(process)

    def processes(self, function: str | None = None) -> list[FunctionProcess]:
        """Return the running processes, of a function or of all; the busy ones first."""
        with self._lock:
            return [each for each in self._busy + self._idle if function in (None, each.function.name)]

    def kill_busy(self, function: str) -> bytes | None:
        """Kill a process of a function in the middle of its work; return its event, None if none is busy."""
        with self._lock:
            busy = [each for each in self._busy if each.function.name == function and each.pid and each.payload]
            event = busy[0].payload if busy else None
        if busy:
            busy[0].kill()
        return event

    def close(self) -> None:
        """Refuse all calls from now on, kill all processes, and wait until they have exited."""
        with self._lock:
            self._closed = True
            processes = self._busy + self._idle + self._ended
        for process in processes:
            process.kill()
        for process in processes:
            process.join()

    def _take(self, function: Function) -> FunctionProcess:
        with self._lock:
            if self._closed:
                raise LambdaError(500, "ServiceException", "The sandbox is stopping.")
            if len(self._busy) >= self._limit:
                raise LambdaError(429, "TooManyRequestsException", "Rate Exceeded.")
            self._end_idle(function)
            process = self._warm(function) or self._start(function)
            self._busy.append(process)
            return process

    def _warm(self, function: Function) -> FunctionProcess | None:
        warm = next((each for each in reversed(self._idle) if each.function == function), None)
        if warm:
            self._idle.remove(warm)
        return warm

    def _end_idle(self, function: Function) -> None:
        """End idle processes that have died, idled for too long, or belong to an earlier deployment of the function."""
        now = time.monotonic()
        for process in list(self._idle):
            outdated = process.function.arn == function.arn and process.function != function
            if outdated or not process.usable or now - process.idle_since >= self._keep_warm:
                self._idle.remove(process)
                self._end(process)

    def _release(self, process: FunctionProcess) -> None:
        with self._lock:
            self._busy.remove(process)
            if process.usable and not self._closed:
                process.idle_since = time.monotonic()
                self._idle.append(process)
            else:
                self._end(process)

    def _end(self, process: FunctionProcess) -> None:
        process.kill()
        self._ended = [each for each in self._ended if not each.exited] + [process]

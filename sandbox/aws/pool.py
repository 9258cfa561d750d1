"""The pool of function processes: reuses warm processes, limits their number, and lets no caller starve."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sandbox.aws.model import Function, LambdaError
from sandbox.aws.process import FunctionProcess

CHECK_INTERVAL = 0.2  # seconds after which a caller that waits checks its timeouts


@dataclass(frozen=True)
class PoolTimeouts:
    """How long callers and processes wait, in seconds."""

    keep_warm: float = 1.0  # an idle process is kept for its function: starting a process costs far more than waiting
    bypass: float = 1.0  # callers with a warm process may bypass a caller without, which keeps processes warm
    deadlock: float = 10.0  # functions call functions, so all may be waiting for each other: exceed the limit


class _Caller:
    """A caller that waits for a process. It gets a warm process, or may start one (`process` stays None)."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self.since = time.monotonic()
        self.process: FunctionProcess | None = None
        self.refused = False
        self.served = threading.Event()

    def waited(self, seconds: float) -> bool:
        """Return whether the caller has waited for at least this long."""
        return time.monotonic() - self.since >= seconds


class Pool:
    """The processes of all functions: at most `limit`, and `limit_per_function`, unless that would be a deadlock.

    Without `limit_per_function`, a function that is called often would use up the limit, and each call of any other
    function would be a cold start.
    """

    def __init__(
        self,
        limit: int,
        start: Callable[[Function], FunctionProcess],
        timeouts: PoolTimeouts | None = None,
        limit_per_function: int | None = None,
    ) -> None:
        self._limit = limit
        self._limit_per_function = limit_per_function or limit
        self._timeouts = timeouts or PoolTimeouts()
        self._start = start
        self._lock = threading.Lock()
        self._queue: list[_Caller] = []
        self._idle: list[FunctionProcess] = []  # longest idle first
        self._busy: list[FunctionProcess] = []
        self._starting: list[Function] = []
        self._ended: list[FunctionProcess] = []
        self._closed = False

    @contextmanager
    def process(self, function: Function) -> Iterator[FunctionProcess]:
        """Reserve a process of a function for the length of the block."""
        process = self._wait(function) or self._start_process(function)
        try:
            yield process
        finally:
            self._release(process)

    def processes(self, function: str | None = None) -> list[FunctionProcess]:
        """Return the running processes, of a function or of all; the busy ones first."""
        with self._lock:
            return [each for each in self._busy + self._idle if function in (None, each.function.name)]

    def kill_busy(self, function: str) -> bool:
        """Kill a process of a function in the middle of its work; return False if none is busy."""
        with self._lock:
            process = next((each for each in self._busy if each.function.name == function), None)
        if process:
            process.kill()
        return process is not None

    def close(self) -> None:
        """Refuse all callers from now on, kill all processes, and wait until they have exited."""
        with self._lock:
            self._closed = True
            self._serve()
        while self._starting:
            time.sleep(0.01)
        with self._lock:
            processes = self._busy + self._idle + self._ended
        for process in processes:
            process.kill()
        for process in processes:
            process.join()

    def _wait(self, function: Function) -> FunctionProcess | None:
        """Wait for a process; None means that the caller may start one."""
        caller = _Caller(function)
        with self._lock:
            self._queue.append(caller)
            self._serve()
        while not caller.served.wait(CHECK_INTERVAL):
            with self._lock:
                self._serve()
        if caller.refused:
            raise LambdaError(500, "ServiceException", "The sandbox is stopping.")
        return caller.process

    def _serve(self) -> None:
        """Serve the callers that can be served, in the order of their arrival."""
        for caller in list(self._queue):
            caller.refused = self._closed
            if caller.refused or self._try_to_serve(caller):
                self._queue.remove(caller)
                caller.served.set()

    def _try_to_serve(self, caller: _Caller) -> bool:
        """Give a caller a warm process, or let it start one; return False if it has to wait."""
        self._retire_outdated(caller.function)
        # Callers whose function is at its limit wait for a warm process only, and hold up no other caller.
        first = next((each for each in self._queue if not self._is_at_limit(each)), caller)
        if caller is first or not first.waited(self._timeouts.bypass):
            caller.process = self._take_warm(caller.function)
            if caller.process:
                return True
        if caller is first and not self._is_at_limit(caller) and self._make_room(caller):
            self._starting.append(caller.function)
            return True
        return False

    def _take_warm(self, function: Function) -> FunctionProcess | None:
        warm = next((each for each in reversed(self._idle) if each.function == function), None)
        if warm:
            self._idle.remove(warm)
            self._busy.append(warm)
        return warm

    def _is_at_limit(self, caller: _Caller) -> bool:
        """Return whether the caller's function has as many processes as it may have."""
        running = [process.function for process in self._busy + self._idle] + self._starting
        count = sum(function.arn == caller.function.arn for function in running)
        return count >= self._limit_per_function and not caller.waited(self._timeouts.deadlock)

    def _make_room(self, caller: _Caller) -> bool:
        """Return whether another process may start, after ending the longest idle process if necessary."""
        if len(self._idle) + len(self._busy) + len(self._starting) < self._limit:
            return True
        waited = caller.waited(self._timeouts.bypass)
        if self._idle and (waited or time.monotonic() - self._idle[0].idle_since >= self._timeouts.keep_warm):
            self._end(self._idle.pop(0))
            return True
        return caller.waited(self._timeouts.deadlock)

    def _retire_outdated(self, function: Function) -> None:
        """End idle processes that have died, or that belong to an earlier deployment of the function."""
        for process in list(self._idle):
            if not process.usable or (process.function.arn == function.arn and process.function != function):
                self._idle.remove(process)
                self._end(process)

    def _start_process(self, function: Function) -> FunctionProcess:
        """Start a process outside the lock. `_starting` already counts it."""
        process: FunctionProcess | None = None
        try:
            process = self._start(function)
        finally:
            with self._lock:
                self._busy += [process] if process else []
                self._starting.remove(function)
                self._serve()
        return process

    def _release(self, process: FunctionProcess) -> None:
        with self._lock:
            self._busy.remove(process)
            if process.usable and not self._closed and len(self._busy) + len(self._idle) < self._limit:
                process.idle_since = time.monotonic()
                self._idle.append(process)
            else:
                self._end(process)
            self._serve()

    def _end(self, process: FunctionProcess) -> None:
        process.kill()
        self._ended = [each for each in self._ended if not each.exited] + [process]

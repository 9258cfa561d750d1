"""Who gets a process: warm ones are used again, room is made for others, and everyone's turn comes."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sandbox.aws.model import Function, LambdaError
from sandbox.aws.process import FunctionProcess

LOOK = 0.2  # seconds between two looks of somebody who waits, at whether it has waited long enough


@dataclass(frozen=True)
class Patience:
    """How long, in seconds, who waits for what."""

    keep_warm: float = 1.0  # an idle process is left to its function: starting one costs far more than a little wait
    overtaken: float = 1.0  # a caller lets those pass who find a warm process, which keeps processes warm
    deadlock: float = 10.0  # then all may be waiting for each other (functions call functions): go over the limit


class _Caller:
    """Somebody who waits for a process: it gets a warm one, or the right to start one (`process` stays None)."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self.since = time.monotonic()
        self.process: FunctionProcess | None = None
        self.refused = False
        self.served = threading.Event()

    def waited(self, seconds: float) -> bool:
        """Whether it has waited as long as that."""
        return time.monotonic() - self.since >= seconds


class Pool:
    """Processes of all functions, `limit` of them at most, `each` of one function, unless that would be a deadlock.

    Without `each`, a function that is called often would take every place, and all others start cold each time.
    """

    def __init__(
        self,
        limit: int,
        start: Callable[[Function], FunctionProcess],
        patience: Patience | None = None,
        each: int | None = None,
    ) -> None:
        self._limit = limit
        self._each = each or limit
        self._patience = patience or Patience()
        self._start = start
        self._lock = threading.Lock()
        self._queue: list[_Caller] = []
        self._idle: list[FunctionProcess] = []  # the one that has been idle longest comes first
        self._busy: list[FunctionProcess] = []
        self._starting: list[Function] = []
        self._ended: list[FunctionProcess] = []
        self._closed = False

    @contextmanager
    def process(self, function: Function) -> Iterator[FunctionProcess]:
        """Have a process of this function to oneself."""
        process = self._wait(function) or self._start_one(function)
        try:
            yield process
        finally:
            self._give_back(process)

    def processes(self, function: str | None = None) -> list[FunctionProcess]:
        """Those that run, of one function or of all; the busy ones first."""
        with self._lock:
            return [one for one in self._busy + self._idle if function in (None, one.function.name)]

    def kill_busy(self, function: str) -> bool:
        """Kill a process of the function in the middle of its work; False if none is at work."""
        with self._lock:
            victim = next((one for one in self._busy if one.function.name == function), None)
        if victim:
            victim.kill()
        return victim is not None

    def close(self) -> None:
        """Kill all, and wait until they are gone; whoever waits for one, or would come, is refused."""
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
        """Wait for one's turn; None is the right to start a process."""
        caller = _Caller(function)
        with self._lock:
            self._queue.append(caller)
            self._serve()
        while not caller.served.wait(LOOK):
            with self._lock:
                self._serve()
        if caller.refused:
            raise LambdaError(500, "ServiceException", "The sandbox is stopping.")
        return caller.process

    def _serve(self) -> None:
        """Serve everyone whose turn it is, in the order in which they came."""
        for caller in list(self._queue):
            caller.refused = self._closed
            if caller.refused or self._served(caller):
                self._queue.remove(caller)
                caller.served.set()

    def _served(self, caller: _Caller) -> bool:
        """Give a caller a warm process, or the right to start one; False if it has to wait on."""
        self._retire_outdated(caller.function)
        # Those whose function has its share wait for a warm process only, and hold up nobody.
        first = next((one for one in self._queue if not self._has_share(one)), caller)
        if caller is first or not first.waited(self._patience.overtaken):
            caller.process = self._take_warm(caller.function)
            if caller.process:
                return True
        if caller is first and not self._has_share(caller) and self._has_room(caller):
            self._starting.append(caller.function)
            return True
        return False

    def _take_warm(self, function: Function) -> FunctionProcess | None:
        warm = next((one for one in reversed(self._idle) if one.function == function), None)
        if warm:
            self._idle.remove(warm)
            self._busy.append(warm)
        return warm

    def _has_share(self, caller: _Caller) -> bool:
        """Whether the caller's function has all the processes that it may have."""
        running = [one.function for one in self._busy + self._idle] + self._starting
        share = sum(function.arn == caller.function.arn for function in running)
        return share >= self._each and not caller.waited(self._patience.deadlock)

    def _has_room(self, caller: _Caller) -> bool:
        """Whether one more may start; it may be for that that the one that was idle longest ends."""
        if len(self._idle) + len(self._busy) + len(self._starting) < self._limit:
            return True
        impatient = caller.waited(self._patience.overtaken)
        if self._idle and (impatient or time.monotonic() - self._idle[0].idle_since >= self._patience.keep_warm):
            self._end(self._idle.pop(0))
            return True
        return caller.waited(self._patience.deadlock)

    def _retire_outdated(self, function: Function) -> None:
        """End idle processes of an earlier deployment of the function, and those that died idle."""
        for one in list(self._idle):
            if not one.usable or (one.function.arn == function.arn and one.function != function):
                self._idle.remove(one)
                self._end(one)

    def _start_one(self, function: Function) -> FunctionProcess:
        """Start a process outside the lock, on the room that was kept for it."""
        process: FunctionProcess | None = None
        try:
            process = self._start(function)
        finally:
            with self._lock:
                self._busy += [process] if process else []
                self._starting.remove(function)
                self._serve()
        return process

    def _give_back(self, process: FunctionProcess) -> None:
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
        self._ended = [one for one in self._ended if not one.gone] + [process]

"""A process of a function, under AWS's own runtime client. It handles one invocation at a time."""

import os
import select
import signal
import threading
import time
from contextlib import suppress

from sandbox.aws.fork_servers import ForkServer
from sandbox.aws.logs import FunctionLogs
from sandbox.aws.model import InvocationResult
from sandbox.aws.runtime_api import Invocation, RuntimeApi


class FunctionProcess:
    """A process that is starting, idle or busy until it ends or is killed. `pid` is None until it has been forked."""

    def __init__(self, server: ForkServer, logs: FunctionLogs) -> None:
        self.function = server.function
        self.idle_since = time.monotonic()
        self.pid: int | None = None
        self.payload = b""  # of the invocation that it is handling
        self._server = server
        self._logs = logs
        self._lock = threading.Lock()  # of `pid`, `_killed` and `_ended`
        self._killed = False
        self._ended = False
        self._api = RuntimeApi()
        stdin, self._stdin = os.pipe()
        self._stdout, stdout = os.pipe()
        self._status, status = os.pipe()
        server.fork(self._api.address, [stdin, stdout, status])
        for theirs in (stdin, stdout, status):
            os.close(theirs)
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    @property
    def usable(self) -> bool:
        """Whether it can handle an invocation."""
        return not self._killed and not self._api.finished

    @property
    def exited(self) -> bool:
        """Whether it has exited and has been cleaned up."""
        return not self._watcher.is_alive()

    def call(self, payload: bytes, request_id: str) -> InvocationResult:
        """Run the function once. After the function's timeout, the process is killed."""
        invocation = Invocation(self.function, payload, request_id)
        self.payload = payload
        self._api.submit(invocation)
        try:
            while (remaining := invocation.remaining()) > 0:
                with suppress(TimeoutError):
                    return invocation.future.result(min(remaining, self.function.timeout))
        finally:
            self.payload = b""
        self.kill()
        return _timed_out(request_id, self.function.timeout)

    def kill(self) -> None:
        """End it with SIGKILL, together with every process that it started."""
        with self._lock:
            self._killed = True
            if self.pid is None:
                self._server.kill()  # it hangs: the function's module cannot be imported
            elif not self._has_ended():
                with suppress(ProcessLookupError):
                    os.killpg(self.pid, signal.SIGKILL)

    def _has_ended(self) -> bool:
        """Whether its exit is reported, so that another process may have its id by now."""
        if self._ended:
            return True
        poll = select.poll()
        poll.register(self._status, select.POLLIN)
        return bool(poll.poll(0))

    def join(self) -> None:
        """Wait until it has exited and has been cleaned up."""
        self._watcher.join()

    def _watch(self) -> None:
        """Log what it prints; when it has exited, fail its invocation and clean up."""
        with open(self._status, encoding="ascii") as status, open(self._stdout, "rb") as output:  # noqa: PTH123 (pipes)
            self._has_forked(status.readline())
            self._logs.copy(self.function.name, output)
            exit_status = self._exit_status(status.readline())
            with self._lock:
                self._ended = True
        self._api.finish(lambda request_id: _exited(request_id, exit_status))
        self._api.close()
        os.close(self._stdin)

    def _has_forked(self, line: str) -> None:
        """Note the process id. A process that was to be killed before it existed is killed now."""
        if line.startswith("pid "):
            with self._lock:
                self.pid = int(line.split()[1])
            if self._killed:
                self.kill()

    def _exit_status(self, line: str) -> int:
        """Return the exit status; that of the fork server if it died before it could fork."""
        if line:
            return int(line.split()[1])
        return self._server.exit_status() if self.pid is None else -signal.SIGKILL


def _timed_out(request_id: str, seconds: int) -> InvocationResult:
    text = f"RequestId: {request_id} Error: Task timed out after {seconds:.2f} seconds"
    return InvocationResult.error("Sandbox.Timedout", text)


def _exited(request_id: str, status: int) -> InvocationResult:
    """Return the failure that Lambda reports when a process has exited."""
    how = f"signal: {signal.strsignal(-status)}".lower() if status < 0 else f"exit status {status}"
    error = f"Runtime exited with error: {how}" if status else "Runtime exited without providing a reason"
    return InvocationResult.error("Runtime.ExitError", f"RequestId: {request_id} Error: {error}")

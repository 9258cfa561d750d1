"""A process of a function, under AWS's own runtime client. It handles one invocation at a time."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from sandbox.aws.logs import FunctionLogs
from sandbox.aws.model import Function, InvocationResult
from sandbox.aws.packages import Packages
from sandbox.aws.runtime_api import Invocation, RuntimeApi

# The thread ends the function's process when its stdin closes. That happens when our process ends, however it ends and
# whatever the function does. (PR_SET_PDEATHSIG would end it together with the thread that started it, which serves a
# single request.)
_PROGRAM = """
import os, sys, threading
threading.Thread(target=lambda: (os.read(0, 1), os._exit(0)), daemon=True).start()
from awslambdaric.__main__ import main
main(sys.argv)
"""


class FunctionProcess:
    """A process that is starting, idle or busy until it ends or is killed."""

    def __init__(self, function: Function, packages: Packages, endpoint: str, logs: FunctionLogs) -> None:
        self.function = function
        self.idle_since = time.monotonic()
        self._logs = logs
        self._killed = False
        root = packages.unzipped(function.code)
        self._api = RuntimeApi()
        self._process = subprocess.Popen(
            # -S and -P: it can import only what Lambda provides
            [sys.executable, "-S", "-P", "-c", _PROGRAM, function.handler],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=root,
            env=_environment(function, root, packages, endpoint) | {"AWS_LAMBDA_RUNTIME_API": self._api.address},
            start_new_session=True,  # Ctrl-C does not reach it, and a kill also reaches what it started
        )
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

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
        self._api.submit(invocation)
        while (remaining := invocation.remaining()) > 0:
            with suppress(TimeoutError):
                return invocation.future.result(min(remaining, self.function.timeout))
        self.kill()
        return _timed_out(request_id, self.function.timeout)

    def kill(self) -> None:
        """End it with SIGKILL, together with every process that it started."""
        self._killed = True
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    def join(self) -> None:
        """Wait until it has exited and has been cleaned up."""
        self._watcher.join()

    def _watch(self) -> None:
        """Log what it prints; when it has exited, fail its invocation and clean up."""
        assert self._process.stdin
        assert self._process.stdout
        for line in self._process.stdout:
            text = line.decode(errors="replace").rstrip()
            # The client ends the lines of a traceback with \r.
            self._logs.write(self.function.name, text.replace("\r", "\n"))
        status = self._process.wait()
        self._api.finish(lambda request_id: _exited(request_id, status))
        self._api.close()
        self._process.stdin.close()
        self._process.stdout.close()


def _timed_out(request_id: str, seconds: int) -> InvocationResult:
    text = f"RequestId: {request_id} Error: Task timed out after {seconds:.2f} seconds"
    return InvocationResult.error("Sandbox.Timedout", text)


def _exited(request_id: str, status: int) -> InvocationResult:
    """Return the failure that Lambda reports when a process has exited."""
    how = f"signal: {signal.strsignal(-status)}".lower() if status < 0 else f"exit status {status}"
    error = f"Runtime exited with error: {how}" if status else "Runtime exited without providing a reason"
    return InvocationResult.error("Runtime.ExitError", f"RequestId: {request_id} Error: {error}")


def _environment(function: Function, root: Path, packages: Packages, endpoint: str) -> dict[str, str]:
    """Return the environment of the process: the function's own variables, then Lambda's."""
    return dict(function.environment) | {
        "_HANDLER": function.handler,
        "AWS_ACCESS_KEY_ID": function.name,  # so that each request shows which function made it
        "AWS_SECRET_ACCESS_KEY": "sandbox",
        "AWS_DEFAULT_REGION": function.region,
        "AWS_REGION": function.region,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_python{sys.version_info.major}.{sys.version_info.minor}",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory),
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(function.timeout),
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": "sandbox",
        "HOME": str(packages.scratch),
        "LAMBDA_TASK_ROOT": str(root),
        "LANG": "en_US.UTF-8",
        "PATH": os.defpath,
        "PYTHONPATH": f"{root}:{packages.provided}",
        "PYTHONUTF8": "1",
        "TMPDIR": str(packages.scratch),
        "TZ": ":UTC",
    }

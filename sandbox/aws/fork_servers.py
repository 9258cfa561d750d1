"""Fork servers: for each function one process that has imported its module, and from which its processes are forked.

A process that is forked is ready in milliseconds; one that imports boto3 and the function's package takes half a second
of a core. On AWS, SnapStart does the same with a snapshot of the memory after the initialization.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from sandbox.aws.logs import FunctionLogs
from sandbox.aws.model import Function
from sandbox.aws.packages import Packages

PROGRAM = Path(__file__).with_name("fork_server_program.py")
ADDRESS_SIZE = 32  # bytes, as in the program


class ForkServer:
    """The fork server of a function as deployed. It exits when it is closed and its last process has exited."""

    def __init__(
        self, function: Function, packages: Packages, endpoints: Mapping[str, str], logs: FunctionLogs
    ) -> None:
        self.function = function
        self._logs = logs
        self._lock = threading.Lock()
        root = packages.unzipped(function.code)
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                # -S and -P: it can import only what Lambda provides
                [sys.executable, "-S", "-P", str(PROGRAM), str(theirs.fileno()), function.handler],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=root,
                env=_environment(function, root, packages) | dict(endpoints),
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C does not reach it
            )
        self._printer = threading.Thread(target=self._log_import, daemon=True)
        self._printer.start()

    @property
    def usable(self) -> bool:
        """Whether it can fork."""
        return self._process.poll() is None

    def fork(self, address: str, files: Sequence[int]) -> None:
        """Ask for a process that serves the runtime API at `address`, with these files: stdin, stdout, status pipe.

        A server that has died does not answer: then the status pipe ends without a word.
        """
        message = address.ljust(ADDRESS_SIZE).encode()
        with self._lock, suppress(OSError):
            socket.send_fds(self._control, [message], files)

    def exit_status(self) -> int:
        """Wait until it has exited, and return its exit status."""
        return self._process.wait()

    def close(self) -> None:
        """Fork nothing more."""
        with self._lock:
            self._control.close()

    def kill(self) -> None:
        """End it at once, together with what the function's module has started."""
        with suppress(ProcessLookupError):
            if self.usable:
                os.killpg(self._process.pid, signal.SIGKILL)

    def join(self) -> None:
        """Wait until it has exited and has been cleaned up."""
        self._process.wait()
        self._printer.join()

    def _log_import(self) -> None:
        """Log what the function prints while its module is imported."""
        assert self._process.stdout
        with self._process.stdout as output:
            self._logs.copy(self.function.name, output)


class ForkServers:
    """The fork servers of all functions. `endpoints` are environment variables that say where AWS is."""

    def __init__(self, packages: Packages, endpoints: Mapping[str, str], logs: FunctionLogs) -> None:
        self._packages = packages
        self._endpoints = endpoints
        self._logs = logs
        self._lock = threading.Lock()
        self._servers: dict[str, ForkServer] = {}  # by the function's ARN
        self._outdated: list[ForkServer] = []

    def of(self, function: Function) -> ForkServer:
        """Return the fork server of a function, after starting it if necessary."""
        with self._lock:
            server = self._servers.get(function.arn)
            if server and server.function == function and server.usable:
                return server
            if server:
                server.close()
                self._outdated.append(server)
            server = ForkServer(function, self._packages, self._endpoints, self._logs)
            self._servers[function.arn] = server
            return server

    def close(self) -> None:
        """Kill all servers, and wait until they have exited."""
        with self._lock:
            servers = [*self._servers.values(), *self._outdated]
        for server in servers:
            server.close()
            server.kill()
        for server in servers:
            server.join()


def _environment(function: Function, root: Path, packages: Packages) -> dict[str, str]:
    """Return the environment of a function: its own variables, then Lambda's."""
    return dict(function.environment) | {
        "_HANDLER": function.handler,
        "AWS_ACCESS_KEY_ID": function.name,  # so that each request shows which function made it
        "AWS_SECRET_ACCESS_KEY": "sandbox",
        "AWS_DEFAULT_REGION": function.region,
        "AWS_REGION": function.region,
        "AWS_EC2_METADATA_DISABLED": "true",
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

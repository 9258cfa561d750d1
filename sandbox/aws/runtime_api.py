"""The Lambda runtime API: a function process fetches an invocation, posts its result, and fetches the next.

Each process has its own server, because the protocol does not say which process is asking.
"""

import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from queue import SimpleQueue
from socketserver import TCPServer
from typing import Any

from sandbox.aws.model import Function, InvocationResult

RESPONSE_LIMIT = 6 * 1024 * 1024  # bytes
START_SECONDS = 30  # AWS gives 10 to import the function's modules; a busy build machine may need longer


class Invocation:
    """An invocation of a function, from its process's queue to its result."""

    def __init__(self, function: Function, payload: bytes, request_id: str) -> None:
        self.function = function
        self.payload = payload
        self.request_id = request_id
        self.future: Future[InvocationResult] = Future()
        self.deadline = time.monotonic() + START_SECONDS

    def begin(self) -> None:
        """Replace the time limit for starting by the function's timeout: the process has fetched the invocation."""
        self.deadline = time.monotonic() + self.function.timeout

    def remaining(self) -> float:
        """Return the seconds until the deadline."""
        return self.deadline - time.monotonic()

    def settle(self, result: InvocationResult) -> None:
        """Set the result. Only the first result counts."""
        with suppress(InvalidStateError):
            self.future.set_result(result)


class RuntimeApi(TCPServer):
    """Serves one process, one request after another, on a free loopback port."""

    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self._lock = threading.Lock()
        self._queue: SimpleQueue[Invocation | None] = SimpleQueue()
        self._current: Invocation | None = None
        self._failure: Callable[[str], InvocationResult] | None = None
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.5}, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """The value for AWS_LAMBDA_RUNTIME_API."""
        return f"127.0.0.1:{self.server_address[1]}"

    @property
    def finished(self) -> bool:
        """Whether the process can handle no more invocations."""
        return self._failure is not None

    def submit(self, invocation: Invocation) -> None:
        """Queue an invocation for the process."""
        with self._lock:
            self._current, failure = invocation, self._failure
        if failure:
            invocation.settle(failure(invocation.request_id))
        else:
            self._queue.put(invocation)

    def next(self) -> Invocation | None:
        """Wait for an invocation; None means that there will be no more."""
        return self._queue.get()

    def settle(self, result: InvocationResult) -> None:
        """Set the result of the current invocation."""
        if self._current:
            self._current.settle(result)

    def finish(self, failure: Callable[[str], InvocationResult]) -> None:
        """Fail the current and all later invocations: the process has exited, or cannot start.

        `failure` returns the result for a request id.
        """
        with self._lock:
            self._failure, current = self._failure or failure, self._current
        if current:
            current.settle(failure(current.request_id))

    def close(self) -> None:
        """Stop serving."""
        self._queue.put(None)
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log nothing about a broken connection: the process was killed, which its watcher reports."""


class _Handler(BaseHTTPRequestHandler):
    server: RuntimeApi
    protocol_version = "HTTP/1.1"  # so that the process keeps its connection
    wbufsize = -1  # send head and body of a response together
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Answer `GET .../runtime/invocation/next`."""
        invocation = self.server.next()
        if invocation is None:
            self.close_connection = True
            return
        invocation.begin()
        deadline = int((time.time() + invocation.function.timeout) * 1000)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")  # without it or the trace id, the client crashes
        self.send_header("Lambda-Runtime-Trace-Id", f"Root=1-{int(time.time()):08x}-{uuid.uuid4().hex[:24]};Sampled=0")
        self.send_header("Lambda-Runtime-Aws-Request-Id", invocation.request_id)
        self.send_header("Lambda-Runtime-Invoked-Function-Arn", invocation.function.arn)
        self.send_header("Lambda-Runtime-Deadline-Ms", str(deadline))
        self.send_header("Content-Length", str(len(invocation.payload)))
        self.end_headers()
        self.wfile.write(invocation.payload)

    def do_POST(self) -> None:
        """Answer `POST .../invocation/{id}/response`, `.../invocation/{id}/error` and `.../init/error`."""
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        if len(body) < length:  # the process was killed while it answered, which its watcher reports
            self.close_connection = True
            return
        result = InvocationResult(body, failed=self.path.endswith("/error"))
        if self.path.endswith("/init/error"):
            self.server.finish(lambda _request_id: result)
        elif len(body) > RESPONSE_LIMIT:
            message = f"Response payload size exceeded maximum allowed payload size ({RESPONSE_LIMIT} bytes)."
            self.server.settle(InvocationResult.error("Function.ResponseSizeTooLarge", message))
        else:
            self.server.settle(result)
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (http.server's name)
        """Log nothing."""

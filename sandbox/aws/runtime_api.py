"""The Lambda runtime API, as a function process sees it: fetch an invocation, post its answer, fetch the next.

Each process gets a server of its own, since the protocol itself does not say which process is asking.
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

from sandbox.aws.model import Answer, Function

ANSWER_LIMIT = 6 * 1024 * 1024
START_SECONDS = 30  # AWS gives 10 to import the function's modules; a busy build machine may need longer


class Invocation:
    """One call of a function on its way through a process."""

    def __init__(self, function: Function, payload: bytes, request_id: str) -> None:
        self.function = function
        self.payload = payload
        self.request_id = request_id
        self.answer: Future[Answer] = Future()
        self.deadline = time.monotonic() + START_SECONDS

    def take(self) -> None:
        """Give it to the process: from now on the function's own timeout counts."""
        self.deadline = time.monotonic() + self.function.timeout

    def rest(self) -> float:
        """Return the seconds that are left for it."""
        return self.deadline - time.monotonic()

    def settle(self, answer: Answer) -> None:
        """Answer it; only the first answer counts."""
        with suppress(InvalidStateError):
            self.answer.set_result(answer)


class RuntimeApi(TCPServer):
    """Serves one process, one request after the other, on a loopback port of the kernel's choice."""

    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Requests)
        self._lock = threading.Lock()
        self._inbox: SimpleQueue[Invocation | None] = SimpleQueue()
        self._current: Invocation | None = None
        self._end: Callable[[str], Answer] | None = None
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """Give it the form that AWS_LAMBDA_RUNTIME_API has."""
        return f"127.0.0.1:{self.server_address[1]}"

    @property
    def ended(self) -> bool:
        """Whether the process can take no more invocations."""
        return self._end is not None

    def submit(self, invocation: Invocation) -> None:
        """Hand an invocation to the process, when it next asks."""
        with self._lock:
            self._current, end = invocation, self._end
        if end:
            invocation.settle(end(invocation.request_id))
        else:
            self._inbox.put(invocation)

    def next(self) -> Invocation | None:
        """Wait for an invocation; None says that there will be no more."""
        return self._inbox.get()

    def answer(self, answer: Answer) -> None:
        """Answer the invocation in hand."""
        if self._current:
            self._current.settle(answer)

    def end(self, reason: Callable[[str], Answer]) -> None:
        """Answer like this what the process has in hand and all that would come: it is gone, or cannot start."""
        with self._lock:
            self._end, current = self._end or reason, self._current
        if current:
            current.settle(reason(current.request_id))

    def close(self) -> None:
        """Stop serving, and wait until that is so."""
        self._inbox.put(None)
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a connection that broke: the process was killed, which its watcher sees and tells."""


class _Requests(BaseHTTPRequestHandler):
    server: RuntimeApi
    wbufsize = -1  # head and body of a response leave together
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Answer `GET .../runtime/invocation/next`."""
        invocation = self.server.next()
        if invocation is None:
            return
        invocation.take()
        deadline = int((time.time() + invocation.function.timeout) * 1000)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")  # without this one and the trace id, the client crashes
        self.send_header("Lambda-Runtime-Trace-Id", f"Root=1-{int(time.time()):08x}-{uuid.uuid4().hex[:24]};Sampled=0")
        self.send_header("Lambda-Runtime-Aws-Request-Id", invocation.request_id)
        self.send_header("Lambda-Runtime-Invoked-Function-Arn", invocation.function.arn)
        self.send_header("Lambda-Runtime-Deadline-Ms", str(deadline))
        self.send_header("Content-Length", str(len(invocation.payload)))
        self.end_headers()
        self.wfile.write(invocation.payload)

    def do_POST(self) -> None:
        """Answer `POST .../invocation/{id}/response`, `.../invocation/{id}/error` and `.../init/error`."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        answer = Answer(body, failed=self.path.endswith("/error"))
        if self.path.endswith("/init/error"):
            self.server.end(lambda _request_id: answer)
        elif len(body) > ANSWER_LIMIT:
            size = f"Response payload size exceeded maximum allowed payload size ({ANSWER_LIMIT} bytes)."
            self.server.answer(Answer.error("Function.ResponseSizeTooLarge", size))
        else:
            self.server.answer(answer)
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (http.server's name)
        """Keep no log of these."""

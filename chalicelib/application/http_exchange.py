"""One HTTP exchange within firm limits: a total deadline, a maximum size, no redirects, no hidden retries."""

import base64
import io
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, ClassVar

import requests
import urllib3

# In bytes: a page of 1,000 records has some 200 kB, so a larger answer than this is a mistake.
MAX_BODY = 10_000_000


class DeadlineExceeded(Exception):
    """The whole exchange took longer than allowed."""


class ResponseTruncated(Exception):
    """The response's body ended early, or is larger than MAX_BODY."""


class HttpResponse:
    """A status and headers, and the body, unless it could not be read completely: then `error` says why."""

    def __init__(self, response: requests.Response, body: bytes, error: Exception | None = None) -> None:
        self.status = response.status_code
        self.headers = response.headers
        self.body = body
        self.error = error


class RequestBody(io.BytesIO):
    """The body of a request that knows whether the other side may have received it.

    http.client reads it only after the connection is made and the headers are sent. Before that nothing can have been
    processed, whatever went wrong: no connection, no TLS, no time left.
    """

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self._lock = threading.Lock()
        self._was_read = False
        self._withdrawn = False

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes, unless the body was withdrawn."""
        with self._lock:
            if self._withdrawn:
                raise DeadlineExceeded("the request was given up before its body was sent")
            self._was_read = True
        return super().read(size)

    def withdraw(self) -> bool:
        """Keep the body from being sent if none of it was sent yet; return whether some of it was."""
        with self._lock:
            self._withdrawn = True
            return self._was_read


class _Worker:
    """A thread that runs one exchange after the other. It is idle again when an exchange ends, however late."""

    idle: ClassVar[list["_Worker"]] = []

    def __init__(self) -> None:
        self._exchanges: SimpleQueue[tuple[Callable[[], HttpResponse], Future[HttpResponse]]] = SimpleQueue()
        threading.Thread(target=self._run, daemon=True, name="http-exchange").start()

    def submit(self, run: Callable[[], HttpResponse]) -> Future[HttpResponse]:
        """Let the thread run an exchange, and return where its response will be."""
        outcome: Future[HttpResponse] = Future()
        self._exchanges.put((run, outcome))
        return outcome

    def _run(self) -> None:
        while True:
            self._complete(*self._exchanges.get())  # keeps nothing of the exchange while it waits for the next one

    def _complete(self, run: Callable[[], HttpResponse], outcome: Future[HttpResponse]) -> None:
        try:
            response = run()
        except BaseException as error:  # noqa: BLE001 (raised again where the result is awaited)
            self.idle.append(self)
            outcome.set_exception(error)
        else:
            self.idle.append(self)
            outcome.set_result(response)


def _idle_worker() -> _Worker:
    """Return a thread that waits: starting one for each exchange would take more CPU."""
    try:
        return _Worker.idle.pop()
    except IndexError:
        return _Worker()


def exchange(session: requests.Session, method: str, url: str, *, timeout: float, **options: Any) -> HttpResponse:
    """Send a request and return the response within `timeout` seconds.

    Raises DeadlineExceeded, or what `requests` raises. `requests` applies its own timeout to each read, so a server
    that drips bytes can make it wait for ever. Therefore the exchange runs in a thread, which is left to itself when
    the time is up. A status that arrived in time is kept.
    """
    seen: list[requests.Response] = []
    deadline = time.monotonic() + timeout

    def run() -> HttpResponse:
        try:
            with _send(session, method, url, timeout=timeout, **options) as response:
                seen.append(response)
                return _read(response, deadline)
        except urllib3.exceptions.HTTPError as error:  # `requests` lets some of them through
            raise requests.ConnectionError(error) from None

    try:
        return _idle_worker().submit(run).result(timeout)
    except TimeoutError:
        late = DeadlineExceeded("no complete answer in time")
    if seen:
        return HttpResponse(seen[0], b"", late)
    raise late


def basic_auth(user_and_password: str) -> str:
    """Return the value of an Authorization header for `user:password` (RFC 7617)."""
    return "Basic " + base64.b64encode(user_and_password.encode()).decode()


def failure_code(error: Exception) -> str:
    """Return a code for why there is no response. The error's own text may contain a URL with personal data."""
    if isinstance(error, DeadlineExceeded | requests.Timeout):
        return "no_answer_in_time"
    if isinstance(error, requests.exceptions.SSLError):
        return "tls_failed"
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    if isinstance(reason, urllib3.exceptions.NameResolutionError):
        return "host_unknown"
    if isinstance(reason, urllib3.exceptions.NewConnectionError):
        return "connection_refused"
    return "connection_cut"


def _send(session: requests.Session, method: str, url: str, **options: Any) -> requests.Response:
    return session.request(method, url, stream=True, allow_redirects=False, auth=_unchanged, **options)


def _unchanged(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keep our own Authorization header: without an `auth`, `requests` prefers what a ~/.netrc says."""
    return request


def _read(response: requests.Response, deadline: float) -> HttpResponse:
    try:
        return HttpResponse(response, b"".join(_chunks(response, deadline)))
    except urllib3.exceptions.HTTPError as error:
        return HttpResponse(response, b"", ResponseTruncated(f"the answer ended early: {type(error).__name__}"))
    except (DeadlineExceeded, ResponseTruncated) as error:
        return HttpResponse(response, b"", error)


def _chunks(response: requests.Response, deadline: float) -> Iterator[bytes]:
    """Yield bytes as they arrive; `iter_content` would wait for a full chunk."""
    size = 0
    while chunk := response.raw.read1(65_536, decode_content=True):
        size += len(chunk)
        if size > MAX_BODY:
            raise ResponseTruncated(f"the answer is larger than {MAX_BODY:,} bytes")
        if time.monotonic() > deadline:
            raise DeadlineExceeded("no complete answer in time")
        yield chunk

"""One HTTP exchange with bounds that hold: a total deadline, a limit on the size, no redirects, no silent retries."""

import base64
import io
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import requests
import urllib3

# A page of 1,000 records is some 200 kB; beyond this it is no page but a mistake.
MAX_BODY = 10_000_000


class Deadline(Exception):
    """No whole answer within the time, for the whole exchange."""


class Truncated(Exception):
    """The answer's body broke off, or is larger than MAX_BODY."""


class Answer:
    """A status and headers, and the body unless that could not be read whole: then `error` says why."""

    def __init__(self, response: requests.Response, body: bytes, error: Exception | None = None) -> None:
        self.status = response.status_code
        self.headers = response.headers
        self.body = body
        self.error = error


class Body(io.BytesIO):
    """What a request sends, and whether the other side may have it.

    http.client asks for it only when the connection stands and the headers are sent. Until then nothing can have been
    processed, whatever went wrong: no connection, no TLS, no time left.
    """

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self._lock = threading.Lock()
        self._asked_for = False
        self._given_up = False

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes, unless the request was given up."""
        with self._lock:
            if self._given_up:
                raise Deadline("the request was given up before its body was sent")
            self._asked_for = True
        return super().read(size)

    def give_up(self) -> bool:
        """Have it never sent if none of it was yet; return whether some of it was."""
        with self._lock:
            self._given_up = True
            return self._asked_for


def exchange(session: requests.Session, method: str, url: str, *, timeout: float, **more: Any) -> Answer:
    """Send a request and return its answer within `timeout` seconds, or raise Deadline or what `requests` raises.

    `requests`' own timeout is one for each read, and a server that drips bytes outlives it for ever; so the exchange
    runs in a thread of its own that is left behind when the time is over. A status that was seen is kept.
    """
    outcome: Future[Answer] = Future()
    seen: list[requests.Response] = []
    deadline = time.monotonic() + timeout

    def run() -> None:
        try:
            with _send(session, method, url, timeout=timeout, **more) as response:
                seen.append(response)
                outcome.set_result(_read(response, deadline))
        except urllib3.exceptions.HTTPError as error:  # `requests` lets some of them through
            outcome.set_exception(requests.ConnectionError(error))
        except BaseException as error:  # noqa: BLE001 (whatever it was is raised where the answer is awaited)
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True, name="http-exchange").start()
    try:
        return outcome.result(timeout)
    except TimeoutError:
        late = Deadline("no whole answer in time")
    if seen:
        return Answer(seen[0], b"", late)
    raise late


def basic(user_and_password: str) -> str:
    """Return the value of an Authorization header for `user:password` (RFC 7617)."""
    return "Basic " + base64.b64encode(user_and_password.encode()).decode()


def cause(error: Exception) -> str:
    """Return a code for why there is no answer; the error's own text may hold a URL with personal data."""
    if isinstance(error, Deadline | requests.Timeout):
        return "no_answer_in_time"
    if isinstance(error, requests.exceptions.SSLError):
        return "tls_failed"
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    if isinstance(reason, urllib3.exceptions.NameResolutionError):
        return "host_unknown"
    if isinstance(reason, urllib3.exceptions.NewConnectionError):
        return "connection_refused"
    return "connection_cut"


def _send(session: requests.Session, method: str, url: str, **more: Any) -> requests.Response:
    return session.request(method, url, stream=True, allow_redirects=False, auth=_as_it_is, **more)


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keep our own Authorization header: without an `auth`, `requests` prefers what a ~/.netrc says."""
    return request


def _read(response: requests.Response, deadline: float) -> Answer:
    try:
        return Answer(response, b"".join(_chunks(response, deadline)))
    except urllib3.exceptions.HTTPError as error:
        return Answer(response, b"", Truncated(f"the answer broke off: {type(error).__name__}"))
    except (Deadline, Truncated) as error:
        return Answer(response, b"", error)


def _chunks(response: requests.Response, deadline: float) -> Iterator[bytes]:
    """Yield what has arrived, as it arrives: `iter_content` would wait for a whole chunk."""
    size = 0
    while chunk := response.raw.read1(65_536, decode_content=True):
        size += len(chunk)
        if size > MAX_BODY:
            raise Truncated(f"the answer is larger than {MAX_BODY:,} bytes")
        if time.monotonic() > deadline:
            raise Deadline("no whole answer in time")
        yield chunk

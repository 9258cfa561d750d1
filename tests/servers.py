"""HTTP servers on loopback, for what only a real connection can show. The kernel chooses their ports.

A server handles every connection with its Handler. Leaving the `with` of `serving` ends all connections, waiting ones
included, and fails if a handler raised an exception.
"""

import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import Message
from http.client import HTTPException, parse_headers
from typing import BinaryIO
from urllib.parse import parse_qsl, urlsplit

import msgspec


@dataclass(frozen=True)
class Request:
    """A request as the server received it."""

    method: str
    path: str
    query: dict[str, str]
    headers: Message
    body: bytes


@dataclass
class Server:
    """A running server: its URL, the requests that it received, and whether the test is `over`."""

    url: str
    requests: list[Request] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def read(self, stream: BinaryIO) -> Request | None:
        """Read a whole request and keep it; None if the client has closed the connection."""
        request = _read(stream)
        if request:
            self.requests.append(request)
        return request


# Handles one connection, from beginning to end.
Handler = Callable[[Server, socket.socket], None]
# Returns the response to a request, as `reply` builds it.
Answer = Callable[[Request], bytes]


def reply(status: int = 200, body: object = b"", **headers: str) -> bytes:
    """Return a complete response. A body that is not bytes is sent as JSON; `Content_Type` sets `Content-Type`."""
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    fields = {"Content-Length": str(len(content))} | {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"HTTP/1.1 {status} -", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    return "\r\n".join(lines).encode() + content


def answering(answer: Answer) -> Handler:
    """Answer every request, and keep the connection open, as applications do."""

    def handle(server: Server, connection: socket.socket) -> None:
        with connection.makefile("rb") as stream:
            while request := server.read(stream):
                connection.sendall(answer(request))

    return handle


def always(answer: bytes) -> Handler:
    """Give the same answer to every request."""
    return answering(lambda _: answer)


def in_order(*answers: bytes) -> Handler:
    """Give the answers one after the other, over all connections."""
    remaining = iter(answers)
    return answering(lambda _: next(remaining))


def silent(server: Server, connection: socket.socket) -> None:
    """Read a request and never answer it."""
    with connection.makefile("rb") as stream:
        server.read(stream)
        server.over.wait()


def cut_at_once(_server: Server, _connection: socket.socket) -> None:
    """Close the connection without reading anything."""


def cut_after_request(server: Server, connection: socket.socket) -> None:
    """Read a whole request and close the connection instead of answering."""
    with connection.makefile("rb") as stream:
        server.read(stream)


def dripping(at_once: bytes, slowly: bytes, pause: float = 0.05) -> Handler:
    """Send the first part of an answer at once, and the second byte by byte, with `pause` seconds in between."""

    def handle(server: Server, connection: socket.socket) -> None:
        with connection.makefile("rb") as stream:
            server.read(stream)
            connection.sendall(at_once)
            for byte in slowly:
                if server.over.wait(pause):
                    return
                connection.sendall(bytes([byte]))

    return handle


@contextmanager
def serving(handler: Handler, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Run a server; with `tls`, the handler gets a connection after the handshake."""
    with _Listener(handler, tls) as listener:
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield listener.running
        finally:
            listener.end()
            thread.join()
    assert not listener.failures, listener.failures


@contextmanager
def closed_port() -> Iterator[str]:
    """Return the URL of a port that refuses connections. It stays bound, so that no other process can listen there."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


class _Listener(socketserver.ThreadingTCPServer):
    request_queue_size = 100

    def __init__(self, handler: Handler, tls: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.handler = handler
        self.tls = tls
        self.connections: list[socket.socket] = []
        self.failures: list[Exception] = []
        self.running = Server(f"{'https' if tls else 'http'}://127.0.0.1:{self.server_address[1]}")

    def end(self) -> None:
        self.running.over.set()
        self.shutdown()
        for connection in self.connections:
            with suppress(OSError):  # already closed
                connection.shutdown(socket.SHUT_RDWR)


class _Connection(socketserver.BaseRequestHandler):
    server: _Listener

    def handle(self) -> None:
        self.server.connections.append(self.request)
        try:
            self._handle()
        except (OSError, HTTPException):
            pass  # the client closed the connection, or does not speak this protocol: some tests are about that
        except Exception as error:  # noqa: BLE001 (a mistake in a test's handler fails the test where the server ends)
            self.server.failures.append(error)

    def _handle(self) -> None:
        if self.server.tls is None:
            self.server.handler(self.server.running, self.request)
            return
        with self.server.tls.wrap_socket(self.request.dup(), server_side=True) as secured:
            self.server.handler(self.server.running, secured)


def _read(stream: BinaryIO) -> Request | None:
    line = stream.readline(65_536).decode("latin-1").split()
    if len(line) != 3:  # the client sent nothing, or something that is not HTTP
        return None
    headers = parse_headers(stream)
    parts = urlsplit(line[1])
    body = stream.read(int(headers.get("Content-Length", "0")))
    return Request(line[0], parts.path, dict(parse_qsl(parts.query)), headers, body)

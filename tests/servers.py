"""Real servers on loopback, for what only a real connection can show: each on a port of the kernel's choice.

A server talks to each connection as its `converse` says. Leaving the `with` ends every conversation, even one that
waits, and raises what went wrong in one.
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
    """A request as it came over the wire."""

    method: str
    path: str
    query: dict[str, str]
    headers: Message
    body: bytes


@dataclass
class Server:
    """What a test sees of a running server, and what a conversation knows of the test."""

    url: str
    requests: list[Request] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def read(self, stream: BinaryIO) -> Request | None:
        """Read a whole request and keep it; None if the other side has closed the connection."""
        request = _read(stream)
        if request:
            self.requests.append(request)
        return request


# Has one connection's conversation, from its beginning to its end.
Converse = Callable[[Server, socket.socket], None]
# Says what is answered to a request: the bytes that `reply` makes.
Answer = Callable[[Request], bytes]


def reply(status: int = 200, body: object = b"", **headers: str) -> bytes:
    """A whole answer; a body that is not bytes goes as JSON. `Content_Type="..."` is that header."""
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    given = {"Content-Length": str(len(content))} | {name.replace("_", "-"): it for name, it in headers.items()}
    lines = [f"HTTP/1.1 {status} -", *(f"{name}: {it}" for name, it in given.items()), "", ""]
    return "\r\n".join(lines).encode() + content


def answering(answer: Answer) -> Converse:
    """Answer every request of a connection that stays open, as applications do."""

    def converse(server: Server, connection: socket.socket) -> None:
        with connection.makefile("rb") as stream:
            while request := server.read(stream):
                connection.sendall(answer(request))

    return converse


def always(answer: bytes) -> Converse:
    """Give the same answer to every request."""
    return answering(lambda _: answer)


def in_turn(*answers: bytes) -> Converse:
    """Give one answer after the other, whatever the connection."""
    left = iter(answers)
    return answering(lambda _: next(left))


def silent(server: Server, connection: socket.socket) -> None:
    """Take a request and never answer it."""
    with connection.makefile("rb") as stream:
        server.read(stream)
        server.over.wait()


def cut_at_once(_server: Server, _connection: socket.socket) -> None:
    """Close the connection without reading anything."""


def cut_after_request(server: Server, connection: socket.socket) -> None:
    """Take a whole request and close the connection instead of answering."""
    with connection.makefile("rb") as stream:
        server.read(stream)


def dripping(at_once: bytes, slowly: bytes, pause: float = 0.05) -> Converse:
    """Answer a part at once, then the rest byte by byte."""

    def converse(server: Server, connection: socket.socket) -> None:
        with connection.makefile("rb") as stream:
            server.read(stream)
            connection.sendall(at_once)
            for byte in slowly:
                if server.over.wait(pause):
                    return
                connection.sendall(bytes([byte]))

    return converse


@contextmanager
def serving(converse: Converse, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Run a server; with `tls`, conversations begin after the handshake."""
    with _Listener(converse, tls) as listener:
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield listener.seen
        finally:
            listener.end()
            thread.join()
    assert not listener.failures, listener.failures


@contextmanager
def nobody() -> Iterator[str]:
    """The URL of a port at which nobody listens: it is taken, so that nobody else gets it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


class _Listener(socketserver.ThreadingTCPServer):
    request_queue_size = 100

    def __init__(self, converse: Converse, tls: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), _Conversation)
        self.converse = converse
        self.tls = tls
        self.connections: list[socket.socket] = []
        self.failures: list[Exception] = []
        self.seen = Server(f"{'https' if tls else 'http'}://127.0.0.1:{self.server_address[1]}")

    def end(self) -> None:
        self.seen.over.set()
        self.shutdown()
        for connection in self.connections:
            with suppress(OSError):  # closed already
                connection.shutdown(socket.SHUT_RDWR)


class _Conversation(socketserver.BaseRequestHandler):
    server: _Listener

    def handle(self) -> None:
        self.server.connections.append(self.request)
        try:
            self._converse()
        except (OSError, HTTPException):
            pass  # the other side went away, or does not speak what is spoken here: some tests want just that
        except Exception as error:  # noqa: BLE001 (a mistake in a test's own answer is told where the server ends)
            self.server.failures.append(error)

    def _converse(self) -> None:
        if self.server.tls is None:
            self.server.converse(self.server.seen, self.request)
            return
        with self.server.tls.wrap_socket(self.request.dup(), server_side=True) as secured:
            self.server.converse(self.server.seen, secured)


def _read(stream: BinaryIO) -> Request | None:
    line = stream.readline(65_536).decode("latin-1").split()
    if len(line) != 3:  # nothing, or nothing of HTTP
        return None
    headers = parse_headers(stream)
    parts = urlsplit(line[1])
    body = stream.read(int(headers.get("Content-Length", "0")))
    return Request(line[0], parts.path, dict(parse_qsl(parts.query)), headers, body)

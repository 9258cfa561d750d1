"""An SMS provider on loopback that keeps every message it accepts. The email provider is `sandbox.mailbox.Mailbox`.

Both run in the process that starts them, so they keep counting when the application is killed.
"""

import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from uuid import uuid4

import msgspec

from sandbox.service import BackgroundService


class _Message(msgspec.Struct, frozen=True, rename="camel"):
    """The body of `POST /messages`."""

    to: str
    text: str
    communication_id: str


@dataclass(frozen=True)
class Sms:
    """A message that the provider accepted."""

    id: str
    to: str
    text: str
    communication_id: str


class SmsProvider(BackgroundService):
    """Answers `POST /messages` with 202 and an id while `down` is False, otherwise with 503."""

    def __init__(self) -> None:
        self.down = False
        self._messages: list[Sms] = []
        self._lock = threading.Lock()
        self._server = _Server(self)
        # A short poll interval, because stopping waits for it.
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """The URL that it listens on."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def start(self) -> Self:
        """Listen, in a background thread."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Close the port. The messages can still be read."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def messages(self) -> list[Sms]:
        """Return all accepted messages, oldest first."""
        with self._lock:
            return list(self._messages)

    def accept(self, message: _Message) -> Sms:
        """Keep a message under a new id."""
        sms = Sms(uuid4().hex, message.to, message.text, message.communication_id)
        with self._lock:
            self._messages.append(sms)
        return sms


class _Server(ThreadingHTTPServer):
    """Listens on a free port; its handlers reach the provider through it."""

    def __init__(self, provider: SmsProvider) -> None:
        self.provider = provider
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Log nothing: an application that is killed breaks its connections."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(*self._handle(body))

    def _handle(self, body: bytes) -> tuple[int, dict[str, str]]:
        if self.path != "/messages":
            return 404, {"error": "the only path is /messages"}
        if self.server.provider.down:
            return 503, {"error": "the provider is down"}
        try:
            message = msgspec.json.decode(body, type=_Message)
        except msgspec.MsgspecError as error:
            return 400, {"error": str(error)}
        return 202, {"messageId": self.server.provider.accept(message).id}

    def _answer(self, status: int, content: dict[str, str]) -> None:
        body = msgspec.json.encode(content)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the standard library's name)
        """Log nothing."""

"""An SMS provider on loopback that keeps every message it accepts. The email provider is `sandbox.mailbox.Mailbox`.

Both live in the process of whoever starts them, so what they count survives the death of the application.
"""

import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from uuid import uuid4

import msgspec


class _Message(msgspec.Struct, frozen=True, rename="camel"):
    """What the application posts."""

    to: str
    text: str
    communication_id: str


@dataclass(frozen=True)
class Sms:
    """A message that the provider took on."""

    id: str
    to: str
    text: str
    communication_id: str


class SmsProvider:
    """Answers `POST /messages` with 202 and an id while `down` is False, otherwise with 503."""

    def __init__(self) -> None:
        self.down = False
        self._messages: list[Sms] = []
        self._lock = threading.Lock()
        self._server = _Server(self)
        # a short poll: stopping waits for it
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def start(self) -> Self:
        """Listen, in a thread of its own."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Close the port; what arrived can still be read."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def messages(self) -> list[Sms]:
        """All that were accepted, oldest first."""
        with self._lock:
            return list(self._messages)

    def accept(self, message: _Message) -> Sms:
        """Keep a message under a new id."""
        sms = Sms(uuid4().hex, message.to, message.text, message.communication_id)
        with self._lock:
            self._messages.append(sms)
        return sms


class _Server(ThreadingHTTPServer):
    """A port of the kernel's choice whose handlers know the provider."""

    def __init__(self, provider: SmsProvider) -> None:
        self.provider = provider
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: an application that was killed leaves broken connections behind."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(*self._handle(body))

    def _handle(self, body: bytes) -> tuple[int, dict[str, str]]:
        if self.path != "/messages":
            return 404, {"error": "there is only /messages"}
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
        """Say nothing."""

"""An SMTP server on loopback that keeps every message it accepts."""

import asyncio
import threading
import time
from collections.abc import Callable
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from sandbox.service import BackgroundService


class _Controller(Controller):
    """aiosmtpd's controller on port 0: it remembers the port that the kernel chose, which aiosmtpd itself does not."""

    def _trigger_server(self) -> None:
        assert isinstance(self.server, asyncio.Server)
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]  # aiosmtpd leaves its methods untyped


class Mailbox(BackgroundService):
    """Accepts mail while `down` is False, otherwise answers 451 (a temporary failure) to every recipient."""

    def __init__(self) -> None:
        self.down = False
        self._contents: list[bytes] = []
        self._messages: list[EmailMessage] = []
        self._arrived = threading.Condition()
        self._controller = _Controller(self, hostname="127.0.0.1", port=0)

    @property
    def host(self) -> str:
        """The address that it listens on."""
        return "127.0.0.1"

    @property
    def port(self) -> int:
        """The port that it listens on, known once it has started."""
        return int(self._controller.port)

    def start(self) -> Self:
        """Listen, in a background thread."""
        self._controller.start()
        return self

    def stop(self) -> None:
        """Close the port. The messages can still be read."""
        self._controller.stop()

    def messages(self) -> list[EmailMessage]:
        """Return all messages, oldest first."""
        with self._arrived:
            return list(self._read())

    def wait_for(self, wanted: Callable[[EmailMessage], bool], timeout: float = 30) -> EmailMessage:
        """Return the first message that is `wanted`; TimeoutError after `timeout` seconds lists what arrived."""
        deadline = time.monotonic() + timeout
        with self._arrived:
            while True:
                found = next((message for message in self._read() if wanted(message)), None)
                if found is not None:
                    return found
                if not self._arrived.wait(max(0, deadline - time.monotonic())):
                    subjects = [str(message["Subject"]) for message in self._messages]
                    raise TimeoutError(f"no such mail within {timeout} s; what arrived: {subjects}")

    def _read(self) -> list[EmailMessage]:
        """Parse the new messages: parsing them on arrival would slow down the senders."""
        new = self._contents[len(self._messages) :]
        self._messages += [message_from_bytes(each, EmailMessage, policy=policy.default) for each in new]
        return self._messages

    async def handle_RCPT(  # noqa: N802 (aiosmtpd's name)
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Answer RCPT TO."""
        if self.down:
            return "451 4.3.0 the mail system is down"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Keep a message."""
        with self._arrived:
            self._contents.append(envelope.original_content or b"")
            self._arrived.notify_all()
        return "250 2.0.0 kept"

"""Hand one communication to its provider: email by SMTP, SMS by HTTP."""

import smtplib
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import make_msgid

import requests

from sandbox.application.addresses import is_possible
from sandbox.application.communications import Claimed

_TIMEOUT = 5

Accepted = Callable[[str, str], None]
"""Told the communication's id and the provider's id of the message at the moment the provider has taken it."""


class NotSendable(ValueError):
    """A communication is not sent, however well the provider does."""


@dataclass(frozen=True)
class Providers:
    """Where the providers are."""

    smtp_host: str
    smtp_port: int
    sms_url: str

    def send(self, communication: Claimed, accepted: Accepted) -> None:
        """Send it; OSError if the provider fails (requests' and smtplib's errors are ones), ValueError if it can't."""
        if communication.doomed:
            raise NotSendable("accepted, but never sent: a switch says so")
        if not is_possible(communication.operation, communication.recipient):
            raise NotSendable("the address can never work")
        send = self._email if communication.operation == "send.email" else self._sms
        send(communication, accepted)

    def _email(self, communication: Claimed, accepted: Accepted) -> None:
        message = _message(communication)
        with smtplib.SMTP(self.smtp_host, self.smtp_port, "localhost", _TIMEOUT) as session:
            session.send_message(message)
            # before QUIT: dying from here on sends nothing twice
            accepted(communication.id, message["Message-ID"])

    def _sms(self, communication: Claimed, accepted: Accepted) -> None:
        message = {"to": communication.recipient, "text": communication.body, "communicationId": communication.id}
        response = requests.post(f"{self.sms_url}/messages", json=message, timeout=_TIMEOUT)
        response.raise_for_status()
        accepted(communication.id, response.json().get("messageId", ""))


def _message(communication: Claimed) -> EmailMessage:
    message = EmailMessage()
    message["From"] = "application@example.org"
    message["To"] = communication.recipient
    message["Subject"] = communication.subject
    message["Message-ID"] = make_msgid(domain="example.org")
    message["X-Communication-Id"] = communication.id
    message.set_content(communication.body)
    return message

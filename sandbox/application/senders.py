"""Hands a communication to its provider: email over SMTP, SMS over HTTP."""

import smtplib
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import make_msgid

import requests

from sandbox.application.addresses import is_possible
from sandbox.application.communications import ClaimedCommunication

# In seconds. A provider that is down refuses at once; one that runs on a busy machine may take its time.
_TIMEOUT = 30

OnAccepted = Callable[[str, str], None]
"""Called as soon as the provider has accepted, with the communication's id and the provider's message id."""


class NotSendable(ValueError):
    """The communication cannot be sent, whatever the state of the provider. `code` says why."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Providers:
    """The providers, by their addresses."""

    smtp_host: str
    smtp_port: int
    sms_url: str

    def send(self, communication: ClaimedCommunication, on_accepted: OnAccepted) -> None:
        """Send a communication.

        OSError means that the provider failed (the errors of requests and smtplib are OSErrors), ValueError that the
        communication cannot be sent.
        """
        if communication.never_send:
            raise NotSendable("accepted but never sent, as a switch asks for", "never_sent")
        if not is_possible(communication.operation, communication.recipient):
            raise NotSendable("the address is invalid", "invalid_address")
        send = self._email if communication.operation == "send.email" else self._sms
        send(communication, on_accepted)

    def _email(self, communication: ClaimedCommunication, on_accepted: OnAccepted) -> None:
        message = _message(communication)
        with smtplib.SMTP(self.smtp_host, self.smtp_port, "localhost", _TIMEOUT) as session:
            session.send_message(message)
            # Before QUIT: if the process dies after this, nothing is sent twice.
            on_accepted(communication.id, message["Message-ID"])

    def _sms(self, communication: ClaimedCommunication, on_accepted: OnAccepted) -> None:
        message = {"to": communication.recipient, "text": communication.body, "communicationId": communication.id}
        response = requests.post(f"{self.sms_url}/messages", json=message, timeout=_TIMEOUT)
        response.raise_for_status()
        on_accepted(communication.id, response.json().get("messageId", ""))


def error_code(error: OSError | ValueError) -> str:
    """Return the code of a failed attempt. The communication is at fault, or the provider, or the way to it."""
    if isinstance(error, NotSendable):
        return error.code
    if isinstance(error, ValueError):
        return "invalid_content"
    refused = (smtplib.SMTPResponseException, smtplib.SMTPRecipientsRefused, requests.HTTPError)
    return "provider_refused" if isinstance(error, refused) else "provider_unavailable"


def _message(communication: ClaimedCommunication) -> EmailMessage:
    message = EmailMessage()
    message["From"] = "application@example.org"
    message["To"] = communication.recipient
    message["Subject"] = communication.subject
    message["Message-ID"] = make_msgid(domain="example.org")
    message["X-Communication-Id"] = communication.id
    message.set_content(communication.body)
    return message

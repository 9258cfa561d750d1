"""SNS: sends real mail to email subscribers, and refuses a subject that AWS would refuse."""

import json
import queue
import re
import smtplib
import threading
from collections.abc import Iterator
from email.message import EmailMessage
from email.utils import formataddr
from typing import Any, Self
from xml.sax.saxutils import escape

from moto.sns.models import Subscription, Topic, sns_backends
from werkzeug import Request, Response

from sandbox.aws.model import ACCOUNT
from sandbox.service import BackgroundService

RETRY_SECONDS = 0.5  # between two attempts to deliver a mail
SMTP_SECONDS = 60  # for each answer of the server: a mail whose answer is given up is delivered twice
# ASCII, one line, no longer than 100: https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
SUBJECT = re.compile(r"[!-~][ -~]{0,99}")
SUBSCRIPTION = re.compile(r"<member>.*?</member>", re.DOTALL)
_EXECUTE_API = re.compile(r"https://(\w+)\.execute-api\.[\w-]+\.amazonaws\.com(?=/)")
MESSAGE_ID = re.compile(r"<MessageId>([^<]+)</MessageId>")


def is_publish(request: Request) -> bool:
    """Return whether a request is SNS's Publish or PublishBatch."""
    return request.form.get("Action") in ("Publish", "PublishBatch")


def refusal(request: Request) -> Response | None:
    """Refuse a Publish whose subject moto would accept but AWS would not; None if the subject is valid."""
    if not is_publish(request):
        return None
    subjects = [value for name, value in request.form.items() if name.rsplit(".", 1)[-1] == "Subject"]
    if all(SUBJECT.fullmatch(subject) for subject in subjects):
        return None
    return _error("InvalidParameter", "Invalid parameter: Subject")


class EmailDelivery(BackgroundService):
    """Delivers mails to an SMTP server in a background thread, and retries while the server refuses them.

    What Amazon's DNS would lead to an API leads to `apis` here, so that people can follow a mail's links.
    """

    def __init__(self, smtp: tuple[str, int] | None, apis: str, *, confirmed: bool) -> None:
        self._smtp = smtp
        self._apis = apis
        self.confirmed = confirmed
        self._mails: queue.SimpleQueue[EmailMessage | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._deliver_all, daemon=True)

    def start(self) -> Self:
        """Start to deliver."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Deliver nothing more. Mails that are still waiting are lost."""
        self._stopping.set()
        self._mails.put(None)
        self._thread.join()

    def enqueue(self, request: Request, response: Response) -> None:
        """Enqueue the mails for the messages that moto accepted."""
        if self._smtp is None or not self.confirmed:
            return
        for message_id in MESSAGE_ID.findall(response.get_data(as_text=True)):
            for mail in _mails(message_id, request.form.get("MessageStructure")):
                mail.set_content(_EXECUTE_API.sub(rf"{self._apis}\1", mail.get_content()))
                self._mails.put(mail)

    def mark_unconfirmed(self, request: Request, response: Response) -> Response:
        """Mark email subscriptions in a list as AWS does while they are not confirmed."""
        if not self.confirmed and request.form.get("Action") == "ListSubscriptionsByTopic":
            response.set_data(SUBSCRIPTION.sub(_unconfirmed, response.get_data(as_text=True)))
        return response

    def _deliver_all(self) -> None:
        while mail := self._mails.get():
            while not self._stopping.is_set() and not self._deliver(mail):
                self._stopping.wait(RETRY_SECONDS)

    def _deliver(self, mail: EmailMessage) -> bool:
        """Return whether the server accepted the mail."""
        assert self._smtp
        try:
            with smtplib.SMTP(*self._smtp, timeout=SMTP_SECONDS) as server:
                server.send_message(mail)
        except (OSError, smtplib.SMTPException):
            return False
        return True


def _unconfirmed(member: re.Match[str]) -> str:
    if "<Protocol>email</Protocol>" not in member[0]:
        return member[0]
    return re.sub(r"(<SubscriptionArn>)[^<]*", r"\1PendingConfirmation", member[0])


def _mails(message_id: str, structure: str | None) -> Iterator[EmailMessage]:
    """Find a message in what moto recorded, and yield a mail for each email subscription of its topic."""
    for topic in _topics():
        for sent_id, text, subject, attributes, _group in list(topic.sent_notifications):
            if sent_id == message_id:
                for subscription in topic.sns_backend.list_subscriptions_by_topic(topic.arn)[0]:
                    if subscription.protocol == "email" and _passes_filter(subscription, attributes, text):
                        yield _mail(subscription, subject, _email_text(text) if structure == "json" else text)


def _email_text(text: str) -> str:
    """Return the text for email of a message that has a text for each protocol."""
    texts: dict[str, str] = json.loads(text)
    return texts.get("email", texts["default"])


def _topics() -> Iterator[Topic]:
    for backend in list(sns_backends[ACCOUNT].values()):
        yield from list(backend.topics.values())


def _passes_filter(subscription: Subscription, attributes: dict[str, Any] | None, text: str) -> bool:
    """Return whether the subscription's filter policy, if any, accepts a message."""
    matcher = subscription._filter_policy_matcher  # noqa: SLF001 (moto has no other way to ask)
    return matcher is None or bool(matcher.matches(attributes, text))


def _mail(subscription: Subscription, subject: str | None, text: str) -> EmailMessage:
    """Return the mail as AWS writes it, but with a shorter footer."""
    topic = subscription.topic
    mail = EmailMessage()
    mail["From"] = formataddr((topic.display_name or "AWS Notifications", "no-reply@sns.example.com"))
    mail["To"] = subscription.endpoint
    mail["Subject"] = subject or "AWS Notification Message"
    footer = "If you wish to stop receiving notifications from this topic, please visit the link below to unsubscribe:"
    link = f"https://sns.example.com/unsubscribe.html?SubscriptionArn={subscription.arn}"
    mail.set_content(f"{text}\n\n--\n{footer}\n{link}\n")
    return mail


def _error(code: str, message: str) -> Response:
    body = f"<Type>Sender</Type><Code>{code}</Code><Message>{escape(message)}</Message>"
    xml = f'<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><Error>{body}</Error></ErrorResponse>'
    return Response(xml, status=400, content_type="text/xml")

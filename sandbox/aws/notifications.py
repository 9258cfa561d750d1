"""SNS: email subscribers get real mail, and a subject that Amazon would refuse is refused."""

import json
import queue
import re
import smtplib
import threading
from collections.abc import Iterator
from email.message import EmailMessage
from email.utils import formataddr
from typing import Any
from xml.sax.saxutils import escape

from moto.sns.models import Subscription, Topic, sns_backends
from werkzeug import Request, Response

from sandbox.aws.model import ACCOUNT

RETRY = 0.5  # seconds until a mail that could not be handed over is tried again
# ASCII, one line, no longer than 100: https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
SUBJECT = re.compile(r"[!-~][ -~]{0,99}")
SUBSCRIPTION = re.compile(r"<member>.*?</member>", re.DOTALL)
MESSAGE_ID = re.compile(r"<MessageId>([^<]+)</MessageId>")


def is_publish(request: Request) -> bool:
    """Whether this is SNS's Publish or PublishBatch."""
    return request.form.get("Action") in ("Publish", "PublishBatch")


def refusal(request: Request) -> Response | None:
    """Refuse a Publish whose subject moto would take and Amazon does not."""
    if not is_publish(request):
        return None
    subjects = [value for name, value in request.form.items() if name.rsplit(".", 1)[-1] == "Subject"]
    if all(SUBJECT.fullmatch(subject) for subject in subjects):
        return None
    return _error("InvalidParameter", "Invalid parameter: Subject")


class Postman:
    """Carries mail to an SMTP server from a thread of its own, and tries again while the server cannot take it."""

    def __init__(self, smtp: tuple[str, int] | None, *, confirmed: bool) -> None:
        self._smtp = smtp
        self.confirmed = confirmed
        self._letters: queue.SimpleQueue[EmailMessage | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._carry, daemon=True)

    def start(self) -> None:
        """Begin to carry."""
        self._thread.start()

    def stop(self) -> None:
        """Carry nothing any more; a mail that nobody took by now is lost."""
        self._stopping.set()
        self._letters.put(None)
        self._thread.join()

    def published(self, request: Request, response: Response) -> None:
        """Write to the email subscribers what moto has accepted for the topic."""
        if self._smtp is None or not self.confirmed:
            return
        for message_id in MESSAGE_ID.findall(response.get_data(as_text=True)):
            for letter in _letters(message_id, request.form.get("MessageStructure")):
                self._letters.put(letter)

    def confirmations(self, request: Request, response: Response) -> Response:
        """Have a list of subscriptions say, as Amazon's does, which addresses have not been confirmed."""
        if not self.confirmed and request.form.get("Action") == "ListSubscriptionsByTopic":
            response.set_data(SUBSCRIPTION.sub(_unconfirmed, response.get_data(as_text=True)))
        return response

    def _carry(self) -> None:
        while letter := self._letters.get():
            while not self._stopping.is_set() and not self._delivered(letter):
                self._stopping.wait(RETRY)

    def _delivered(self, letter: EmailMessage) -> bool:
        assert self._smtp
        try:
            with smtplib.SMTP(*self._smtp, timeout=10) as server:
                server.send_message(letter)
        except (OSError, smtplib.SMTPException):
            return False
        return True


def _unconfirmed(member: re.Match[str]) -> str:
    if "<Protocol>email</Protocol>" not in member[0]:
        return member[0]
    return re.sub(r"(<SubscriptionArn>)[^<]*", r"\1PendingConfirmation", member[0])


def _letters(message_id: str, structure: str | None) -> Iterator[EmailMessage]:
    """Find the message in what moto recorded, and address it to each email subscription of its topic."""
    for topic in _topics():
        for sent_id, text, subject, attributes, _group in list(topic.sent_notifications):
            if sent_id == message_id:
                for subscription in topic.sns_backend.list_subscriptions_by_topic(topic.arn)[0]:
                    if subscription.protocol == "email" and _wants(subscription, attributes, text):
                        yield _letter(subscription, subject, _for_email(text) if structure == "json" else text)


def _for_email(text: str) -> str:
    """Take what a message with one text for each protocol says by email."""
    texts: dict[str, str] = json.loads(text)
    return texts.get("email", texts["default"])


def _topics() -> Iterator[Topic]:
    for backend in list(sns_backends[ACCOUNT].values()):
        yield from list(backend.topics.values())


def _wants(subscription: Subscription, attributes: dict[str, Any] | None, text: str) -> bool:
    """Whether its filter policy, if it has one, lets the message through."""
    matcher = subscription._filter_policy_matcher  # noqa: SLF001 (moto has no other way to ask)
    return matcher is None or bool(matcher.matches(attributes, text))


def _letter(subscription: Subscription, subject: str | None, text: str) -> EmailMessage:
    """Write the mail as AWS does, but for a shorter footer."""
    topic = subscription.topic
    letter = EmailMessage()
    letter["From"] = formataddr((topic.display_name or "AWS Notifications", "no-reply@sns.example.com"))
    letter["To"] = subscription.endpoint
    letter["Subject"] = subject or "AWS Notification Message"
    footer = "If you wish to stop receiving notifications from this topic, please visit the link below to unsubscribe:"
    link = f"https://sns.example.com/unsubscribe.html?SubscriptionArn={subscription.arn}"
    letter.set_content(f"{text}\n\n--\n{footer}\n{link}\n")
    return letter


def _error(code: str, message: str) -> Response:
    body = f"<Type>Sender</Type><Code>{code}</Code><Message>{escape(message)}</Message>"
    xml = f'<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><Error>{body}</Error></ErrorResponse>'
    return Response(xml, status=400, content_type="text/xml")

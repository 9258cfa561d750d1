"""The main queue and its dead letter queue, in SQS."""

import logging
import threading
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3
import msgspec
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

MAX_BATCH = 10
"""The most messages that SQS sends, receives or deletes in one call."""

_CLIENT_CONFIG = Config(connect_timeout=2, read_timeout=10, retries={"mode": "standard", "max_attempts": 3})
_log = logging.getLogger(__name__)


class MessageBody(msgspec.Struct, frozen=True, rename="camel"):
    """The body of a message: the communication that is to be sent."""

    primary_id: str
    operation: str
    created_by: str
    created: str


@dataclass(frozen=True)
class QueueMessage:
    """A message: its body, its ticket (a message attribute), and once received its receipt handle."""

    body: MessageBody
    ticket: int
    receipt: str = ""


class Queue:
    """A queue. `visibility` is the visibility timeout of received messages in seconds, `long_poll` the wait time."""

    def __init__(
        self, client: "SQSClient", url: str, visibility: float, long_poll: int, moto_lock: threading.Lock
    ) -> None:
        self._client = client
        self._url = url
        self._visibility = int(visibility)
        self._long_poll = long_poll
        self._changed = threading.Event()
        self._moto_lock = moto_lock

    def send(self, messages: Sequence[QueueMessage]) -> list[QueueMessage]:
        """Send up to `MAX_BATCH` messages; return those that SQS accepted."""
        with self._moto_lock:
            answer = self._client.send_message_batch(
                QueueUrl=self._url,
                Entries=[
                    {
                        "Id": str(number),
                        "MessageBody": msgspec.json.encode(message.body).decode(),
                        "MessageAttributes": {"Ticket": {"DataType": "Number", "StringValue": str(message.ticket)}},
                    }
                    for number, message in enumerate(messages)
                ],
            )
        self._changed.set()
        return [messages[int(entry["Id"])] for entry in answer["Successful"]]

    def receive(self, count: int = MAX_BATCH) -> list[QueueMessage]:
        """Receive up to `count` messages; wait up to a second for the first one."""
        self._changed.clear()
        with nullcontext() if self._long_poll else self._moto_lock:
            answer = self._client.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=count,
                VisibilityTimeout=self._visibility,
                WaitTimeSeconds=self._long_poll,
                MessageAttributeNames=["Ticket"],
            )
        received = [_parse(message) for message in answer.get("Messages", [])]
        if not received and not self._long_poll:
            self._changed.wait(1)
        return received

    def delete(self, messages: Sequence[QueueMessage]) -> None:
        """Delete messages."""
        if messages:
            with self._moto_lock:
                self._client.delete_message_batch(
                    QueueUrl=self._url,
                    Entries=[{"Id": str(n), "ReceiptHandle": message.receipt} for n, message in enumerate(messages)],
                )

    def release(self, messages: Sequence[QueueMessage]) -> None:
        """Make messages visible again now. The redrive policy of the main queue then moves them on."""
        if messages:
            with self._moto_lock:
                self._client.change_message_visibility_batch(
                    QueueUrl=self._url,
                    Entries=[
                        {"Id": str(n), "ReceiptHandle": message.receipt, "VisibilityTimeout": 0}
                        for n, message in enumerate(messages)
                    ],
                )
            self._changed.set()


def create_queues(prefix: str, requeue_after: float) -> tuple[Queue, Queue]:
    """Return the main queue `<prefix>` and the dead letter queue `<prefix>-failed`; create them if necessary."""
    client = boto3.client("sqs", config=_CLIENT_CONFIG)
    dead_url = client.create_queue(QueueName=f"{prefix}-failed")["QueueUrl"]
    attributes = client.get_queue_attributes(QueueUrl=dead_url, AttributeNames=["QueueArn"])["Attributes"]
    policy = {"deadLetterTargetArn": attributes["QueueArn"], "maxReceiveCount": 1}
    url = client.create_queue(QueueName=prefix, Attributes={"RedrivePolicy": msgspec.json.encode(policy).decode()})[
        "QueueUrl"
    ]
    # Messages of a dead process come back after five seconds. That may be too early, which does no harm: each ticket is
    # attempted only once. There is no long poll on the main queue, because a released message would not end it, and
    # each round would wait for it.
    #
    # moto may lose a message that is sent, or moved to the dead letter queue, while another one is deleted. Receiving
    # from the main queue moves messages; receiving from the dead letter queue changes neither.
    lock = threading.Lock()
    queue = Queue(client, url, visibility=5, long_poll=0, moto_lock=lock)
    return queue, Queue(client, dead_url, visibility=requeue_after + 5, long_poll=1, moto_lock=lock)


def _parse(message: "MessageTypeDef") -> QueueMessage:
    """Parse a message. Any that is not ours gets the body of no communication, so it is outdated and deleted."""
    try:
        body = msgspec.json.decode(message["Body"], type=MessageBody)
        ticket = int(message["MessageAttributes"]["Ticket"]["StringValue"])
    except (msgspec.MsgspecError, KeyError, ValueError):
        _log.warning("ignoring a message that is not ours: %s", message["MessageId"])
        return QueueMessage(MessageBody("", "", "", ""), 0, message["ReceiptHandle"])
    return QueueMessage(body, ticket, message["ReceiptHandle"])

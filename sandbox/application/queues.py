"""The main queue and its dead letter queue, in SQS."""

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3
import msgspec
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

AT_ONCE = 10
"""SQS takes and gives at most this many entries in one call."""

_PATIENCE = Config(connect_timeout=2, read_timeout=10, retries={"mode": "standard", "max_attempts": 3})
_log = logging.getLogger(__name__)


class Entry(msgspec.Struct, frozen=True, rename="camel"):
    """What is written on a queue entry."""

    primary_id: str
    operation: str
    created_by: str
    created: str


@dataclass(frozen=True)
class Ticketed:
    """An entry, the queueing it was made for (a message attribute), and SQS's receipt once it was received."""

    entry: Entry
    ticket: int
    receipt: str = ""


class EntryQueue:
    """One queue; `visibility` is for how many seconds a received entry is hidden from others."""

    def __init__(self, client: "SQSClient", url: str, visibility: float, long_poll: int) -> None:
        self._client = client
        self._url = url
        self._visibility = int(visibility)
        self._long_poll = long_poll
        self._stirred = threading.Event()
        # moto may lose a message that is sent while another is deleted
        self._write = threading.Lock()

    def send(self, entries: Sequence[Ticketed]) -> list[Ticketed]:
        """Put at most `AT_ONCE` entries on the queue; return those that surely are."""
        with self._write:
            answer = self._client.send_message_batch(
                QueueUrl=self._url,
                Entries=[
                    {
                        "Id": str(number),
                        "MessageBody": msgspec.json.encode(item.entry).decode(),
                        "MessageAttributes": {"Ticket": {"DataType": "Number", "StringValue": str(item.ticket)}},
                    }
                    for number, item in enumerate(entries)
                ],
            )
        self._stirred.set()
        return [entries[int(item["Id"])] for item in answer["Successful"]]

    def receive(self, count: int = AT_ONCE) -> list[Ticketed]:
        """Wait up to a second for entries."""
        self._stirred.clear()
        answer = self._client.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=count,
            VisibilityTimeout=self._visibility,
            WaitTimeSeconds=self._long_poll,
            MessageAttributeNames=["Ticket"],
        )
        received = [_read(message) for message in answer.get("Messages", [])]
        if not received and not self._long_poll:
            self._stirred.wait(1)
        return received

    def delete(self, entries: Sequence[Ticketed]) -> None:
        """Forget entries that are done with."""
        if entries:
            with self._write:
                self._client.delete_message_batch(
                    QueueUrl=self._url,
                    Entries=[{"Id": str(n), "ReceiptHandle": item.receipt} for n, item in enumerate(entries)],
                )

    def release(self, entries: Sequence[Ticketed]) -> None:
        """Make entries visible again now: in the main queue its redrive policy then moves them on."""
        if entries:
            with self._write:
                self._client.change_message_visibility_batch(
                    QueueUrl=self._url,
                    Entries=[
                        {"Id": str(n), "ReceiptHandle": item.receipt, "VisibilityTimeout": 0}
                        for n, item in enumerate(entries)
                    ],
                )
            self._stirred.set()


def make_queues(prefix: str, requeue_after: float) -> tuple[EntryQueue, EntryQueue]:
    """Return the main queue `<prefix>` and the dead letter queue `<prefix>-failed`, made if they are missing."""
    client = boto3.client("sqs", config=_PATIENCE)
    dead_url = client.create_queue(QueueName=f"{prefix}-failed")["QueueUrl"]
    attributes = client.get_queue_attributes(QueueUrl=dead_url, AttributeNames=["QueueArn"])["Attributes"]
    policy = {"deadLetterTargetArn": attributes["QueueArn"], "maxReceiveCount": 1}
    url = client.create_queue(QueueName=prefix, Attributes={"RedrivePolicy": msgspec.json.encode(policy).decode()})[
        "QueueUrl"
    ]
    # Entries of a dead process come back after five seconds; too early does no harm, a ticket is attempted only once.
    # No long poll on the main queue: it does not end when an entry is released, and each round would wait for it.
    queue = EntryQueue(client, url, visibility=5, long_poll=0)
    return queue, EntryQueue(client, dead_url, visibility=requeue_after + 5, long_poll=1)


def _read(message: "MessageTypeDef") -> Ticketed:
    """Read a message; what is not ours becomes an entry of no communication, which is over and so thrown away."""
    try:
        entry = msgspec.json.decode(message["Body"], type=Entry)
        ticket = int(message["MessageAttributes"]["Ticket"]["StringValue"])
    except (msgspec.MsgspecError, KeyError, ValueError):
        _log.warning("an entry that is not ours: %s", message["MessageId"])
        return Ticketed(Entry("", "", "", ""), 0, message["ReceiptHandle"])
    return Ticketed(entry, ticket, message["ReceiptHandle"])

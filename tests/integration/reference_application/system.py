"""A running reference application with its providers, and what these tests do with them."""

import collections
import json
import time
from dataclasses import dataclass
from http.client import HTTPConnection
from urllib.parse import urlsplit

import boto3
import pytest

from sandbox.application import ReferenceApplication
from sandbox.mailbox import Mailbox
from sandbox.providers import SmsProvider

OPERATIONS = {"emails": "send.email", "sms": "send.sms"}
EACH_KIND = pytest.mark.parametrize("kind", ["emails", "sms"])


@dataclass
class ReferenceSystem:
    """A reference application and the providers that it sends by."""

    app: ReferenceApplication
    mail: Mailbox
    sms: SmsProvider

    def set_down(self, down):
        self.mail.down = self.sms.down = down

    def create_failed(self, kind, count=1, **options):
        """Create communications that really fail, because the providers are down for all rounds; return their ids."""
        self.set_down(True)
        before = self.app.stats()["failed"]
        ids = self.app.create(kind, count, **options)
        self.app.wait_for_stats(failed=before + count)
        self.set_down(False)
        return ids

    def post(self, communication_id, operation, key=None, **options):
        """POST a communication to be sent again, as comms-reprocess does; return the response."""
        payload = payload_of(communication_id, operation)
        headers = {"Idempotency-Key": key} if key else {}
        return self.app.request("POST", "/communications", json=payload, headers=headers, **options)

    def post_and_hang_up(self, communication_id, operation):
        """POST a communication, and close the connection without waiting for the answer."""
        received = self.app.stats()["payloads"]
        headers = {"Authorization": f"Bearer {self.app.token}"}
        connection = HTTPConnection(urlsplit(self.app.url).netloc)
        connection.request("POST", "/communications", json.dumps(payload_of(communication_id, operation)), headers)
        self.app.wait_for_stats(payloads=received + 1)
        connection.close()

    def row(self, communication_id):
        """Return everything that the application has stored about a communication."""
        return self.app.communication(communication_id)

    def wait_for_row(self, communication_id, **wanted):
        """Wait until the row has these values, and return it."""
        wait_until(lambda: wanted.items() <= self.row(communication_id).items())
        return self.row(communication_id)

    def deliveries(self):
        """How often the providers have accepted each communication."""
        mails = [str(message["X-Communication-Id"]) for message in self.mail.messages()]
        return collections.Counter(mails + [message.communication_id for message in self.sms.messages()])


def payload_of(communication_id, operation):
    """The body of a POST."""
    return {
        "primaryId": communication_id,
        "operation": operation,
        "createdBy": "bob",
        "created": "2026-01-01T00:00:00Z",
    }


def wait_until(condition, timeout=60):
    """Wait until a condition is true."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)


def status_and_code(response):
    """The status of a refusal, and the code in its body."""
    return response.status_code, response.json()["error"]["code"]


def open_queues(aws_environment, reference):
    """Return an SQS client and the URLs of the application's main queue and dead letter queue."""
    arguments = reference.app._arguments
    prefix = arguments[arguments.index("--queue-prefix") + 1]
    client = boto3.client(
        "sqs",
        endpoint_url=aws_environment["AWS_ENDPOINT_URL"],
        region_name=aws_environment["AWS_DEFAULT_REGION"],
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )
    return client, *(client.get_queue_url(QueueName=name)["QueueUrl"] for name in (prefix, f"{prefix}-failed"))


def queue_depth(client, url):
    """How many messages a queue has, including those in flight."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    return sum(int(n) for n in client.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"].values())


def list_failed(reference, kind, **filters):
    """Read all pages of a list, and return the ids."""
    return list(read_emails(reference, **filters) if kind == "emails" else read_sms(reference, **filters))


def read_emails(reference, after_page=lambda: None, **filters):
    url = "/emails/failed"
    while url:
        page = reference.app.request("GET", url, params=filters).json()
        yield from (record["id"] for record in page["results"])
        url, filters = (page["next"] or "").removeprefix(reference.app.url), {}
        after_page()


def read_sms(reference, **filters):
    number, pages = 1, 1
    while number <= pages:
        page = reference.app.request("GET", "/sms/failed", params=filters | {"page": number}).json()
        assert page["page"] == number
        pages, number = page["pages"], number + 1
        yield from (record["smsId"] for record in page["data"])

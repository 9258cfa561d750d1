"""The reference application against a real SQS (moto's), SMTP server and SMS provider."""

import base64
import collections
import json
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import boto3
import jmespath
import pytest
import requests
from moto.server import ThreadedMotoServer

import sandbox.application
from sandbox.application import ReferenceApplication
from sandbox.mailbox import Mailbox
from sandbox.providers import SmsProvider

OPERATIONS = {"emails": "send.email", "sms": "send.sms"}
KINDS = pytest.mark.parametrize("kind", ["emails", "sms"])


@dataclass
class World:
    """One application and its providers."""

    app: ReferenceApplication
    mail: Mailbox
    sms: SmsProvider

    def set_down(self, down):
        self.mail.down = self.sms.down = down

    def fail(self, kind, count=1, **options):
        """Have communications fail for real: created while the providers are down, until their rounds are over."""
        self.set_down(True)
        before = self.app.stats()["failed"]
        ids = self.app.create(kind, count, **options)
        self.app.wait_for_stats(failed=before + count)
        self.set_down(False)
        return ids

    def post(self, communication_id, operation, key=None, **options):
        payload = {
            "primaryId": communication_id,
            "operation": operation,
            "createdBy": "bob",
            "created": "2026-01-01T00:00:00Z",
        }
        headers = {"Idempotency-Key": key} if key else {}
        return self.app.request("POST", "/communications", json=payload, headers=headers, **options)

    def row(self, communication_id):
        return self.app.communication(communication_id)

    def wait_for_row(self, communication_id, **wanted):
        wait_until(lambda: wanted.items() <= self.row(communication_id).items())
        return self.row(communication_id)

    def deliveries(self):
        """Count what the providers really took, by communication."""
        mails = [str(message["X-Communication-Id"]) for message in self.mail.messages()]
        return collections.Counter(mails + [message.communication_id for message in self.sms.messages()])


def wait_until(condition, timeout=20):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def code(response):
    return response.status_code, response.json()["error"]["code"]


@pytest.fixture(scope="module")
def aws():
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # thousands of lines that pytest would keep
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
    }
    server.stop()
    logging.getLogger("werkzeug").setLevel(logging.NOTSET)


@pytest.fixture(scope="module")
def providers():
    with Mailbox() as mail, SmsProvider() as sms:
        yield mail, sms


@pytest.fixture(scope="module")
def shared_world(aws, providers, tmp_path_factory):
    mail, sms = providers
    folder = tmp_path_factory.mktemp("shared")
    smtp = (mail.host, mail.port)
    with ReferenceApplication(
        folder, aws, smtp, sms.url, queue_prefix="shared", rounds=2, requeue_after=0.05
    ) as application:
        yield World(application, mail, sms)


@pytest.fixture
def world(shared_world):
    """An application that fails fast and finally, mended after each test."""
    yield shared_world
    shared_world.set_down(False)
    shared_world.app.reset_switches()
    shared_world.app.wait_for_stats(queued=0)


@pytest.fixture
def fresh(aws, tmp_path):
    """Start an application of one's own, again with the same database and queues, and providers new to it."""
    with Mailbox() as mail, SmsProvider() as sms:
        started, prefix = [], f"app-{uuid4().hex}"

        def start(sms=sms, **options):
            app = ReferenceApplication(tmp_path, aws, (mail.host, mail.port), sms.url, queue_prefix=prefix, **options)
            started.append(app.start())
            return World(app, mail, sms)

        yield start
        for app in started:
            app.kill()


def queue_urls(aws, world):
    """Return an SQS client and the URLs of the application's main and dead letter queues."""
    arguments = world.app._arguments
    prefix = arguments[arguments.index("--queue-prefix") + 1]
    client = boto3.client(
        "sqs",
        endpoint_url=aws["AWS_ENDPOINT_URL"],
        region_name=aws["AWS_DEFAULT_REGION"],
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )
    return client, *(client.get_queue_url(QueueName=name)["QueueUrl"] for name in (prefix, f"{prefix}-failed"))


# --- sending and failing


@KINDS
def test_sends(world, kind):
    """What is created is delivered once, marked as sent, and known to the provider by its id."""
    ids = world.app.create(kind, 5, created_by="carol")
    for id_ in ids:
        row = world.wait_for_row(id_, sent=1)
        assert (row["state"], row["created_by"], len(row["deliveries"])) == ("sent", "carol", 1)
    assert [world.deliveries()[id_] for id_ in ids] == [1] * 5


def test_a_failure_is_an_entry_in_the_dead_letter_queue(fresh, aws):
    """While the provider is down an entry goes to the dead letter queue and waits, its row not failed yet."""
    world = fresh(requeue_after=3600)
    world.set_down(True)
    [id_] = world.app.create("emails", created_by="carol")
    row = world.wait_for_row(id_, error="{'someone@example.org': (451, b'4.3.0 the mail system is down')}")
    assert (row["sent"], row["state"], row["rounds"]) == (0, "queued", 0)
    client, main, dead = queue_urls(aws, world)
    wait_until(lambda: depth(client, dead) == 1)
    assert depth(client, main) == 0
    assert world.app.request("GET", "/emails/failed").json()["count"] == 0
    client.close()


def depth(client, url):
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    return sum(int(n) for n in client.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"].values())


def test_queue_entries_have_the_known_shape(fresh, aws):
    """An entry on the queue is primaryId, operation, createdBy and created, in JSON."""
    world = fresh(workers=0)
    [id_] = world.app.create("sms", created_by="carol")
    client, main, _ = queue_urls(aws, world)
    wait_until(lambda: depth(client, main) == 1)
    [message] = client.receive_message(QueueUrl=main, VisibilityTimeout=0)["Messages"]
    entry = json.loads(message["Body"])
    assert entry.pop("created").endswith("Z")
    assert entry == {"primaryId": id_, "operation": "send.sms", "createdBy": "carol"}
    client.close()


@KINDS
def test_fails_finally_after_its_rounds(world, kind):
    """A communication whose provider stays down has finally failed after all rounds, is listed, and was never sent."""
    [id_] = world.fail(kind)
    row = world.row(id_)
    assert (row["state"], row["sent"], row["rounds"], row["ticket"]) == ("failed", 0, 2, 3)
    assert row["failed_at"] > row["created"]
    assert id_ in listed(world, kind)
    assert world.deliveries()[id_] == 0


def test_120_fail_in_three_rounds_and_are_sent_when_posted(fresh):
    """120 communications fail through three rounds and are delivered once each when they are posted."""
    world = fresh(requeue_after=0.5)
    world.app.create("emails", 60)
    world.app.create("sms", 60)
    world.app.wait_for_stats(sent=120)
    world.set_down(True)
    emails, sms = world.app.create("emails", 60), world.app.create("sms", 60)
    world.app.wait_for_stats(failed=120)
    world.set_down(False)
    operations = dict.fromkeys(emails, "send.email") | dict.fromkeys(sms, "send.sms")
    for id_, operation in operations.items():
        assert world.post(id_, operation, key=f"key-{id_}").status_code == 202
    stats = world.app.wait_for_stats(sent=240)
    assert (stats["failed"], stats["deliveries"], stats["delivered_twice"], stats["two_keys"]) == (0, 240, 0, 0)
    assert set(world.deliveries().values()) == {1}
    assert len(world.deliveries()) == 240


# --- POST /communications


@KINDS
def test_a_posted_communication_is_sent_and_leaves_the_list(world, kind):
    """With the provider back, a POST answers 202, the communication is delivered once, sent and no longer listed."""
    [id_] = world.fail(kind)
    response = world.post(id_, OPERATIONS[kind], key="a")
    assert (response.status_code, response.json()) == (202, {"status": "queued"})
    assert id_ not in listed(world, kind)
    row = world.wait_for_row(id_, sent=1)
    assert (row["state"], row["rounds"], row["failed_at"], len(row["deliveries"])) == ("sent", 0, None, 1)
    assert world.deliveries()[id_] == 1


def test_a_posted_communication_may_fail_again(world):
    """While the provider is still down a posted communication goes through all rounds anew and is listed again."""
    [id_] = world.fail("sms")
    first = world.row(id_)["failed_at"]
    world.set_down(True)
    assert world.post(id_, "send.sms", key="a").status_code == 202
    row = world.wait_for_row(id_, state="failed")
    assert row["rounds"] == 2
    assert row["failed_at"] > first


@pytest.mark.parametrize(("kind", "recipient"), [("emails", "nobody"), ("sms", "+49 30 x")])
def test_refuses_an_address_that_can_never_work(world, kind, recipient):
    """A communication to an impossible address fails by itself, and a POST for it is refused with 422."""
    [id_] = world.fail(kind, recipient=recipient)
    assert code(world.post(id_, OPERATIONS[kind])) == (422, "invalid_address")
    assert world.row(id_)["state"] == "failed"


@pytest.mark.parametrize(("id_", "operation"), [("nosuch", "send.email"), ("100001", "send.fax")])
def test_does_not_know_others_communications(world, id_, operation):
    """A POST for an id or operation that is not here answers 404."""
    assert code(world.post(id_, operation)) == (404, "unknown_communication")


def test_refuses_what_was_sent(world):
    """A POST for a communication that was sent answers 409 and sends nothing."""
    [id_] = world.app.create("emails")
    world.wait_for_row(id_, sent=1)
    assert code(world.post(id_, "send.email", key="a")) == (409, "already_sent")
    assert world.row(id_)["state"] == "sent"


def test_refuses_what_is_on_its_way(world):
    """A POST with another key for a communication that is queued answers 409 and queues nothing."""
    [id_] = world.fail("emails")
    world.app.switch(worker_paused=True)
    assert world.post(id_, "send.email", key="a").status_code == 202
    ticket = world.row(id_)["ticket"]
    assert code(world.post(id_, "send.email", key="b")) == (409, "already_queued")
    assert world.row(id_)["ticket"] == ticket


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        b"[]",
        b'"' + b"\xff" + b'"',
        b"[" * 100_000,
        b'{"primaryId": 1, "operation": "send.email", "createdBy": "b", "created": "2026-01-01T00:00:00Z"}',
        b'{"primaryId": "", "operation": "send.email", "createdBy": "b", "created": "2026-01-01T00:00:00Z"}',
        b'{"primaryId": "1", "operation": "send.email", "createdBy": "b", "created": "yesterday"}',
        b'{"primaryId": "1", "operation": "send.email", "createdBy": "b"}',
        b'{"primaryId": "1", "operation": "send.email", "createdBy": "b", "created": "2026-01-01T00:00:00Z", "x": 1}',
    ],
)
def test_refuses_a_malformed_payload(world, body):
    """Anything but the four fields, as texts, answers 400, and is counted as received."""
    before = world.app.stats()["payloads"]
    assert code(world.app.request("POST", "/communications", data=body)) == (400, "invalid_payload")
    assert world.app.stats()["payloads"] == before + 1


@pytest.mark.parametrize("path", ["/emails/failed", "/sms/failed", "/stats", "/switches", "/communications/1"])
def test_wants_its_token(world, path):
    """Without the right bearer token everything answers 401."""
    for token in ("", "Bearer", "Bearer wrong", f"Basic {world.app.token}"):
        response = world.app.request("GET", path, headers={"Authorization": token})
        assert code(response) == (401, "unauthorized")


def test_health_needs_no_token(world):
    """Anybody may ask whether it is up."""
    assert world.app.request("GET", "/health", headers={"Authorization": ""}).status_code == 200


# --- idempotency keys


def test_a_key_that_is_repeated_queues_once(world):
    """The same key gets the same answer, before and after the communication was sent, and it is delivered once."""
    [id_] = world.fail("sms")
    first = world.post(id_, "send.sms", key="a")
    world.wait_for_row(id_, sent=1)
    again = world.post(id_, "send.sms", key="a")
    assert (again.status_code, again.json()) == (first.status_code, first.json()) == (202, {"status": "queued"})
    row = world.row(id_)
    assert (len(row["deliveries"]), [payload["idempotency_key"] for payload in row["payloads"]]) == (1, ["a", "a"])


def test_a_refusal_is_repeated_too(world):
    """A key that was refused gets its refusal again, even if the communication's state has changed since."""
    [id_] = world.app.create("emails")
    world.wait_for_row(id_, sent=1)
    assert code(world.post(id_, "send.email", key="a")) == code(world.post(id_, "send.email", key="a"))


def test_keys_belong_to_their_communication(world):
    """One key used for two communications queues both."""
    first, second = world.fail("emails", 2)
    assert world.post(first, "send.email", key="a").status_code == 202
    assert world.post(second, "send.email", key="a").status_code == 202
    world.wait_for_row(first, sent=1)
    world.wait_for_row(second, sent=1)


def test_a_key_from_many_connections_at_once_queues_once(world):
    """Of many simultaneous POSTs with one key exactly one queues, and all get its answer."""
    ids = world.fail("emails", 5)
    tickets = [world.row(id_)["ticket"] for id_ in ids]
    barrier = threading.Barrier(8)

    def post(id_):
        barrier.wait()
        return world.post(id_, "send.email", key="a")

    with ThreadPoolExecutor(8) as pool:
        for id_ in ids:
            answers = list(pool.map(post, [id_] * 8))
            assert {(answer.status_code, answer.text) for answer in answers} == {(202, '{"status":"queued"}')}
    for id_, ticket in zip(ids, tickets, strict=True):
        row = world.wait_for_row(id_, sent=1)
        assert (row["ticket"], len(row["deliveries"]), world.deliveries()[id_]) == (ticket + 1, 1, 1)


def test_different_keys_at_once_queue_once(world):
    """Of many simultaneous POSTs with different keys one is accepted, the others answer 409."""
    [id_] = world.fail("emails")
    world.app.switch(worker_paused=True)
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda key: world.post(id_, "send.email", key=key).status_code, "abcdef"))
    assert sorted(answers) == [202, 409, 409, 409, 409, 409]


# --- lists


def listed(world, kind, **filters):
    """Read a whole list as its paging wants, and return the ids."""
    return list(read_emails(world, **filters) if kind == "emails" else read_sms(world, **filters))


def read_emails(world, after_page=lambda: None, **filters):
    url = "/emails/failed"
    while url:
        page = world.app.request("GET", url, params=filters).json()
        yield from (record["id"] for record in page["results"])
        url, filters = (page["next"] or "").removeprefix(world.app.url), {}
        after_page()


def read_sms(world, **filters):
    number, pages = 1, 1
    while number <= pages:
        page = world.app.request("GET", "/sms/failed", params=filters | {"page": number}).json()
        assert page["page"] == number
        pages, number = page["pages"], number + 1
        yield from (record["smsId"] for record in page["data"])


@pytest.mark.parametrize("size", [1, 3, 7, 50])
def test_cursors_list_every_record_once(world, failed_by_dora, size):
    """Whatever the page's size, following `next` lists each failed email once, in the order of failing."""
    ids = listed(world, "emails", author="dora", page_size=size)
    assert sorted(ids) == sorted(failed_by_dora["emails"])
    page = world.app.request("GET", "/emails/failed", params={"author": "dora", "page_size": size}).json()
    assert page["count"] == 7
    assert (page["next"] is None) == (size >= 7)
    times = [record["failed_at"] for record in page["results"]]
    assert times == sorted(times)


@pytest.mark.parametrize("size", [1, 3, 7, 50])
def test_page_numbers_list_every_record_once(world, failed_by_dora, size):
    """Whatever the page's size, counting pages lists each failed SMS once, and one beyond the last is empty."""
    filters = {"created_by": "dora", "per_page": size}
    assert sorted(listed(world, "sms", **filters)) == sorted(failed_by_dora["sms"])
    page = world.app.request("GET", "/sms/failed", params=filters | {"page": 99}).json()
    assert page == {"data": [], "page": 99, "pages": -(-7 // size), "total": 7}


@pytest.fixture(scope="module")
def failed_by_dora(shared_world):
    return {kind: shared_world.fail(kind, 7, created_by="dora") for kind in OPERATIONS}


def test_an_email_list_that_shrinks_while_it_is_read_loses_nothing(world):
    """Records that are sent between two pages do not hide others from someone who follows `next`."""
    ids = world.fail("emails", 9, created_by="erin")
    unread = set(ids)

    def send_two_read_ones():
        for id_ in [id_ for id_ in ids if id_ not in unread and world.row(id_)["state"] == "failed"][:2]:
            assert world.post(id_, "send.email").status_code == 202

    seen = []
    for id_ in read_emails(world, author="erin", page_size=3, after_page=send_two_read_ones):
        seen.append(id_)
        unread.discard(id_)
    assert sorted(seen) == sorted(ids)


def test_filters_by_creation(world):
    """The lists take a time from which, and one before which, a communication was created."""
    days = ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z"]
    emails = [world.fail("emails", created_by="fay", created=day)[0] for day in days]
    texts = [world.fail("sms", created_by="fay", created=day)[0] for day in days]
    span = {"created_after": days[1], "created_before": "2026-01-03T01:00:00+01:00"}
    assert listed(world, "emails", author="fay", **span) == [emails[1]]
    assert listed(world, "emails", author="fay", created_after=days[1]) == emails[1:]
    assert listed(world, "sms", **{"created_by": "fay", "from": days[1], "to": days[2]}) == [texts[1]]
    assert listed(world, "sms", created_by="fay", to=days[2]) == texts[:2]


def test_filters_by_author(world):
    """The lists take an author, and an unknown one has nothing."""
    [id_] = world.fail("emails", created_by="gil & son")
    assert listed(world, "emails", author="gil & son") == [id_]
    assert listed(world, "emails", author="nobody") == []
    assert listed(world, "sms", created_by="gil & son") == []


@pytest.mark.parametrize(
    "path",
    [
        "/emails/failed?created_by=misspelt",
        "/emails/failed?page_size=0",
        "/emails/failed?page_size=many",
        "/emails/failed?created_after=yesterday",
        "/emails/failed?cursor=x",
        "/emails/failed?cursor=" + base64.urlsafe_b64encode(b"[1, 2]").decode(),
        "/sms/failed?page=0",
        "/sms/failed?author=misspelt",
    ],
)
def test_refuses_a_query_it_does_not_understand(world, path):
    """A filter that is misspelt or malformed answers 400 instead of listing too much."""
    assert code(world.app.request("GET", path)) == (400, "invalid_request")


# --- switches


def test_answers_a_status_without_processing(world):
    """With `status` the answer is that status, and nothing was queued."""
    [id_] = world.fail("emails")
    world.app.switch(status=503)
    assert code(world.post(id_, "send.email", key="a")) == (503, "broken_on_purpose")
    row = world.row(id_)
    assert row["state"] == "failed"
    assert [(payload["status"], payload["answered"]) for payload in row["payloads"]] == [(None, 503)]


def test_answers_a_status_after_processing(world):
    """With `status_after` the communication is sent although the answer is an error."""
    [id_] = world.fail("emails")
    world.app.switch(status_after=502)
    assert world.post(id_, "send.email", key="a").status_code == 502
    payloads = world.wait_for_row(id_, sent=1)["payloads"]
    assert [(payload["status"], payload["answered"]) for payload in payloads] == [(202, 502)]


def test_redirects(world):
    """A status of the 300s is a redirect with a place to go."""
    [id_] = world.fail("emails")
    world.app.switch(status=302)
    response = world.post(id_, "send.email", allow_redirects=False)
    assert (response.status_code, response.headers["Location"]) == (302, "/health")


@pytest.mark.parametrize(("when", "state"), [("before", "failed"), ("after", "queued")])
def test_cuts_the_connection(world, when, state):
    """With `cut` there is no answer at all, before or after the communication was queued."""
    [id_] = world.fail("emails")
    world.app.switch(cut=when, worker_paused=True)
    with pytest.raises(requests.ConnectionError):
        world.post(id_, "send.email", key="a")
    row = world.row(id_)
    assert (row["state"], [payload["answered"] for payload in row["payloads"]]) == (state, [None])


def test_is_slow(world):
    """With `slow` the answer comes late."""
    [id_] = world.fail("emails")
    world.app.switch(slow=0.3)
    began = time.monotonic()
    assert world.post(id_, "send.email").status_code == 202
    assert time.monotonic() - began >= 0.3


def test_goes_on_when_the_caller_has_hung_up(world):
    """Who does not wait for a slow answer has had the communication sent all the same."""
    [id_] = world.fail("emails")
    world.app.switch(slow=0.5)
    with pytest.raises(requests.ReadTimeout):
        requests.post(
            f"{world.app.url}/communications",
            json={"primaryId": id_, "operation": "send.email", "createdBy": "b", "created": "2026-01-01T00:00:00Z"},
            headers={"Authorization": f"Bearer {world.app.token}"},
            timeout=0.2,
        )
    world.wait_for_row(id_, sent=1)


def test_drips(world):
    """With `drip` the answer is whole but comes byte by byte."""
    [id_] = world.fail("emails")
    world.app.switch(drip=0.02)
    began = time.monotonic()
    response = world.post(id_, "send.email")
    assert (response.status_code, response.json()) == (202, {"status": "queued"})
    assert time.monotonic() - began >= 0.02 * len(response.content)


def test_refuses_a_token_that_was_good(world):
    """With `unauthorized` the token is refused for communications and lists, but the switches still obey."""
    world.app.switch(unauthorized=True)
    assert code(world.post("100001", "send.email")) == (401, "unauthorized")
    assert world.app.request("GET", "/sms/failed").status_code == 401
    world.app.switch(unauthorized=None)
    assert world.app.request("GET", "/sms/failed").status_code == 200


def test_lists_can_be_down(world):
    """With `lists_down` both lists answer 503."""
    world.app.switch(lists_down=True)
    assert code(world.app.request("GET", "/emails/failed")) == (503, "unavailable")
    assert code(world.app.request("GET", "/sms/failed")) == (503, "unavailable")


def test_workers_can_be_paused(world):
    """With `worker_paused` nothing is sent until they go on."""
    world.app.switch(worker_paused=True)
    [id_] = world.app.create("sms")
    assert world.row(id_)["state"] == "queued"
    assert world.deliveries()[id_] == 0
    world.app.switch(worker_paused=False)
    world.wait_for_row(id_, sent=1)


def test_accepts_but_never_sends(world):
    """With `accepts_but_never_sends` a POST answers 202 and the communication finally fails again, unsent."""
    [id_] = world.fail("emails")
    world.app.switch(accepts_but_never_sends=True)
    assert world.post(id_, "send.email", key="a").status_code == 202
    world.wait_for_row(id_, state="failed", rounds=2)
    assert world.deliveries()[id_] == 0
    world.app.reset_switches()
    assert world.post(id_, "send.email", key="b").status_code == 202
    world.wait_for_row(id_, sent=1)
    assert world.app.stats()["two_keys"] == two_keys_of_others(world, id_)


def two_keys_of_others(world, id_):
    """Count, in a database that tests share, what other tests did on purpose."""
    with sqlite3.connect(world.app.database) as database:
        query = "SELECT count(DISTINCT communication_id) FROM payloads WHERE two_keys AND communication_id <> ?"
        [count] = database.execute(query, [id_]).fetchone()
    database.close()
    return count


def test_faults_hit_their_share_of_the_calls(world):
    """Faults that are given a share hit exactly that share of the calls, apart from each other."""
    world.app.switch(status={"value": 503, "share": 0.3}, status_after={"value": 500, "share": 0.2})
    answers = collections.Counter(world.post("nosuch", "send.email").status_code for _ in range(100))
    assert answers == {404: 50, 503: 30, 500: 20}


@pytest.mark.parametrize(
    "switches",
    [{"stauts": 503}, {"status": "503"}, {"status": 99}, {"cut": "now"}, {"slow": {"value": 1, "share": 2}}],
)
def test_refuses_a_switch_that_it_does_not_have(world, switches):
    """An unknown switch or setting answers 400 and changes nothing."""
    response = world.app.request("POST", "/switches", json=switches | {"lists_down": True})
    assert code(response) == (400, "invalid_request")
    assert set(world.app.request("GET", "/switches").json().values()) == {None}


def test_switches_are_changed_one_by_one(world):
    """Setting one switch leaves the others as they are, and all can be turned off at once."""
    world.app.switch(slow=0.1)
    assert {"slow": 0.1, "status": 500}.items() <= world.app.switch(status=500).items()
    assert world.app.switch(slow=None)["status"] == 500
    world.app.reset_switches()
    assert set(world.app.request("GET", "/switches").json().values()) == {None}


# --- numbers


def test_counts_two_keys(world):
    """A second key for a communication whose first was accepted counts once, but not after it failed."""
    before = world.app.stats()
    [id_] = world.fail("emails")
    world.set_down(True)
    assert world.post(id_, "send.email", key="a").status_code == 202
    world.wait_for_row(id_, state="failed")
    world.set_down(False)
    assert world.post(id_, "send.email", key="b").status_code == 202
    assert world.app.stats()["two_keys"] == before["two_keys"]
    world.wait_for_row(id_, sent=1)
    world.app.switch(status=500)
    world.post(id_, "send.email", key="c")
    world.post(id_, "send.email", key=None)
    stats = world.app.stats()
    assert stats["two_keys"] == before["two_keys"] + 1
    assert stats["payloads"] == before["payloads"] + 4


def test_counts_bodies_that_changed_under_a_key(world):
    """A repetition that is not byte-identical counts."""
    before = world.app.stats()["changed_bodies"]
    assert world.post("nosuch", "send.email", key="same").status_code == 404
    assert world.app.stats()["changed_bodies"] == before
    assert world.post("nosuch", "send.sms", key="same").status_code == 404
    assert world.app.stats()["changed_bodies"] == before + 1


def test_keeps_what_came_with_a_payload(world):
    """Each POST is kept with its key, its run, its body and its time."""
    [id_] = world.fail("emails")
    payload = {"primaryId": id_, "operation": "send.email", "createdBy": "b", "created": "2026-01-01T00:00:00.1Z"}
    headers = {"X-Run-Id": "run-1", "Idempotency-Key": "a"}
    world.app.request("POST", "/communications", json=payload, headers=headers)
    [kept] = world.row(id_)["payloads"]
    assert (kept["run_id"], kept["idempotency_key"], json.loads(kept["body"])) == ("run-1", "a", payload)
    assert kept["at"].endswith("Z")


# --- the SMS provider


def test_the_sms_provider_takes_messages_unless_it_is_down():
    """The provider keeps each message that it answers with 202, and none that it refuses."""
    message = {"to": "+4930123456", "text": "Hello", "communicationId": "sms/1"}
    with SmsProvider() as provider:
        url = f"{provider.url}/messages"
        answer = requests.post(url, json=message, timeout=5)
        assert requests.post(url, json={"to": 1}, timeout=5).status_code == 400
        assert requests.post(provider.url, json=message, timeout=5).status_code == 404
        provider.down = True
        assert requests.post(url, json=message, timeout=5).status_code == 503
    [kept] = provider.messages()
    assert (answer.status_code, answer.json()) == (202, {"messageId": kept.id})
    assert (kept.to, kept.text, kept.communication_id) == tuple(message.values())


# --- dying


def test_killed_again_and_again_it_loses_nothing(fresh):
    """Killed in the middle of sending, it sends all, and twice at most what a worker was sending just then."""
    world = fresh(requeue_after=0.2)
    ids = world.app.create("emails", 60) + world.app.create("sms", 60)
    interrupted = collections.Counter()
    for delivered in (20, 50, 80):
        wait_until(lambda wanted=delivered: sum(world.deliveries().values()) >= wanted)
        world.app.kill()
        interrupted.update(in_flight(world.app.database))
        world.app.start()
    stats = world.app.wait_for_stats(sent=120)
    deliveries = world.deliveries()
    assert set(deliveries) == set(ids)
    assert all(count <= 1 + interrupted[id_] for id_, count in deliveries.items())
    assert stats["interrupted"] == interrupted.total() <= 3 * 4


def in_flight(path):
    """Return what workers had claimed when their process died."""
    database = sqlite3.connect(path)
    rows = database.execute("SELECT id FROM communications WHERE claimed_until IS NOT NULL").fetchall()
    database.close()
    return [row[0] for row in rows]


class HangingProvider(SmsProvider):
    """Takes the first message, and leaves the application waiting for the answer."""

    def __init__(self):
        super().__init__()
        self.took = threading.Event()
        self.go_on = threading.Event()

    def accept(self, message):
        sms = super().accept(message)
        if not self.took.is_set():
            self.took.set()
            self.go_on.wait(20)
        return sms


def test_dying_before_the_answer_sends_once_more(fresh):
    """Killed between a provider's taking a message and its answer, it is sent again: at least once."""
    with HangingProvider() as sms:
        world = fresh(sms=sms)
        [id_] = world.app.create("sms")
        assert sms.took.wait(20)
        world.app.kill()
        sms.go_on.set()
        world.app.start()
        stats = world.app.wait_for_stats(sent=1)
    assert (world.deliveries()[id_], stats["deliveries"], stats["interrupted"]) == (2, 1, 1)


def test_queue_entries_outlive_the_process(fresh, aws):
    """What was queued when the process was killed is sent once each by the next one."""
    world = fresh(workers=0)
    ids = world.app.create("emails", 15)
    client, main, _ = queue_urls(aws, world)
    wait_until(lambda: depth(client, main) == 15)
    world.app.kill()
    world = fresh()
    world.app.wait_for_stats(sent=15)
    client.close()
    assert world.deliveries() == dict.fromkeys(ids, 1)
    assert world.app.stats()["interrupted"] == 0


def test_accepted_and_killed_it_is_sent(fresh):
    """A communication that was accepted with 202 is sent although the process was killed at once."""
    world = fresh(rounds=1, requeue_after=0.05)
    [id_] = world.fail("sms")
    world.app.switch(worker_paused=True)
    assert world.post(id_, "send.sms", key="a").status_code == 202
    world.app.kill()
    with pytest.raises(requests.ConnectionError):
        world.app.stats()
    url = world.app.url
    world.app.start()
    assert world.app.url == url
    world.app.wait_for_stats(sent=1)
    assert world.post(id_, "send.sms", key="a").status_code == 202
    assert world.deliveries() == {id_: 1}


def test_entries_that_the_queue_lost_are_queued_again(fresh, aws):
    """A communication whose queue entry vanished is sent all the same."""
    world = fresh(workers=0)
    world.app.create("emails", 3)
    client, main, _ = queue_urls(aws, world)
    wait_until(lambda: depth(client, main) == 3)
    world.app.stop()
    client.purge_queue(QueueUrl=main)
    world = fresh(lost_after=0.2, requeue_after=0.1)
    world.app.wait_for_stats(sent=3)
    assert set(world.deliveries().values()) == {1}
    client.close()


def test_an_entry_that_arrives_twice_is_sent_once(fresh, aws):
    """A queue entry that SQS delivers again, or that is nonsense, sends nothing."""
    world = fresh(workers=0)
    [id_] = world.app.create("emails")
    client, main, _ = queue_urls(aws, world)
    wait_until(lambda: depth(client, main) == 1)
    [message] = client.receive_message(QueueUrl=main, VisibilityTimeout=0, MessageAttributeNames=["All"])["Messages"]
    copy = {"MessageBody": message["Body"], "MessageAttributes": message["MessageAttributes"]}
    for entry in [copy, copy, {"MessageBody": "nonsense"}, copy]:
        client.send_message(QueueUrl=main, **entry)
    world.app.stop()
    world = fresh()
    world.app.wait_for_stats(sent=1)
    wait_until(lambda: depth(client, main) == 0)
    assert world.deliveries() == {id_: 1}
    client.close()


def test_stops_when_asked(fresh):
    """SIGTERM ends it within seconds, with nothing left claimed."""
    world = fresh()
    world.app.create("emails", 20)
    pid, began = world.app.pid, time.monotonic()
    world.app.stop()
    assert time.monotonic() - began < 5
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert in_flight(world.app.database) == []
    assert "Traceback" not in world.app.log.read_text()


def test_does_not_outlive_whoever_started_it(aws, tmp_path):
    """When the process that started it is killed, it ends too."""
    script = """
import pathlib, sys, time
from sandbox.application import ReferenceApplication
app = ReferenceApplication(pathlib.Path(sys.argv[1]), {}, ("127.0.0.1", 1), "http://127.0.0.1:1", queue_prefix="orphan")
print(app.start().pid, flush=True)
time.sleep(60)
"""
    command = [sys.executable, "-c", script, str(tmp_path)]
    root = Path(sandbox.application.__file__).parents[2]
    with subprocess.Popen(command, cwd=root, env={**os.environ, **aws}, stdout=subprocess.PIPE) as parent:
        pid = int(parent.stdout.readline())
        os.kill(pid, 0)
        parent.send_signal(signal.SIGKILL)
    wait_until(lambda: not is_running(pid))


def is_running(pid):
    """Tell whether a process runs; one that is dead and that nobody waits for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_says_why_it_does_not_start(aws, tmp_path):
    """When it cannot start, the error shows the end of its log."""
    environment = {**aws, "AWS_ENDPOINT_URL": "nonsense"}
    app = ReferenceApplication(tmp_path, environment, ("127.0.0.1", 1), "http://127.0.0.1:1")
    with pytest.raises(RuntimeError, match=r"did not start(?s:.)*nonsense"):
        app.start()


# --- its configuration for comms-reprocess


def test_its_configuration_fits_its_answers(world):
    """The lists, fields, filters and pages that application.toml names are those that the application has."""
    text = Path(sandbox.application.__file__).with_name("application.toml").read_text()
    assert len(text.splitlines()) < 40
    configuration = tomllib.loads(text.replace("${APPLICATION_URL}", world.app.url))
    for source, kind in zip(configuration["sources"], OPERATIONS, strict=True):
        [id_] = world.fail(kind, created_by="hal")
        row = world.row(id_)
        filters = source["filters"]
        query = source["params"] | {filters["createdBy"]: "hal", filters["createdAfter"]: row["created"]}
        query[filters["createdBefore"]] = row["failed_at"]
        page = world.app.request("GET", source["list"].removeprefix(world.app.url), params=query).json()
        [record] = jmespath.search(source["items"], page)
        fields = [jmespath.search(source[name], record) for name in ("id", "created", "created_by", "failed_at")]
        assert fields == [id_, row["created"], "hal", row["failed_at"]]
        assert source["operation"] == OPERATIONS[kind]
    refusal = world.post("nosuch", "send.email").json()
    assert jmespath.search(configuration["reprocess"]["reason"], refusal) == "unknown_communication"

"""How the reference application sends communications, lets them fail, and accepts those that are posted to it."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from sandbox.providers import SmsProvider
from tests.integration.reference_application.system import (
    EACH_KIND,
    OPERATIONS,
    list_failed,
    open_queues,
    queue_depth,
    status_and_code,
    wait_until,
)

# -- sending and failing


@EACH_KIND
def test_a_created_communication_is_sent_once(reference, kind):
    """It is then marked as sent, and the provider has its id."""
    ids = reference.app.create(kind, 5, created_by="carol")
    for id_ in ids:
        row = reference.wait_for_row(id_, sent=1)
        assert (row["state"], row["created_by"], len(row["deliveries"])) == ("sent", "carol", 1)
    assert [reference.deliveries()[id_] for id_ in ids] == [1] * 5


def test_a_communication_waits_in_the_dead_letter_queue_between_two_rounds(start_reference, aws_environment):
    """The provider is down. The communication has not finally failed yet, so it is not listed."""
    reference = start_reference(requeue_after=3600)
    reference.set_down(True)
    [id_] = reference.app.create("emails", created_by="carol")
    row = reference.wait_for_row(id_, error="{'someone@example.org': (451, b'4.3.0 the mail system is down')}")
    assert (row["sent"], row["state"], row["rounds"]) == (0, "queued", 0)
    client, main, dead = open_queues(aws_environment, reference)
    wait_until(lambda: queue_depth(client, dead) == 1)
    assert queue_depth(client, main) == 0
    assert reference.app.request("GET", "/emails/failed").json()["count"] == 0
    client.close()


def test_a_queue_entry_is_a_payload_of_four_fields(start_reference, aws_environment):
    """They are primaryId, operation, createdBy and created, in JSON."""
    reference = start_reference(workers=0)
    [id_] = reference.app.create("sms", created_by="carol")
    client, main, _ = open_queues(aws_environment, reference)
    wait_until(lambda: queue_depth(client, main) == 1)
    [message] = client.receive_message(QueueUrl=main, VisibilityTimeout=0)["Messages"]
    entry = json.loads(message["Body"])
    assert entry.pop("created").endswith("Z")
    assert entry == {"primaryId": id_, "operation": "send.sms", "createdBy": "carol"}
    client.close()


@EACH_KIND
def test_a_communication_has_finally_failed_after_its_last_round(reference, kind):
    """The provider stays down. The communication is then listed, and was never delivered."""
    [id_] = reference.create_failed(kind)
    row = reference.row(id_)
    assert (row["state"], row["sent"], row["rounds"], row["ticket"]) == ("failed", 0, 2, 3)
    assert row["failed_at"] > row["created"]
    assert id_ in list_failed(reference, kind)
    assert reference.deliveries()[id_] == 0


def test_120_communications_that_finally_failed_are_delivered_once_each_when_posted(start_reference):
    """They have failed in three rounds before."""
    reference = start_reference(requeue_after=0.5)
    reference.app.create("emails", 60)
    reference.app.create("sms", 60)
    reference.app.wait_for_stats(sent=120)
    reference.set_down(True)
    emails, sms = reference.app.create("emails", 60), reference.app.create("sms", 60)
    reference.app.wait_for_stats(failed=120)
    reference.set_down(False)
    operations = dict.fromkeys(emails, "send.email") | dict.fromkeys(sms, "send.sms")
    for id_, operation in operations.items():
        assert reference.post(id_, operation, key=f"key-{id_}").status_code == 202
    stats = reference.app.wait_for_stats(sent=240)
    assert (stats["failed"], stats["deliveries"], stats["delivered_twice"], stats["two_keys"]) == (0, 240, 0, 0)
    assert set(reference.deliveries().values()) == {1}
    assert len(reference.deliveries()) == 240


# -- POST /communications


@EACH_KIND
def test_a_posted_communication_is_sent_and_leaves_the_list(reference, kind):
    """The provider works again, and the POST is answered with 202."""
    [id_] = reference.create_failed(kind)
    response = reference.post(id_, OPERATIONS[kind], key="a")
    assert (response.status_code, response.json()) == (202, {"status": "queued"})
    assert id_ not in list_failed(reference, kind)
    row = reference.wait_for_row(id_, sent=1)
    assert (row["state"], row["rounds"], row["failed_at"], len(row["deliveries"])) == ("sent", 0, None, 1)
    assert (row["error"], row["error_code"]) == (None, None)
    assert reference.deliveries()[id_] == 1


def test_a_posted_communication_may_fail_again(reference):
    """While the provider is still down, it goes through all rounds again, and is listed again."""
    [id_] = reference.create_failed("sms")
    first = reference.row(id_)["failed_at"]
    reference.set_down(True)
    assert reference.post(id_, "send.sms", key="a").status_code == 202
    row = reference.wait_for_row(id_, state="failed")
    assert row["rounds"] == 2
    assert row["failed_at"] > first


@pytest.mark.parametrize(("kind", "recipient"), [("emails", "nobody"), ("sms", "+49 30 x")])
def test_a_post_for_an_impossible_address_is_refused_with_422(reference, kind, recipient):
    """Such a communication fails even if the provider works."""
    [id_] = reference.create_failed(kind, recipient=recipient)
    assert reference.row(id_)["error_code"] == "invalid_address"
    assert status_and_code(reference.post(id_, OPERATIONS[kind])) == (422, "invalid_address")
    assert reference.row(id_)["state"] == "failed"


@pytest.mark.parametrize(("id_", "operation"), [("nosuch", "send.email"), ("100001", "send.fax")])
def test_a_post_for_an_unknown_id_or_operation_is_refused_with_404(reference, id_, operation):
    """The application has no such communication."""
    assert status_and_code(reference.post(id_, operation)) == (404, "unknown_communication")


def test_a_post_for_a_communication_that_was_sent_is_refused_with_409(reference):
    """It is not sent again."""
    [id_] = reference.app.create("emails")
    reference.wait_for_row(id_, sent=1)
    assert status_and_code(reference.post(id_, "send.email", key="a")) == (409, "already_sent")
    assert reference.row(id_)["state"] == "sent"


def test_a_post_with_another_key_for_a_queued_communication_is_refused_with_409(reference):
    """It is not queued again."""
    [id_] = reference.create_failed("emails")
    reference.app.switch(worker_paused=True)
    assert reference.post(id_, "send.email", key="a").status_code == 202
    ticket = reference.row(id_)["ticket"]
    assert status_and_code(reference.post(id_, "send.email", key="b")) == (409, "already_queued")
    assert reference.row(id_)["ticket"] == ticket


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
def test_a_malformed_payload_is_refused_with_400_and_counted(reference, body):
    """A payload has exactly four fields, and all of them are text."""
    before = reference.app.stats()["payloads"]
    assert status_and_code(reference.app.request("POST", "/communications", data=body)) == (400, "invalid_payload")
    assert reference.app.stats()["payloads"] == before + 1


@pytest.mark.parametrize("path", ["/emails/failed", "/sms/failed", "/stats", "/switches", "/communications/1"])
def test_a_call_without_the_right_token_is_refused_with_401(reference, path):
    """That goes for every endpoint but /health."""
    for token in ("", "Bearer", "Bearer wrong", f"Basic {reference.app.token}"):
        response = reference.app.request("GET", path, headers={"Authorization": token})
        assert status_and_code(response) == (401, "unauthorized")


def test_health_needs_no_token(reference):
    """Anybody may ask whether the application is up."""
    assert reference.app.request("GET", "/health", headers={"Authorization": ""}).status_code == 200


# -- idempotency keys


def test_a_repeated_key_gets_the_same_answer_and_queues_nothing(reference):
    """This holds even after the communication was sent."""
    [id_] = reference.create_failed("sms")
    first = reference.post(id_, "send.sms", key="a")
    reference.wait_for_row(id_, sent=1)
    again = reference.post(id_, "send.sms", key="a")
    assert (again.status_code, again.json()) == (first.status_code, first.json()) == (202, {"status": "queued"})
    row = reference.row(id_)
    assert (len(row["deliveries"]), [payload["idempotency_key"] for payload in row["payloads"]]) == (1, ["a", "a"])


def test_a_repeated_key_that_was_refused_gets_the_same_refusal(reference):
    """Here the communication had already been sent."""
    [id_] = reference.app.create("emails")
    reference.wait_for_row(id_, sent=1)
    first = status_and_code(reference.post(id_, "send.email", key="a"))
    assert status_and_code(reference.post(id_, "send.email", key="a")) == first


def test_the_same_key_for_two_communications_queues_both(reference):
    """A key belongs to one communication."""
    first, second = reference.create_failed("emails", 2)
    assert reference.post(first, "send.email", key="a").status_code == 202
    assert reference.post(second, "send.email", key="a").status_code == 202
    reference.wait_for_row(first, sent=1)
    reference.wait_for_row(second, sent=1)


def test_concurrent_posts_with_the_same_key_queue_once(reference):
    """All of them get the same answer."""
    ids = reference.create_failed("emails", 5)
    tickets = [reference.row(id_)["ticket"] for id_ in ids]
    barrier = threading.Barrier(8)

    def post(id_):
        barrier.wait()
        return reference.post(id_, "send.email", key="a")

    with ThreadPoolExecutor(8) as pool:
        for id_ in ids:
            answers = list(pool.map(post, [id_] * 8))
            assert {(answer.status_code, answer.text) for answer in answers} == {(202, '{"status":"queued"}')}
    for id_, ticket in zip(ids, tickets, strict=True):
        row = reference.wait_for_row(id_, sent=1)
        assert (row["ticket"], len(row["deliveries"]), reference.deliveries()[id_]) == (ticket + 1, 1, 1)


def test_concurrent_posts_with_different_keys_queue_once(reference):
    """One is accepted, and the others are refused with 409."""
    [id_] = reference.create_failed("emails")
    reference.app.switch(worker_paused=True)
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda key: reference.post(id_, "send.email", key=key).status_code, "abcdef"))
    assert sorted(answers) == [202, 409, 409, 409, 409, 409]


# -- the SMS provider


def test_the_sms_provider_keeps_exactly_the_messages_that_it_accepts():
    """It refuses malformed messages, and all messages while it is down."""
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

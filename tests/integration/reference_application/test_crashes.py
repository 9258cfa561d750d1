"""The reference application loses nothing when it is killed, and ends when it should."""

import collections
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import requests

import sandbox.application
from sandbox.application import ReferenceApplication
from sandbox.providers import SmsProvider
from tests.integration.reference_application.system import open_queues, queue_depth, wait_until


def test_an_application_that_is_killed_again_and_again_loses_nothing(start_reference):
    """Only what a worker was sending at that moment may be delivered twice."""
    reference = start_reference(requeue_after=0.2)
    ids = reference.app.create("emails", 60) + reference.app.create("sms", 60)
    interrupted = collections.Counter()
    for delivered in (20, 50, 80):
        wait_until(lambda wanted=delivered: sum(reference.deliveries().values()) >= wanted)
        reference.app.kill()
        interrupted.update(in_flight(reference.app.database))
        reference.app.start()
    stats = reference.app.wait_for_stats(sent=120)
    deliveries = reference.deliveries()
    assert set(deliveries) == set(ids)
    assert all(count <= 1 + interrupted[id_] for id_, count in deliveries.items())
    assert stats["interrupted"] == interrupted.total() <= 3 * 4


def in_flight(path):
    """The ids that workers had claimed when their process ended."""
    database = sqlite3.connect(path)
    rows = database.execute("SELECT id FROM communications WHERE claimed_until IS NOT NULL").fetchall()
    database.close()
    return [row[0] for row in rows]


class HangingProvider(SmsProvider):
    """Keeps the first message, but does not answer until `proceed` is set."""

    def __init__(self):
        super().__init__()
        self.accepted = threading.Event()
        self.proceed = threading.Event()

    def accept(self, message):
        sms = super().accept(message)
        if not self.accepted.is_set():
            self.accepted.set()
            self.proceed.wait(60)
        return sms


def test_a_communication_is_sent_again_if_the_application_dies_before_the_provider_answers(start_reference):
    """Delivery is at least once."""
    with HangingProvider() as sms:
        reference = start_reference(sms=sms)
        [id_] = reference.app.create("sms")
        assert sms.accepted.wait(60)
        reference.app.kill()
        sms.proceed.set()
        reference.app.start()
        stats = reference.app.wait_for_stats(sent=1)
    assert (reference.deliveries()[id_], stats["deliveries"], stats["interrupted"]) == (2, 1, 1)


def test_queued_communications_are_sent_by_the_next_process(start_reference, aws_environment):
    """Each is delivered once."""
    reference = start_reference(workers=0)
    ids = reference.app.create("emails", 15)
    client, main, _ = open_queues(aws_environment, reference)
    wait_until(lambda: queue_depth(client, main) == 15)
    reference.app.kill()
    reference = start_reference()
    reference.app.wait_for_stats(sent=15)
    client.close()
    assert reference.deliveries() == dict.fromkeys(ids, 1)
    assert reference.app.stats()["interrupted"] == 0


def test_a_communication_that_was_accepted_is_sent_even_if_the_process_is_killed(start_reference):
    """It was answered with 202 just before, and the next process sends it."""
    reference = start_reference(rounds=1, requeue_after=0.05)
    [id_] = reference.create_failed("sms")
    reference.app.switch(worker_paused=True)
    assert reference.post(id_, "send.sms", key="a").status_code == 202
    reference.app.kill()
    with pytest.raises(requests.ConnectionError):
        reference.app.stats()
    url = reference.app.url
    reference.app.start()
    assert reference.app.url == url
    reference.app.wait_for_stats(sent=1)
    assert reference.post(id_, "send.sms", key="a").status_code == 202
    assert reference.deliveries() == {id_: 1}


def test_communications_whose_queue_entry_is_lost_are_queued_again(start_reference, aws_environment):
    """The queue was purged."""
    reference = start_reference(workers=0)
    reference.app.create("emails", 3)
    client, main, _ = open_queues(aws_environment, reference)
    wait_until(lambda: queue_depth(client, main) == 3)
    reference.app.stop()
    client.purge_queue(QueueUrl=main)
    reference = start_reference(lost_after=0.2, requeue_after=0.1)
    reference.app.wait_for_stats(sent=3)
    assert set(reference.deliveries().values()) == {1}
    client.close()


def test_a_queue_that_is_slow_is_not_filled_for_ever_with_what_seems_to_be_lost(start_reference):
    """Here nearly all that waits seems to be lost: it takes longer than a hundredth of a second."""
    reference = start_reference(workers=1, lost_after=0.01, requeue_after=0)
    reference.app.create("emails", 90)
    reference.app.wait_for_stats(sent=90)
    assert set(reference.deliveries().values()) == {1}


def test_a_queue_entry_that_is_delivered_twice_is_sent_once(start_reference, aws_environment):
    """SQS may do that. An entry that is nonsense sends nothing."""
    reference = start_reference(workers=0)
    [id_] = reference.app.create("emails")
    client, main, _ = open_queues(aws_environment, reference)
    wait_until(lambda: queue_depth(client, main) == 1)
    [message] = client.receive_message(QueueUrl=main, VisibilityTimeout=0, MessageAttributeNames=["All"])["Messages"]
    copy = {"MessageBody": message["Body"], "MessageAttributes": message["MessageAttributes"]}
    for entry in [copy, copy, {"MessageBody": "nonsense"}, copy]:
        client.send_message(QueueUrl=main, **entry)
    reference.app.stop()
    reference = start_reference()
    reference.app.wait_for_stats(sent=1)
    wait_until(lambda: queue_depth(client, main) == 0)
    assert reference.deliveries() == {id_: 1}
    client.close()


def test_the_application_stops_within_seconds_after_sigterm(start_reference):
    """Nothing stays claimed."""
    reference = start_reference()
    reference.app.create("emails", 20)
    process = reference.app._process
    reference.app.stop()
    assert process.returncode == 0, "it had to be killed"
    assert in_flight(reference.app.database) == []
    assert "Traceback" not in reference.app.log.read_text()


def test_the_application_ends_when_the_process_that_started_it_is_killed(aws_environment, tmp_path):
    """Tests and demonstrations that are killed must not leave it running."""
    script = """
import pathlib, sys, time
from sandbox.application import ReferenceApplication
app = ReferenceApplication(pathlib.Path(sys.argv[1]), {}, ("127.0.0.1", 1), "http://127.0.0.1:1", queue_prefix="orphan")
print(app.start().pid, flush=True)
time.sleep(60)
"""
    command = [sys.executable, "-c", script, str(tmp_path)]
    root = Path(sandbox.application.__file__).parents[2]
    with subprocess.Popen(command, cwd=root, env={**os.environ, **aws_environment}, stdout=subprocess.PIPE) as parent:
        pid = int(parent.stdout.readline())
        os.kill(pid, 0)
        parent.send_signal(signal.SIGKILL)
    wait_until(lambda: not is_running(pid))


def is_running(pid):
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_error_of_an_application_that_cannot_start_contains_the_end_of_its_log(aws_environment, tmp_path):
    """Here the endpoint of AWS is not a URL."""
    environment = {**aws_environment, "AWS_ENDPOINT_URL": "nonsense"}
    app = ReferenceApplication(tmp_path, environment, ("127.0.0.1", 1), "http://127.0.0.1:1")
    with pytest.raises(RuntimeError, match=r"did not start(?s:.)*nonsense"):
        app.start()

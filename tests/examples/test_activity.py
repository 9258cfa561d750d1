"""Letters: workers outside of Lambda die, hang, stop and come back, and the post gets each letter once."""

import json
import random
import re
import signal
import time
import uuid
import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle
from pathlib import Path
from socket import SHUT_RDWR
from threading import Event, Thread
from urllib.parse import urlsplit

import pytest

from chalicelib.names import AwsLocation, Names
from deployment import policies
from deployment.stage import Stage
from examples.activity import description
from examples.activity.app import MAX_BYTES, MAX_CHARACTERS, MAX_PAGES
from examples.activity.letters import Letter, LetterRejected, Rendering, parse
from examples.activity.office import Office, letters
from examples.activity.systems import PostOffice
from examples.activity.worker import BRIEF, _options, name_of
from sandbox.aws import ACCOUNT, REGION
from sandbox.deployed import Deployed
from tests import iam
from tests.e2e.driver import wait_until

EXAMPLE = Path(__file__).parents[2] / "examples" / "activity"

# In seconds, in place of the one that ships: nobody wants to wait for it here.
HEARTBEAT = 4

# For tests in which nobody is to lose a letter, also if a process does not run for a while.
PATIENT = {"HeartbeatSeconds": 120}

# Of a letter that no worker finishes before something happens to it.
ENDLESS = 500

FAULTS = 25


@pytest.fixture(scope="module")
def deployed(tmp_path_factory):
    """The example, with a state machine that loses patience sooner."""
    with Deployed(tmp_path_factory.mktemp("letters"), EXAMPLE) as running:
        running.configure({})
        _change_definition(running.folder / "project" / "statemachine.json")
        running.deploy()
        yield running


@pytest.fixture(scope="module")
def office(deployed):
    return Office(deployed)


@pytest.fixture(scope="module")
def post(office):
    """The post, which collects all the time."""
    with office.post() as running:
        yield running


@pytest.fixture
def start_worker(office):
    """Starts a worker, which ends with the test."""
    with ExitStack() as stack:
        yield lambda name, **options: stack.enter_context(office.worker(_unique(name), **options))


@pytest.fixture
def batch():
    return _unique("batch")


def _change_definition(file):
    definition = json.loads(file.read_text())
    task = _task(definition)
    task["HeartbeatSeconds"] = HEARTBEAT
    task["Retry"][1]["MaxDelaySeconds"] = 2
    definition["States"]["TellPerson"]["Retry"][0] |= {"IntervalSeconds": 1, "MaxAttempts": 1}
    file.write_text(json.dumps(definition))


def _task(definition):
    return definition["States"]["RenderLetters"]["ItemProcessor"]["States"]["RenderLetter"]


@contextmanager
def limits(deployed, office, **changes):
    """Batches that are started meanwhile give a worker other limits; None: no limit."""
    client, machine = deployed.client("stepfunctions"), office.names.state_machine_arn
    before = client.describe_state_machine(stateMachineArn=machine)["definition"]
    changed = json.loads(before)
    task = _task(changed)
    task |= changes
    for name in [name for name, value in changes.items() if value is None]:
        del task[name]
    client.update_state_machine(stateMachineArn=machine, definition=json.dumps(changed))
    try:
        yield
    finally:
        client.update_state_machine(stateMachineArn=machine, definition=before)


def _unique(name):
    return f"{name}-{uuid.uuid4().hex[:8]}"


def has_ended(office, execution):
    return office.status(execution) != "RUNNING"


def wait_for_end(office, execution, seconds=90):
    """Wait until an execution has ended; return its status."""
    wait_until(lambda: has_ended(office, execution), f"{execution} does not end", seconds)
    return office.status(execution)


def events(office, execution):
    """How often each event of an activity is in the history, a failure by its name."""
    found = Counter()
    for event in office.history(execution):
        kind = event["type"]
        if kind.startswith("Activity"):
            found[event.get("activityFailedEventDetails", {}).get("error", kind)] += 1
    return found


def wait_for_post(post, batch, count):
    wait_until(lambda: len(post.letters(batch)) >= count, "the post lacks letters")


def assert_delivered(deployed, office, post, batch, sent):
    """The post has each letter, complete; and in the bucket is what the post has taken: nothing came after it."""
    wait_for_post(post, batch, len(sent))
    taken = post.letters(batch)
    assert len(taken) == len(sent)
    assert {key.rpartition("/")[2]: document for key, (_, document) in taken.items()} == {
        f"{letter['id']}.pdf": rendered(letter) for letter in sent
    }
    client = deployed.client("s3")
    workers = {key: client.head_object(Bucket=office.bucket, Key=key)["Metadata"]["worker"] for key in taken}
    assert workers == {key: worker for key, (worker, _) in taken.items()}
    return Counter(workers.values())


def assert_alarm(deployed, office, name, metric):
    """There is an alarm on a metric of the state machine."""
    [alarm] = deployed.client("cloudwatch").describe_alarms(AlarmNames=[f"letters-dev-{name}"])["MetricAlarms"]
    assert (alarm["MetricName"], alarm["Dimensions"][0]["Value"]) == (metric, office.names.state_machine_arn)


def rendered(letter):
    rendering = Rendering(Letter(letter["id"], "", tuple(letter["pages"])))
    list(rendering.pages())
    return rendering.document()


def mail_about(deployed, batch):
    """The mail that a person gets about a batch."""
    return deployed.mailbox.wait_for(lambda mail: batch in str(mail["Subject"])).get_content()


def polls(deployed):
    """How often workers have asked for a task."""
    asked = deployed.aws.iam_requests().items()
    return sum(number for each, number in asked if (each.caller, each.action) == ("worker", "states:GetActivityTask"))


def test_three_workers_share_thirty_letters(deployed, office, post, start_worker, batch):
    """Each gets some, and each letter is rendered by one of them."""
    before = polls(deployed)
    for name in ("a", "b", "c"):
        start_worker(name, rest=0.1)
    wait_until(lambda: polls(deployed) == before + 3, "a worker asks for nothing")
    with limits(deployed, office, **PATIENT):
        execution = office.start(batch, 30)
    assert wait_for_end(office, execution) == "SUCCEEDED"
    shares = assert_delivered(deployed, office, post, batch, letters(30))
    assert len(shares) == 3
    assert events(office, execution)["ActivityStarted"] == 30


def test_a_worker_is_killed_while_it_renders(deployed, office, post, start_worker, batch):
    """Its heartbeats end, so the letter comes back, and another worker begins it anew."""
    killed = start_worker("killed")
    execution = office.start(batch, 1, ENDLESS)
    wait_until(lambda: killed.said("began"), "the worker has no letter")
    killed.kill()
    start_worker("other", rest=0)
    assert wait_for_end(office, execution) == "SUCCEEDED"
    assert_delivered(deployed, office, post, batch, letters(1, ENDLESS))
    assert events(office, execution)["ActivityTimedOut"]


def test_a_worker_hangs_and_continues_when_another_has_done_its_letter(deployed, office, post, start_worker, batch):
    """It learns so from its next heartbeat, throws its work away, and goes on with other letters."""
    zombie = start_worker("zombie")
    execution = office.start(batch, 1, ENDLESS)
    wait_until(lambda: zombie.said("began"), "the worker has no letter")
    zombie.suspend()
    other = start_worker("other", rest=0)
    assert wait_for_end(office, execution) == "SUCCEEDED"
    other.kill()
    zombie.resume()
    wait_until(lambda: zombie.said("gave up a letter: TaskTimedOut"), "the zombie goes on")
    assert not zombie.said("published")
    assert_delivered(deployed, office, post, batch, letters(1, ENDLESS))
    assert wait_for_end(office, office.start(_unique("next"), 1)) == "SUCCEEDED"


def test_a_letter_that_a_zombie_publishes_late_changes_nothing(deployed, office, post, start_worker, batch):
    """The zombie has asked, and was told to go on; then its PutObject takes forever. S3 refuses it by its key."""
    with Proxy(deployed.aws.endpoint) as proxy:
        zombie = start_worker("zombie", rest=0, AWS_ENDPOINT_URL_S3=proxy.hold("PUT"))
        execution = office.start(batch, 1)
        wait_until(lambda: proxy.held, "the zombie publishes nothing")
        zombie.suspend()
        start_worker("other", rest=0)
        assert wait_for_end(office, execution) == "SUCCEEDED"
        wait_for_post(post, batch, 1)
        proxy.release.set()
        wait_until(lambda: proxy.answers, "the late letter is still under way")
        assert set(proxy.answers) == {412}
    assert_delivered(deployed, office, post, batch, letters(1))


def test_a_worker_dies_between_publishing_and_its_report(deployed, office, post, start_worker, batch):
    """The next worker finds the letter published, and reports it as rendered."""
    with Proxy(deployed.aws.endpoint) as proxy:
        first = start_worker("first", rest=0, AWS_ENDPOINT_URL_SFN=proxy.hold("SendTaskSuccess"))
        execution = office.start(batch, 1)
        wait_until(lambda: proxy.held, "the worker reports nothing")
        first.kill()
        second = start_worker("second", rest=0)
        assert wait_for_end(office, execution) == "SUCCEEDED"
    assert second.said("was there already")
    assert_delivered(deployed, office, post, batch, letters(1))


def test_workers_that_are_told_to_stop_use_up_no_retries(deployed, office, post, start_worker, batch):
    """Each gives its letter back at once. They are more than all other errors may be."""
    with limits(deployed, office, **PATIENT):
        execution = office.start(batch, 1, ENDLESS)
    for _ in range(5):
        worker = start_worker("stopping")
        wait_until(lambda worker=worker: worker.said("began") or has_ended(office, execution), "no letter comes back")
        assert worker.terminate() == 0
    start_worker("other", rest=0)
    assert wait_for_end(office, execution) == "SUCCEEDED"
    assert_delivered(deployed, office, post, batch, letters(1, ENDLESS))
    assert events(office, execution)["WorkerStopping"] == 5
    assert not events(office, execution)["ActivityTimedOut"]


def test_a_worker_that_waits_for_a_task_stops_at_once(office, start_worker, batch):
    """It does not wait until its poll has ended, which takes a minute, longer than most systems wait."""
    worker = start_worker("idle", rest=0)
    assert wait_for_end(office, office.start(batch, 1)) == "SUCCEEDED"
    wait_until(lambda: worker.said("published"), "the worker is not ready")
    assert worker.terminate() == 0


def test_a_letter_that_takes_too_long_is_given_up(deployed, office, post, start_worker, batch):
    """Heartbeats do not help against TimeoutSeconds. A person is told, and the worker goes on with other letters."""
    worker = start_worker("slow", rest=1)
    with limits(deployed, office, TimeoutSeconds=4, HeartbeatSeconds=None):
        execution = office.start(batch, 1, ENDLESS)
    assert wait_for_end(office, execution) == "FAILED"
    assert "States.Timeout" in mail_about(deployed, batch)
    wait_until(lambda: worker.said("gave up a letter: TaskTimedOut"), "the worker goes on with it")
    assert events(office, execution)["ActivityTimedOut"] == 2
    assert wait_for_end(office, office.start(_unique("next"), 1)) == "SUCCEEDED"
    assert post.letters(batch) == {}


def test_workers_that_die_of_a_letter_do_not_do_so_forever(deployed, office, start_worker, batch):
    """The retries end, a person is told, and the batch is FAILED."""
    execution = office.start(batch, 1, ENDLESS)
    while not has_ended(office, execution):
        worker = start_worker("dying")
        wait_until(lambda worker=worker: worker.said("began") or has_ended(office, execution), "no letter comes back")
        worker.kill()
    assert office.status(execution) == "FAILED"
    assert "States.Timeout" in mail_about(deployed, batch)
    assert events(office, execution)["ActivityTimedOut"] == 6


def test_nobody_works(deployed, office, start_worker, batch):
    """Only the batch's own limit counts, not the task's. An alarm tells people; no later worker gets the letter."""
    client, machine = deployed.client("stepfunctions"), office.names.state_machine_arn
    before = client.describe_state_machine(stateMachineArn=machine)["definition"]
    hasty = json.loads(before) | {"TimeoutSeconds": HEARTBEAT + 2}
    client.update_state_machine(stateMachineArn=machine, definition=json.dumps(hasty))
    try:
        execution = office.start(batch, 1)
    finally:
        client.update_state_machine(stateMachineArn=machine, definition=before)
    assert wait_for_end(office, execution) == "TIMED_OUT"
    assert not events(office, execution)["ActivityTimedOut"]
    assert_alarm(deployed, office, "batch-timed-out", "ExecutionsTimedOut")
    late = start_worker("late", rest=0)
    assert wait_for_end(office, office.start(_unique("next"), 1)) == "SUCCEEDED"
    assert not late.said(batch)


def test_somebody_stops_a_batch(deployed, office, post, start_worker, batch):
    """The worker learns it from its next heartbeat, and goes on with other letters. An alarm tells people."""
    worker = start_worker("worker")
    execution = office.start(batch, 1, ENDLESS)
    wait_until(lambda: worker.said("began"), "the worker has no letter")
    deployed.client("stepfunctions").stop_execution(executionArn=execution)
    wait_until(lambda: worker.said("gave up a letter: TaskTimedOut"), "the worker goes on with it")
    assert office.status(execution) == "ABORTED"
    assert_alarm(deployed, office, "batch-stopped", "ExecutionsAborted")
    assert wait_for_end(office, office.start(_unique("next"), 1)) == "SUCCEEDED"
    assert post.letters(batch) == {}


def test_a_letter_that_cannot_be_rendered_stays_alone(deployed, office, post, start_worker, batch):
    """It is not tried again, a person reads why, and the others are rendered."""
    start_worker("worker", rest=0)
    sent = letters(3)
    execution = office.invoke({"batch": batch, "letters": [*sent, {"id": "greek", "pages": ["ok", "Ω"]}]})["execution"]
    assert wait_for_end(office, execution) == "FAILED"
    mail = mail_about(deployed, batch)
    assert "greek" in mail
    assert "(U+03A9)" in mail
    assert "letter-000" not in mail
    assert events(office, execution)["LetterRejected"] == 1
    assert_delivered(deployed, office, post, batch, sent)


def test_aws_refuses_a_few_heartbeats(deployed, office, post, start_worker, batch):
    """They say nothing about the task: the work goes on, and later heartbeats arrive."""
    with Proxy(deployed.aws.endpoint) as proxy, limits(deployed, office, **PATIENT):
        worker = start_worker("worker", rest=0.5, AWS_ENDPOINT_URL_SFN=proxy.refuse("SendTaskHeartbeat", 3))
        execution = office.start(batch, 1, pages=10)
        assert wait_for_end(office, execution) == "SUCCEEDED"
    assert worker.said("heartbeat refused")
    assert 200 in proxy.answers
    assert events(office, execution)["ActivityStarted"] == 1
    assert_delivered(deployed, office, post, batch, letters(1, 10))


def test_aws_refuses_all_heartbeats_of_a_worker(deployed, office, post, start_worker, batch):
    """The letter comes back, and a worker whose heartbeats arrive renders it."""
    with Proxy(deployed.aws.endpoint) as proxy:
        cut_off = start_worker("cut-off", rest=0.5, AWS_ENDPOINT_URL_SFN=proxy.refuse("SendTaskHeartbeat", 10_000))
        execution = office.start(batch, 1, pages=10)
        wait_until(lambda: cut_off.said("heartbeat refused"), "no heartbeat was refused")
        start_worker("other", rest=0)
        assert wait_for_end(office, execution) == "SUCCEEDED"
        wait_until(lambda: cut_off.said("gave up a letter: TaskTimedOut"), "the worker was not told")
    assert_delivered(deployed, office, post, batch, letters(1, 10))


@pytest.mark.parametrize(
    ("lost", "comes_back", "said"),
    [
        ("GetActivityTask", True, "poll refused"),
        ("PUT", False, "was there already"),
        ("SendTaskSuccess", False, "gave up a letter: TaskTimedOut"),
    ],
)
def test_an_answer_of_aws_is_lost(deployed, office, post, start_worker, batch, lost, comes_back, said):
    """AWS has done what it was asked for, and the worker does not know. The letter comes once all the same."""
    patience = {} if comes_back else PATIENT
    with Proxy(deployed.aws.endpoint) as proxy, limits(deployed, office, **patience):
        name = "AWS_ENDPOINT_URL_S3" if lost == "PUT" else "AWS_ENDPOINT_URL_SFN"
        worker = start_worker("worker", rest=0, **{name: proxy.lose(lost)})
        execution = office.start(batch, 1)
        assert wait_for_end(office, execution) == "SUCCEEDED"
        wait_until(lambda: worker.said(said), f"the worker does not say {said!r}")
    assert (events(office, execution)["ActivityStarted"] > 1) == comes_back
    assert_delivered(deployed, office, post, batch, letters(1))


def test_s3_refuses_a_letter(deployed, office, post, start_worker, batch):
    """Also when boto3 asks again. The letter comes back at once, and is published later."""
    with Proxy(deployed.aws.endpoint) as proxy, limits(deployed, office, **PATIENT):
        start_worker("worker", rest=0, AWS_ENDPOINT_URL_S3=proxy.refuse("PUT", 2))
        execution = office.start(batch, 1)
        assert wait_for_end(office, execution) == "SUCCEEDED"
    assert events(office, execution)["WorkerFailed"] == 1
    assert_delivered(deployed, office, post, batch, letters(1))


def test_sns_refuses_the_mail(deployed, office, start_worker, batch):
    """The batch is FAILED all the same, with the same error, and an alarm tells people."""
    client, topic = deployed.client("sns"), office.names.topic_arn("failed")
    [address] = [each["Endpoint"] for each in client.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]]
    start_worker("worker", rest=0)
    client.delete_topic(TopicArn=topic)
    try:
        execution = office.invoke({"batch": batch, "letters": [{"id": "greek", "pages": ["Ω"]}]})["execution"]
        assert wait_for_end(office, execution) == "FAILED"
    finally:
        client.create_topic(Name=topic.rpartition(":")[2], Attributes={"KmsMasterKeyId": "alias/aws/sns"})
        client.subscribe(TopicArn=topic, Protocol="email", Endpoint=address)
    ended = deployed.client("stepfunctions").describe_execution(executionArn=execution)
    assert ended["error"] == "LettersFailed"
    assert_alarm(deployed, office, "batch-failed", "ExecutionsFailed")


def test_a_worker_that_gets_no_tasks_ends(deployed, start_worker):
    """Whoever supervises it notices, and starts it again. It says what AWS said."""
    with Proxy(deployed.aws.endpoint) as proxy:
        worker = start_worker("refused", AWS_ENDPOINT_URL_SFN=proxy.refuse("GetActivityTask", 10_000))
        wait_until(worker.has_ended, "the worker goes on")
    assert worker.said("no tasks to be had")


def test_the_same_batch_asked_for_twice_is_one_batch(deployed, office, post, start_worker, batch):
    """At once, while it is under way, and afterwards. Another one under its name is refused."""
    with limits(deployed, office, **PATIENT), ThreadPoolExecutor(5) as pool:
        [execution] = set(pool.map(lambda _: office.start(batch, 3), range(5)))
    assert office.start(batch, 3) == execution
    start_worker("worker", rest=0)
    assert wait_for_end(office, execution) == "SUCCEEDED"
    assert office.start(batch, 3) == execution
    with pytest.raises(RuntimeError, match=f"BatchRefused: batch {batch}: there is another one with this id"):
        office.start(batch, 4)
    assert_delivered(deployed, office, post, batch, letters(3))
    assert events(office, execution)["ActivityStarted"] == 3


def test_an_id_that_is_free_again_is_another_batch(deployed, office, post, start_worker, batch):
    """AWS frees it after 90 days; the post forgets nothing. Here another state machine has the id a second time."""
    start_worker("worker", rest=0)
    assert wait_for_end(office, office.start(batch, 1)) == "SUCCEEDED"
    wait_for_post(post, batch, 1)
    client = deployed.client("stepfunctions")
    machine = client.describe_state_machine(stateMachineArn=office.names.state_machine_arn)
    later = client.create_state_machine(
        name=_unique("later"), definition=machine["definition"], roleArn=machine["roleArn"]
    )
    request = {"stateMachineArn": later["stateMachineArn"], "name": batch}
    execution = client.start_execution(**request, input=json.dumps({"letters": letters(1, pages=7)}))["executionArn"]
    assert wait_for_end(office, execution) == "SUCCEEDED"
    wait_for_post(post, batch, 2)
    documents = [document for _, document in post.letters(batch).values()]
    assert sorted(documents) == sorted(rendered(letters(1, pages)[0]) for pages in (4, 7))


def largest(count, text):
    """The letters of a batch of exactly as many bytes as one may have. Their first pages have this text."""
    sent = [{"id": f"letter-{number}", "pages": [text]} for number in range(count)]

    def room():
        return MAX_BYTES - len(json.dumps({"letters": sent}, ensure_ascii=False).encode())

    turn = cycle(sent)
    while room():
        next(turn)["pages"].append("x" * min(MAX_CHARACTERS, room() - len(', ""')))
    return sent


def test_the_largest_batch_gets_through(deployed, office, post, start_worker, batch):
    """The state machine adds keys and failures. Too much would be an error that no Catch catches."""
    start_worker("worker", rest=0)
    sent = largest(10, "a")
    assert wait_for_end(office, office.invoke({"batch": batch, "letters": sent})["execution"]) == "SUCCEEDED"
    assert_delivered(deployed, office, post, batch, sent)
    refused = _unique("refused")
    execution = office.invoke({"batch": refused, "letters": largest(1, "Ω")})["execution"]
    assert wait_for_end(office, execution) == "FAILED"
    assert "(U+03A9)" in mail_about(deployed, refused)


def test_two_posts_share_a_database_and_are_killed_all_the_time(deployed, office, start_worker, batch, tmp_path):
    """Each letter is in it once and complete, whoever took it."""
    start_worker("worker", rest=0.05)
    with ExitStack() as stack:

        def start_post():
            return stack.enter_context(PostOffice(office.bucket, office._environment("post"), tmp_path, every=0.05))

        posts = [start_post(), start_post()]
        office.start(batch, 30)
        for count in range(5, 30, 5):
            wait_for_post(posts[0], batch, count)
            posts.append(start_post())
            assert posts.pop(0).kill() == -signal.SIGKILL
        assert_delivered(deployed, office, posts[0], batch, letters(30))
        assert not posts[0].said("Traceback")


def test_a_letter_that_a_person_puts_into_the_bucket_is_collected_too(deployed, office, post, batch):
    """It says nothing of a worker, and must not keep the post from collecting."""
    for name in ("first", "second"):
        deployed.client("s3").put_object(Bucket=office.bucket, Key=f"letters/{batch}/{name}.pdf", Body=b"by hand")
    wait_for_post(post, batch, 2)
    assert set(post.letters(batch).values()) == {("", b"by hand")}


def test_a_letter_says_what_it_was_told_to_say():
    """A PDF library has words of its own for the number of pages, and signs for bold."""
    text = "page {nb} of {nb}, **bold**, __underlined__, (a) \\ b, \x00"
    content = b"".join(
        zlib.decompress(each) for each in re.findall(rb"stream\n(.*?)\nendstream", _pdf(text), re.DOTALL)
    )
    [shown] = re.findall(rb"\((.*)\) Tj", content)
    assert re.sub(rb"\\(.)", rb"\1", shown).decode("latin-1") == text


def _pdf(text):
    return rendered({"id": "any", "pages": [text]})


@pytest.mark.parametrize("pages", ["a text", {"a": 1}, 5, None, [None], [1, 2], ["ok", ["no"]], ["\ud800"]])
def test_pages_that_are_no_texts_are_rejected(pages):
    """Such an execution was started by hand: nobody wants to print `None`, or a page for each character."""
    with pytest.raises(LetterRejected):
        parse(json.dumps({"letter": {"id": "any", "pages": pages}, "key": "any"}))


@pytest.mark.parametrize("name", ["büro", "a b", "", "x" * 81])
def test_a_name_that_aws_does_not_take_is_refused(capsys, name):
    """S3 takes only ASCII, and a letter that a worker cannot publish costs a retry."""
    with pytest.raises(SystemExit, match="2"):
        _options(["--activity", "any", "--bucket", "any", "--name", name])
    assert "--name: must be up to 80 letters, digits" in capsys.readouterr().err


@pytest.mark.parametrize("host", ["post-7.example.com", "Büro der Post", "x" * 300])
def test_every_host_gives_its_workers_a_name_that_aws_takes(host):
    """Whatever it is called."""
    name = name_of(host)
    assert _options(["--activity", "any", "--bucket", "any", "--name", name]).name == name


@pytest.mark.parametrize(
    ("event", "sentence"),
    [
        ([], "must be an object with batch and letters"),
        (None, "must be an object with batch and letters"),
        ({}, "batch: must be an id"),
        ({"batch": "a/b", "letters": letters(1)}, "batch: must be an id"),
        ({"batch": "b"}, "letters: must be a list of 1 to 100"),
        ({"batch": "b", "letters": letters(101)}, "letters: must be a list of 1 to 100"),
        ({"batch": "b", "letters": ["a"]}, r"letters\[0\].id: must be an id"),
        ({"batch": "b", "letters": [{"id": "a", "pages": []}]}, r"letters\[0\].pages: must be 1 to 500 texts"),
        ({"batch": "b", "letters": [{"id": "a", "pages": "text"}]}, r"letters\[0\].pages: must be 1 to 500 texts"),
        ({"batch": "b", "letters": [{"id": "a", "pages": [""] * (MAX_PAGES + 1)}]}, r"\.pages: must be 1 to 500 texts"),
        ({"batch": "b", "letters": [{"id": "a", "pages": ["x" * (MAX_CHARACTERS + 1)]}]}, "of up to 5000 characters"),
        ({"batch": "b", "letters": [{"id": "a", "pages": ["\ud800"]}]}, r"batch b: '\\ud800' is no character"),
        ({"batch": "b", "letters": letters(1) * 2}, "two have the same id"),
        (
            {"batch": "b", "letters": [{"id": "a", "pages": ["x" * MAX_CHARACTERS] * 50}]},
            "more than 250000 bytes: split",
        ),
    ],
)
def test_an_invalid_batch_is_refused(office, event, sentence):
    """The sentence says what to change."""
    with pytest.raises(RuntimeError, match=sentence):
        office.invoke(event)


def test_workers_are_killed_stopped_and_suspended_all_the_time(deployed, office, post, batch):
    """A hundred letters or more, three workers, and faults that hit them while they work: all sums add up.

    `pytest -s` shows them.
    """
    chance = random.Random(20)  # the faults are the same each time; what they hit is not
    with ExitStack() as stack:
        executions = {batch: office.start(batch, 100, pages=5)}
        workers = [Unlucky(office, stack, chance) for _ in range(3)]

        def has_begun(unlucky):
            if all(has_ended(office, each) for each in executions.values()):  # the others have done it all
                more = _unique("more")
                executions[more] = office.start(more, 100, pages=5)
            return unlucky.has_begun()

        for _ in range(FAULTS):
            unlucky = chance.choice(workers)
            wait_until(lambda unlucky=unlucky: has_begun(unlucky), "a worker gets no letter")
            time.sleep(chance.uniform(0, 1))  # the fault may hit anything
            unlucky.suffer()
        for worker in workers:
            worker.recover()
        assert {wait_for_end(office, each, 200) for each in executions.values()} == {"SUCCEEDED"}
    shares, found = Counter(), Counter()
    for each, execution in executions.items():
        shares += assert_delivered(deployed, office, post, each, letters(100, 5))
        found += events(office, execution)
    suffered = sum((worker.suffered for worker in workers), Counter())
    print(_table(suffered, found, shares))  # noqa: T201 (with pytest -s, for people)
    ended = found["ActivitySucceeded"] + found["ActivityTimedOut"] + found["WorkerStopping"] + found["WorkerFailed"]
    assert found["ActivitySucceeded"] == 100 * len(executions)
    assert found["ActivityStarted"] == ended
    assert found["ActivityTimedOut"]
    assert found["WorkerStopping"]
    assert min(suffered[fault] for fault in ("killed", "stopped", "suspended")) > 0


def _table(suffered, found, shares):
    """What the kill test has done and counted, for people."""
    rows = [
        ("workers killed with SIGKILL", suffered["killed"]),
        ("workers told to stop with SIGTERM", suffered["stopped"]),
        ("workers suspended with SIGSTOP", suffered["suspended"]),
        ("letters handed to a worker", found["ActivityStarted"]),
        ("  rendered and reported", found["ActivitySucceeded"]),
        ("  given back by a worker that stops", found["WorkerStopping"]),
        ("  back because heartbeats were missing", found["ActivityTimedOut"]),
        ("  failed otherwise", found["WorkerFailed"]),
        ("letters that the post has", sum(shares.values())),
        ("  workers that have published them", len(shares)),
    ]
    return "\n" + "\n".join(f"{what:<42}{count:>5}" for what, count in rows)


class Unlucky:
    """A worker that is started again whenever it ends."""

    def __init__(self, office, stack, chance):
        self._office, self._stack, self._chance = office, stack, chance
        self._suspended = False
        self.suffered = Counter()
        self._start()

    def _start(self):
        self._process = self._stack.enter_context(self._office.worker(_unique("unlucky"), rest=0.1))

    def has_begun(self):
        return self._process.said("began")

    def suffer(self):
        if self._suspended:
            self.recover()
        else:
            self._chance.choice([self._kill, self._terminate, self._suspend])()

    def recover(self):
        if self._suspended:
            self._process.resume()
        self._suspended = False

    def _kill(self):
        assert self._process.kill() == -signal.SIGKILL
        self.suffered["killed"] += 1
        self._start()

    def _terminate(self):
        assert self._process.terminate() == 0
        self.suffered["stopped"] += 1
        self._start()

    def _suspend(self):
        self._process.suspend()
        self.suffered["suspended"] += 1
        self._suspended = True


def test_each_permission_is_needed_and_none_is_missing(deployed, office):
    """Of the function, the state machine, the workers and the post, by all that the tests before this one did."""
    stage = Stage(deployed.folder / "project", "dev", AwsLocation("aws", REGION, ACCOUNT))
    requests = deployed.aws.iam_requests()
    assert iam.compare_stage(stage, {name: [each] for name, each in policies.documents(stage).items()}, requests) == []
    for caller, policy in (("worker", description.worker_policy), ("post", description.post_policy)):
        made = {request for request in requests if request.caller == caller}
        assert iam.compare(caller, [policy(office.names)], made, {}) == []


@pytest.mark.parametrize("policy", [description.worker_policy, description.post_policy])
def test_the_readme_has_the_policies_of_those_outside(policy):
    """Whoever sets up a worker copies them."""
    blocks = re.findall(r"```json\n(.*?)```", (EXAMPLE / "README.md").read_text(), re.DOTALL)
    names = Names("letters-dev", AwsLocation("aws", "eu-west-1", "123456789012"))
    assert policy(names) in [json.loads(block) for block in blocks]


def test_the_readme_names_the_test_of_each_failure():
    """Every test that it names exists."""
    named = re.findall(r"`(test_\w+)`", (EXAMPLE / "README.md").read_text())
    assert named
    assert set(named) <= set(globals())


def test_one_heartbeat_may_be_refused():
    """So there are at least three of them in the time that the state machine waits for one.

    Also if AWS is as slow as the client lets it be: then boto3 tries again, after up to a second.
    """
    definition = json.loads((EXAMPLE / "statemachine.json").read_text())
    task = definition["States"]["RenderLetters"]["ItemProcessor"]["States"]["RenderLetter"]
    options = _options(["--activity", "any", "--bucket", "any"])
    assert 3 * options.beat_every <= task["HeartbeatSeconds"]
    slowest = BRIEF.retries["total_max_attempts"] * (BRIEF.connect_timeout + BRIEF.read_timeout) + 1
    assert options.beat_every + slowest < task["HeartbeatSeconds"]


class Proxy:
    """Stands between a worker and AWS: refuses or holds an operation, or an HTTP method, or loses an answer to it."""

    def __init__(self, endpoint):
        self._target = urlsplit(endpoint).netloc
        self._marked, self._refusals, self._losses = "", 0, 0
        self._connections = []
        self._holds = False
        self.held = 0
        self.release = Event()
        self.answers = []  # the statuses of what was held

    def refuse(self, operation, times):
        self._marked, self._refusals = operation, times
        return self._url

    def lose(self, operation):
        self._marked, self._losses = operation, 1
        return self._url

    def hold(self, marked):
        self._marked, self._holds = marked, True
        return self._url

    def __enter__(self):
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self):
                proxy.handle(self)

            do_GET = do_PUT = do_POST = do_HEAD = handle_any  # noqa: N815 (as http.server wants it)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._url = f"http://127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.release.set()
        for connection in self._connections:  # a poll that nobody waits for would take somebody else's task
            with suppress(OSError):  # it has ended
                connection.shutdown(SHUT_RDWR)
        self._server.shutdown()
        self._server.server_close()

    def handle(self, request):
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        is_marked = self._marked in (request.command, request.headers.get("X-Amz-Target", "").rpartition(".")[2])
        try:
            self._answer(request, *self._ask(request, body, is_marked))
        except OSError:  # the worker is gone, or the test is over
            request.close_connection = True

    def _ask(self, request, body, is_marked):
        if is_marked and self._refusals:
            self._refusals -= 1
            return self._refusal()
        if is_marked and self._holds:
            self.held += 1
            self.release.wait()
        status, answer = self._forward(request, body)
        if is_marked and self._losses:
            self._losses -= 1
            raise ConnectionAbortedError
        if is_marked:
            self.answers.append(status)
        return status, answer

    def _refusal(self):
        if self._marked == "PUT":
            return 503, b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
        return 400, b'{"__type": "ThrottlingException", "message": "Rate exceeded"}'

    def _forward(self, request, body):
        with closing(HTTPConnection(self._target, timeout=80)) as connection:
            connection.connect()
            self._connections.append(connection.sock)
            connection.request(request.command, request.path, body, dict(request.headers.items()))
            answer = connection.getresponse()
            return answer.status, answer.read()

    def _answer(self, request, status, body):
        request.send_response(status)
        request.send_header("Content-Type", "application/x-amz-json-1.0")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

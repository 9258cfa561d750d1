"""The embedded AWS hands the tasks of Step Functions' activities to real workers, as AWS does."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from itertools import chain
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config

from sandbox.aws import EmbeddedAws, Timings

ROLE = "arn:aws:iam::123456789012:role/any"
MAX_BYTES = 262_144
LONG_POLL = 60


class Clock:
    """Counts the time that a task may take. It stands still unless a test moves it."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture(scope="module")
def clock():
    return Clock()


@pytest.fixture(scope="module")
def timings(clock):
    return Timings(activity_poll=LONG_POLL, activity_clock=clock)


@pytest.fixture(scope="module")
def aws(timings):
    with EmbeddedAws(timings=timings) as aws:
        yield aws


@pytest.fixture(scope="module")
def client(aws):
    """A client that waits longer than a poll takes, and sends each request once."""
    keys = {"aws_access_key_id": "worker", "aws_secret_access_key": "test", "region_name": "eu-west-1"}
    config = Config(read_timeout=LONG_POLL + 5, retries={"total_max_attempts": 1}, max_pool_connections=20)
    return boto3.client("stepfunctions", endpoint_url=aws.endpoint, config=config, **keys)


@pytest.fixture
def activity(client):
    return client.create_activity(name=f"activity-{uuid.uuid4()}")["activityArn"]


@pytest.fixture
def start(client):
    """Starts an execution of a state machine with these states, the first of which begins; returns its ARN."""

    def start(execution_input=None, *, timeout=600, **states):
        definition = {"StartAt": next(iter(states)), "TimeoutSeconds": timeout, "States": states}
        name = f"machine-{uuid.uuid4()}"
        machine = client.create_state_machine(name=name, definition=json.dumps(definition), roleArn=ROLE)
        arn = machine["stateMachineArn"]
        return client.start_execution(stateMachineArn=arn, input=json.dumps(execution_input or {}))["executionArn"]

    return start


@pytest.fixture
def poll(client, activity):
    """Polls for a task as a worker."""

    def poll(activity=activity, worker="worker"):
        return client.get_activity_task(activityArn=activity, workerName=worker)

    return poll


@pytest.fixture
def is_empty(client, timings):
    """Whether a poll gets no task, without waiting for one."""

    def is_empty(activity):
        timings.activity_poll = 0
        try:
            return "taskToken" not in client.get_activity_task(activityArn=activity)
        finally:
            timings.activity_poll = LONG_POLL

    return is_empty


def task(activity, **fields):
    """A Task state of an activity, the last one unless it has a Next."""
    return {"Type": "Task", "Resource": activity} | ({} if "Next" in fields else {"End": True}) | fields


def again(*errors):
    """Retry after these errors, once and as soon as the language allows."""
    return [{"ErrorEquals": list(errors), "IntervalSeconds": 1, "MaxAttempts": 1}]


def wait_until(condition, what):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def wait_for_end(client, execution):
    """Wait until an execution has ended; return its description."""

    def description():
        return client.describe_execution(executionArn=execution)

    wait_until(lambda: description()["status"] != "RUNNING", "the execution does not end")
    return description()


def output_of(client, execution):
    ended = wait_for_end(client, execution)
    assert ended["status"] == "SUCCEEDED", ended
    return json.loads(ended["output"])


def events(client, execution):
    return [event["type"] for event in client.get_execution_history(executionArn=execution)["events"]]


def wait_until_scheduled(client, execution):
    wait_until(lambda: "ActivityScheduled" in events(client, execution), "no task is scheduled")


def assert_all_reports_fail(client, token, error):
    """Assert that a heartbeat, a success and a failure are all refused with this error."""
    expected = client.exceptions.from_code(error)
    with pytest.raises(expected):
        client.send_task_heartbeat(taskToken=token)
    with pytest.raises(expected):
        client.send_task_success(taskToken=token, output="{}")
    with pytest.raises(expected):
        client.send_task_failure(taskToken=token, error="Any", cause="any")


def test_an_activity_is_there_until_it_is_deleted(client):
    """To create it again changes nothing."""
    created = client.create_activity(name="twice")
    again = client.create_activity(name="twice")
    assert (again["activityArn"], again["creationDate"]) == (created["activityArn"], created["creationDate"])
    assert client.describe_activity(activityArn=created["activityArn"])["name"] == "twice"
    assert [each["name"] for each in client.list_activities()["activities"]].count("twice") == 1
    client.delete_activity(activityArn=created["activityArn"])
    with pytest.raises(client.exceptions.ActivityDoesNotExist):
        client.describe_activity(activityArn=created["activityArn"])
    assert "twice" not in [each["name"] for each in client.list_activities()["activities"]]


def test_an_activity_with_other_encryption_is_not_the_same(client):
    """AWS does not change the encryption of an activity, which is with AWS's own key unless something else is said."""
    plain = client.create_activity(name="plain")["activityArn"]
    own = {"type": "AWS_OWNED_KEY"}
    assert client.create_activity(name="plain", encryptionConfiguration=own)["activityArn"] == plain
    other = {"type": "CUSTOMER_MANAGED_KMS_KEY", "kmsKeyId": "alias/own"}
    with pytest.raises(client.exceptions.ActivityAlreadyExists):
        client.create_activity(name="plain", encryptionConfiguration=other)


def test_a_worker_gets_the_input_of_the_state_and_its_output_is_the_result(client, activity, start, poll):
    """The history names the worker."""
    limits = {"HeartbeatSecondsPath": "$.seconds", "TimeoutSeconds": 120}
    fields = {"Parameters": {"number.$": "$.number", "name": "é"}} | limits
    execution = start({"number": 7, "seconds": 60}, Do=task(activity, **fields))
    given = poll(worker="one")
    assert given["input"] == '{"number":7,"name":"é"}'
    client.send_task_success(taskToken=given["taskToken"], output='{"done": true}')
    assert output_of(client, execution) == {"done": True}
    history = client.get_execution_history(executionArn=execution)["events"]
    assert [event["type"] for event in history[2:5]] == ["ActivityScheduled", "ActivityStarted", "ActivitySucceeded"]
    scheduled = history[2]["activityScheduledEventDetails"]
    assert (scheduled["heartbeatInSeconds"], scheduled["timeoutInSeconds"]) == (60, 120)
    assert history[3]["activityStartedEventDetails"]["workerName"] == "one"


def test_three_workers_share_the_work_and_each_task_is_done_once(client, activity, start, poll):
    """Each has had a task before any has had two. To delete the activity sends them home."""
    all_have_one = threading.Barrier(3, timeout=60)

    def work(worker):
        done = []
        while True:
            try:
                given = poll(worker=worker)
            except client.exceptions.ActivityDoesNotExist:
                return done
            done.append(json.loads(given["input"]))
            if len(done) == 1:
                all_have_one.wait()
            client.send_task_success(taskToken=given["taskToken"], output=given["input"])

    each = {"StartAt": "Do", "States": {"Do": task(activity, HeartbeatSeconds=60)}}
    with ThreadPoolExecutor() as pool:
        workers = [pool.submit(work, f"worker-{number}") for number in range(3)]
        execution = start(
            Each={"Type": "Map", "ItemsPath": "$", "ItemProcessor": each, "End": True}, execution_input=list(range(30))
        )
        assert output_of(client, execution) == list(range(30))
        client.delete_activity(activityArn=activity)
    done = [worker.result() for worker in workers]
    assert all(done)
    assert sorted(chain(*done)) == list(range(30))


def test_the_oldest_task_comes_first(client, activity, start, poll):
    """Whichever execution it is of."""
    executions = []
    for number in range(3):
        executions.append(start({"number": number}, Do=task(activity)))
        wait_until_scheduled(client, executions[-1])
    given = [poll() for _ in executions]
    assert [json.loads(each["input"])["number"] for each in given] == [0, 1, 2]


def test_a_poll_without_a_task_gets_no_token(activity, is_empty):
    """After 60 seconds, or here at once."""
    assert is_empty(activity)


def test_only_an_activity_can_be_polled(client, activity, poll):
    """AWS tells whether the ARN is malformed."""
    with pytest.raises(client.exceptions.ActivityDoesNotExist):
        poll(activity + "-other")
    with pytest.raises(client.exceptions.InvalidArn):
        poll(activity.replace(":activity:", ":stateMachine:"))


def test_heartbeats_keep_a_task_alive(client, clock, activity, start, poll):
    """For longer than HeartbeatSeconds."""
    execution = start(Do=task(activity, HeartbeatSeconds=2))
    token = poll()["taskToken"]
    for _ in range(3):
        clock.now += 1.9
        client.send_task_heartbeat(taskToken=token)
    client.send_task_success(taskToken=token, output="{}")
    assert output_of(client, execution) == {}
    assert "ActivityTimedOut" not in events(client, execution)


@pytest.mark.parametrize("error", ["States.HeartbeatTimeout", "States.Timeout", "States.ALL"])
def test_a_task_without_heartbeats_is_given_to_another_worker(client, clock, activity, start, poll, error):
    """The other worker gets a new token; the first worker's reports are refused."""
    execution = start(Do=task(activity, HeartbeatSeconds=1, Retry=again(error)))
    first = poll(worker="first")
    clock.now += 1
    second = poll(worker="second")
    assert (first["input"], first["taskToken"] != second["taskToken"]) == (second["input"], True)
    assert_all_reports_fail(client, first["taskToken"], "TaskTimedOut")
    client.send_task_success(taskToken=second["taskToken"], output='["second"]')
    assert output_of(client, execution) == ["second"]


def test_a_missed_heartbeat_that_nobody_handles_fails_the_execution_with_states_timeout(
    client, clock, activity, start, poll
):
    """AWS uses the name States.HeartbeatTimeout in Retry and Catch only."""
    execution = start(Do=task(activity, HeartbeatSeconds=1, Retry=again("Other")))
    poll()
    clock.now += 1
    ended = wait_for_end(client, execution)
    assert (ended["status"], ended["error"]) == ("FAILED", "States.Timeout")
    assert "ActivityTimedOut" in events(client, execution)


@pytest.mark.parametrize("kind", ["Map", "Parallel"])
def test_a_timeout_in_a_branch_is_one_of_the_whole_state(client, clock, activity, start, poll, kind):
    """That state may catch it."""
    branch = {"StartAt": "Do", "States": {"Do": task(activity, HeartbeatSeconds=1)}}
    branches = {"Map": {"ItemsPath": "$.items", "ItemProcessor": branch}, "Parallel": {"Branches": [branch]}}[kind]
    catch = [{"ErrorEquals": [name], "Next": name[7:]} for name in ("States.TaskFailed", "States.Timeout")]
    caught = {name: {"Type": "Pass", "Result": [name], "End": True} for name in ("TaskFailed", "Timeout")}
    state = {"Type": kind, "Catch": catch, "End": True} | branches
    execution = start({"items": [1]}, Branches=state, **caught)
    poll()
    clock.now += 1
    assert output_of(client, execution) == ["Timeout"]


@pytest.mark.parametrize("limit", ["TimeoutSecondsPath", "HeartbeatSecondsPath"])
@pytest.mark.parametrize("seconds", [0, -1, 1.5, "5", True, None, [5]])
def test_a_limit_that_is_no_positive_integer_fails_the_execution(client, activity, start, is_empty, limit, seconds):
    """Nothing catches that, and no worker gets a task without the limit."""
    catch = [{"ErrorEquals": ["States.ALL"], "Next": "Caught"}]
    fields = {limit: "$.seconds", "Catch": catch}
    execution = start({"seconds": seconds}, Do=task(activity, **fields), Caught={"Type": "Pass", "End": True})
    ended = wait_for_end(client, execution)
    assert (ended["status"], ended["error"]) == ("FAILED", "States.Runtime")
    assert is_empty(activity)


def test_a_limit_may_come_from_the_input(client, clock, activity, start, poll):
    """Here the heartbeats, which never come."""
    execution = start({"seconds": 1}, Do=task(activity, HeartbeatSecondsPath="$.seconds", TimeoutSeconds=600))
    poll()
    clock.now += 1
    assert wait_for_end(client, execution)["error"] == "States.Timeout"


def test_heartbeats_do_not_extend_the_timeout(client, clock, activity, start, poll):
    """It is no States.HeartbeatTimeout, and the success is refused that comes too late."""
    catch = [{"ErrorEquals": [name], "Next": name[7:]} for name in ("States.HeartbeatTimeout", "States.Timeout")]
    caught = {name: {"Type": "Pass", "Result": [name], "End": True} for name in ("HeartbeatTimeout", "Timeout")}
    execution = start(Do=task(activity, TimeoutSeconds=2, HeartbeatSeconds=1, Catch=catch), **caught)
    token = poll()["taskToken"]
    for _ in range(3):
        clock.now += 0.6
        client.send_task_heartbeat(taskToken=token)
    clock.now += 0.6
    with pytest.raises(client.exceptions.TaskTimedOut):
        client.send_task_heartbeat(taskToken=token)
    with pytest.raises(client.exceptions.TaskTimedOut):
        client.send_task_success(taskToken=token, output="{}")
    assert output_of(client, execution) == ["Timeout"]


@pytest.mark.parametrize("limit", ["TimeoutSeconds", "HeartbeatSeconds"])
def test_the_time_in_the_queue_does_not_count(client, clock, activity, start, poll, limit):
    """The second task waits until the first one has timed out, and still has all its time."""
    executions = []
    for number in range(2):
        executions.append(start({"number": number}, Do=task(activity, **{limit: 1})))
        wait_until_scheduled(client, executions[-1])
    poll()
    clock.now += 1
    assert wait_for_end(client, executions[0])["status"] == "FAILED"
    client.send_task_success(taskToken=poll()["taskToken"], output='["in time"]')
    assert output_of(client, executions[1]) == ["in time"]


def test_a_failure_reaches_catch_with_error_and_cause(client, activity, start, poll):
    """They become the input of the next state."""
    catch = [{"ErrorEquals": ["NoPaper"], "Next": "Caught"}]
    execution = start(Do=task(activity, Catch=catch), Caught={"Type": "Pass", "End": True})
    client.send_task_failure(taskToken=poll()["taskToken"], error="NoPaper", cause="the tray is empty")
    assert output_of(client, execution) == {"Error": "NoPaper", "Cause": "the tray is empty"}


def test_a_failure_without_error_and_cause_fails_the_execution(client, activity, start, poll):
    """Both are optional."""
    execution = start(Do=task(activity))
    client.send_task_failure(taskToken=poll()["taskToken"])
    ended = wait_for_end(client, execution)
    assert (ended["status"], ended.get("error"), ended.get("cause")) == ("FAILED", None, None)


def test_a_task_is_reported_once(client, activity, start, poll):
    """Whatever the second report says."""
    execution = start(Do=task(activity))
    token = poll()["taskToken"]
    client.send_task_success(taskToken=token, output='["first"]')
    assert_all_reports_fail(client, token, "TaskTimedOut")
    assert output_of(client, execution) == ["first"]


def test_a_stopped_execution_takes_its_tasks_along(client, activity, start, is_empty, poll):
    """One task waits for a worker, one has a worker; the next execution is served."""
    waiting = start({"number": 1}, Do=task(activity))
    wait_until_scheduled(client, waiting)
    client.stop_execution(executionArn=waiting)
    assert is_empty(activity)
    held = start({"number": 2}, Do=task(activity, Retry=again("States.ALL")))
    token = poll()["taskToken"]
    client.stop_execution(executionArn=held)
    assert_all_reports_fail(client, token, "TaskTimedOut")
    assert is_empty(activity)
    start({"number": 3}, Do=task(activity))
    assert poll()["input"] == '{"number":3}'


def test_a_failed_branch_takes_the_tasks_of_the_others_along(client, activity, start, is_empty, poll):
    """One of them waits for a worker, one has a worker."""
    held, waiting = (client.create_activity(name=f"other-{uuid.uuid4()}")["activityArn"] for _ in range(2))
    branches = [{"StartAt": "Do", "States": {"Do": task(each)}} for each in (activity, held, waiting)]
    execution = start(All={"Type": "Parallel", "Branches": branches, "End": True})
    token = poll(held)["taskToken"]
    wait_until(lambda: events(client, execution).count("ActivityScheduled") == 3, "the third task is not scheduled")
    client.send_task_failure(taskToken=poll()["taskToken"], error="Broken", cause="by hand")
    ended = wait_for_end(client, execution)
    assert (ended["status"], ended["error"]) == ("FAILED", "Broken")
    assert_all_reports_fail(client, token, "TaskTimedOut")
    assert is_empty(waiting)


def test_only_the_timeout_of_the_state_machine_ends_the_wait_for_a_worker(client, clock, activity, start, is_empty):
    """The execution is TIMED_OUT, and its task is gone."""
    execution = start(Do=task(activity, TimeoutSeconds=3), timeout=1)
    clock.now += 3
    assert wait_for_end(client, execution)["status"] == "TIMED_OUT"
    assert is_empty(activity)


def test_deleting_an_activity_ends_polls_and_refuses_reports(client, activity, start, poll):
    """A state machine that uses it fails, and cannot catch that."""
    start(Do=task(activity))
    token = poll()["taskToken"]
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(poll)
        client.delete_activity(activityArn=activity)
        with pytest.raises(client.exceptions.ActivityDoesNotExist):
            waiting.result()
    assert_all_reports_fail(client, token, "TaskDoesNotExist")
    catch = [{"ErrorEquals": ["States.ALL"], "Next": "Caught"}]
    ended = wait_for_end(client, start(Do=task(activity, Catch=catch), Caught={"Type": "Pass", "End": True}))
    assert (ended["status"], ended["error"]) == ("FAILED", "States.Runtime")
    assert ended["cause"].endswith(f"The activity {activity} does not exist.")


@pytest.mark.parametrize("output", ["", "{", "text", "NaN"])
def test_an_output_that_is_no_json_is_refused(client, activity, start, poll, output):
    """The worker may still report something else."""
    execution = start(Do=task(activity))
    token = poll()["taskToken"]
    with pytest.raises(client.exceptions.InvalidOutput):
        client.send_task_success(taskToken=token, output=output)
    client.send_task_success(taskToken=token, output='["better"]')
    assert output_of(client, execution) == ["better"]


@pytest.mark.parametrize("character", ["x", "é"])
def test_the_output_has_at_most_256_kib(client, activity, start, poll, character):
    """In bytes of UTF-8. The interpreter's own limit is one byte less, with all but ASCII escaped."""
    execution = start(Do=task(activity, ResultPath=None))
    token = poll()["taskToken"]
    longest = json.dumps([character * ((MAX_BYTES - 4) // len(character.encode()))], ensure_ascii=False)
    with pytest.raises(client.exceptions.ClientError, match=r"ValidationException.*'output'.*262144"):
        client.send_task_success(taskToken=token, output=longest + " ")
    client.send_task_success(taskToken=token, output=longest)
    assert output_of(client, execution) == {}


@pytest.mark.parametrize("character", ["x", "é"])
@pytest.mark.parametrize(("field", "limit"), [("error", 256), ("cause", 32_768)])
def test_error_and_cause_are_limited(client, activity, start, poll, field, limit, character):
    """In characters, whatever their bytes. The longest ones reach the execution."""
    execution = start(Do=task(activity))
    token = poll()["taskToken"]
    with pytest.raises(client.exceptions.ClientError, match=f"ValidationException.*'{field}'.*{limit}"):
        client.send_task_failure(taskToken=token, **{field: character * (limit + 1)})
    client.send_task_failure(taskToken=token, **{field: character * limit})
    assert wait_for_end(client, execution)[field] == character * limit


def test_a_worker_has_a_name_of_up_to_80_characters(client, activity, start, poll):
    """With a longer one it gets no task."""
    start(Do=task(activity))
    with pytest.raises(client.exceptions.ClientError, match=r"ValidationException.*'workerName'.*80"):
        poll(worker="x" * 81)
    assert poll(worker="x" * 80)["input"] == "{}"


def test_an_input_of_more_than_256_kib_fails_the_execution(client, activity, start, is_empty):
    """Here the parameters double what the execution got."""
    parameters = {"one.$": "$.text", "two.$": "$.text"}
    execution = start({"text": "x" * (MAX_BYTES // 2)}, Do=task(activity, Parameters=parameters))
    ended = wait_for_end(client, execution)
    assert (ended["status"], ended["error"]) == ("FAILED", "States.DataLimitExceeded")
    assert is_empty(activity)


def test_a_token_that_nobody_was_given_is_invalid(client):
    """Heartbeat, success and failure."""
    assert_all_reports_fail(client, "no-token", "InvalidToken")


def test_a_worker_that_has_hung_up_gets_no_task(aws, client, activity, start, poll):
    """Its poll is under way when the task comes."""
    connection = HTTPConnection(urlsplit(aws.endpoint).netloc)
    headers = {"X-Amz-Target": "AWSStepFunctions.GetActivityTask", "Content-Type": "application/x-amz-json-1.0"}
    connection.request("POST", "/", json.dumps({"activityArn": activity, "workerName": "gone"}), headers)
    connection.close()
    execution = start(Do=task(activity))
    client.send_task_success(taskToken=poll(worker="there")["taskToken"], output="{}")
    assert output_of(client, execution) == {}


HOLDS_A_TASK = """
import os, signal, boto3
client = boto3.client("stepfunctions")
print(client.get_activity_task(activityArn=os.environ["ACTIVITY"])["taskToken"], flush=True)
signal.pause()
"""


def test_the_task_of_a_killed_worker_is_given_to_another_one(aws, client, clock, activity, start, poll):
    """Its heartbeats stay away. It was a process of its own."""
    execution = start(Do=task(activity, HeartbeatSeconds=1, Retry=again("States.HeartbeatTimeout")))
    environment = os.environ | aws.environment() | {"ACTIVITY": activity}
    command = [sys.executable, "-c", HOLDS_A_TASK]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as worker:
        token = worker.stdout.readline().strip()
        worker.send_signal(signal.SIGKILL)
    clock.now += 1
    other = poll()
    assert token not in ("", other["taskToken"])
    client.send_task_success(taskToken=other["taskToken"], output='["by the other"]')
    assert output_of(client, execution) == ["by the other"]
    assert_all_reports_fail(client, token, "TaskTimedOut")


def test_iam_sees_the_activity_in_each_request(aws, client, activity, start, poll):
    """Also where the request has only a token."""
    for _ in range(2):
        start(Do=task(activity))
    first, second = (poll()["taskToken"] for _ in range(2))
    client.send_task_heartbeat(taskToken=first)
    client.send_task_success(taskToken=first, output="{}")
    client.send_task_failure(taskToken=second)
    client.describe_activity(activityArn=activity)
    client.delete_activity(activityArn=activity)
    actions = {each.action for each in aws.iam_requests() if (each.caller, each.resource) == ("worker", activity)}
    reports = {f"states:SendTask{kind}" for kind in ("Heartbeat", "Success", "Failure")}
    own = {f"states:{kind}Activity" for kind in ("Create", "Describe", "Delete")}
    assert actions == reports | own | {"states:GetActivityTask"}

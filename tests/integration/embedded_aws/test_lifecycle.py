"""Starting, stopping and killing the embedded AWS as a whole."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import boto3
import pytest

from sandbox.aws import DynamoDbEnded, EmbeddedAws, Timings
from sandbox.mailbox import Mailbox
from tests.integration.embedded_aws.packages import zipped

ROLE = "arn:aws:iam::123456789012:role/any"
WAITS = "import time\ndef handler(event, context):\n    open(event['marker'], 'w').close()\n    time.sleep(600)\n"
RETURNS = "def handler(event, context):\n    print('here')\n    return event\n"


def client(aws, service):
    region = aws.environment()["AWS_DEFAULT_REGION"]
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client(service, endpoint_url=aws.endpoint, region_name=region, **keys)


def create_function(aws, source):
    """Create a function without a deployment tool."""
    role = client(aws, "iam").create_role(RoleName="any", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    options = {"Role": role, "Handler": "main.handler", "Runtime": "python3.11", "Timeout": 60}
    client(aws, "lambda").create_function(FunctionName="example", Code={"ZipFile": zipped(source)}, **options)


def children(process=None):
    """The ids of a process's children; of this process's own if none is given."""
    task = Path(f"/proc/{process or os.getpid()}/task")
    return {int(pid) for path in task.glob("*/children") for pid in _read(path).split()}


def _read(path):
    """What a file in /proc says; nothing if its thread has ended."""
    try:
        return path.read_text()
    except OSError:
        return ""


def wait_until(condition, what):
    deadline = time.monotonic() + 100
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.02)


def running(threads):
    """The threads that are there besides these."""
    return [thread for thread in set(threading.enumerate()) - threads if thread.is_alive()]


def test_a_second_embedded_aws_in_the_same_process_is_refused():
    """moto's state belongs to the process. Another one may start after the first one has stopped."""
    with EmbeddedAws(), pytest.raises(RuntimeError, match="already runs in this process"):
        EmbeddedAws().start()
    with EmbeddedAws():
        pass


def test_each_embedded_aws_starts_empty_and_leaves_no_trace_in_the_process():
    """os.environ, boto3's default session and Python's recursion limit are as before."""
    before = dict(os.environ), boto3.DEFAULT_SESSION, sys.getrecursionlimit()
    with EmbeddedAws() as aws:
        client(aws, "sqs").create_queue(QueueName="queue")
        assert "QueueUrls" in client(aws, "sqs").list_queues()
    with EmbeddedAws() as aws:
        assert "QueueUrls" not in client(aws, "sqs").list_queues()
    assert (dict(os.environ), boto3.DEFAULT_SESSION, sys.getrecursionlimit()) == before


def test_the_environment_variables_of_the_embedded_aws_are_all_that_a_client_needs(tmp_path):
    """They hold the endpoint, a region and credentials."""
    with EmbeddedAws() as aws:
        program = "import boto3; print(boto3.client('sts').get_caller_identity()['Account'])"
        environment = aws.environment() | {"HOME": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
    assert done.stdout == "123456789012\n"


def test_the_embedded_aws_listens_on_loopback_only():
    """Every port that it and its processes open is one of 127.0.0.1."""
    before = _listening()
    with EmbeddedAws() as aws:
        opened = _listening() - before
    port = int(aws.endpoint.rsplit(":", 1)[1])
    assert f"0100007F:{port:04X}" in opened
    assert all(address.startswith("0100007F:") for address in opened)


def _listening():
    """The local addresses at which this process and its children listen, as /proc writes them."""
    lines = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()]
    files = [file for process in (os.getpid(), *children()) for file in Path(f"/proc/{process}/fd").iterdir()]
    own = {_target(file) for file in files}
    return {fields[1] for fields in lines if fields[3] == "0A" and f"socket:[{fields[9]}]" in own}


def _target(file):
    """What an open file is; nothing if it has been closed meanwhile."""
    try:
        return str(file.readlink())
    except OSError:
        return ""


def test_stopping_while_functions_run_leaves_no_process_no_thread_and_no_file(tmp_path):
    """A call, an event and an execution are under way."""
    processes, threads = children(), set(threading.enumerate())
    with EmbeddedAws(log=tmp_path / "log") as aws:
        create_function(aws, WAITS)
        arn = "arn:aws:lambda:eu-west-1:123456789012:function:example"
        for number, begin in enumerate((_call, _event, _execution)):
            begin(aws, arn, tmp_path / str(number))
        wait_until(lambda: len(list(tmp_path.glob("[0-2]"))) == 3, aws.function_logs)
        functions = aws.lambdas.processes()
        assert len(functions) == 3
        package = Path(f"/proc/{functions[0]}/cwd").resolve()
        assert (package / "main.py").exists()
    assert children() == processes
    assert not [pid for pid in functions if _alive(pid)]
    wait_until(lambda: not running(threads), lambda: running(threads))  # one of them is the caller's own
    assert not package.parent.exists()


def _call(aws, arn, marker):
    """Call the function in a thread, which ends with the call."""

    def call():
        reply = client(aws, "lambda").invoke(FunctionName=arn, Payload=json.dumps({"marker": str(marker)}))
        assert json.loads(reply["Payload"].read())["errorType"] == "Runtime.ExitError"

    threading.Thread(target=call).start()


def _event(aws, arn, marker):
    payload = json.dumps({"marker": str(marker)})
    client(aws, "lambda").invoke(FunctionName=arn, Payload=payload, InvocationType="Event")


def _execution(aws, arn, marker):
    retry = [{"ErrorEquals": ["States.ALL"], "MaxAttempts": 5}]
    definition = {"StartAt": "Do", "States": {"Do": {"Type": "Task", "Resource": arn, "Retry": retry, "End": True}}}
    states = client(aws, "stepfunctions")
    state_machine = states.create_state_machine(name="example", definition=json.dumps(definition), roleArn=ROLE)
    states.start_execution(stateMachineArn=state_machine["stateMachineArn"], input=json.dumps({"marker": str(marker)}))


def test_stopping_ends_polls_at_once_and_leaves_no_thread():
    """One worker waits for a task, and two tasks wait: one for a worker, one for its worker's report."""
    threads = set(threading.enumerate())
    with EmbeddedAws(timings=Timings(activity_poll=600)) as aws:
        states = client(aws, "stepfunctions")
        busy, idle = (states.create_activity(name=name)["activityArn"] for name in ("busy", "idle"))
        definition = {"StartAt": "Do", "States": {"Do": {"Type": "Task", "Resource": busy, "End": True}}}
        machine = states.create_state_machine(name="machine", definition=json.dumps(definition), roleArn=ROLE)
        for _ in range(2):
            states.start_execution(stateMachineArn=machine["stateMachineArn"])
        assert states.get_activity_task(activityArn=busy)["taskToken"]
        answers = queue.SimpleQueue()
        poll = threading.Thread(target=lambda: answers.put(states.get_activity_task(activityArn=idle)))
        poll.start()
        while not [each for each in aws.iam_requests() if each.resource == idle and each.action.endswith("Task")]:
            assert poll.is_alive()
    poll.join()
    assert "taskToken" not in answers.get()
    wait_until(lambda: not running(threads), lambda: running(threads))


def test_the_end_of_dynamodb_is_noticed(tmp_path):
    """Everything in its tables is gone. When the embedded AWS itself stops, that is no error."""
    with EmbeddedAws(log=tmp_path / "log") as aws:
        aws.check()
        os.kill(aws.dynamodb._process.pid, signal.SIGKILL)
        aws.dynamodb._printer.join()
        with pytest.raises(DynamoDbEnded, match="ended with status -9"):
            aws.check()
    assert "[dynamodb] DynamoDB's process has ended with status -9" in (tmp_path / "log").read_text()


def test_a_bucket_policy_is_stored_but_not_enforced():
    """A policy that requires TLS would keep everybody out of the sandbox."""
    statement = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::bucket/*"}
    only_tls = statement | {"Condition": {"Bool": {"aws:SecureTransport": "false"}}}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [only_tls]})
    with EmbeddedAws() as aws:
        s3 = client(aws, "s3")
        s3.create_bucket(Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        s3.put_bucket_policy(Bucket="bucket", Policy=policy)
        assert s3.get_bucket_policy(Bucket="bucket")["Policy"] == policy
        s3.put_object(Bucket="bucket", Key="key", Body=b"x")
        s3.delete_bucket_policy(Bucket="bucket")
        with pytest.raises(s3.exceptions.ClientError, match="NoSuchBucketPolicy"):
            s3.get_bucket_policy(Bucket="bucket")


def test_what_functions_print_is_kept_in_memory_and_in_the_log_file(tmp_path):
    """Each line has the name of its function."""
    with EmbeddedAws(log=tmp_path / "log") as aws:
        create_function(aws, RETURNS)
        client(aws, "lambda").invoke(FunctionName="example")
    assert aws.function_logs() == ["[example] here"]
    assert (tmp_path / "log").read_text() == "[example] here\n"


def test_an_unconfirmed_subscription_gets_no_mail():
    """On AWS, subscriptions have to be confirmed before mail is sent."""
    with Mailbox() as mailbox:
        smtp = (mailbox.host, mailbox.port)
        with EmbeddedAws(smtp=smtp, confirm_subscriptions=False) as aws:
            topic = client(aws, "sns").create_topic(Name="topic")["TopicArn"]
            client(aws, "sns").subscribe(TopicArn=topic, Protocol="email", Endpoint="a@example.com")
            client(aws, "sns").publish(TopicArn=topic, Message="x")
        assert mailbox.messages() == []


CRASH = """
import os, sys, threading
from tests.integration.embedded_aws.test_lifecycle import WAITS, client, create_function
from sandbox.aws import EmbeddedAws
aws = EmbeddedAws().start()
create_function(aws, WAITS)
arguments = {"FunctionName": "example", "Payload": sys.argv[1]}
threading.Thread(target=client(aws, "lambda").invoke, kwargs=arguments).start()
while not aws.lambdas.processes() or not os.path.exists(sys.argv[2]):
    pass
print(aws.lambdas.processes()[0], flush=True)
threading.Event().wait()
"""


def test_every_process_ends_when_that_of_the_embedded_aws_is_killed(tmp_path):
    """A function is in the middle of an invocation then. Its fork server and DynamoDB end too."""
    arguments = [json.dumps({"marker": str(tmp_path / "marker")}), str(tmp_path / "marker")]
    command = [sys.executable, "-c", CRASH, *arguments]
    options = {"cwd": Path(__file__).parents[3], "env": os.environ | {"TMPDIR": str(tmp_path)}}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options) as parent:
        pids = {int(parent.stdout.readline())} | children(parent.pid)
        parent.send_signal(signal.SIGKILL)
    assert len(pids) == 3
    wait_until(lambda: not any(map(_alive, pids)), lambda: "processes still run")


def _alive(pid):
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False

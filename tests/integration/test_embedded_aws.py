"""The embedded AWS comes and goes as a whole, and what it runs goes with it."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import boto3
import pytest

from sandbox.aws import EmbeddedAws
from sandbox.mailbox import Mailbox

ROLE = "arn:aws:iam::123456789012:role/any"
WAITS = "import time\ndef handler(event, context):\n    open(event['note'], 'w').close()\n    time.sleep(600)\n"
RETURNS = "def handler(event, context):\n    print('here')\n    return event\n"


def client(aws, service):
    region = aws.environment()["AWS_DEFAULT_REGION"]
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client(service, endpoint_url=aws.endpoint, region_name=region, **keys)


def create_function(aws, source):
    """Create a function without any deployment tool."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as package:
        package.writestr("main.py", source)
    role = client(aws, "iam").create_role(RoleName="any", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    options = {"Role": role, "Handler": "main.handler", "Runtime": "python3.11", "Timeout": 60}
    client(aws, "lambda").create_function(FunctionName="it", Code={"ZipFile": target.getvalue()}, **options)


def children():
    """The processes whose parent we are."""
    task = Path(f"/proc/{os.getpid()}/task")
    return {pid for path in task.glob("*/children") for pid in path.read_text().split()}


def test_a_second_one_is_refused():
    """moto's state belongs to the process, so a second one is refused while the first one runs, and only then."""
    with EmbeddedAws(), pytest.raises(RuntimeError, match="already runs in this process"):
        EmbeddedAws().start()
    with EmbeddedAws():
        pass


def test_it_is_empty_at_each_start_and_leaves_our_environment_alone():
    """What one held the next one does not, and os.environ, boto3 and Python's settings are as before."""
    before = dict(os.environ), boto3.DEFAULT_SESSION, sys.getrecursionlimit()
    with EmbeddedAws() as aws:
        client(aws, "sqs").create_queue(QueueName="queue")
        assert "QueueUrls" in client(aws, "sqs").list_queues()
    with EmbeddedAws() as aws:
        assert "QueueUrls" not in client(aws, "sqs").list_queues()
    assert (dict(os.environ), boto3.DEFAULT_SESSION, sys.getrecursionlimit()) == before


def test_its_environment_makes_any_process_talk_to_it(tmp_path):
    """With these variables and nothing else a client finds the endpoint, a region and credentials."""
    with EmbeddedAws() as aws:
        program = "import boto3; print(boto3.client('sts').get_caller_identity()['Account'])"
        environment = aws.environment() | {"HOME": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
    assert done.stdout == "123456789012\n"


def test_it_listens_on_loopback_only():
    """Every port that we listen on while it runs is one of 127.0.0.1."""
    before = _listening()
    with EmbeddedAws() as aws:
        opened = _listening() - before
    port = int(aws.endpoint.rsplit(":", 1)[1])
    assert f"0100007F:{port:04X}" in opened
    assert all(address.startswith("0100007F:") for address in opened)


def _listening():
    """Local addresses in state LISTEN, as /proc writes them."""
    lines = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()]
    return {fields[1] for fields in lines if fields[3] == "0A"}


def test_nothing_is_left_of_it(tmp_path):
    """Stopped in the middle of a call, an event and an execution, it leaves no process, no thread and no file."""
    processes, threads = children(), set(threading.enumerate())
    with EmbeddedAws(log=tmp_path / "log") as aws:
        create_function(aws, WAITS)
        arn = "arn:aws:lambda:eu-west-1:123456789012:function:it"
        for number, begin in enumerate((_call, _event, _execution)):
            begin(aws, arn, tmp_path / str(number))
        deadline = time.monotonic() + 20
        while len(list(tmp_path.glob("[0-2]"))) < 3:
            assert time.monotonic() < deadline, aws.function_logs()
            time.sleep(0.02)
        assert len(children() - processes) == len(aws.lambdas.processes()) == 3
        package = Path(f"/proc/{aws.lambdas.processes()[0]}/cwd").resolve()
        assert (package / "main.py").exists()
    assert children() == processes
    assert not [thread for thread in set(threading.enumerate()) - threads if thread.is_alive()]
    assert not package.parent.exists()


def _call(aws, arn, note):
    """Call the function from a thread of ours, which ends with the call."""

    def call():
        reply = client(aws, "lambda").invoke(FunctionName=arn, Payload=json.dumps({"note": str(note)}))
        assert json.loads(reply["Payload"].read())["errorType"] == "Runtime.ExitError"

    threading.Thread(target=call).start()


def _event(aws, arn, note):
    payload = json.dumps({"note": str(note)})
    client(aws, "lambda").invoke(FunctionName=arn, Payload=payload, InvocationType="Event")


def _execution(aws, arn, note):
    retry = [{"ErrorEquals": ["States.ALL"], "MaxAttempts": 5}]
    definition = {"StartAt": "Do", "States": {"Do": {"Type": "Task", "Resource": arn, "Retry": retry, "End": True}}}
    states = client(aws, "stepfunctions")
    machine = states.create_state_machine(name="it", definition=json.dumps(definition), roleArn=ROLE)
    states.start_execution(stateMachineArn=machine["stateMachineArn"], input=json.dumps({"note": str(note)}))


def test_a_buckets_policy_is_kept_and_not_enforced():
    """A policy that lets nobody in without TLS is given back as it was put, and keeps nobody out of the sandbox."""
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


def test_what_functions_print_is_kept(tmp_path):
    """The lines are in memory and in the log file, each with its function's name."""
    with EmbeddedAws(log=tmp_path / "log") as aws:
        create_function(aws, RETURNS)
        client(aws, "lambda").invoke(FunctionName="it")
    assert aws.function_logs() == ["[it] here"]
    assert (tmp_path / "log").read_text() == "[it] here\n"


def test_without_confirmation_no_mail_is_sent():
    """Told not to take subscriptions as confirmed, it sends no mail, as AWS until the subscriber has clicked."""
    with Mailbox() as mailbox:
        smtp = (mailbox.host, mailbox.port)
        with EmbeddedAws(smtp=smtp, confirm_subscriptions=False) as aws:
            topic = client(aws, "sns").create_topic(Name="topic")["TopicArn"]
            client(aws, "sns").subscribe(TopicArn=topic, Protocol="email", Endpoint="a@example.com")
            client(aws, "sns").publish(TopicArn=topic, Message="x")
        assert mailbox.messages() == []


CRASH = """
import os, sys, threading
from tests.integration.test_embedded_aws import WAITS, client, create_function
from sandbox.aws import EmbeddedAws
aws = EmbeddedAws().start()
create_function(aws, WAITS)
threading.Thread(target=client(aws, "lambda").invoke, kwargs={"FunctionName": "it", "Payload": sys.argv[1]}).start()
while not aws.lambdas.processes() or not os.path.exists(sys.argv[2]):
    pass
print(aws.lambdas.processes()[0], flush=True)
threading.Event().wait()
"""


def test_functions_die_with_the_process_that_runs_it(tmp_path):
    """Killed hard, with a function in the middle of its work, it takes the function's process with it."""
    arguments = [json.dumps({"note": str(tmp_path / "note")}), str(tmp_path / "note")]
    command = [sys.executable, "-c", CRASH, *arguments]
    options = {"cwd": Path(__file__).parents[2], "env": os.environ | {"TMPDIR": str(tmp_path)}}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options) as parent:
        pid = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while _alive(pid):
        assert time.monotonic() < deadline, "the function's process is still there"
        time.sleep(0.02)


def _alive(pid):
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False

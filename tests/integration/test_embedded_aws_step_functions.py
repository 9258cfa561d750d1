"""The embedded AWS executes state machines for real, with Amazon's names for what goes wrong."""

import json
import threading
import uuid

import pytest
from botocore.exceptions import ClientError

WORK = "arn:aws:lambda:eu-west-1:123456789012:function:small-dev-work"
ROLE = "arn:aws:iam::123456789012:role/any"


@pytest.fixture(scope="module")
def states(small):
    return small.client("stepfunctions")


@pytest.fixture
def machine(states):
    """Create a state machine from its states, the first of which begins."""

    def machine(**definition):
        text = json.dumps({"StartAt": next(iter(definition)), "States": definition})
        name = f"machine-{uuid.uuid4()}"
        return states.create_state_machine(name=name, definition=text, roleArn=ROLE)["stateMachineArn"]

    return machine


@pytest.fixture
def run(small, states):
    """Execute a state machine to its end; return how it ended."""

    def run(arn, given):
        execution = states.start_execution(stateMachineArn=arn, input=json.dumps(given))["executionArn"]
        return wait(small, states, execution)

    return run


def wait(small, states, execution):
    """Wait until an execution has ended."""

    def description():
        return states.describe_execution(executionArn=execution)

    small.wait_until(lambda: description()["status"] != "RUNNING", "the execution does not end", seconds=60)
    return description()


@pytest.fixture
def bucket(small):
    client = small.client("s3")
    name = f"bucket-{uuid.uuid4()}"
    client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    return name


def test_everything_that_the_workflow_needs_works_together(small, machine, run, bucket, tmp_path):
    """A distributed Map over a manifest in S3, a look into DynamoDB, an inline Map with Retry and Catch, and a mail."""
    items = [{"note": str(tmp_path / "good")}, {"note": str(tmp_path / "bad"), "raise": "NotNow"}]
    batches = [{"index": number, "items": items} for number in range(2)]
    small.client("s3").put_object(Bucket=bucket, Key="run/manifest.json", Body=json.dumps(batches))
    topic = small.client("sns").create_topic(Name="results")["TopicArn"]
    small.client("sns").subscribe(TopicArn=topic, Protocol="email", Endpoint="on-duty@example.com")
    arn = machine(Batches=_batches(bucket, _switches(small)), Tell=_tell(topic))
    subject = f"Run {uuid.uuid4()}"
    ended = run(arn, {"bucket": bucket, "key": "run/manifest.json", "at_once": 2, "subject": subject})
    assert ended["status"] == "SUCCEEDED", ended
    written = json.loads(small.mailbox.wait_for(lambda mail: mail["Subject"] == subject).get_content().split("\n")[0])
    assert small.client("s3").head_object(**written["ResultWriterDetails"])
    said = '[{"ok": true}, {"error": "NotNow"}]'
    small.wait_until(lambda: small.logged(f"SAY {said}"), "batch 0 did not work through its items")
    small.wait_until(lambda: small.logged('SAY "halted"'), "batch 1 did not see that it is halted")
    attempts = {name: (tmp_path / name).read_text().count("\n") for name in ("good", "bad")}
    assert attempts == {"good": 1, "bad": 2}


def _switches(small):
    """Make a table by which batch 0 goes on and batch 1 is halted."""
    client = small.client("dynamodb")
    client.create_table(
        TableName="switches",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "N"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    for number, halted in enumerate((False, True)):
        client.put_item(TableName="switches", Item={"id": {"N": str(number)}, "halted": {"BOOL": halted}})
    return "switches"


def _batches(bucket, table):
    """Run a child for each batch in the manifest."""
    return {
        "Type": "Map",
        "ItemReader": {
            "Resource": "arn:aws:states:::s3:getObject",
            "ReaderConfig": {"InputType": "JSON"},
            "Parameters": {"Bucket.$": "$.bucket", "Key.$": "$.key"},
        },
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
            "StartAt": "Look",
            "States": _child(table),
        },
        "MaxConcurrencyPath": "$.at_once",
        "ToleratedFailurePercentage": 100.0,
        "ResultWriter": {
            "Resource": "arn:aws:states:::s3:putObject",
            "Parameters": {"Bucket": bucket, "Prefix": "results"},
        },
        "ResultPath": "$.written",
        "Next": "Tell",
    }


def _child(table):
    """Look whether the batch is halted, work through its items if not, and say what became of it."""
    return {
        "Look": {
            "Type": "Task",
            "Resource": "arn:aws:states:::dynamodb:getItem",
            "Parameters": {"TableName": table, "Key": {"id": {"N.$": "States.Format('{}', $.index)"}}},
            "ResultPath": "$.switch",
            "Next": "IsHalted",
        },
        "IsHalted": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.switch.Item.halted.BOOL", "BooleanEquals": True, "Next": "Halted"}],
            "Default": "Each",
        },
        "Halted": {"Type": "Pass", "Result": "halted", "Next": "Say"},
        "Each": {"Type": "Map", "ItemsPath": "$.items", "MaxConcurrency": 2, "ItemProcessor": _each(), "Next": "Say"},
        "Say": {"Type": "Task", "Resource": WORK, "Parameters": {"say.$": "$"}, "End": True},
    }


def _each():
    """Work on one item, once more if it is not the time, and give up with the error's name."""
    again = {"ErrorEquals": ["NotNow"], "IntervalSeconds": 1, "MaxAttempts": 1, "BackoffRate": 2}
    work = {
        "Type": "Task",
        "Resource": WORK,
        "TimeoutSeconds": 30,
        "Retry": [again | {"MaxDelaySeconds": 2, "JitterStrategy": "FULL"}],
        "Catch": [{"ErrorEquals": ["NotNow"], "Next": "Failed"}],
        "Next": "Done",
    }
    done = {"Type": "Pass", "Result": {"ok": True}, "End": True}
    failed = {"Type": "Pass", "Parameters": {"error.$": "$.Error"}, "End": True}
    states = {"Work": work, "Done": done, "Failed": failed}
    return {"ProcessorConfig": {"Mode": "INLINE"}, "StartAt": "Work", "States": states}


def _tell(topic):
    parameters = {"TopicArn": topic, "Subject.$": "$.subject", "Message.$": "States.JsonToString($.written)"}
    return {"Type": "Task", "Resource": "arn:aws:states:::sns:publish", "Parameters": parameters, "End": True}


def _by_arn(function, event):
    return {"Type": "Task", "Resource": function, "Parameters": event}


def _by_invoke(function, event):
    parameters = {"FunctionName": function, "Payload": event}
    return {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Parameters": parameters}


@pytest.mark.usefixtures("unwell")
@pytest.mark.parametrize("task", [_by_arn, _by_invoke])
@pytest.mark.parametrize(
    ("function", "event", "name"),
    [
        (WORK, {"raise": "NotNow"}, "NotNow"),
        (WORK, {"exit": 1}, "Runtime.ExitError"),
        (WORK, {"sleep": 20}, "States.Timeout"),
        (WORK.replace("work", "hang"), {"note": "/dev/null"}, "Sandbox.Timedout"),
        (WORK.replace("work", "nobody"), {}, "Lambda.ResourceNotFoundException"),
        (WORK.replace("small-dev-work", "no-zip"), {}, "Lambda.ServiceException"),
        (WORK.replace("work", "tick"), {}, "Lambda.TooManyRequestsException"),
    ],
)
def test_errors_are_caught_by_amazons_names(machine, run, task, function, event, name):
    """Whatever keeps a Task from its result has the name on AWS by which a Catch, or a Retry, gets hold of it."""
    catch = {"Catch": [{"ErrorEquals": [name], "Next": "Caught"}], "End": True}
    limit = {"TimeoutSeconds": 1 if name == "States.Timeout" else 30}
    caught = {"Type": "Pass", "Parameters": {"caught.$": "$.Error"}, "End": True}
    ended = run(machine(Do=task(function, event) | catch | limit, Caught=caught), {})
    assert (ended["status"], json.loads(ended.get("output", "null"))) == ("SUCCEEDED", {"caught": name}), ended


@pytest.fixture(scope="module")
def unwell(small):
    """A function whose package is no zip file, and one that is always throttled."""
    client = small.client("lambda")
    role = client.get_function_configuration(FunctionName="small-dev-work")["Role"]
    options = {"Role": role, "Handler": "main.handler", "Runtime": "python3.11"}
    client.create_function(FunctionName="no-zip", Code={"ZipFile": b"no zip"}, **options)
    client.put_function_concurrency(FunctionName="small-dev-tick", ReservedConcurrentExecutions=0)


def test_an_uncaught_error_fails_the_execution_under_its_name(machine, run):
    """The execution ends FAILED, with the error's name and a cause that holds its message."""
    ended = run(machine(Do=_by_arn(WORK, {"raise": "NotNow"}) | {"End": True}), {})
    assert (ended["status"], ended["error"]) == ("FAILED", "NotNow")
    assert json.loads(ended["cause"])["errorMessage"] == "as you wished"


@pytest.fixture
def waiting(machine):
    """A state machine that waits for a task token, and then says so."""
    parameters = {"FunctionName": WORK, "Payload": {"say.$": "$$.Task.Token"}}
    wait = {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken", "Parameters": parameters}
    return machine(Wait=wait | {"TimeoutSeconds": 3600, "Next": "Then"}, Then={"Type": "Pass", "End": True})


def test_a_task_token_ends_the_wait(small, states, waiting):
    """SendTaskSuccess with the token that the function got lets the execution go on."""
    execution = states.start_execution(stateMachineArn=waiting, input="{}")["executionArn"]
    states.send_task_success(taskToken=_token(small, states, execution), output='{"go": "on"}')
    ended = wait(small, states, execution)
    assert (ended["status"], json.loads(ended["output"])) == ("SUCCEEDED", {"go": "on"})


def _token(small, states, execution):
    """Wait until the execution waits for its token, and read it in its history."""

    def submitted():
        events = states.get_execution_history(executionArn=execution)["events"]
        return [event for event in events if event["type"] == "TaskSubmitted"]

    small.wait_until(submitted, "it does not wait")
    events = states.get_execution_history(executionArn=execution)["events"]
    scheduled = next(event["taskScheduledEventDetails"] for event in events if event["type"] == "TaskScheduled")
    return json.loads(scheduled["parameters"])["Payload"]["say"]


def test_the_same_name_and_input_is_the_same_execution_while_it_runs(states, waiting):
    """Started again under its name and with its input, a running execution is given back; anything else is refused."""
    first = states.start_execution(stateMachineArn=waiting, name="once", input='{"a": 1}')
    again = states.start_execution(stateMachineArn=waiting, name="once", input='{"a": 1}')
    assert (again["executionArn"], again["startDate"]) == (first["executionArn"], first["startDate"])
    with pytest.raises(states.exceptions.ExecutionAlreadyExists):
        states.start_execution(stateMachineArn=waiting, name="once", input='{"a": 2}')
    states.stop_execution(executionArn=first["executionArn"])
    with pytest.raises(states.exceptions.ExecutionAlreadyExists):
        states.start_execution(stateMachineArn=waiting, name="once", input='{"a": 1}')


def test_executions_without_a_name_are_all_different(states, machine):
    """AWS names an execution that nobody named."""
    arn = machine(Do={"Type": "Pass", "End": True})
    first, second = (states.start_execution(stateMachineArn=arn)["executionArn"] for _ in range(2))
    assert first != second


@pytest.mark.parametrize("name", ["with space", "x" * 81, "a:b", "a/b"])
def test_a_name_that_aws_refuses_is_refused(states, waiting, name):
    """Names have 1 to 80 characters, and many are not allowed."""
    with pytest.raises(states.exceptions.InvalidName):
        states.start_execution(stateMachineArn=waiting, name=name)


def test_stop_ends_a_wait_at_once(small, states, waiting):
    """A stopped execution is ABORTED at once, with the error and the cause that it was stopped with, and stays so."""
    execution = states.start_execution(stateMachineArn=waiting, input="{}")["executionArn"]
    token = _token(small, states, execution)
    stopped = states.stop_execution(executionArn=execution, error="Stopped", cause="by hand")
    ended = states.describe_execution(executionArn=execution)
    assert (ended["status"], ended["error"], ended["cause"]) == ("ABORTED", "Stopped", "by hand")
    assert abs((ended["stopDate"] - stopped["stopDate"]).total_seconds()) < 1
    with pytest.raises(ClientError):
        states.send_task_success(taskToken=token, output="{}")
    assert states.describe_execution(executionArn=execution)["status"] == "ABORTED"


def test_nothing_is_started_after_a_stop(small, states, machine, tmp_path):
    """Tasks under way at a stop end on their own; no further item of the Map is begun, no Retry and no next state."""
    items = [{"note": str(tmp_path / "note"), "meet": str(tmp_path), "people": 5, "raise": "NotNow"}] * 10
    retry = [{"ErrorEquals": ["NotNow"], "IntervalSeconds": 1, "MaxAttempts": 5}]
    catch = [{"ErrorEquals": ["States.ALL"], "Next": "Then"}]
    then = _by_arn(WORK, {"note": str(tmp_path / "note")}) | {"End": True}
    do = {"Type": "Task", "Resource": WORK, "Retry": retry, "Catch": catch, "Next": "Then"}
    processor = {"ProcessorConfig": {"Mode": "INLINE"}, "StartAt": "Do", "States": {"Do": do, "Then": then}}
    each = {"Type": "Map", "MaxConcurrency": 2, "ItemProcessor": processor, "Next": "After"}
    arn = machine(Each=each, After=then)
    execution = states.start_execution(stateMachineArn=arn, input=json.dumps(items))["executionArn"]
    small.wait_until(lambda: len(list(tmp_path.iterdir())) == 3, "two tasks did not begin")
    states.stop_execution(executionArn=execution)
    for number in range(2):
        (tmp_path / f"others-{number}").touch()
    worker_threads = [thread for thread in threading.enumerate() if "_execution_logic" in thread.name]
    for thread in worker_threads:
        thread.join(10)
    assert (tmp_path / "note").read_text().count("\n") == 2
    assert states.describe_execution(executionArn=execution)["status"] == "ABORTED"


def test_a_map_of_thousands_of_items_comes_to_its_end(small, machine, run, bucket):
    """A worker of a Map gets through more items than Python's recursion would allow moto by itself."""
    small.client("s3").put_object(Bucket=bucket, Key="items.json", Body=json.dumps(list(range(1_010))))
    reader = {"Resource": "arn:aws:states:::s3:getObject", "ReaderConfig": {"InputType": "JSON"}}
    processor = {
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
        "StartAt": "Do",
        "States": {"Do": {"Type": "Pass", "End": True}},
    }
    reader["Parameters"] = {"Bucket": bucket, "Key": "items.json"}
    each = {"Type": "Map", "MaxConcurrency": 1, "ItemReader": reader, "ItemProcessor": processor, "End": True}
    ended = run(machine(Each=each), {})
    assert json.loads(ended["output"]) == list(range(1_010))

"""The embedded AWS executes state machines as Step Functions does, with AWS's error names."""

import json
import re
import threading
import uuid

import pytest
from botocore.exceptions import ClientError
from moto.stepfunctions.parser.asl.component.program.program import Program

WORK = "arn:aws:lambda:eu-west-1:123456789012:function:small-dev-work"
ROLE = "arn:aws:iam::123456789012:role/any"


@pytest.fixture(scope="module")
def step_functions(app):
    return app.client("stepfunctions")


@pytest.fixture
def create_machine(step_functions):
    """Creates a state machine from its states, the first of which is the start; returns its ARN."""

    def create_machine(**definition):
        text = json.dumps({"StartAt": next(iter(definition)), "States": definition})
        name = f"machine-{uuid.uuid4()}"
        return step_functions.create_state_machine(name=name, definition=text, roleArn=ROLE)["stateMachineArn"]

    return create_machine


@pytest.fixture
def execute(app, step_functions):
    """Executes a state machine to its end; returns the execution's description."""

    def execute(arn, execution_input):
        execution = step_functions.start_execution(stateMachineArn=arn, input=json.dumps(execution_input))[
            "executionArn"
        ]
        return wait_for_end(app, step_functions, execution)

    return execute


def event_types(step_functions, execution):
    """The types of the events in an execution's history."""
    found = step_functions.get_execution_history(executionArn=execution)["events"]
    return [event["type"] for event in found]


def wait_for_end(app, step_functions, execution):
    """Wait until an execution has ended; return its description."""

    def description():
        return step_functions.describe_execution(executionArn=execution)

    app.wait_until(lambda: description()["status"] != "RUNNING", "the execution does not end")
    return description()


@pytest.fixture
def bucket(app):
    client = app.client("s3")
    name = f"bucket-{uuid.uuid4()}"
    client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    return name


def test_all_features_that_our_state_machine_uses_work_together(app, create_machine, execute, bucket, tmp_path):
    """A distributed Map over a manifest in S3, a read from DynamoDB, an inline Map with Retry and Catch, and a mail."""
    items = [{"marker": str(tmp_path / "good")}, {"marker": str(tmp_path / "bad"), "raise": "NotNow"}]
    batches = [{"index": number, "items": items} for number in range(2)]
    app.client("s3").put_object(Bucket=bucket, Key="run/manifest.json", Body=json.dumps(batches))
    topic = app.client("sns").create_topic(Name="results")["TopicArn"]
    app.client("sns").subscribe(TopicArn=topic, Protocol="email", Endpoint="on-duty@example.com")
    arn = create_machine(Batches=_map_of_batches(bucket, _create_switches(app)), Notify=_publish(topic))
    subject = f"Run {uuid.uuid4()}"
    ended = execute(arn, {"bucket": bucket, "key": "run/manifest.json", "at_once": 2, "subject": subject})
    assert ended["status"] == "SUCCEEDED", ended
    written = json.loads(app.mailbox.wait_for(lambda mail: mail["Subject"] == subject).get_content().split("\n")[0])
    assert app.client("s3").head_object(**written["ResultWriterDetails"])
    logged = '[{"ok": true}, {"error": "NotNow"}]'
    app.wait_until(lambda: app.logged(f"LOG {logged}"), "batch 0 did not process its items")
    app.wait_until(lambda: app.logged('LOG "halted"'), "batch 1 did not read its switch")
    attempts = {name: (tmp_path / name).read_text().count("\n") for name in ("good", "bad")}
    assert attempts == {"good": 1, "bad": 2}


def _create_switches(app):
    """Create a table with a switch for each batch: batch 0 may run, batch 1 is halted."""
    client = app.client("dynamodb")
    client.create_table(
        TableName="switches",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "N"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    for number, halted in enumerate((False, True)):
        client.put_item(TableName="switches", Item={"id": {"N": str(number)}, "halted": {"BOOL": halted}})
    return "switches"


def _map_of_batches(bucket, table):
    """A distributed Map with a child for each batch in the manifest."""
    return {
        "Type": "Map",
        "ItemReader": {
            "Resource": "arn:aws:states:::s3:getObject",
            "ReaderConfig": {"InputType": "JSON"},
            "Parameters": {"Bucket.$": "$.bucket", "Key.$": "$.key"},
        },
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
            "StartAt": "ReadSwitch",
            "States": _child(table),
        },
        "MaxConcurrencyPath": "$.at_once",
        "ToleratedFailurePercentage": 100.0,
        "ResultWriter": {
            "Resource": "arn:aws:states:::s3:putObject",
            "Parameters": {"Bucket": bucket, "Prefix": "results"},
        },
        "ResultPath": "$.written",
        "Next": "Notify",
    }


def _child(table):
    """Read the batch's switch, process its items unless the batch is halted, and log the result."""
    return {
        "ReadSwitch": {
            "Type": "Task",
            "Resource": "arn:aws:states:::dynamodb:getItem",
            "Parameters": {"TableName": table, "Key": {"id": {"N.$": "States.Format('{}', $.index)"}}},
            "ResultPath": "$.switch",
            "Next": "IsHalted",
        },
        "IsHalted": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.switch.Item.halted.BOOL", "BooleanEquals": True, "Next": "Halted"}],
            "Default": "EachItem",
        },
        "Halted": {"Type": "Pass", "Result": "halted", "Next": "Log"},
        "EachItem": {
            "Type": "Map",
            "ItemsPath": "$.items",
            "MaxConcurrency": 2,
            "ItemProcessor": _item_processor(),
            "Next": "Log",
        },
        "Log": {"Type": "Task", "Resource": WORK, "Parameters": {"log.$": "$"}, "End": True},
    }


def _item_processor():
    """Process an item, retry once after NotNow, and return the error's name after that."""
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


def _publish(topic):
    parameters = {"TopicArn": topic, "Subject.$": "$.subject", "Message.$": "States.JsonToString($.written)"}
    return {"Type": "Task", "Resource": "arn:aws:states:::sns:publish", "Parameters": parameters, "End": True}


def _by_arn(function, event):
    return {"Type": "Task", "Resource": function, "Parameters": event}


def _by_invoke(function, event):
    parameters = {"FunctionName": function, "Payload": event}
    return {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Parameters": parameters}


@pytest.mark.usefixtures("broken_functions")
@pytest.mark.parametrize("task", [_by_arn, _by_invoke])
@pytest.mark.parametrize(
    ("function", "event", "name"),
    [
        (WORK, {"raise": "NotNow"}, "NotNow"),
        (WORK, {"exit": 1}, "Runtime.ExitError"),
        (WORK, {"sleep": 20}, "States.Timeout"),
        (WORK.replace("work", "hang"), {"marker": "/dev/null"}, "Sandbox.Timedout"),
        (WORK.replace("work", "nobody"), {}, "Lambda.ResourceNotFoundException"),
        (WORK.replace("small-dev-work", "no-zip"), {}, "Lambda.ServiceException"),
        (WORK.replace("work", "tick"), {}, "Lambda.TooManyRequestsException"),
    ],
)
def test_a_failed_task_is_caught_by_the_name_that_aws_gives_its_error(
    create_machine, execute, task, function, event, name
):
    """The task may name the function by its ARN or use lambda:invoke."""
    catch = {"Catch": [{"ErrorEquals": [name], "Next": "Caught"}], "End": True}
    limit = {"TimeoutSeconds": 1 if name == "States.Timeout" else 30}
    caught = {"Type": "Pass", "Parameters": {"caught.$": "$.Error"}, "End": True}
    ended = execute(create_machine(Do=task(function, event) | catch | limit, Caught=caught), {})
    assert (ended["status"], json.loads(ended.get("output", "null"))) == ("SUCCEEDED", {"caught": name}), ended


@pytest.fixture(scope="module")
def broken_functions(app):
    """A function whose package is not a zip file, and one that is always throttled."""
    client = app.client("lambda")
    role = client.get_function_configuration(FunctionName="small-dev-work")["Role"]
    options = {"Role": role, "Handler": "main.handler", "Runtime": "python3.11"}
    client.create_function(FunctionName="no-zip", Code={"ZipFile": b"no zip"}, **options)
    client.put_function_concurrency(FunctionName="small-dev-tick", ReservedConcurrentExecutions=0)


def test_an_error_that_is_not_caught_fails_the_execution_under_its_name(create_machine, execute):
    """The cause contains the error's message."""
    ended = execute(create_machine(Do=_by_arn(WORK, {"raise": "NotNow"}) | {"End": True}), {})
    assert (ended["status"], ended["error"]) == ("FAILED", "NotNow")
    assert json.loads(ended["cause"])["errorMessage"] == "as you wished"


@pytest.fixture
def waiting_machine(create_machine):
    """A state machine that waits for a task token, and then ends."""
    parameters = {"FunctionName": WORK, "Payload": {"log.$": "$$.Task.Token"}}
    wait = {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken", "Parameters": parameters}
    return create_machine(Wait=wait | {"TimeoutSeconds": 3600, "Next": "Then"}, Then={"Type": "Pass", "End": True})


def test_send_task_success_ends_the_wait_for_a_task_token(app, step_functions, waiting_machine):
    """The function got the token when it was invoked."""
    execution = step_functions.start_execution(stateMachineArn=waiting_machine, input="{}")["executionArn"]
    step_functions.send_task_success(taskToken=_token(app, step_functions, execution), output='{"go": "on"}')
    ended = wait_for_end(app, step_functions, execution)
    assert (ended["status"], json.loads(ended["output"])) == ("SUCCEEDED", {"go": "on"})


def _token(app, step_functions, execution):
    """Wait until the execution waits, and return the token from its history."""

    def submitted():
        events = step_functions.get_execution_history(executionArn=execution)["events"]
        return [event for event in events if event["type"] == "TaskSubmitted"]

    app.wait_until(submitted, "the execution does not wait")
    events = step_functions.get_execution_history(executionArn=execution)["events"]
    scheduled = next(event["taskScheduledEventDetails"] for event in events if event["type"] == "TaskScheduled")
    return json.loads(scheduled["parameters"])["Payload"]["log"]


def test_starting_a_running_execution_again_with_the_same_input_returns_it(step_functions, waiting_machine):
    """Other input is refused, and so is the name of an execution that has ended."""
    first = step_functions.start_execution(stateMachineArn=waiting_machine, name="once", input='{"a": 1}')
    again = step_functions.start_execution(stateMachineArn=waiting_machine, name="once", input='{"a": 1}')
    assert (again["executionArn"], again["startDate"]) == (first["executionArn"], first["startDate"])
    with pytest.raises(step_functions.exceptions.ExecutionAlreadyExists):
        step_functions.start_execution(stateMachineArn=waiting_machine, name="once", input='{"a": 2}')
    step_functions.stop_execution(executionArn=first["executionArn"])
    with pytest.raises(step_functions.exceptions.ExecutionAlreadyExists):
        step_functions.start_execution(stateMachineArn=waiting_machine, name="once", input='{"a": 1}')


def test_a_state_sees_when_its_execution_started(create_machine, execute):
    """As text, so that it can become a part of another."""
    pass_on = {"start.$": "$$.Execution.StartTime", "text.$": "States.Format('at {}', $$.Execution.StartTime)"}
    machine = create_machine(Tell={"Type": "Pass", "Parameters": pass_on, "End": True})
    output = json.loads(execute(machine, {})["output"])
    assert output["text"] == f"at {output['start']}"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", output["start"])


def test_executions_without_a_name_get_different_names(step_functions, create_machine):
    """AWS generates a name then."""
    arn = create_machine(Do={"Type": "Pass", "End": True})
    first, second = (step_functions.start_execution(stateMachineArn=arn)["executionArn"] for _ in range(2))
    assert first != second


@pytest.mark.parametrize("name", ["with space", "x" * 81, "a:b", "a/b"])
def test_an_execution_name_that_aws_would_refuse_is_invalid(step_functions, waiting_machine, name):
    """Names have 1 to 80 characters, and many characters are not allowed."""
    with pytest.raises(step_functions.exceptions.InvalidName):
        step_functions.start_execution(stateMachineArn=waiting_machine, name=name)


def test_stopping_an_execution_ends_its_wait_at_once(app, step_functions, waiting_machine):
    """It is ABORTED with the error and the cause of the call, and stays so."""
    execution = step_functions.start_execution(stateMachineArn=waiting_machine, input="{}")["executionArn"]
    token = _token(app, step_functions, execution)
    stopped = step_functions.stop_execution(executionArn=execution, error="Stopped", cause="by hand")
    ended = step_functions.describe_execution(executionArn=execution)
    assert (ended["status"], ended["error"], ended["cause"]) == ("ABORTED", "Stopped", "by hand")
    assert abs((ended["stopDate"] - stopped["stopDate"]).total_seconds()) < 1
    with pytest.raises(ClientError):
        step_functions.send_task_success(taskToken=token, output="{}")
    assert step_functions.describe_execution(executionArn=execution)["status"] == "ABORTED"


def test_a_stopped_execution_starts_no_item_no_retry_and_no_further_state(
    app, step_functions, create_machine, tmp_path
):
    """Tasks that are under way end on their own."""
    items = [{"marker": str(tmp_path / "marker"), "barrier": str(tmp_path), "parties": 5, "raise": "NotNow"}] * 10
    retry = [{"ErrorEquals": ["NotNow"], "IntervalSeconds": 1, "MaxAttempts": 5}]
    catch = [{"ErrorEquals": ["States.ALL"], "Next": "Then"}]
    then = _by_arn(WORK, {"marker": str(tmp_path / "marker")}) | {"End": True}
    do = {"Type": "Task", "Resource": WORK, "Retry": retry, "Catch": catch, "Next": "Then"}
    processor = {"ProcessorConfig": {"Mode": "INLINE"}, "StartAt": "Do", "States": {"Do": do, "Then": then}}
    each = {"Type": "Map", "MaxConcurrency": 2, "ItemProcessor": processor, "Next": "After"}
    arn = create_machine(Each=each, After=then)
    execution = step_functions.start_execution(stateMachineArn=arn, input=json.dumps(items))["executionArn"]
    app.wait_until(lambda: len(list(tmp_path.iterdir())) == 3, "two tasks did not begin")
    step_functions.stop_execution(executionArn=execution)
    for number in range(2):
        (tmp_path / f"others-{number}").touch()
    worker_threads = [thread for thread in threading.enumerate() if "_execution_logic" in thread.name]
    for thread in worker_threads:
        thread.join(10)
    assert (tmp_path / "marker").read_text().count("\n") == 2
    assert step_functions.describe_execution(executionArn=execution)["status"] == "ABORTED"


def test_an_execution_that_is_stopped_while_it_starts_comes_to_its_end(app, step_functions, create_machine):
    """The interpreter takes more than a second to read this definition."""
    wait = {"Type": "Wait", "Seconds": 600, "Next": "0"}
    text = "States.Format('{} {}', $.one, $.other)"
    many = {str(each): {"Type": "Pass", "Parameters": {"text.$": text}, "Next": str(each + 1)} for each in range(600)}
    arn = create_machine(Wait=wait, **many, **{"600": {"Type": "Pass", "End": True}})
    execution = step_functions.start_execution(stateMachineArn=arn)["executionArn"]
    step_functions.stop_execution(executionArn=execution)
    assert step_functions.describe_execution(executionArn=execution)["status"] == "ABORTED"

    app.wait_until(lambda: "ExecutionAborted" in event_types(step_functions, execution), "the execution goes on")
    assert step_functions.describe_execution(executionArn=execution)["status"] == "ABORTED"


def test_an_execution_that_is_stopped_while_it_goes_to_its_next_state_comes_to_its_end(
    app, step_functions, create_machine, monkeypatch
):
    """The interpreter has not noted yet which that is."""
    evaluate = Program._eval_body

    def stop_first(program, environment):
        execution = environment.states.context_object.context_object_data["Execution"]["Id"]
        step_functions.stop_execution(executionArn=execution)
        environment.next_state_name = "Wait"
        evaluate(program, environment)

    monkeypatch.setattr(Program, "_eval_body", stop_first)
    arn = create_machine(Wait={"Type": "Wait", "Seconds": 600, "End": True})
    execution = step_functions.start_execution(stateMachineArn=arn)["executionArn"]

    ended = ["ExecutionStarted", "ExecutionAborted"]
    app.wait_until(lambda: event_types(step_functions, execution) == ended, "the execution does not end")


def test_a_map_of_a_thousand_items_completes(app, create_machine, execute, bucket):
    """moto alone would reach Python's recursion limit."""
    app.client("s3").put_object(Bucket=bucket, Key="items.json", Body=json.dumps(list(range(1_010))))
    reader = {"Resource": "arn:aws:states:::s3:getObject", "ReaderConfig": {"InputType": "JSON"}}
    processor = {
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
        "StartAt": "Do",
        "States": {"Do": {"Type": "Pass", "End": True}},
    }
    reader["Parameters"] = {"Bucket": bucket, "Key": "items.json"}
    each = {"Type": "Map", "MaxConcurrency": 1, "ItemReader": reader, "ItemProcessor": processor, "End": True}
    ended = execute(create_machine(Each=each), {})
    assert json.loads(ended["output"]) == list(range(1_010))

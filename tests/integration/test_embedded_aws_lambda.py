"""The embedded AWS runs functions as Lambda does: from their packages, in processes of their own."""

import io
import json
import os
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:small-dev-work"


def test_a_function_runs_from_its_deployed_package(small):
    """A function gets its event and its own ARN, and runs from its unzipped package, not from our source."""
    answer, error = small.invoke({"a": 1})
    assert error is None
    assert answer["event"] == {"a": 1}
    assert answer["arn"] == ARN
    assert (Path(answer["environment"]["LAMBDA_TASK_ROOT"]) / "app.py").exists()
    assert not answer["environment"]["LAMBDA_TASK_ROOT"].startswith(str(small.folder))


def test_a_function_sees_lambdas_environment_and_its_own(small):
    """A function finds its stage's variables, Lambda's own and an access key that names it, and nothing of ours."""
    os.environ["OF_THE_TEST"] = "secret"
    answer, _ = small.invoke({})
    environment = answer["environment"]
    assert environment["GREETING"] == "hello"
    assert environment["AWS_LAMBDA_FUNCTION_NAME"] == "small-dev-work"
    assert environment["AWS_ENDPOINT_URL"] == small.aws.endpoint
    assert answer["key"] == "small-dev-work"
    assert 15_000 < answer["left"] <= 20_000
    assert "OF_THE_TEST" not in environment


@pytest.mark.parametrize(("module", "there"), [("boto3", True), ("moto", False), ("requests", False)])
def test_a_function_imports_what_lambda_has_and_nothing_else_of_ours(small, module, there):
    """boto3 is there as on Lambda; what the package forgot to bring is missing as on Lambda."""
    answer, error = small.invoke({"import": module})
    assert (error is None) is there
    assert answer == module if there else answer["errorType"] == "ModuleNotFoundError"


def test_a_warm_process_is_used_again(small):
    """Two calls, one after the other, are served by one process."""
    assert small.invoke({})[0]["pid"] == small.invoke({})[0]["pid"]


def test_calls_at_the_same_time_run_at_the_same_time(small, tmp_path):
    """Four calls that wait for each other all return: each has a process of its own."""
    with ThreadPoolExecutor(4) as threads:
        calls = [threads.submit(small.invoke, {"meet": str(tmp_path), "people": 4}) for _ in range(4)]
        answers = [call.result() for call in calls]
    assert all(error is None for _, error in answers)
    assert len({answer["pid"] for answer, _ in answers}) == 4


def test_the_functions_own_timeout_kills_it(small, tmp_path):
    """A function that runs too long fails as Sandbox.Timedout, and its process with all that it started is gone."""
    answer, error = small.invoke({"note": str(tmp_path / "pid")}, "small-dev-hang")
    assert error == "Unhandled"
    assert answer["errorType"] == "Sandbox.Timedout"
    assert answer["errorMessage"].endswith("Error: Task timed out after 1.00 seconds")
    group = (tmp_path / "pid").read_text()
    small.wait_until(lambda: not _alive_in_group(group), "its processes are still there")


def _alive_in_group(group):
    """Processes of a group, but for zombies that their new parent has not yet taken notice of."""
    stats = [_stat(path) for path in Path("/proc").glob("[0-9]*/stat")]
    return [fields for fields in stats if fields and fields[2] == group and fields[0] != "Z"]


def _stat(path):
    """State, parent and group of a process; nothing if it is gone."""
    try:
        return path.read_text().rpartition(")")[2].split()
    except OSError:
        return None


@pytest.mark.parametrize(("code", "how"), [(3, "error: exit status 3"), (0, "out providing a reason")])
def test_a_function_that_exits_fails_as_exit_error(small, code, how):
    """A process that ends in the middle of a call fails that call as Runtime.ExitError, and the next one is served."""
    answer, error = small.invoke({"exit": code})
    assert error == "Unhandled"
    assert answer["errorType"] == "Runtime.ExitError"
    assert answer["errorMessage"].endswith(f"Runtime exited with{how}" if code == 0 else f"Runtime exited with {how}")
    assert small.invoke({})[1] is None


def test_a_killed_process_fails_its_call(small, tmp_path):
    """kill_one kills a busy process, whose call fails as Runtime.ExitError; with none busy it says so."""
    assert not small.aws.lambdas.kill_one("small-dev-work")
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(small.invoke, {"note": str(tmp_path / "note"), "sleep": 15})
        small.wait_until((tmp_path / "note").exists, "it never began")
        assert small.aws.lambdas.kill_one("small-dev-work")
        answer, error = call.result()
    assert error == "Unhandled"
    assert answer["errorMessage"].endswith("Runtime exited with error: signal: killed")


def test_an_exceptions_class_is_the_errors_type(small):
    """An exception surfaces under its class name, with its message."""
    answer, error = small.invoke({"raise": "NotNow"})
    assert error == "Unhandled"
    assert (answer["errorType"], answer["errorMessage"]) == ("NotNow", "as you wished")


def test_an_event_runs_behind_and_again_when_it_fails(small, tmp_path):
    """An asynchronous call answers 202 before it ran; failing, it is tried three times in all, under one request id."""
    note = tmp_path / "note"
    event = json.dumps({"note": str(note), "raise": "ValueError"})
    reply = small.client("lambda").invoke(FunctionName=ARN, Payload=event, InvocationType="Event")
    assert reply["StatusCode"] == 202
    small.aws.lambdas.wait_for_events()
    request_ids = note.read_text().split()
    assert len(request_ids) == 3
    assert set(request_ids) == {reply["ResponseMetadata"]["RequestId"]}


def test_the_event_invoke_config_says_how_often_an_event_is_tried(small, tmp_path):
    """With MaximumRetryAttempts 0 a failing event is tried once."""
    client, note = small.client("lambda"), tmp_path / "note"
    client.put_function_event_invoke_config(FunctionName="small-dev-work", MaximumRetryAttempts=0)
    event = json.dumps({"note": str(note), "raise": "ValueError"})
    client.invoke(FunctionName="small-dev-work", Payload=event, InvocationType="Event")
    small.aws.lambdas.wait_for_events()
    client.delete_function_event_invoke_config(FunctionName="small-dev-work")
    assert len(note.read_text().split()) == 1


def test_a_dry_run_runs_nothing(small, tmp_path):
    """DryRun answers 204 and leaves the function alone."""
    event = json.dumps({"note": str(tmp_path / "note")})
    reply = small.client("lambda").invoke(FunctionName="small-dev-work", Payload=event, InvocationType="DryRun")
    assert reply["StatusCode"] == 204
    assert not (tmp_path / "note").exists()


@pytest.mark.parametrize("name", ["nobody", ARN + "s"])
def test_an_unknown_function_is_refused(small, name):
    """A name or an ARN that nothing was deployed under is a ResourceNotFoundException."""
    with pytest.raises(ClientError) as caught:
        small.invoke({}, name)
    assert caught.value.response["Error"]["Code"] == "ResourceNotFoundException"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404


@pytest.mark.parametrize(("kind", "limit"), [("RequestResponse", 6 * 1024 * 1024), ("Event", 1024 * 1024)])
def test_too_large_a_payload_is_refused(small, kind, limit):
    """Six megabytes are the limit of a call, one that of an event."""
    event = {"filler": "x" * limit}
    with pytest.raises(ClientError) as caught:
        small.invoke(event, InvocationType=kind)
    assert caught.value.response["Error"]["Code"] == "RequestTooLargeException"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413


def test_too_large_an_answer_is_an_error(small):
    """A function may not answer more than six megabytes."""
    answer, error = small.invoke({"big": 6 * 1024 * 1024 + 1})
    assert error == "Unhandled"
    assert answer["errorType"] == "Function.ResponseSizeTooLarge"


def test_reserved_concurrency_throttles(small, tmp_path):
    """With one execution reserved, a second at the same time is refused with 429."""
    client = small.client("lambda")
    client.put_function_concurrency(FunctionName="small-dev-work", ReservedConcurrentExecutions=1)
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(small.invoke, {"note": str(tmp_path / "note"), "meet": str(tmp_path), "people": 3})
        small.wait_until((tmp_path / "note").exists, "it never began")
        with pytest.raises(client.exceptions.TooManyRequestsException):
            client.invoke(FunctionName="small-dev-work")
        (tmp_path / "third").touch()
        assert call.result()[1] is None
    client.delete_function_concurrency(FunctionName="small-dev-work")


def test_a_changed_configuration_starts_afresh(small):
    """After an update of its variables the next call is served by a new process that has them."""
    client = small.client("lambda")
    before, _ = small.invoke({})
    client.update_function_configuration(FunctionName="small-dev-work", Environment={"Variables": {"GREETING": "bye"}})
    after, _ = small.invoke({})
    assert after["environment"]["GREETING"] == "bye"
    assert after["pid"] != before["pid"]
    assert before["pid"] not in small.aws.lambdas.processes()


def test_changed_code_starts_afresh(small):
    """After an update of its code the next call runs the new code."""
    client = small.client("lambda")
    code = _zipped("def handler(event, context):\n    return 'first'\n")
    role = client.get_function_configuration(FunctionName="small-dev-work")["Role"]
    options = {"Role": role, "Handler": "main.handler", "Runtime": "python3.11"}
    client.create_function(FunctionName="changing", Code={"ZipFile": code}, **options)
    assert small.invoke({}, "changing")[0] == "first"
    code = _zipped("def handler(event, context):\n    return 'second'\n")
    client.update_function_code(FunctionName="changing", ZipFile=code)
    assert small.invoke({}, "changing")[0] == "second"


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("import not_there\n", "Runtime.ImportModuleError"),
        ("1 / 0\n", "ZeroDivisionError"),
        ("import os\nos._exit(1)\n", "Runtime.ExitError"),
        ("", "Runtime.HandlerNotFound"),
    ],
)
def test_a_function_that_cannot_start_says_why(small, source, kind):
    """A failing import answers the call that needed it, by the name that Lambda has for it."""
    client = small.client("lambda")
    role = client.get_function_configuration(FunctionName="small-dev-work")["Role"]
    options = {"Role": role, "Handler": "main.handler", "Runtime": "python3.11"}
    client.create_function(FunctionName="unable", Code={"ZipFile": _zipped(source)}, **options)
    answer, error = small.invoke({}, "unable")
    client.delete_function(FunctionName="unable")
    assert error == "Unhandled"
    assert answer["errorType"] == kind


def test_a_package_that_is_no_zip_file_is_lambdas_own_error(small):
    """What keeps a function from being run at all is a ServiceException with status 500."""
    client = small.client("lambda")
    role = client.get_function_configuration(FunctionName="small-dev-work")["Role"]
    options = {"Role": role, "Handler": "main.handler", "Runtime": "python3.11"}
    client.create_function(FunctionName="no-zip", Code={"ZipFile": b"no zip"}, **options)
    with pytest.raises(client.exceptions.ServiceException):
        small.invoke({}, "no-zip")


def _zipped(source):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as package:
        package.writestr("main.py", source)
    return target.getvalue()


def test_failed_transactions_take_no_other_writes_with_them(small):
    """Writes to DynamoDB survive transactions that fail at the same time."""
    client = small.client("dynamodb")
    key = {"AttributeName": "id", "AttributeType": "S"}
    client.create_table(
        TableName="table",
        AttributeDefinitions=[key],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    done = threading.Event()
    failing = threading.Thread(target=_fail_transactions, args=(small.client("dynamodb"), done))
    failing.start()
    with ThreadPoolExecutor(4) as threads:
        ids = [str(number) for number in range(100)]
        list(threads.map(lambda one: client.put_item(TableName="table", Item={"id": {"S": one}}), ids))
    done.set()
    failing.join()
    stored = client.scan(TableName="table", ConsistentRead=True)["Items"]
    assert {item["id"]["S"] for item in stored} == set(ids)


def _fail_transactions(client, done):
    write = {"TableName": "table", "Item": {"id": {"S": "never"}}, "ConditionExpression": "attribute_exists(id)"}
    while not done.is_set():
        with pytest.raises(client.exceptions.TransactionCanceledException):
            client.transact_write_items(TransactItems=[{"Put": write}])
        time.sleep(0.001)

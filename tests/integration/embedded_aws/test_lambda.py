"""The embedded AWS runs functions as Lambda does: from their packages, in separate processes."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.integration.embedded_aws.packages import zipped

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:small-dev-work"


def test_a_function_runs_from_its_deployed_package(app):
    """It runs from the unzipped package, not from the project's source."""
    answer, error = app.invoke({"a": 1})
    assert error is None
    assert answer["event"] == {"a": 1}
    assert answer["arn"] == ARN
    assert (Path(answer["environment"]["LAMBDA_TASK_ROOT"]) / "app.py").exists()
    assert not answer["environment"]["LAMBDA_TASK_ROOT"].startswith(str(app.folder))


def test_a_function_has_lambdas_environment_and_its_own_but_not_the_tests(app, monkeypatch):
    """Its access key names the function."""
    monkeypatch.setenv("OF_THE_TEST", "secret")
    answer, _ = app.invoke({})
    environment = answer["environment"]
    assert environment["GREETING"] == "hello"
    assert environment["AWS_LAMBDA_FUNCTION_NAME"] == "small-dev-work"
    assert environment["AWS_ENDPOINT_URL"] == app.aws.endpoint
    assert answer["key"] == "small-dev-work"
    assert 3_000 < answer["left"] <= 20_000  # 3 s is what a function has that says nothing
    assert "OF_THE_TEST" not in environment


@pytest.mark.parametrize(("module", "available"), [("boto3", True), ("moto", False), ("requests", False)])
def test_a_function_imports_only_its_package_and_what_lambda_provides(app, module, available):
    """Lambda provides boto3. What the package lacks is missing, even if it is installed here."""
    answer, error = app.invoke({"import": module})
    assert (error is None) is available
    assert answer == module if available else answer["errorType"] == "ModuleNotFoundError"


def test_a_warm_process_is_used_again(app):
    """One process serves two calls, one after the other."""
    assert app.invoke({})[0]["pid"] == app.invoke({})[0]["pid"]


def test_concurrent_calls_run_in_different_processes(app, tmp_path):
    """Four calls wait for each other, and all of them return."""
    with ThreadPoolExecutor(4) as threads:
        calls = [threads.submit(app.invoke, {"barrier": str(tmp_path), "parties": 4}) for _ in range(4)]
        answers = [call.result() for call in calls]
    assert all(error is None for _, error in answers)
    assert len({answer["pid"] for answer, _ in answers}) == 4


def test_a_function_that_exceeds_its_timeout_is_killed_with_all_that_it_started(app, tmp_path):
    """The call fails as Sandbox.Timedout. If it has not begun within its second, it is called again."""
    marker = tmp_path / "pid"
    while not marker.exists() or not marker.read_text():
        answer, error = app.invoke({"marker": str(marker)}, "small-dev-hang")
        assert error == "Unhandled"
        assert answer["errorType"] == "Sandbox.Timedout"
        assert answer["errorMessage"].endswith("Error: Task timed out after 1.00 seconds")
    group = marker.read_text()
    app.wait_until(lambda: not _alive_in_group(group), "its processes still run")


def _alive_in_group(group):
    """The processes of a group, without zombies that their new parent has not reaped yet."""
    stats = [_stat(path) for path in Path("/proc").glob("[0-9]*/stat")]
    return [fields for fields in stats if fields and fields[2] == group and fields[0] != "Z"]


def _stat(path):
    """State, parent and group of a process; None if it has ended."""
    try:
        return path.read_text().rpartition(")")[2].split()
    except OSError:
        return None


@pytest.mark.parametrize(("code", "how"), [(3, "error: exit status 3"), (0, "out providing a reason")])
def test_a_call_whose_process_exits_fails_as_runtime_exit_error(app, code, how):
    """The next call is served."""
    answer, error = app.invoke({"exit": code})
    assert error == "Unhandled"
    assert answer["errorType"] == "Runtime.ExitError"
    assert answer["errorMessage"].endswith(f"Runtime exited with{how}" if code == 0 else f"Runtime exited with {how}")
    assert app.invoke({})[1] is None


def test_kill_one_kills_a_busy_process_whose_call_then_fails(app, tmp_path):
    """If no process is busy, kill_one returns False."""
    assert not app.aws.lambdas.kill_one("small-dev-work")
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(app.invoke, {"marker": str(tmp_path / "marker"), "sleep": 15})
        app.wait_until((tmp_path / "marker").exists, "the call never began")
        assert app.aws.lambdas.kill_one("small-dev-work")
        answer, error = call.result()
    assert error == "Unhandled"
    assert answer["errorMessage"].endswith("Runtime exited with error: signal: killed")


def test_an_event_whose_process_is_killed_can_be_delivered_again(app, tmp_path):
    """Lambda may deliver an asynchronous event more than once. If no process is busy, nothing is delivered."""
    assert not app.aws.lambdas.kill_and_repeat("small-dev-work")
    marker, barrier = tmp_path / "marker", tmp_path / "barrier"
    barrier.mkdir()
    with ThreadPoolExecutor(1) as threads:
        # The first one waits for the second.
        call = threads.submit(app.invoke, {"marker": str(marker), "barrier": str(barrier), "parties": 2})
        app.wait_until(marker.exists, "the call never began")
        assert app.aws.lambdas.kill_and_repeat("small-dev-work")
        assert call.result()[1] == "Unhandled"
    app.aws.lambdas.wait_for_events()
    assert len(marker.read_text().split()) == 2


def test_the_error_of_a_failed_call_has_the_name_and_message_of_the_exception(app):
    """Retry and Catch in a state machine depend on the name."""
    answer, error = app.invoke({"raise": "NotNow"})
    assert error == "Unhandled"
    assert (answer["errorType"], answer["errorMessage"]) == ("NotNow", "as you wished")


def test_an_asynchronous_call_that_fails_is_tried_three_times(app, tmp_path):
    """It is answered with 202 before it runs. All tries have the same request id."""
    marker = tmp_path / "marker"
    event = json.dumps({"marker": str(marker), "raise": "ValueError"})
    reply = app.client("lambda").invoke(FunctionName=ARN, Payload=event, InvocationType="Event")
    assert reply["StatusCode"] == 202
    app.aws.lambdas.wait_for_events()
    request_ids = marker.read_text().split()
    assert len(request_ids) == 3
    assert set(request_ids) == {reply["ResponseMetadata"]["RequestId"]}


def test_an_asynchronous_call_is_tried_as_often_as_its_event_invoke_config_says(app, tmp_path):
    """MaximumRetryAttempts 0 allows one try."""
    client, marker = app.client("lambda"), tmp_path / "marker"
    client.put_function_event_invoke_config(FunctionName="small-dev-work", MaximumRetryAttempts=0)
    event = json.dumps({"marker": str(marker), "raise": "ValueError"})
    client.invoke(FunctionName="small-dev-work", Payload=event, InvocationType="Event")
    app.aws.lambdas.wait_for_events()
    client.delete_function_event_invoke_config(FunctionName="small-dev-work")
    assert len(marker.read_text().split()) == 1


def test_a_dry_run_is_answered_with_204_and_runs_nothing(app, tmp_path):
    """The call has the InvocationType DryRun."""
    event = json.dumps({"marker": str(tmp_path / "marker")})
    reply = app.client("lambda").invoke(FunctionName="small-dev-work", Payload=event, InvocationType="DryRun")
    assert reply["StatusCode"] == 204
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("name", ["nobody", ARN + "s"])
def test_an_unknown_function_is_a_resource_not_found_exception(app, name):
    """A call may give the name or the ARN."""
    with pytest.raises(ClientError) as caught:
        app.invoke({}, name)
    assert caught.value.response["Error"]["Code"] == "ResourceNotFoundException"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404


@pytest.mark.parametrize(("kind", "limit"), [("RequestResponse", 6 * 1024 * 1024), ("Event", 1024 * 1024)])
def test_a_payload_above_the_size_limit_is_refused(app, kind, limit):
    """The limit is 6 MB for a call, and 1 MB for an event."""
    event = {"filler": "x" * limit}
    with pytest.raises(ClientError) as caught:
        app.invoke(event, InvocationType=kind)
    assert caught.value.response["Error"]["Code"] == "RequestTooLargeException"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413


def test_an_answer_above_6_mb_fails_the_call(app):
    """That is Lambda's limit."""
    answer, error = app.invoke({"answer_size": 6 * 1024 * 1024 + 1})
    assert error == "Unhandled"
    assert answer["errorType"] == "Function.ResponseSizeTooLarge"


def test_calls_above_the_reserved_concurrency_are_throttled(app, tmp_path):
    """With one reserved execution, a second one at the same time is refused with 429."""
    client = app.client("lambda")
    client.put_function_concurrency(FunctionName="small-dev-work", ReservedConcurrentExecutions=1)
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(app.invoke, {"marker": str(tmp_path / "marker"), "barrier": str(tmp_path), "parties": 3})
        app.wait_until((tmp_path / "marker").exists, "the call never began")
        with pytest.raises(client.exceptions.TooManyRequestsException):
            client.invoke(FunctionName="small-dev-work")
        (tmp_path / "third").touch()
        assert call.result()[1] is None
    client.delete_function_concurrency(FunctionName="small-dev-work")


def test_the_account_settings_name_the_limits_of_executions_at_once(app):
    """What is reserved for a function is no longer there for the others."""
    client = app.client("lambda")
    limit = client.get_account_settings()["AccountLimit"]
    assert limit["UnreservedConcurrentExecutions"] == limit["ConcurrentExecutions"]
    client.put_function_concurrency(FunctionName="small-dev-work", ReservedConcurrentExecutions=2)
    try:
        changed = client.get_account_settings()["AccountLimit"]
    finally:
        client.delete_function_concurrency(FunctionName="small-dev-work")
    assert changed == limit | {"UnreservedConcurrentExecutions": limit["ConcurrentExecutions"] - 2}


def test_a_changed_configuration_starts_a_new_process(app):
    """The next call already has the new variables."""
    client = app.client("lambda")
    before, _ = app.invoke({})
    client.update_function_configuration(FunctionName="small-dev-work", Environment={"Variables": {"GREETING": "bye"}})
    after, _ = app.invoke({})
    assert after["environment"]["GREETING"] == "bye"
    assert after["pid"] != before["pid"]
    assert before["pid"] not in app.aws.lambdas.processes()


def test_changed_code_runs_with_the_next_call(app):
    """A warm process of the old code is not used again."""
    client = app.client("lambda")
    code = zipped("def handler(event, context):\n    return 'first'\n")
    role = client.get_function_configuration(FunctionName="small-dev-work")["Role"]
    options = {"Role": role, "Handler": "main.handler", "Runtime": "python3.11"}
    client.create_function(FunctionName="changing", Code={"ZipFile": code}, **options)
    assert app.invoke({}, "changing")[0] == "first"
    code = zipped("def handler(event, context):\n    return 'second'\n")
    client.update_function_code(FunctionName="changing", ZipFile=code)
    assert app.invoke({}, "changing")[0] == "second"


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("import not_there\n", "Runtime.ImportModuleError"),
        ("1 / 0\n", "ZeroDivisionError"),
        ("import os\nos._exit(1)\n", "Runtime.ExitError"),
        ("", "Runtime.HandlerNotFound"),
    ],
)
def test_a_function_that_cannot_start_fails_with_lambdas_error_type(app, source, kind):
    """The error is the answer to the call that needed the function."""
    client = app.client("lambda")
    role = client.get_function_configuration(FunctionName="small-dev-work")["Role"]
    options = {"Role": role, "Handler": "main.handler", "Runtime": "python3.11"}
    client.create_function(FunctionName="unable", Code={"ZipFile": zipped(source)}, **options)
    answer, error = app.invoke({}, "unable")
    client.delete_function(FunctionName="unable")
    assert error == "Unhandled"
    assert answer["errorType"] == kind


def test_a_package_that_is_not_a_zip_file_is_a_service_exception(app):
    """The function cannot be run at all, and the status is 500."""
    client = app.client("lambda")
    role = client.get_function_configuration(FunctionName="small-dev-work")["Role"]
    options = {"Role": role, "Handler": "main.handler", "Runtime": "python3.11"}
    client.create_function(FunctionName="no-zip", Code={"ZipFile": b"no zip"}, **options)
    with pytest.raises(client.exceptions.ServiceException):
        app.invoke({}, "no-zip")

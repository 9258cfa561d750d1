"""The life of a stage: planned, deployed, changed, interrupted, watched, removed."""

import functools
import json
import os
import signal
import threading
import time

import pytest
from werkzeug import Response
from werkzeug.serving import make_server

from chalicelib import __version__
from chalicelib.ledger.schedule import Schedule
from chalicelib.ledger.table import Table
from chalicelib.names import AwsLocation
from deployment import destroy, resources
from deployment.clients import Clients
from deployment.plan import Plan
from deployment.stage import Stage
from deployment.steps import StepResult, take
from sandbox.aws import ACCOUNT, REGION
from tests.e2e.other_stage import NAME, PREFIX, OtherStage, run_without, snapshot


@pytest.fixture
def stage(system, tmp_path):
    """A stage that is not deployed yet, and of which nothing is left afterwards."""
    other = OtherStage(system, tmp_path)
    yield other
    other.run("destroy", "--yes", "--with-data")


def test_from_the_first_plan_to_the_end(system, stage):
    """Plan changes nothing and tells what deploy does; deploy repeats; destroy removes all of it and nothing else."""
    before = snapshot(system)
    assert "Plan: 20 created." in stage.plan()
    assert "is not deployed here: run python deploy.py deploy --stage other" in stage.run("status", status=1)
    assert snapshot(system) == before

    assert "Done: 20 created." in stage.deploy()
    assert "Done: nothing had to be changed." in stage.deploy()
    assert "Plan: nothing had to be changed." in stage.plan()

    _change_a_setting_and_the_ceiling(system, stage)
    _change_a_right(system, stage)
    _change_the_state_machine(stage)
    _deploy_over_another_handler(system, stage)
    _look_at_the_status(system, stage)

    assert "deploy.py: nothing was removed" in stage.run("destroy", status=1)
    assert "state machine comms-reprocess-other ... removed" in _plain(stage.run("destroy", "--yes"))
    left = snapshot(system)
    assert set(left["tables"]) - set(before["tables"]) == {PREFIX}
    assert "Done: 2 removed." in stage.run("destroy", "--yes", "--with-data")
    assert snapshot(system) == before


def _plain(printed: str) -> str:
    """The lines with all rows of dots at the same length."""
    return "\n".join(" ... ".join(part.strip(". ") for part in line.split(" .")) for line in printed.splitlines())


def _change_a_setting_and_the_ceiling(system, stage) -> None:
    stage.change(lambda config: config["environment_variables"].update(MAX_ATTEMPTS="4"))
    stage.change(lambda config: config["lambda_functions"]["reprocess"].update(reserved_concurrency=7))
    assert "Plan: 1 changed." in stage.plan()
    assert "Done: 1 changed." in stage.deploy()
    function = system.client("lambda").get_function_configuration(FunctionName=f"{PREFIX}-reprocess")
    assert function["Environment"]["Variables"]["MAX_ATTEMPTS"] == "4"
    assert "Done: nothing had to be changed." in stage.deploy()
    ceiling = system.client("lambda").get_function_concurrency(FunctionName=f"{PREFIX}-reprocess")
    assert ceiling["ReservedConcurrentExecutions"] == 7


def _change_a_right(system, stage) -> None:
    file = stage.project / ".chalice" / NAME / "record.json"
    policy = json.loads(file.read_text())
    policy["Statement"].pop()
    file.write_text(json.dumps(policy))
    assert "Plan: 1 changed." in stage.plan()
    assert "Done: 1 changed." in stage.deploy()
    role = f"{PREFIX}-record"
    assert system.client("iam").get_role_policy(RoleName=role, PolicyName=role)["PolicyDocument"] == policy


def _change_the_state_machine(stage) -> None:
    file = stage.project / "statemachine.json"
    file.write_text(file.read_text().replace('"TimeoutSeconds": 320', '"TimeoutSeconds": 310'))
    printed = stage.plan()
    assert '-      "TimeoutSeconds": 320' in printed
    assert '+      "TimeoutSeconds": 310' in printed
    assert "Done: 1 changed." in stage.deploy()
    assert "Done: nothing had to be changed." in stage.deploy()


def _deploy_over_another_handler(system, stage) -> None:
    """Chalice never updates a handler, so a function that an earlier version named otherwise would not even start."""
    client, name = system.client("lambda"), f"{PREFIX}-authorizer"
    client.update_function_configuration(FunctionName=name, Handler="chalicelib.api.door.authorizer")
    assert "Plan: 1 changed." in stage.plan()
    assert "Done: 1 changed." in stage.deploy()
    assert client.get_function_configuration(FunctionName=name)["Handler"] == "app.authorizer"
    assert "Plan: nothing had to be changed." in stage.plan()


def _look_at_the_status(system, stage) -> None:
    printed = stage.run("status")
    assert "7 of 7" in printed
    assert f"version    {__version__}\n" in printed
    assert "rate(1 hour), enabled" in printed
    assert "6, none in alarm" in printed
    assert "0 need a person" in printed
    assert "failed to someone@example.com" in printed
    assert "NOT CONFIRMED" not in printed
    ledger = Schedule(Table(system.client("dynamodb"), PREFIX), lambda: 0)
    ledger.pause("olga")
    assert "rate(1 hour), PAUSED by olga since 1970-01-01 00:00 UTC" in stage.run("status")
    ledger.resume()
    system.aws.confirm_subscriptions(False)
    try:
        printed = stage.run("status")
    finally:
        system.aws.confirm_subscriptions(True)
    assert printed.count("NOT CONFIRMED: follow the link in the mail from Amazon") == 3


def test_chalice_interrupted_anywhere_is_taken_up_again(system, stage):
    """Killed when there are some functions, or an API that Chalice has not noted, deploying again makes no second."""
    before = snapshot(system)
    functions = system.client("lambda")
    apis = system.client("apigateway")

    def some_functions() -> bool:
        return len(functions.list_functions()["Functions"]) > len(before["functions"]) + 1

    def an_api() -> bool:
        return len(apis.get_rest_apis()["items"]) > len(before["apis"])

    for reached in (some_functions, an_api):
        _kill_when(stage, reached)
        assert not (stage.project / ".chalice" / "deployed" / f"{NAME}.json").exists()
        stage.deploy()
        assert len(apis.get_rest_apis()["items"]) == len(before["apis"]) + 1
        assert "Plan: nothing had to be changed." in stage.plan()
        stage.run("destroy", "--yes", "--with-data")
        assert snapshot(system) == before


def _kill_when(stage, reached) -> None:
    process = stage.start("deploy", "--notify", "someone@example.com", "--child-execution-type", "STANDARD")
    deadline = time.monotonic() + 100
    while not reached():
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


class Interrupted(BaseException):
    """As Ctrl-C, a closed laptop, or a lost connection."""


class Interrupting:
    """A client that is interrupted before the writing call number `at`, counted over all clients in `counter`."""

    def __init__(self, client, counter, at) -> None:
        self._client, self._counter, self._at = client, counter, at

    def __getattr__(self, name):
        if name.startswith(("create_", "put_", "set_", "update_", "subscribe")):
            self._counter[0] += 1
            if self._counter[0] == self._at:
                raise Interrupted
        return getattr(self._client, name)


def test_every_other_step_interrupted_is_taken_up_again(system, tmp_path):
    """Interrupted between any two writes, deploying again ends where an uninterrupted deployment does."""
    before = snapshot(system)
    stage = Stage(OtherStage(system, tmp_path).project, NAME, AwsLocation("aws", REGION, ACCOUNT))
    make = functools.cache(system.client)
    plain = Clients(make=make)
    at = 0
    interrupted = True
    while interrupted:
        at += 1
        clients = Clients(functools.partial(Interrupting, counter=[0], at=at), make)
        try:
            take(_own_steps(stage, clients))
            interrupted = False
        except Interrupted:
            take(_own_steps(stage, plain))
        plan = Plan(make)
        for step in _own_steps(stage, plan.clients):
            assert step.ensure() is StepResult.UNCHANGED, (at, step.label)
        destroy.destroy(_own_steps(stage, plain), PREFIX, with_data=True, ask=lambda _: PREFIX)
    assert at > 25
    assert snapshot(system) == before


def _own_steps(stage: Stage, clients: Clients) -> list:
    """All steps but those of Chalice's part, which have a test of their own."""
    steps = resources.steps(stage, clients, ["someone@example.com"], "STANDARD", lambda: StepResult.UNCHANGED)
    return [step for step in steps if step.kind not in ("chalice deploy", "retries off", "limits")]


def test_without_access_one_sentence_says_why(system):
    """No credentials, no region, an expired session: exit code 1 and one sentence with what to do."""
    keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    expired = _answering("ExpiredToken")
    try:
        cases = [
            (run_without(system, *keys), "no AWS credentials: set AWS_PROFILE, or log in"),
            (run_without(system, "AWS_REGION", "AWS_DEFAULT_REGION"), "no AWS region: set AWS_DEFAULT_REGION"),
            (run_without(system, AWS_PROFILE="nobody"), "AWS_PROFILE names a profile that is not in ~/.aws/config"),
            (run_without(system, AWS_ENDPOINT_URL=expired[0]), "the AWS session has expired: log in again"),
        ]
    finally:
        expired[1].shutdown()
        expired[1].server_close()
    for finished, sentence in cases:
        assert finished.returncode == 1
        assert finished.stderr.startswith(f"deploy.py: {sentence}")
        assert finished.stderr.count("\n") == 1


def _answering(code: str):
    """A server that refuses every call as AWS does, and its URL."""
    text = f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>No.</Message></Error></ErrorResponse>"
    server = make_server("127.0.0.1", 0, Response(text, status=403, content_type="text/xml"))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.port}", server

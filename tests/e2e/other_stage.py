"""For tests that deploy, interrupt and destroy: a second stage next to the system's, or a project of its own."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from sandbox import project
from sandbox.deployed import Deployed
from sandbox.project import ROOT
from tests.e2e.driver import PREFIX

STAGE = "other"
OTHER_PREFIX = f"comms-reprocess-{STAGE}"
COMMAND = [sys.executable, str(ROOT / "deploy.py")]


# The access key with which the stage is deployed, so that its requests can be told from all others.
DEPLOYER = "deployer"


class OtherStage:
    """A copy of the system's project with a second stage, `other`, added as README says."""

    def __init__(self, system, folder: Path) -> None:
        self.system = system
        self.project = folder / "project"
        shutil.copytree(system.folder / "project", self.project, ignore=shutil.ignore_patterns("deployed"))
        self.stage("add")
        # Both stages use the same secret of the application.
        self.change(lambda config: config["environment_variables"].update(APPLICATION_SECRET=f"{PREFIX}-application"))
        self.stage("update")

    def stage(self, verb: str) -> None:
        """Add the stage, or update its policies. That needs no AWS."""
        command = [*COMMAND, "stage", verb, STAGE, "--project", str(self.project)]
        subprocess.run(command, env={"PATH": os.environ["PATH"]}, check=True, capture_output=True, timeout=100)

    def policy(self, name: str) -> dict:
        """A policy of the stage."""
        file = self.project / ".chalice" / STAGE / f"{name}.json"
        return json.loads(file.read_text())

    def change(self, change) -> None:
        """Change the stage's settings in config.json."""
        file = self.project / ".chalice" / "config.json"
        config = json.loads(file.read_text())
        change(config["stages"][STAGE])
        file.write_text(json.dumps(config))

    def start(self, *arguments: str) -> subprocess.Popen:
        """Start deploy.py for the stage, with an empty standard input."""
        arguments += ("--stage", STAGE, "--project", str(self.project))
        return _start(arguments, self.system.environment() | {"AWS_ACCESS_KEY_ID": DEPLOYER})

    def run(self, *arguments: str, status: int = 0) -> str:
        """Run deploy.py for the stage to its end; return what it printed."""
        process = self.start(*arguments)
        printed, _ = process.communicate(timeout=200)
        assert process.returncode == status, printed
        return printed

    def deploy(self) -> str:
        return self.run("deploy", "--notify", "someone@example.com", "--child-execution-type", "STANDARD")

    def plan(self) -> str:
        return self.run("plan", "--notify", "someone@example.com", "--child-execution-type", "STANDARD")


class OwnProject(Deployed):
    """A project in an account of its own. deploy.py has an access key of its own, so that its requests can be told."""

    def environment(self) -> dict[str, str]:
        return super().environment() | {"AWS_ACCESS_KEY_ID": DEPLOYER}

    def start_command(self, *arguments: str) -> subprocess.Popen:
        """Start deploy.py, with an empty standard input."""
        arguments += ("--stage", project.STAGE, "--project", str(self.folder / "project"))
        return _start(arguments, self.environment())


def _start(arguments: tuple[str, ...], environment: dict[str, str]) -> subprocess.Popen:
    return subprocess.Popen(
        [*COMMAND, *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def kill_before_answer(aws, start: Callable[[], subprocess.Popen], action: str, number: int = 1) -> None:
    """Start a deployment and kill it, with all that it has started, before AWS answers its n-th request of this kind.

    AWS has carried out that request, and none that would have followed.
    """
    reached, killed = threading.Event(), threading.Event()
    numbers = itertools.count(1)

    def hold(request) -> None:
        if (request.caller, request.action) == (DEPLOYER, action) and next(numbers) == number:
            reached.set()
            killed.wait()

    aws.recorder.before_answer = hold
    process = start()
    try:
        is_reached = reached.wait(100)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        printed, _ = process.communicate()
        killed.set()
        aws.recorder.before_answer = lambda _request: None
    assert is_reached, printed


def snapshot(system) -> dict[str, list[str]]:
    """The names of everything in the account, by kind."""
    aws = system.client
    roles = sorted(each["RoleName"] for each in aws("iam").list_roles()["Roles"])
    return {
        "tables": aws("dynamodb").list_tables()["TableNames"],
        "buckets": sorted(each["Name"] for each in aws("s3").list_buckets()["Buckets"]),
        "topics": sorted(each["TopicArn"] for each in aws("sns").list_topics()["Topics"]),
        "mails": sorted(each["SubscriptionArn"] for each in aws("sns").list_subscriptions()["Subscriptions"]),
        "functions": sorted(each["FunctionName"] for each in aws("lambda").list_functions()["Functions"]),
        "roles": [f"{role}: {aws('iam').list_role_policies(RoleName=role)['PolicyNames']}" for role in roles],
        "policies": sorted(each["PolicyName"] for each in aws("iam").list_policies(Scope="Local")["Policies"]),
        "rules": sorted(each["Name"] for each in aws("events").list_rules()["Rules"]),
        "apis": sorted(each["id"] for each in aws("apigateway").get_rest_apis()["items"]),
        "logs": sorted(each["logGroupName"] for each in aws("logs").describe_log_groups()["logGroups"]),
        "alarms": sorted(each["AlarmName"] for each in aws("cloudwatch").describe_alarms()["MetricAlarms"]),
        "activities": sorted(each["name"] for each in aws("stepfunctions").list_activities()["activities"]),
        "parameters": sorted(each["Name"] for each in aws("ssm").describe_parameters()["Parameters"]),
        "secrets": sorted(each["Name"] for each in aws("secretsmanager").list_secrets()["SecretList"]),
        "machines": sorted(each["name"] for each in aws("stepfunctions").list_state_machines()["stateMachines"]),
    }


def run_plan(system, *missing: str, **changed: str) -> subprocess.CompletedProcess:
    """Run `deploy.py plan` in an environment in which some variables are missing, and others changed."""
    environment = system.environment() | changed | {"HOME": os.devnull}
    for name in missing:
        environment.pop(name, None)
    command = [*COMMAND, "plan", "--stage", "dev"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=100)

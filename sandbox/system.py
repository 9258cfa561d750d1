"""Runs the whole system: comms-reprocess on the embedded AWS, the reference application and its providers."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import requests

from chalicelib import aws_clients
from sandbox import project
from sandbox.application import ReferenceApplication
from sandbox.aws import EmbeddedAws
from sandbox.mailbox import Mailbox
from sandbox.providers import SmsProvider
from sandbox.service import BackgroundService

# The subscriber of all topics.
ON_DUTY = "on-duty@example.com"

# The name of everything that comms-reprocess has in the embedded AWS.
PREFIX = f"comms-reprocess-{project.STAGE}"


class System(BackgroundService):
    """The whole sandbox, with its files in `folder`.

    `settings` are environment variables of the stage. `toml` replaces the reference application's application.toml.
    `application` are options of the reference application. `email` and `sms` are its providers; `mailbox` belongs to
    the person on duty.
    """

    def __init__(
        self, folder: Path, settings: Mapping[str, str] | None = None, toml: str | None = None, **application: Any
    ) -> None:
        self.folder = folder
        self.email = Mailbox()
        self.sms = SmsProvider()
        self.mailbox = Mailbox()
        self._settings = dict(settings or {})
        self._application_toml = toml or project.APPLICATION_TOML.read_text(encoding="utf-8")
        self._application_options = application
        self._running = ExitStack()

    def start(self) -> Self:
        """Start everything but comms-reprocess, which `deploy` adds."""
        with ExitStack() as stack:
            self._start_all(stack)
            self._running = stack.pop_all()
        return self

    def stop(self) -> None:
        """Stop everything, in the opposite order."""
        self._running.close()

    def _start_all(self, stack: ExitStack) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for server in (self.email, self.sms, self.mailbox):
            stack.enter_context(server)
        self.aws = stack.enter_context(
            EmbeddedAws(smtp=(self.mailbox.host, self.mailbox.port), log=self.folder / "functions.log")
        )
        smtp = (self.email.host, self.email.port)
        self.application = stack.enter_context(
            ReferenceApplication(self.folder, self.aws.environment(), smtp, self.sms.url, **self._application_options)
        )

    def client(self, service: str) -> Any:
        """Return a boto3 client of the embedded AWS."""
        return aws_clients.make(
            service,
            endpoint_url=self.aws.endpoint,
            region_name=self.aws.environment()["AWS_DEFAULT_REGION"],
            aws_access_key_id="sandbox",
            aws_secret_access_key="sandbox",  # noqa: S106 (the embedded AWS accepts any)
        )

    # -- comms-reprocess

    def deploy(self) -> str:
        """Deploy comms-reprocess with deploy.py, as you would to AWS, and return what it printed."""
        secret = f"{PREFIX}-application"
        self.client("secretsmanager").create_secret(Name=secret, SecretString=self.application.token)
        settings = {"APPLICATION_URL": self.application.url, "APPLICATION_SECRET": secret, "COOL_DOWN": "1m"}
        project.copy(self.folder / "project", settings | self._settings, self._application_toml)
        return self.deploy_again()

    def deploy_again(self) -> str:
        """Run the same deployment again."""
        return self.run("deploy", "--notify", ON_DUTY, "--child-execution-type", "STANDARD")

    def token(self, role: str, name: str | None = None) -> str:
        """Create an API token."""
        return self.run("token", "add", "--name", name or role, "--role", role).strip()

    def run(self, *arguments: str) -> str:
        """Run deploy.py for the sandbox's stage. If it fails, RuntimeError contains what it printed."""
        command = [sys.executable, str(project.ROOT / "deploy.py"), *arguments]
        command += ["--stage", project.STAGE, "--project", str(self.folder / "project")]
        finished = subprocess.run(command, env=self.environment(), capture_output=True, text=True, check=False)
        if finished.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{finished.stdout}{finished.stderr}")
        return finished.stdout

    def environment(self) -> dict[str, str]:
        """Return the environment of a process that talks to the embedded AWS."""
        return {**os.environ, **self.aws.environment()}

    @property
    def api(self) -> str:
        """The URL of the deployed API."""
        deployed = self.folder / "project" / ".chalice" / "deployed" / f"{project.STAGE}.json"
        resources = json.loads(deployed.read_text(encoding="utf-8"))["resources"]
        api = next(each for each in resources if each["resource_type"] == "rest_api")
        return self.aws.api_url(api["rest_api_id"])

    def call(self, method: str, path: str, token: str | None = None, **options: Any) -> requests.Response:
        """Call the deployed API."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        with requests.Session() as session:
            session.trust_env = False  # loopback needs no proxy
            return session.request(
                method, self.api + path, headers=headers | options.pop("headers", {}), timeout=60, **options
            )

    @property
    def rule(self) -> str:
        """The name of the schedule's EventBridge rule."""
        names = [rule["Name"] for rule in self.client("events").list_rules()["Rules"]]
        return str(next(name for name in names if name.startswith(PREFIX)))

    def fire(self) -> None:
        """Fire the schedule now."""
        self.aws.fire(self.rule)

    def log(self) -> str:
        """Return what the functions printed."""
        return "\n".join(self.aws.function_logs())

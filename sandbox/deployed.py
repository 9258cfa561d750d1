"""comms-reprocess, or another project, as deployed: on an embedded AWS."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import requests

from chalicelib import aws_clients, times
from chalicelib.lambda_invoker import requested_event
from chalicelib.ledger.schedule import Schedule
from chalicelib.ledger.table import Table
from chalicelib.ledger.tokens import Role, Tokens
from deployment import table
from deployment.comms_reprocess.storage import LEDGER
from sandbox import project
from sandbox.aws import ACCOUNT, REGION, EmbeddedAws
from sandbox.mailbox import Mailbox
from sandbox.service import CompositeService

# The subscriber of all topics.
ON_DUTY = "on-duty@example.com"

# The name of everything that comms-reprocess has in the embedded AWS.
PREFIX = f"comms-reprocess-{project.STAGE}"

_TOKEN_LIFETIME = times.parse_duration("90d")


class DeployPyFailed(Exception):
    """deploy.py failed; the text is the command and all that it printed."""


class Deployed(CompositeService):
    """The project in the folder `source` on an embedded AWS, with its files in `folder`: this checkout, or another one.

    `start` starts what it needs; `configure` and `deploy` add the project itself. `mailbox` belongs to the person on
    duty, `prefix` begins the name of everything that it has in the embedded AWS. Tokens and the collector are those of
    comms-reprocess.
    """

    def __init__(self, folder: Path, source: Path = project.ROOT) -> None:
        self.folder = folder
        self.source = source
        self.prefix = project.stage_variables(source)["RESOURCE_PREFIX"]
        self.mailbox = Mailbox()

    def _start_all(self, stack: ExitStack) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        stack.enter_context(self.mailbox)
        smtp = (self.mailbox.host, self.mailbox.port)
        self.aws = stack.enter_context(EmbeddedAws(smtp=smtp, log=self.folder / "functions.log"))

    def client(self, service: str) -> Any:
        """Return a boto3 client of the embedded AWS."""
        return aws_clients.make(
            service,
            endpoint_url=self.aws.endpoint,
            region_name=self.aws.environment()["AWS_DEFAULT_REGION"],
            aws_access_key_id="sandbox",
            aws_secret_access_key="sandbox",  # noqa: S106 (the embedded AWS accepts any)
        )

    def configure(self, settings: Mapping[str, str], application_toml: str | None = None) -> None:
        """Make the project to deploy: with these environment variables of the stage, and this application.toml."""
        project.copy(self.folder / "project", settings, application_toml, self.source)

    def deploy(self) -> str:
        """Deploy the project with deploy.py, as you would to AWS, and return what it printed."""
        return self.run("deploy", "--notify", ON_DUTY, "--child-execution-type", "STANDARD")

    def token(self, role: Role, name: str | None = None) -> str:
        """Create an API token, as `deploy.py token add` does."""
        return Tokens(Table(self.client("dynamodb"), PREFIX), times.now).add(name or role, role, _TOKEN_LIFETIME)

    def pause_schedule(self) -> None:
        """Pause the schedule, also before it exists, so that it does not fire while something else is prepared."""
        table.ensure(self.client("dynamodb"), LEDGER, PREFIX)
        self._schedule().pause("make serve")

    def resume_schedule(self) -> None:
        """Let the schedule start runs again."""
        self._schedule().resume()

    def _schedule(self) -> Schedule:
        return Schedule(Table(self.client("dynamodb"), PREFIX), times.now)

    def run(self, *arguments: str) -> str:
        """Run deploy.py for the sandbox's stage, and return what it printed; DeployPyFailed if it fails."""
        command = [sys.executable, str(project.ROOT / "deploy.py"), *arguments]
        command += ["--stage", project.STAGE, "--project", str(self.folder / "project")]
        finished = subprocess.run(command, env=self.environment(), capture_output=True, text=True, check=False)
        if finished.returncode:
            raise DeployPyFailed(f"{' '.join(command)} failed:\n{finished.stdout}{finished.stderr}")
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
        return str(next(name for name in names if name.startswith(self.prefix)))

    def fire(self) -> None:
        """Fire the schedule now."""
        self.aws.fire(self.rule)

    def scan(self) -> None:
        """Invoke the collector as the schedule does, and wait until it has ended."""
        event = requested_event("", ACCOUNT, REGION, times.now()) | {"detail": {}}
        answer = self.client("lambda").invoke(FunctionName=f"{PREFIX}-collector", Payload=json.dumps(event).encode())
        if "FunctionError" in answer:
            raise RuntimeError(f"the collector failed: {answer['Payload'].read()!r}")

    def log(self) -> str:
        """Return what the functions printed."""
        return "\n".join(self.aws.function_logs())

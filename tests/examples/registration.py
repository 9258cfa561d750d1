"""The registration as deployed, and the people who register."""

import json
from collections.abc import Iterator
from contextlib import suppress
from itertools import count

import requests

from chalicelib import times
from chalicelib.application import config_file
from chalicelib.application.client import ApplicationClient
from chalicelib.application.credentials import Credentials
from chalicelib.errors import ApplicationOverloaded, OutcomeUnknown
from chalicelib.models.selections import Selection
from deployment import chalice_names
from deployment.stage import Stage
from examples import folders
from examples.registration.outside import World
from sandbox.aws.process import FunctionProcess
from sandbox.deployed import Deployed
from tests.e2e.driver import wait_until
from tests.examples.test_definitions import LOCATION

EXAMPLE = folders.EXAMPLES / "registration"
NAMES = Stage(EXAMPLE, "dev", LOCATION).names
PATIENCE = 90  # seconds

EVERYWHERE, NOWHERE = [1, 1, 1], [0, 0, 0]
WELCOME, SORRY = ["You are registered"], ["We could not register you"]

_numbers = count(1)


class Registration(Deployed):
    """The example as deployed, and the systems around it. `hurried`: with shorter waits between retries."""

    def __init__(self, folder, *, hurried: bool) -> None:
        super().__init__(folder, EXAMPLE)
        self.world = World(folder / "world")
        self._hurried = hurried

    def _start_all(self, stack) -> None:
        super()._start_all(stack)
        stack.enter_context(self.world)
        self.configure(self.world.variables)
        if self._hurried:
            _hurry(self.folder / "project" / "statemachine.json")
        self.deploy()

    def ask(self, person: "Person", **changes) -> requests.Response:
        body = {"name": "Ada", "email": person.email} | changes
        return self.call("POST", "/registrations", headers={"Idempotency-Key": person.key}, json=body)

    def status(self, person: "Person") -> str:
        return self.call("GET", f"/registrations/{person.key}").json()["status"]

    def wait_for_end(self, person: "Person") -> str:
        """Return how a registration has ended."""
        wait_until(lambda: self.status(person) != "in_progress", f"{person.key} does not end", PATIENCE)
        return self.end(person)

    def end(self, person: "Person") -> str:
        """Return how Step Functions says that a registration has ended: its status, and the error if it has one."""
        found = self.client("stepfunctions").describe_execution(executionArn=NAMES.execution_arn(person.key))
        return f"{found['status']} {found.get('error', '')}".strip()

    def register(self, person: "Person") -> str:
        """Register a person, and return how it has ended."""
        assert self.ask(person).status_code == 202
        return self.wait_for_end(person)

    def registered(self, person: "Person") -> list[int]:
        """How many registrations the person's address has in each system."""
        return [system.registered(person.email) for system in self.world.systems.values()]

    def mails(self, person: "Person") -> list[str]:
        return self.world.mail.mails(person.email)

    def told(self, person: "Person") -> list[str]:
        """The mails to the person on duty that name a registration."""
        texts = (mail.get_content() for mail in self.mailbox.messages())
        return [text for text in texts if person.key in text]

    def texts(self, person: "Person") -> list[str]:
        return self.world.mail.texts(person.email)

    def kill(self, step: str, system: str = "") -> bool:
        """Kill the function that is calling a system, or that is at work on another step."""
        for process, payload in self.at_work():
            name, event = process.function.name, json.loads(payload)
            if name == chalice_names.function(NAMES, step) and event.get("system", "") == system:
                process.kill()
                return True
        return False

    def at_work(self) -> Iterator[tuple[FunctionProcess, bytes]]:
        """Yield the processes that are handling an event, and the event."""
        for process in self.aws.lambdas._pool.processes():
            if process.pid and (payload := process.payload):
                yield process, payload

    def comms_reprocess(self) -> ApplicationClient:
        """The client by which comms-reprocess lists and sends, as the example's application.toml configures it."""
        configuration = config_file.read({"APPLICATION_URL": self.api}, EXAMPLE / "application.toml")
        client = ApplicationClient(configuration, Credentials(configuration.auth, lambda _: "", times.now), times.now)
        client.source = configuration.sources[0]
        return client


class Person:
    """Somebody new, and the key of the registration."""

    def __init__(self) -> None:
        number = next(_numbers)
        self.key, self.email = f"registration-{number:04}", f"person-{number:04}@example.com"


def listed(client) -> list[str]:
    """The ids of the mails that comms-reprocess finds."""
    pages = client.failed_pages(client.source, Selection())
    return [each.primary_id for page in pages for each in page.communications]


def send_again(client, mail_id) -> None:
    """Send a mail as comms-reprocess does."""
    client.reprocess({"primaryId": mail_id, "operation": "send.registration-mail"}, "key", "run")


def send_in_the_end(client, mail_id) -> None:
    """Send a mail as comms-reprocess does, and again if nobody knows what has become of it."""

    def is_sent() -> bool:
        with suppress(ApplicationOverloaded, OutcomeUnknown):
            send_again(client, mail_id)
            return True
        return False

    wait_until(is_sent, f"{mail_id} cannot be sent", PATIENCE)


def _hurry(definition) -> None:
    """Shorten the waits between retries, and the half hour for cancelling. What happens stays the same."""

    def shorten(found: dict) -> dict:
        if "IntervalSeconds" in found:
            found |= {"IntervalSeconds": 1, "BackoffRate": 1.0, "MaxAttempts": min(found["MaxAttempts"], 5)}
        return found

    definition.write_text(json.dumps(json.loads(definition.read_text(), object_hook=shorten)))

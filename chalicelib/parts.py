"""Puts the parts together, once per process and only when one is needed: importing this builds no client."""

import functools
import os
from collections.abc import Callable
from typing import Any

import boto3
import msgspec
from botocore.config import Config

from chalicelib import configuration, report, runs, secret_values, times
from chalicelib.application import Application
from chalicelib.collector import Collector
from chalicelib.configuration import Configuration
from chalicelib.credentials import Credentials
from chalicelib.dry_run import DryRun
from chalicelib.executions import Executions
from chalicelib.ledger import Ledger
from chalicelib.ledger.table import Table
from chalicelib.models import Notification
from chalicelib.recovery import Recovery
from chalicelib.settings import Names, Place, Settings
from chalicelib.store import Store

# Short enough for several tries within a Lambda's time, unlike botocore's minute.
_CONFIG = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "max_attempts": 4})


class Parts:
    """All parts of the deployment at a place."""

    def __init__(self, place: Place) -> None:
        self.settings = Settings.read(os.environ)
        self.names = Names(self.settings.resource_prefix, place)
        self.clock = times.now

    @functools.cached_property
    def configuration(self) -> Configuration:
        """`application.toml`."""
        return configuration.read(os.environ, retention=self.settings.retention_ms)

    @functools.cached_property
    def ledger(self) -> Ledger:
        """The table."""
        table = Table(client("dynamodb"), self.names.table)
        return Ledger(table, self.clock, self.settings.retention_ms)

    @functools.cached_property
    def store(self) -> Store:
        """The bucket."""
        return Store(client("s3"), self.names.bucket)

    @functools.cached_property
    def executions(self) -> Executions:
        """The state machine."""
        return Executions(client("stepfunctions"), self.names, self.settings)

    @functools.cached_property
    def application(self) -> Application:
        """The application."""
        return Application(
            self.configuration, Credentials(self.configuration.auth, read_secret, self.clock), self.clock
        )

    def collector(self, time_left: Callable[[], int]) -> Collector:
        """Return a collector that stops listing before its Lambda's time is over."""
        return Collector(
            self.application,
            self.ledger,
            self.store,
            self.executions,
            self.configuration,
            self.settings,
            self.clock,
            time_left,
        )

    def dry_run(self) -> DryRun:
        """Return a look at what a run would do."""
        return DryRun(self.application, self.ledger, self.configuration, self.settings, self.clock)

    def invoke_collector(self, run_id: str) -> None:
        """Have the collector start a run that was asked for; returns when Lambda has taken the event."""
        place = self.names.place
        event = runs.collector_event(run_id, place.account, place.region, self.clock())
        client("lambda").invoke(
            FunctionName=self.names.function("collector"), InvocationType="Event", Payload=msgspec.json.encode(event)
        )

    @functools.cached_property
    def recovery(self) -> Recovery:
        """What helps the runs that something happened to."""
        return Recovery(self.ledger, self.executions, self.invoke_collector, self.report, self.notify, self.clock)

    def report(
        self, run_id: str, failure: str | None, tell: Callable[[Notification], object] = lambda _: None
    ) -> Notification:
        """Close a run, and return what tells of it; `tell` is called with that before."""
        return report.report(run_id, failure, self.ledger, self.store, self.settings, self.clock, tell)

    def notify(self, notification: Notification) -> None:
        """Send a notification to the topic that it names."""
        topic = self.names.succeeded_topic if notification.topic == "succeeded" else self.names.failed_topic
        client("sns").publish(TopicArn=topic, Subject=notification.subject, Message=notification.message)


def of(arn: str) -> Parts:
    """Return the parts of the deployment that an ARN belongs to: that of the Lambda, or of the API that calls it."""
    return _at(Place.of(arn))


@functools.cache
def _at(place: Place) -> Parts:
    return Parts(place)


@functools.cache
def client(service: str) -> Any:
    """Return the process's client of an AWS service."""
    make: Any = boto3.client  # its stubs know each service by its literal name only
    return make(service, config=_CONFIG)


def read_secret(name: str) -> str:
    """Return the value of a secret; ConfigurationError says which one cannot be read, and why."""
    return secret_values.read(name, client)

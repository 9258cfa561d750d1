"""Builds what the use cases need, once per process and only when it is needed. It does no I/O itself."""

import functools
import os
from collections.abc import Callable
from typing import Any

from botocore.config import Config

from chalicelib import aws_clients, times
from chalicelib.application import config_file, secret_reader
from chalicelib.application.client import ApplicationClient
from chalicelib.application.config import Configuration
from chalicelib.application.credentials import Credentials
from chalicelib.executions import Executions
from chalicelib.lambda_invoker import CollectorInvoker
from chalicelib.ledger import Ledger
from chalicelib.ledger.table import Table
from chalicelib.manifests import Manifests
from chalicelib.models.notifications import Notification
from chalicelib.names import AwsLocation, Names
from chalicelib.runs import closing
from chalicelib.runs.bulk import Bulk
from chalicelib.runs.collect import Collector
from chalicelib.runs.dry_run import DryRun
from chalicelib.runs.recovery import Recovery
from chalicelib.settings import Settings
from chalicelib.topics import Topics

# Short enough for several tries within a Lambda's time, unlike botocore's minute.
_CONFIG = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "max_attempts": 4})
# DynamoDB checks each request itself, and botocore's check before that takes CPU for every communication. The others
# keep it: it stops what would change a URL, such as an empty key in S3.
_LEDGER_CONFIG = _CONFIG.merge(Config(parameter_validation=False))


class Dependencies:
    """What the use cases of one deployment need."""

    def __init__(self, location: AwsLocation) -> None:
        self.settings = Settings.read(os.environ)
        self.names = Names(self.settings.resource_prefix, location)
        self.clock = times.now

    @functools.cached_property
    def configuration(self) -> Configuration:
        """What `application.toml` says."""
        return config_file.read(os.environ, retention=self.settings.retention_ms)

    @functools.cached_property
    def ledger(self) -> Ledger:
        """The ledger, in DynamoDB."""
        return Ledger(Table(client("dynamodb"), self.names.table), self.clock, self.settings.retention_ms)

    @functools.cached_property
    def manifests(self) -> Manifests:
        """The manifests, in S3."""
        return Manifests(client("s3"), self.names.bucket)

    @functools.cached_property
    def executions(self) -> Executions:
        """The executions of the state machine."""
        return Executions(client("stepfunctions"), self.names, self.settings)

    @functools.cached_property
    def application(self) -> ApplicationClient:
        """The client of the application."""
        credentials = Credentials(self.configuration.auth, read_secret, self.clock)
        return ApplicationClient(self.configuration, credentials, self.clock)

    def collector(self, time_left: Callable[[], int]) -> Collector:
        """Return a collector that stops listing before its Lambda runs out of time."""
        return Collector(
            self.application,
            self.ledger,
            self.manifests,
            self.executions,
            self.configuration,
            self.settings,
            time_left,
        )

    def dry_run(self) -> DryRun:
        """Return a dry run."""
        return DryRun(self.application, self.ledger, self.configuration, self.settings)

    def recovery(self, time_left: Callable[[], int]) -> Recovery:
        """Return the recovery of runs that cannot go on by themselves, within the time of its Lambda."""
        return Recovery(
            self.ledger,
            self.executions,
            self.manifests,
            self.settings,
            self.invoke_collector,
            self.notify,
            time_left,
        )

    def bulk(self, time_left: Callable[[], int]) -> Bulk:
        """Return what carries out bulk runs, within the time of its Lambda."""
        return Bulk(
            self.ledger,
            self.manifests,
            lambda: self.configuration,
            self.settings,
            self.invoke_collector,
            self.notify,
            time_left,
        )

    def invoke_collector(self, run_id: str) -> None:
        """Invoke the collector for a requested run."""
        CollectorInvoker(client("lambda"), self.names, self.clock)(run_id)

    def notify(self, notification: Notification) -> None:
        """Send a notification."""
        Topics(client("sns"), self.names).publish(closing.addressed(notification, self.ledger, self.settings))


def of(arn: str) -> Dependencies:
    """Return the dependencies of the deployment that an ARN (of a Lambda, or of the API's method) belongs to."""
    return _at(AwsLocation.of(arn))


@functools.cache
def _at(location: AwsLocation) -> Dependencies:
    return Dependencies(location)


@functools.cache
def client(service: str) -> Any:
    """Return the process's client of an AWS service."""
    return aws_clients.make(service, config=_LEDGER_CONFIG if service == "dynamodb" else _CONFIG)


def read_secret(name: str) -> str:
    """Return the value of a secret. ConfigurationError says which secret cannot be read, and why."""
    return secret_reader.read(name, client)

"""A deployment without Lambda and Step Functions, whose collector can be killed after any write."""

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from chalicelib import run_ids, times
from chalicelib.application.config import Configuration, Reprocess, Source
from chalicelib.application.list_pages import Page
from chalicelib.application.list_requests import PageRequest
from chalicelib.errors import ConfigurationError, ExecutionNameTaken, ListingFailed, NotificationFailed
from chalicelib.lambda_invoker import requested_event
from chalicelib.ledger import Ledger
from chalicelib.ledger.claims import State
from chalicelib.ledger.table import Table
from chalicelib.manifests import Manifests
from chalicelib.models.batches import BatchRecord, Task, TaskResult
from chalicelib.models.communications import Communication
from chalicelib.models.notifications import Notification
from chalicelib.models.outcomes import Outcome, OutcomeRecord
from chalicelib.models.runs import Run, RunKind
from chalicelib.models.selections import Selection, WorklistSelection
from chalicelib.runs import collect, record, report, start
from chalicelib.runs.bulk import Bulk
from chalicelib.runs.closing import addressed
from chalicelib.runs.collect import Collector
from chalicelib.runs.recovery import Recovery
from chalicelib.runs.reprocess import rules_for
from chalicelib.settings import Settings
from deployment.comms_reprocess.storage import LEDGER
from deployment.table import table_definition

MINUTE = 60_000

_READS = ("get_item", "query")
_WRITES = ("put_item", "update_item", "delete_item", "transact_write_items", "put_object", "upload_fileobj")
_numbers = itertools.count()


class Killed(BaseException):
    """The collector's process was killed."""


class CountingClient:
    """A boto3 client that reports each of its writes to the deployment, which may kill the collector then.

    Before each read and write, the deployment may do something else. Objects whose keys are in the deployment's
    `unreadable` cannot be read, and items with the partition keys in its `unwritable` cannot be updated. Its `refused`
    are calls that AWS refuses.
    """

    def __init__(self, client: Any, deployment: "FakeDeployment") -> None:
        self._client = client
        self._deployment = deployment

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if name == "get_object":
            return self._failing(found)
        if name in self._deployment.refused:
            return self._refusing(name)
        if name in _WRITES:
            return self._counting(name, found)
        return self._interrupted(found) if name in _READS else found

    def _interrupted(self, call: Any) -> Any:
        def read(**request):
            self._deployment.before_call()
            return call(**request)

        return read

    def _failing(self, call: Any) -> Any:
        def read(**request):
            if request["Key"] in self._deployment.unreadable:
                raise ClientError({"Error": {"Code": "InternalError", "Message": "Try again."}}, "GetObject")
            return call(**request)

        return read

    def _refusing(self, name: str) -> Any:
        def refuse(*_arguments, **_named):
            raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "Slow down."}}, name)

        return refuse

    def _counting(self, name: str, call: Any) -> Any:
        def write(*arguments, **named):
            self._deployment.before_call()
            if name == "update_item" and named["Key"]["pk"]["S"] in self._deployment.unwritable:
                raise ClientError({"Error": {"Code": "InternalServerError", "Message": "Try again."}}, "UpdateItem")
            answer = call(*arguments, **named)
            self._deployment.wrote()
            return answer

        return write


class FakeLists:
    """The application's lists, in pages of two; `failed` holds the records of each operation.

    All lists fail if they are `broken`, or those of some operations after their first page. Each page has left out so
    many records as `unreadable`.
    `meanwhile` is called once, while a list is read.
    """

    def __init__(self, clock) -> None:
        self.clock = clock
        self.failed: dict[str, list[dict]] = {}
        self.broken = False
        self.broken_after_first_page: set[str] = set()
        self.unreadable = 0
        self.meanwhile: Callable[[], object] | None = None

    def failed_pages(self, source: Source, _selection: Selection, _start: PageRequest | None = None):
        if self.meanwhile:
            call, self.meanwhile = self.meanwhile, None
            call()
        if self.broken:
            raise ListingFailed(f"{source.operation}: the list answered 503, not 200")
        records = self.failed.get(source.operation, [])
        for first in range(0, len(records), 2):
            listed_at = self.clock()
            page = [
                Communication(operation=source.operation, listed_at=listed_at, **record)
                for record in records[first : first + 2]
            ]
            following = PageRequest(source.list, {"offset": first + 2}) if records[first + 2 :] else None
            request = PageRequest(source.list, {"offset": first})
            yield Page(page, request, following, unreadable=self.unreadable)
            if source.operation in self.broken_after_first_page:
                raise ListingFailed(f"{source.operation}: the list answered 503, not 200")


class FakeExecutions:
    """Records which executions were started. They run until a test puts their final status into `ended`.

    `decisions` are what was delivered to the task tokens in `waiting`. `names_taken` are the names of executions of
    runs that the ledger has forgotten.
    """

    def __init__(self, deployment: "FakeDeployment") -> None:
        self.started: dict[str, Run] = {}
        self.ended: dict[str, str] = {}
        self.waiting: set[str] = set()
        self.decisions: list[tuple[str, str]] = []
        self.names_taken: set[str] = set()
        self._deployment = deployment

    def start(self, run: Run) -> None:
        if run.run_id in self.names_taken:
            raise ExecutionNameTaken("an earlier run had the same Idempotency-Key; use a new key")
        self.started.setdefault(run.run_id, run)
        self._deployment.wrote()

    def status(self, run_id: str) -> str | None:
        return self.ended.get(run_id, "RUNNING") if run_id in self.started else None

    def approve(self, token: str) -> bool:
        return self._end_wait(token, "approved")

    def decline(self, token: str) -> bool:
        return self._end_wait(token, "declined")

    def _end_wait(self, token: str, decision: str) -> bool:
        if token not in self.waiting:
            return False
        self.waiting.remove(token)
        self.decisions.append((token, decision))
        return True


class FakeDeployment:
    """A deployment without Lambda and Step Functions: events go in, executions and mails come out.

    If `writes_left` is a number, the collector is killed just after that many writes, mails and starts. `meanwhile` is
    called once, while a mail is sent, and `interrupt_with` once, after `calls_left` calls of AWS. `fired` is
    the id of the last scheduled run.
    """

    def __init__(self, dynamodb, s3, clock) -> None:
        name = f"collector-{next(_numbers)}"
        dynamodb.create_table(**table_definition(LEDGER, name))
        s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        self.clock = clock
        self.s3 = s3
        self.writes_left: int | None = None
        self.settings = Settings(resource_prefix="mail-dev", max_per_run=50, batch_size=3)
        self.configuration = Configuration(
            sources=[
                Source(operation=f"send.{kind}", list="https://a.example/x", cool_down="1h", created="c", **ages)
                for kind, ages in (("email", {"min_age": "10m", "max_age": "7d"}), ("sms", {}))
            ],
            reprocess=Reprocess(url="https://a.example/y"),
        )
        self.ledger = Ledger(Table(CountingClient(dynamodb, self), name), clock, self.settings.retention_ms)
        self.manifests = Manifests(CountingClient(s3, self), name)
        self.lists = FakeLists(clock)
        self.executions = FakeExecutions(self)
        self.mails: list[Any] = []
        self.refuse_mails = False
        self.unreadable: set[str] = set()
        self.refused: set[str] = set()
        self.unwritable: set[str] = set()
        self.meanwhile: Callable[[], object] | None = None
        self.calls_left = 0
        self.interrupt_with: Callable[[], object] | None = None
        self.misconfigured = False
        self.invoked: list[str] = []
        self.fired = ""
        self.recovery_time_left: Callable[[], int] = lambda: 600_000
        self.recovery = Recovery(
            self.ledger,
            self.executions,
            self.manifests,
            self.settings,
            self.invoked.append,
            self.mail,
            self.time_left,
        )

        self.bulk = Bulk(
            self.ledger,
            self.manifests,
            self.read_configuration,
            self.settings,
            self.invoked.append,
            self.mail,
            self.time_left,
            page_size=2,
        )

    def read_configuration(self) -> Configuration:
        if self.misconfigured:
            raise ConfigurationError("application.toml: APPLICATION_URL is not set")
        return self.configuration

    def before_call(self) -> None:
        self.calls_left -= 1
        if self.calls_left < 0 and self.interrupt_with:
            call, self.interrupt_with = self.interrupt_with, None
            call()

    def wrote(self) -> None:
        if self.writes_left is not None:
            self.writes_left -= 1
            if self.writes_left == 0:
                raise Killed

    def mail(self, notification) -> None:
        if self.refuse_mails:
            raise NotificationFailed("AuthorizationError")
        self.mails.append(addressed(notification, self.ledger, self.settings))
        self.wrote()
        if self.meanwhile:
            call, self.meanwhile = self.meanwhile, None
            call()

    def time_left(self) -> int:
        return self.recovery_time_left()

    def collector(self, time_left=lambda: 600_000) -> Collector:
        return Collector(
            self.lists,
            self.ledger,
            self.manifests,
            self.executions,
            self.read_configuration(),
            self.settings,
            time_left,
        )

    def handle_event(self, event: dict, **options) -> None:
        """Do what app.collector does with an event."""
        collect.handle_event(
            event,
            self.recovery,
            partial(self.collector, **options),
            self.bulk,
            self.ledger,
            self.manifests,
            self.executions,
            self.settings,
            self.mail,
        )

    def fire(self, number: int = 0, at: int | None = None, **options) -> str:
        """Handle the schedule's event with this number, which was sent now or `at`; return the id of its run."""
        sent = self.clock() if at is None else at
        event = {"id": f"event{number}", "time": times.format_iso(sent), "detail": {}}
        self.fired = run_ids.for_schedule(event["id"], event["time"])
        self.handle_event(event, **options)
        return run_ids.for_schedule(event["id"], event["time"])

    def request(self, run_id: str = "asked", **selection) -> Run:
        """Request a run and collect for it; return it as it is then."""
        run = start.record_request(run_id, "olga", Selection(**selection), self.ledger, self.manifests)
        self.collect_requested(run_id)
        return self.ledger.runs.read(run.run_id)

    def request_bulk(self, kind: RunKind, run_id: str = "bulk", **selection) -> Run:
        """Request a bulk run, and return it."""
        wanted = WorklistSelection(**selection)
        return start.record_request(run_id, "olga", wanted, self.ledger, self.manifests, kind)

    def collect_requested(self, run_id: str) -> None:
        """Handle the event of a requested run."""
        self.handle_event(requested_event(run_id, "1", "eu-central-1", self.clock()))

    def lose_manifest(self, run_id: str) -> None:
        """Delete the manifest of a run from the bucket."""
        key = self.ledger.runs.read(run_id).manifest
        self.s3.delete_object(Bucket=self.manifests.bucket, Key=key)

    def mails_about(self, run_id: str) -> list[Any]:
        """The mails that name a run."""
        return [mail for mail in self.mails if run_id in mail.message]

    def add_failed(self, operation: str, *ids: str, age: int = 60 * MINUTE, **fields) -> None:
        """Add communications that failed `age` milliseconds ago to the application's list."""
        since = self.clock() - age
        records = [{"primary_id": each, "since": since, "created": since} | fields for each in ids]
        self.lists.failed.setdefault(operation, []).extend(records)

    def manifest(self, run_id: str) -> list[str]:
        """The ids in the manifest of a run that was started."""
        run = self.executions.started[run_id]
        return [each.primary_id for batch in self.manifests.read(run.manifest) for each in batch.communications]

    def send(self, run_id: str, choose_answer: Callable[[], str] = lambda: "accepted") -> list[tuple[str, str, str]]:
        """Send the communications of a run that was started, which get such answers. Return those that were claimed.

        Each with its operation, its id and the answer: `accepted` or the name of an error.
        """
        run, claimed = self.ledger.runs.read(run_id), []
        for batch in self.manifests.read(run.manifest):
            refused = []
            for each in batch.communications:
                task = Task(run_id=run_id, index=batch.index, communication=each, requested_by=run.requested_by)
                rules = rules_for(self.configuration.source(each.operation), self.configuration, self.settings)
                claim = self.ledger.communications.claim(task, rules)
                if isinstance(claim, State):
                    answer = choose_answer()
                    self.ledger.communications.record_answer(claim, answer, None, rules)
                    claimed.append((*each.key, answer))
                else:
                    skipped = {"outcome": Outcome.SKIPPED, "reason": claim.reason}
                    refused.append(TaskResult(operation=each.operation, primary_id=each.primary_id, **skipped))
            record.record_batch(run_id, batch, refused, self.ledger, self.settings)
        return claimed

    def report(self, run_id: str) -> Notification:
        """Report a run whose batches were recorded, and return its mail."""
        return report.report(run_id, None, self.ledger, self.manifests, self.settings)

    def complete(self, run_id: str) -> Notification:
        """Do what the execution of a run does: record each communication as accepted, and report. Return the mail."""
        run = self.ledger.runs.read(run_id)
        for batch in self.manifests.read(run.manifest):
            outcomes = [
                OutcomeRecord(operation=each.operation, primary_id=each.primary_id, outcome=Outcome.ACCEPTED)
                for each in batch.communications
            ]
            self.ledger.runs.record_batch(run_id, BatchRecord(index=batch.index, outcomes=outcomes, at=self.clock()))
        return self.report(run_id)

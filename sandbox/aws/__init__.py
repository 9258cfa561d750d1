"""An embedded AWS on one loopback endpoint: moto, MiniStack's DynamoDB, and what both lack. For tests and the demo."""

import resource
import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from sandbox.aws import executions
from sandbox.aws.activities import Activities
from sandbox.aws.apis import Apis
from sandbox.aws.dispatcher import Dispatcher
from sandbox.aws.dynamodb import DynamoDb, DynamoDbEnded
from sandbox.aws.fork_servers import ForkServers
from sandbox.aws.functions import Lambdas
from sandbox.aws.gateway import PREFIX, Gateway
from sandbox.aws.iam_requests import IamRequest, RequestRecorder
from sandbox.aws.invocations import Invocations
from sandbox.aws.logs import FunctionLogs
from sandbox.aws.model import ACCOUNT, REGION, Timings
from sandbox.aws.moto_setup import moto_settings, no_proxy_variables
from sandbox.aws.notifications import EmailDelivery
from sandbox.aws.packages import Packages
from sandbox.aws.schedule import DisabledRuleError, Schedule, UnknownRuleError
from sandbox.aws.server import Server
from sandbox.service import CompositeService

FILES_PER_CALL = 10  # open at the same time for each invocation: pipes, sockets and connections

__all__ = ["ACCOUNT", "REGION", "DisabledRuleError", "DynamoDbEnded", "EmbeddedAws", "Timings", "UnknownRuleError"]


class EmbeddedAws(CompositeService):
    """AWS with one account and no permission checks. It starts empty, and forgets all but its log when it stops.

    A process can run only one at a time, because moto's state is global: `start` refuses a second.

    `smtp` is the server that mail to email subscribers goes to (without it, no mail is sent), `concurrency` Lambda's
    concurrency limit for the account, `log` a file for what the functions print.
    """

    def __init__(
        self,
        *,
        smtp: tuple[str, int] | None = None,
        concurrency: int = 200,
        log: Path | None = None,
        timings: Timings | None = None,
        confirm_subscriptions: bool = True,
    ) -> None:
        self._smtp = smtp
        self._concurrency = concurrency
        self._log = log
        self._timings = timings or Timings()
        self._confirm = confirm_subscriptions
        self.endpoint = ""

    def environment(self) -> dict[str, str]:
        """Return the environment variables that make a process talk to this AWS."""
        return {
            **self._endpoints(),
            "AWS_ACCESS_KEY_ID": "sandbox",
            "AWS_SECRET_ACCESS_KEY": "sandbox",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        } | no_proxy_variables()

    def _endpoints(self) -> dict[str, str]:
        """Return the environment variables that say where AWS is. The one endpoint would do, but costs more time."""
        return {"AWS_ENDPOINT_URL": self.endpoint, "AWS_ENDPOINT_URL_DYNAMODB": self.dynamodb.url}

    def api_url(self, rest_api_id: str, stage: str = "api") -> str:
        """Return the URL of a deployed REST API."""
        return f"{self.endpoint}{PREFIX}{rest_api_id}/{stage}"

    def confirm_subscriptions(self, confirmed: bool) -> None:
        """Treat all email subscriptions as confirmed, or none."""
        self._email.confirmed = confirmed

    def check(self) -> None:
        """Raise DynamoDbEnded if a part has ended that nothing can go on without."""
        self.dynamodb.check()

    def fire(self, rule: str) -> None:
        """Fire an EventBridge rule now, in the same way as its schedule does."""
        self._schedule.fire(rule)

    def function_logs(self) -> list[str]:
        """Return the last lines that the functions printed, oldest first."""
        return self._logs.lines()

    def iam_requests(self) -> Counter[IamRequest]:
        """Return the requests so far, as IAM sees them."""
        return self.recorder.counts + self.dynamodb.requests()

    def _start_all(self, stack: ExitStack) -> None:
        """Build and start everything; `stack` stops it in the opposite order."""
        _allow_files(self._concurrency * FILES_PER_CALL)
        server = Server()
        stack.callback(server.server_close)
        self.endpoint = f"http://127.0.0.1:{server.port}"
        stack.enter_context(moto_settings(server.port))
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="embedded-aws-")))
        self._logs = FunctionLogs(self._log)
        stack.callback(self._logs.close)
        self.dynamodb = stack.enter_context(DynamoDb(self._logs))
        apis = Apis()
        servers = ForkServers(Packages(directory), self._endpoints(), self._logs)
        self.lambdas = Lambdas(servers, self._concurrency, self._logs, self._timings)
        gateway = Gateway(apis, self.lambdas, self._timings)
        self._schedule = Schedule(self.lambdas, self._timings)
        self._email = stack.enter_context(EmailDelivery(self._smtp, self.endpoint + PREFIX, confirmed=self._confirm))
        invocations = Invocations(self.lambdas)
        activities = Activities(self._timings)
        stack.enter_context(activities.interpreted())
        self.dispatcher = Dispatcher(self.dynamodb, invocations, gateway, apis, self._schedule, self._email, activities)
        self.recorder = RequestRecorder(self.dispatcher)
        server.serve(self.recorder)
        stack.callback(server.stop)
        stack.callback(activities.close)
        stack.callback(executions.join_threads)
        stack.callback(gateway.close)
        stack.callback(self.lambdas.close)
        stack.callback(executions.abort_all)
        stack.enter_context(self._schedule)


def _allow_files(number: int) -> None:
    """Raise this process's limit of open files by this number, as far as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = number + 1024 if hard == resource.RLIM_INFINITY else min(number + 1024, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))

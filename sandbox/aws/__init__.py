"""An embedded AWS on one loopback endpoint: moto, and what moto lacks. For tests and the demo."""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from sandbox.aws import executions
from sandbox.aws.apis import Apis
from sandbox.aws.dispatcher import Dispatcher
from sandbox.aws.functions import Lambdas
from sandbox.aws.gateway import PREFIX, Gateway
from sandbox.aws.iam_requests import RequestRecorder
from sandbox.aws.invocations import Invocations
from sandbox.aws.logs import FunctionLogs
from sandbox.aws.model import ACCOUNT, REGION, Timings
from sandbox.aws.moto_setup import moto_settings, no_proxy_variables
from sandbox.aws.notifications import EmailDelivery
from sandbox.aws.packages import Packages
from sandbox.aws.schedule import DisabledRuleError, Schedule, UnknownRuleError
from sandbox.aws.server import Server
from sandbox.service import BackgroundService

__all__ = ["ACCOUNT", "REGION", "DisabledRuleError", "EmbeddedAws", "Timings", "UnknownRuleError"]


class EmbeddedAws(BackgroundService):
    """AWS with one account and no permission checks. It starts empty and forgets everything when it stops.

    A process can run only one at a time, because moto's state is global: `start` refuses a second.

    `smtp` is the server that mail to email subscribers goes to (without it, no mail is sent), `lambda_processes` the
    most function processes that are kept, `log` a file for what the functions print.
    """

    def __init__(
        self,
        *,
        smtp: tuple[str, int] | None = None,
        lambda_processes: int = 10,
        log: Path | None = None,
        timings: Timings | None = None,
        confirm_subscriptions: bool = True,
    ) -> None:
        self._smtp = smtp
        self._processes = lambda_processes
        self._log = log
        self._timings = timings or Timings()
        self._confirm = confirm_subscriptions
        self._running = ExitStack()
        self.endpoint = ""

    def start(self) -> Self:
        """Start to serve, and return when everything is ready."""
        with ExitStack() as stack:
            self._start_all(stack)
            self._running = stack.pop_all()
        return self

    def stop(self) -> None:
        """Kill all functions, abort all executions, and forget everything but the functions' logs."""
        self._running.close()

    def environment(self) -> dict[str, str]:
        """Return the environment variables that make a process talk to this AWS."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "sandbox",
            "AWS_SECRET_ACCESS_KEY": "sandbox",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        } | no_proxy_variables()

    def api_url(self, rest_api_id: str, stage: str = "api") -> str:
        """Return the URL of a deployed REST API."""
        return f"{self.endpoint}{PREFIX}{rest_api_id}/{stage}"

    def confirm_subscriptions(self, confirmed: bool) -> None:
        """Treat all email subscriptions as confirmed, or none."""
        self._email.confirmed = confirmed

    def fire(self, rule: str) -> None:
        """Fire an EventBridge rule now, in the same way as its schedule does."""
        self._schedule.fire(rule)

    def function_logs(self) -> list[str]:
        """Return the last lines that the functions printed, oldest first."""
        return self._logs.lines()

    def _start_all(self, stack: ExitStack) -> None:
        """Build and start everything; `stack` stops it in the opposite order."""
        server = Server()
        stack.callback(server.server_close)
        self.endpoint = f"http://127.0.0.1:{server.port}"
        stack.enter_context(moto_settings(server.port))
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="embedded-aws-")))
        self._logs = FunctionLogs(self._log)
        stack.callback(self._logs.close)
        apis = Apis()
        self.lambdas = Lambdas(Packages(directory), self.endpoint, self._processes, self._logs, self._timings)
        gateway = Gateway(apis, self.lambdas, self._timings)
        self._schedule = Schedule(self.lambdas, self._timings)
        self._email = stack.enter_context(EmailDelivery(self._smtp, confirmed=self._confirm))
        dispatcher = Dispatcher(Invocations(self.lambdas), gateway, apis, self._schedule, self._email)
        self.requests = RequestRecorder(dispatcher)
        server.serve(self.requests)
        stack.callback(server.stop)
        stack.callback(executions.join_threads)
        stack.callback(gateway.close)
        stack.callback(self.lambdas.close)
        stack.callback(executions.abort_all)
        stack.enter_context(self._schedule)

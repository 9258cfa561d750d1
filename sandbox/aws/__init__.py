"""AWS on one loopback endpoint, for tests and demonstrations: moto, with what moto lacks built around it."""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from sandbox.aws import executions
from sandbox.aws.apis import Apis
from sandbox.aws.dispatcher import Front
from sandbox.aws.functions import Lambdas
from sandbox.aws.gateway import PREFIX, Gateway
from sandbox.aws.invocations import Invocations
from sandbox.aws.logs import FunctionLogs
from sandbox.aws.model import ACCOUNT, REGION, Pace
from sandbox.aws.moto_setup import moto_settings, without_proxy
from sandbox.aws.notifications import Postman
from sandbox.aws.packages import Packages
from sandbox.aws.rights import Requests
from sandbox.aws.schedule import DisabledRuleError, Schedule, UnknownRuleError
from sandbox.aws.server import Server

__all__ = ["ACCOUNT", "REGION", "DisabledRuleError", "EmbeddedAws", "Pace", "UnknownRuleError"]


class EmbeddedAws:
    """AWS with one account and no rights to check, empty when it starts and gone when it stops.

    Only one can run in a process at a time, because moto's state belongs to the process: `start` refuses a second.

    `smtp` is where mail to email subscribers goes (nowhere without it), `lambda_processes` how many function processes
    are kept at most, `log` a file for what the functions print.
    """

    def __init__(
        self,
        *,
        smtp: tuple[str, int] | None = None,
        lambda_processes: int = 10,
        log: Path | None = None,
        pace: Pace | None = None,
        confirm_subscriptions: bool = True,
    ) -> None:
        self._smtp = smtp
        self._processes = lambda_processes
        self._log = log
        self._pace = pace or Pace()
        self._confirm = confirm_subscriptions
        self._running = ExitStack()
        self.endpoint = ""

    def start(self) -> Self:
        """Begin to serve; everything is ready when this returns."""
        with ExitStack() as stack:
            self._build(stack)
            self._running = stack.pop_all()
        return self

    def stop(self) -> None:
        """Kill all functions, abort all executions, end all threads and forget everything but the functions' logs."""
        self._running.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def environment(self) -> dict[str, str]:
        """Return the environment variables that make a process talk to this AWS."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "sandbox",
            "AWS_SECRET_ACCESS_KEY": "sandbox",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        } | without_proxy()

    def api_url(self, rest_api_id: str, stage: str = "api") -> str:
        """Return where the gateway serves a deployed REST API."""
        return f"{self.endpoint}{PREFIX}{rest_api_id}/{stage}"

    def confirm_subscriptions(self, confirmed: bool) -> None:
        """Have people confirm all email subscriptions, or none."""
        self._post.confirmed = confirmed

    def fire(self, rule: str) -> None:
        """Fire an EventBridge rule now, by the same path as its schedule."""
        self._schedule.fire(rule)

    def function_logs(self) -> list[str]:
        """Return the last lines that the functions printed, oldest first."""
        return self._logs.lines()

    def _build(self, stack: ExitStack) -> None:
        """Put the parts together; `stack` takes them apart in the opposite order."""
        server = Server()
        stack.callback(server.server_close)
        self.endpoint = f"http://127.0.0.1:{server.port}"
        stack.enter_context(moto_settings(server.port))
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="embedded-aws-")))
        self._logs = FunctionLogs(self._log)
        stack.callback(self._logs.close)
        apis, post = Apis(), Postman(self._smtp, confirmed=self._confirm)
        self._post = post
        self.lambdas = Lambdas(Packages(directory), self.endpoint, self._processes, self._logs, self._pace)
        gateway = Gateway(apis, self.lambdas, self._pace)
        self._schedule = Schedule(self.lambdas, self._pace)
        post.start()
        stack.callback(post.stop)
        self.requests = Requests(Front(Invocations(self.lambdas), gateway, apis, self._schedule, post))
        server.serve(self.requests)
        stack.callback(server.stop)
        stack.callback(executions.join_threads)
        stack.callback(gateway.close)
        stack.callback(self.lambdas.close)
        stack.callback(executions.abort_all)
        self._schedule.start()
        stack.callback(self._schedule.stop)

"""AWS Lambda: finds what was deployed to moto, and runs it, at once or behind."""

import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from moto.awslambda.models import lambda_backends
from moto.core.exceptions import JsonRESTError

from sandbox.aws.logs import FunctionLogs
from sandbox.aws.model import ACCOUNT, REGION, Answer, Function, LambdaError, Pace
from sandbox.aws.packages import Packages
from sandbox.aws.pool import Pool
from sandbox.aws.process import FunctionProcess

SYNCHRONOUS_LIMIT = 6 * 1024 * 1024
EVENT_LIMIT = 1024 * 1024


def deployed(name_or_arn: str, region: str = REGION, qualifier: str | None = None) -> Function:
    """Look up what was last deployed under a name or an ARN."""
    if name_or_arn.startswith("arn:"):
        region = name_or_arn.split(":")[3]
    try:
        return _function(lambda_backends[ACCOUNT][region].get_function(name_or_arn, qualifier))
    except JsonRESTError:
        arn = name_or_arn if ":" in name_or_arn else f"arn:aws:lambda:{region}:{ACCOUNT}:function:{name_or_arn}"
        raise LambdaError(404, "ResourceNotFoundException", f"Function not found: {arn}") from None


def _function(stored: Any) -> Function:
    """Take what matters for running it out of moto's record."""
    config = stored.event_invoke_config[-1].config if stored.event_invoke_config else {}
    return Function(
        name=stored.function_name,
        arn=stored.function_arn,
        handler=stored.handler,
        timeout=int(stored.timeout),
        memory=int(stored.memory_size),
        environment=tuple(sorted(stored.environment_vars.items())),
        code_sha256=stored.code_sha_256,
        code=stored.code_bytes,
        reserved=None if stored.reserved_concurrency is None else int(stored.reserved_concurrency),
        retries=int(config.get("MaximumRetryAttempts", 2)),
    )


def _check_size(payload: bytes, limit: int) -> None:
    if len(payload) > limit:
        size = f"{len(payload)} byte payload is too large for this invocation type (limit {limit} bytes)"
        raise LambdaError(413, "RequestTooLargeException", size)


class Lambdas:
    """Runs functions in processes of their own."""

    def __init__(self, packages: Packages, endpoint: str, limit: int, logs: FunctionLogs, pace: Pace) -> None:
        self._logs = logs
        self._pace = pace
        self._pool = Pool(
            limit, lambda function: FunctionProcess(function, packages, endpoint, logs), each=max(1, limit // 2)
        )
        self._lock = threading.Lock()
        self._running: Counter[str] = Counter()
        self._events: set[threading.Thread] = set()
        self._stopping = threading.Event()
        # For tests of what happens when an event is delivered twice, which Lambda and Step Functions reserve the right
        # to: says of a call whether it is made once more at the same time.
        self.deliver_twice: Callable[[str], bool] = lambda _name: False

    def invoke(self, function: Function, payload: bytes, request_id: str | None = None) -> Answer:
        """Run a function and wait for its answer."""
        if self.deliver_twice(function.name):
            threading.Thread(target=self._invoke_once, args=(function, payload, str(uuid.uuid4())), daemon=True).start()
        return self._invoke_once(function, payload, request_id)

    def _invoke_once(self, function: Function, payload: bytes, request_id: str | None) -> Answer:
        _check_size(payload, SYNCHRONOUS_LIMIT)
        request_id = request_id or str(uuid.uuid4())
        with self._within_reserved(function), self._process(function) as process:
            return process.call(payload, request_id)

    def invoke_event(self, function: Function, payload: bytes, request_id: str | None = None) -> None:
        """Run a function behind, again if it fails; what it answers is dropped."""
        _check_size(payload, EVENT_LIMIT)
        arguments = (function.arn, payload, request_id or str(uuid.uuid4()))
        thread = threading.Thread(target=self._run_event, args=arguments, daemon=True)
        with self._lock:
            self._events = {one for one in self._events if one.is_alive()} | {thread}
            thread.start()

    def kill_one(self, function_name: str) -> bool:
        """Kill one process of a function in the middle of its work; False if it has none at work."""
        return self._pool.kill_busy(function_name)

    def processes(self, function_name: str | None = None) -> list[int]:
        """Return the ids of the processes that run, of one function or of all."""
        return [process.pid for process in self._pool.processes(function_name)]

    def wait_for_events(self) -> None:
        """Wait until all asynchronous events that were taken so far have run, with their retries."""
        with self._lock:
            events = list(self._events)
        for event in events:
            event.join()

    def close(self) -> None:
        """Kill all processes and give up what runs behind."""
        self._stopping.set()
        self._pool.close()
        self.wait_for_events()

    @contextmanager
    def _within_reserved(self, function: Function) -> Iterator[None]:
        """Count the executions under way, and refuse the one too many."""
        with self._lock:
            if function.reserved is not None and self._running[function.arn] >= function.reserved:
                raise LambdaError(429, "TooManyRequestsException", "Rate Exceeded.")
            self._running[function.arn] += 1
        try:
            yield
        finally:
            with self._lock:
                self._running[function.arn] -= 1

    @contextmanager
    def _process(self, function: Function) -> Iterator[FunctionProcess]:
        """Turn whatever keeps a process from starting into Lambda's own words."""
        try:
            with self._pool.process(function) as process:
                yield process
        except LambdaError:
            raise
        except Exception as error:
            raise LambdaError(500, "ServiceException", f"{type(error).__name__}: {error}") from error

    def _run_event(self, arn: str, payload: bytes, request_id: str) -> None:
        """Try until it succeeds or its retries are used up; a refusal by Lambda itself costs no retry."""
        failures = 0
        while not self._stopping.is_set():
            try:
                function = deployed(arn)
                if not self.invoke(function, payload, request_id).failed:
                    return
                failures += 1
                if failures > function.retries:
                    return
            except LambdaError as error:
                if error.status == HTTPStatus.NOT_FOUND:
                    return
            self._stopping.wait(self._pace.event_retry)

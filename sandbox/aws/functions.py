"""AWS Lambda: finds the functions that were deployed to moto, and invokes them."""

import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import Any

from moto.awslambda.models import lambda_backends
from moto.core.exceptions import JsonRESTError

from sandbox.aws.fork_servers import ForkServers
from sandbox.aws.logs import FunctionLogs
from sandbox.aws.model import ACCOUNT, REGION, Function, InvocationResult, LambdaError, Timings, make_arn, region_of
from sandbox.aws.pool import Pool
from sandbox.aws.process import FunctionProcess

# The largest payloads, in bytes.
SYNCHRONOUS_LIMIT = 6 * 1024 * 1024
ASYNCHRONOUS_LIMIT = 1024 * 1024


def find_function(name_or_arn: str, region: str = REGION, qualifier: str | None = None) -> Function:
    """Return a function as it was last deployed; LambdaError if it does not exist."""
    if name_or_arn.startswith("arn:"):
        region = region_of(name_or_arn)
    try:
        return _function(lambda_backends[ACCOUNT][region].get_function(name_or_arn, qualifier))
    except JsonRESTError:
        arn = name_or_arn if ":" in name_or_arn else make_arn("lambda", f"function:{name_or_arn}", region)
        raise LambdaError(404, "ResourceNotFoundException", f"Function not found: {arn}") from None


def _function(stored: Any) -> Function:
    """Turn moto's record of a function into ours."""
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
    """Invokes functions, each in its own process; refuses more than `limit` invocations at once."""

    def __init__(self, servers: ForkServers, limit: int, logs: FunctionLogs, timings: Timings) -> None:
        self._limit = limit
        self._timings = timings
        self._servers = servers
        self._pool = Pool(limit, lambda function: FunctionProcess(servers.of(function), logs))
        self._lock = threading.Lock()
        self._running: Counter[str] = Counter()
        self._events: set[threading.Thread] = set()
        self._stopping = threading.Event()
        # Returns whether to invoke a function a second time at the same time. Lambda and Step Functions may deliver an
        # event twice; tests replace this to see what happens then.
        self.deliver_twice: Callable[[str], bool] = lambda _name: False
        # Returns whether to throttle a call of a function, as Lambda does above a concurrency limit.
        self.throttle: Callable[[str], bool] = lambda _name: False
        # Called with a function's name and payload before each invocation.
        self.observe: Callable[[str, bytes], None] = lambda _name, _payload: None

    def account_limit(self) -> dict[str, int]:
        """Return the account's limits of executions at once, as GetAccountSettings does."""
        functions = lambda_backends[ACCOUNT][REGION].list_functions()
        reserved = sum(int(each.reserved_concurrency or 0) for each in functions)
        return {"ConcurrentExecutions": self._limit, "UnreservedConcurrentExecutions": self._limit - reserved}

    def invoke(self, function: Function, payload: bytes, request_id: str | None = None) -> InvocationResult:
        """Invoke a function and wait for its result."""
        if self.deliver_twice(function.name):
            threading.Thread(target=self._invoke_duplicate, args=(function, payload), daemon=True).start()
        return self._invoke_once(function, payload, request_id)

    def _invoke_duplicate(self, function: Function, payload: bytes) -> None:
        with suppress(LambdaError):  # Nobody waits for its result.
            self._invoke_once(function, payload, str(uuid.uuid4()))

    def _invoke_once(self, function: Function, payload: bytes, request_id: str | None) -> InvocationResult:
        _check_size(payload, SYNCHRONOUS_LIMIT)
        if self.throttle(function.name):
            raise LambdaError(429, "TooManyRequestsException", "Rate Exceeded.")
        self.observe(function.name, payload)
        request_id = request_id or str(uuid.uuid4())
        with self._reserved_concurrency(function), self._process(function) as process:
            return process.call(payload, request_id)

    def invoke_async(self, function: Function, payload: bytes, request_id: str | None = None) -> None:
        """Invoke a function asynchronously, and again if it fails. Its result is dropped."""
        _check_size(payload, ASYNCHRONOUS_LIMIT)
        arguments = (function.arn, payload, request_id or str(uuid.uuid4()))
        thread = threading.Thread(target=self._run_event, args=arguments, daemon=True)
        with self._lock:
            self._events = {each for each in self._events if each.is_alive()} | {thread}
            thread.start()

    def kill_one(self, function_name: str) -> bool:
        """Kill a process of a function in the middle of its work; return False if none is busy."""
        return self._pool.kill_busy(function_name) is not None

    def kill_and_repeat(self, function_name: str) -> bool:
        """Kill a process of a function in the middle of its work, and deliver its event again.

        Return False if none is busy. Lambda may deliver an asynchronous event more than once.
        """
        event = self._pool.kill_busy(function_name)
        if event:
            self.invoke_async(find_function(function_name), event)
        return bool(event)

    def processes(self, function_name: str | None = None) -> list[int]:
        """Return the ids of the running processes, of a function or of all."""
        return [process.pid for process in self._pool.processes(function_name) if process.pid]

    def wait_for_events(self) -> None:
        """Wait until all asynchronous invocations so far have ended, with their retries."""
        with self._lock:
            events = list(self._events)
        for event in events:
            event.join()

    def close(self) -> None:
        """Kill all processes, and end all asynchronous invocations."""
        self._stopping.set()
        self._pool.close()
        self._servers.close()
        self.wait_for_events()

    @contextmanager
    def _reserved_concurrency(self, function: Function) -> Iterator[None]:
        """Count the invocations that are running, and refuse any above the reserved concurrency."""
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
        """Get a process. Whatever keeps it from starting becomes a LambdaError."""
        try:
            with self._pool.process(function) as process:
                yield process
        except LambdaError:
            raise
        except Exception as error:
            raise LambdaError(500, "ServiceException", f"{type(error).__name__}: {error}") from error

    def _run_event(self, arn: str, payload: bytes, request_id: str) -> None:
        """Invoke until the function succeeds or its retries are used up. A refusal by Lambda itself is not counted."""
        failures = 0
        while not self._stopping.is_set():
            try:
                function = find_function(arn)
                if not self.invoke(function, payload, request_id).failed:
                    return
                failures += 1
                if failures > function.retries:
                    return
            except LambdaError as error:
                if error.status == HTTPStatus.NOT_FOUND:
                    return
            self._stopping.wait(self._timings.event_retry)

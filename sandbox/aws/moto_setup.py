"""The settings that moto needs to stand in for AWS. They are global to the process, like all of moto's state."""

import copy
import functools
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC
from typing import Any

import boto3
from botocore.config import Config
from moto.core.base_backend import BackendDict
from moto.core.config import default_user_config
from moto.core.model_instances import reset_model_data
from moto.stepfunctions.parser.asl.component.common.error_name.custom_error_name import CustomErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.common.path import result_path
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration import iteration_worker
from moto.stepfunctions.parser.asl.component.state.exec.state_parallel import branches_decl
from moto.stepfunctions.parser.asl.eval.environment import Environment
from moto.stepfunctions.parser.asl.eval.evaluation_details import ExecutionDetails
from moto.stepfunctions.parser.asl.utils import json_path
from moto.stepfunctions.parser.backend.execution import BaseExecutionWorkerCommunication, Execution

from sandbox.aws.model import INTERPRETER, REGION

# moto's interpreter recurses once for each item that a worker of a Map has done. With Python's default of 1,000, a Map
# of 5,000 batches with 4 workers would hang.
RECURSION_LIMIT = 10_000

_in_use = threading.Lock()


@contextmanager
def moto_settings(port: int) -> Iterator[None]:
    """Reset moto's state, make state machines execute, and let moto reach itself at `port`; undo it all afterwards.

    RuntimeError if this process runs another EmbeddedAws: the two would share all state.
    """
    if not _in_use.acquire(blocking=False):
        raise RuntimeError("an EmbeddedAws already runs in this process, and moto's state is global to the process")
    try:
        with ExitStack() as stack:
            for setting in _SETTINGS:
                stack.enter_context(setting())
            stack.enter_context(_environment(port))
            _reset()
            yield
            _reset()
    finally:
        _in_use.release()


@contextmanager
def _environment(port: int) -> Iterator[None]:
    """Set the variables for moto's calls to itself: its port, and no proxy."""
    variables = {"MOTO_PORT": str(port)} | no_proxy_variables()
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def no_proxy_variables() -> dict[str, str]:
    """Return the environment variables that exempt loopback from a proxy, if there is one."""
    others = os.environ.get("NO_PROXY") or os.environ.get("no_proxy")
    hosts = ",".join(filter(None, [others, "localhost", "127.0.0.1"]))
    return {"NO_PROXY": hosts, "no_proxy": hosts}


@contextmanager
def _config() -> Iterator[None]:
    before = default_user_config.get("stepfunctions", {})
    default_user_config["stepfunctions"] = {"execute_state_machine": True}
    try:
        yield
    finally:
        default_user_config["stepfunctions"] = before


@contextmanager
def _silence_interpreter() -> Iterator[None]:
    """Silence the interpreter's log: it reports errors that are none, such as a Choice on a missing path."""
    logger = logging.getLogger("moto.stepfunctions")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def _deep_recursion() -> Iterator[None]:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, RECURSION_LIMIT))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


@contextmanager
def _replaced(target: Any, **values: Any) -> Iterator[None]:
    """Replace attributes of a module or class."""
    before = {name: vars(target)[name] for name in values}
    for name, value in values.items():
        setattr(target, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(target, name, value)


@contextmanager
def _cached_paths() -> Iterator[None]:
    """Let the interpreter parse each JSONPath once: it parses that of every state again and again, which is slow."""
    modules: tuple[Any, ...] = (json_path, result_path)
    with ExitStack() as stack:
        for module in modules:
            stack.enter_context(_replaced(module, parse=functools.cache(module.parse)))
        yield


@contextmanager
def _errors_of_branches() -> Iterator[None]:
    """Let a Map or Parallel fail with the error of its branch, such as States.Timeout: moto knows custom names only."""
    with (
        _replaced(iteration_worker, CustomErrorName=_error_name),
        _replaced(branches_decl, CustomErrorName=_error_name),
    ):
        yield


def _error_name(error_name: str | None) -> Any:
    if error_name is None or not error_name.startswith("States."):
        return CustomErrorName(error_name)
    return StatesErrorName.from_name(error_name)


def _start_times() -> AbstractContextManager[None]:
    """Give states `$$.Execution.StartTime` as the text that it is on AWS: moto's datetime is no JSON.

    https://docs.aws.amazon.com/step-functions/latest/dg/input-output-contextobject.html
    """
    return _replaced(Execution, get_start_execution_details=_details)


def _stops_between_states() -> AbstractContextManager[None]:
    """Let an execution be stopped while it goes from state to state: moto would raise RuntimeError in its thread."""
    setters = {name: vars(Environment)[name] for name in ("next_state_name", "next_field_name")}
    tolerant = {name: property(each.fget, functools.partial(_go_on, each.fset)) for name, each in setters.items()}
    return _replaced(Environment, **tolerant)


def _go_on(set_next: Callable[[Any, str], None], environment: Any, name: str) -> None:
    """Set what follows, unless the execution has been stopped: then nothing does, and the interpreter notes its end."""
    with environment._state_mutex:  # noqa: SLF001 (moto has no other way)
        if environment.program_state() is None or environment.is_running():
            set_next(environment, name)


def _ends_at_once() -> AbstractContextManager[None]:
    """Let nobody see that an execution has ended before its output, its error and its cause are there."""
    kind: Any = BaseExecutionWorkerCommunication
    reflect = kind._reflect_execution_status  # noqa: SLF001 (moto has no other way)
    return _replaced(kind, _reflect_execution_status=lambda communication: _end(communication, reflect))


def _end(communication: Any, reflect: Callable[[Any], None]) -> None:
    """Let moto note the end in a copy of the execution, and then the execution itself become like it."""
    execution = communication.execution
    ended = copy.copy(execution)
    communication.execution = ended
    reflect(communication)
    communication.execution = execution
    for name in ("stop_date", "output", "error", "cause", "exec_status"):
        setattr(execution, name, getattr(ended, name))


def _details(execution: Any) -> ExecutionDetails:
    start = execution.start_date.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return ExecutionDetails(execution.exec_arn, execution.name, execution.role_arn, execution.input_data, start)


def _shared_clients() -> AbstractContextManager[None]:
    """Replace boto3's default session, which moto's interpreter uses, by a session that caches clients."""
    return _replaced(boto3, DEFAULT_SESSION=_CachingSession(region_name=REGION))


class _CachingSession(boto3.Session):
    """Caches the clients of the interpreter, which asks for a new client for every task.

    Creating a client costs 8 ms of a core, which is more than the task itself. Other callers get new clients as usual.
    """

    def __init__(self, region_name: str) -> None:
        super().__init__(region_name=region_name)
        self._lock = threading.Lock()
        self._cache: dict[tuple[str, ...], Any] = {}

    def client(self, *args: Any, **kwargs: Any) -> Any:
        """Return a new client, or a cached one."""
        with self._lock:  # creating clients from a session is not thread-safe either
            if kwargs.get("aws_access_key_id") != INTERPRETER:
                return super().client(*args, **kwargs)
            key = (kwargs["service_name"], kwargs["region_name"])
            if key not in self._cache:
                config = kwargs["config"].merge(Config(max_pool_connections=100))
                self._cache[key] = super().client(*args, **kwargs | {"config": config})
            return self._cache[key]


_SETTINGS = (
    _config,
    _deep_recursion,
    _shared_clients,
    _cached_paths,
    _errors_of_branches,
    _start_times,
    _stops_between_states,
    _ends_at_once,
    _silence_interpreter,
)


def _reset() -> None:
    BackendDict.reset()
    reset_model_data()

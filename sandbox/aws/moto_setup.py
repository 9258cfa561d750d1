"""moto's settings while it stands in for AWS. They are global to the process, as all of moto's state is."""

import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config
from moto.core.base_backend import BackendDict
from moto.core.config import default_user_config
from moto.core.model_instances import reset_model_data

from sandbox.aws.model import INTERPRETER, REGION

# moto's interpreter recurses once for each item that a worker of a Map has done: at Python's own 1,000, a Map of
# 5,000 batches with 4 workers would hang for ever
RECURSION = 10_000

_in_use = threading.Lock()


@contextmanager
def moto_settings(port: int) -> Iterator[None]:
    """Fresh state, state machines that execute, and calls to itself that find the port; all of it undone afterwards.

    Refuses to begin while another EmbeddedAws of this process runs: the two would be one.
    """
    if not _in_use.acquire(blocking=False):
        raise RuntimeError("an EmbeddedAws already runs in this process, and moto's state is one per process")
    try:
        with _environment(port), _config(), _deep_recursion(), _shared_clients(), _quiet():
            _reset()
            yield
            _reset()
    finally:
        _in_use.release()


@contextmanager
def _environment(port: int) -> Iterator[None]:
    """Set what moto reads when it calls itself: its port, and that no proxy is in between."""
    wanted = {"MOTO_PORT": str(port)} | without_proxy()
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def without_proxy() -> dict[str, str]:
    """Return the variables by which loopback is reached directly, where others are reached through a proxy."""
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
def _quiet() -> Iterator[None]:
    """Keep the interpreter's log from the terminal: it calls an error what is none, as a Choice on a missing path."""
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
    sys.setrecursionlimit(max(before, RECURSION))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


@contextmanager
def _shared_clients() -> Iterator[None]:
    """Make boto3's default session, which moto's interpreter uses, one that shares clients."""
    before = boto3.DEFAULT_SESSION
    boto3.DEFAULT_SESSION = _SharingSession(region_name=REGION)
    try:
        yield
    finally:
        boto3.DEFAULT_SESSION = before


class _SharingSession(boto3.Session):
    """Gives the interpreter, which asks for a client for every task, the same ones again: they cost more than the task.

    Making one costs 8 ms of one core and 1,000 tasks need 1,000; any other caller gets clients of its own as ever.
    """

    def __init__(self, region_name: str) -> None:
        super().__init__(region_name=region_name)
        self._making = threading.Lock()
        self._shared: dict[tuple[str, ...], Any] = {}

    def client(self, *args: Any, **kwargs: Any) -> Any:
        """Make a client, or give one that was made before."""
        with self._making:  # also because making clients at the same time from one session is not safe
            if kwargs.get("aws_access_key_id") != INTERPRETER:
                return super().client(*args, **kwargs)
            key = (kwargs["service_name"], kwargs["region_name"])
            if key not in self._shared:
                many = Config(max_pool_connections=100)
                self._shared[key] = super().client(*args, **kwargs | {"config": kwargs["config"].merge(many)})
            return self._shared[key]


def _reset() -> None:
    BackendDict.reset()
    reset_model_data()

"""Starts, kills and stops the reference application, a process of its own."""

import json
import os
import selectors
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from sandbox.application.client import Client

_ROOT = Path(__file__).parents[2]
_START_SECONDS = 30
_STOP_SECONDS = 15


class ReferenceApplication(Client):
    """The application with its database and log in `folder`; it does not outlive the process that started it.

    `environment` tells boto3 where SQS is (`AWS_ENDPOINT_URL`, region, credentials). `url` is known once it was
    started, and stays the same when it is killed and started again.
    """

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        smtp: tuple[str, int],
        sms: str,
        *,
        token: str = "application-token",  # noqa: S107 (protects nothing but a loopback port)
        queue_prefix: str = "reference-application",
        rounds: int = 3,
        requeue_after: float = 1.0,
        lost_after: float = 30.0,
        workers: int = 4,
    ) -> None:
        super().__init__("", token)
        self.database = folder.absolute() / "application.db"
        self.log = folder.absolute() / "application.log"
        # its providers are on loopback: no proxy
        self._environment = {**os.environ, "NO_PROXY": "127.0.0.1,localhost", **environment}
        self._process: subprocess.Popen[bytes] | None = None
        self._arguments = [
            *("--database", str(self.database), "--queue-prefix", queue_prefix, "--token", token),
            *("--smtp", f"{smtp[0]}:{smtp[1]}", "--sms", sms, "--workers", str(workers), "--rounds", str(rounds)),
            *("--requeue-after", str(requeue_after), "--lost-after", str(lost_after), "--until-eof"),
        ]

    @property
    def pid(self) -> int:
        """The running process."""
        assert self._process is not None, "it does not run"
        return self._process.pid

    def start(self) -> Self:
        """Start it, again on the same port and database, and return when it answers."""
        assert self._process is None, "it runs already"
        port = urlsplit(self.url).port or 0
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "sandbox.application", *self._arguments, "--port", str(port)],
                cwd=_ROOT,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        self.url = self._announced_url(self._process)
        return self

    def kill(self) -> None:
        """End it with SIGKILL, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._close(self._process)

    def stop(self) -> None:
        """End it with SIGTERM; what is being sent is finished."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
            self._close(self._process)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _announced_url(self, process: subprocess.Popen[bytes]) -> str:
        assert process.stdout is not None, "it is a pipe"
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            line = process.stdout.readline() if selector.select(_START_SECONDS) else b""
        if not line:
            self.kill()
            tail = self.log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"the reference application did not start; the end of {self.log}:\n{tail}")
        url: str = json.loads(line)["url"]
        return url

    def _close(self, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        self._process = None

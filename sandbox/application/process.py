"""Starts, kills and stops the process of the reference application."""

import json
import os
import selectors
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from sandbox.application.client import Client
from sandbox.service import BackgroundService

_ROOT = Path(__file__).parents[2]
_START_SECONDS = 60
_STOP_SECONDS = 15


class ReferenceApplication(Client, BackgroundService):
    """The reference application in a process, which ends at the latest with the process that started it.

    Its database and log are in `folder`. `environment` says where SQS is (`AWS_ENDPOINT_URL`, region, credentials), for
    boto3. `url` is known once it has started, and stays the same when it is killed and started again.
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
        # Its providers are on loopback and need no proxy.
        self._environment = {**os.environ, "NO_PROXY": "127.0.0.1,localhost", **environment}
        self._process: subprocess.Popen[bytes] | None = None
        self._arguments = [
            *("--database", str(self.database), "--queue-prefix", queue_prefix, "--token", token),
            *("--smtp", f"{smtp[0]}:{smtp[1]}", "--sms", sms, "--workers", str(workers), "--rounds", str(rounds)),
            *("--requeue-after", str(requeue_after), "--lost-after", str(lost_after), "--until-eof"),
        ]

    @property
    def pid(self) -> int:
        """The id of the running process."""
        assert self._process is not None, "the application is not running"
        return self._process.pid

    def start(self) -> Self:
        """Start the application and return when it answers. A restart uses the same port and database."""
        assert self._process is None, "the application is running already"
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
        """End the process with SIGKILL, like a crash."""
        if self._process is not None:
            self._process.kill()
            self._close(self._process)

    def stop(self) -> None:
        """End the process with SIGTERM, which lets it finish what it is sending."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
            self._close(self._process)

    def _announced_url(self, process: subprocess.Popen[bytes]) -> str:
        assert process.stdout is not None, "stdout is a pipe"
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

"""The world outside of AWS, as processes on this machine: workers, and the post."""

import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Self

from examples.activity.post import open_database
from sandbox.service import BackgroundService

_ROOT = Path(__file__).parents[2]
_STOP_SECONDS = 20


class Process(BackgroundService):
    """A program of this example in a process, which logs to a file. `environment` says where AWS is, and as whom."""

    def __init__(self, module: str, arguments: Mapping[str, object], environment: Mapping[str, str], log: Path) -> None:
        options = [text for name, value in arguments.items() for text in (f"--{name}", str(value))]
        self._command = [sys.executable, "-m", f"examples.activity.{module}", *options]
        self._environment = dict(environment)
        self._log = log

    def start(self) -> Self:
        """Start the process. It needs a moment until it works."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, cwd=_ROOT, env=self._environment, stderr=log)
        return self

    def stop(self) -> None:
        """End the process, also if it is suspended or has ended."""
        self._process.kill()
        self._process.wait()

    def kill(self) -> int:
        """End the process with SIGKILL, as the kernel does when memory runs out; return its exit code."""
        self.stop()
        return self._process.returncode

    def terminate(self) -> int:
        """Ask the process to end, as systemd does; return its exit code."""
        self._process.terminate()
        return self._process.wait(_STOP_SECONDS)

    def suspend(self) -> None:
        """Let the process hang."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a suspended process continue."""
        self._process.send_signal(signal.SIGCONT)

    def has_ended(self) -> bool:
        """Return whether it has."""
        return self._process.poll() is not None

    def said(self, text: str) -> bool:
        """Return whether it has logged this."""
        return text in self._log.read_text(encoding="utf-8")


class PostOffice(Process):
    """The post in a process."""

    def __init__(self, bucket: str, environment: Mapping[str, str], folder: Path, every: float = 0.5) -> None:
        self._database = folder / "post.db"
        arguments = {"bucket": bucket, "database": self._database, "every": every}
        super().__init__("post", arguments, environment, folder / "post.log")

    def letters(self, batch: str) -> dict[str, tuple[str, bytes]]:
        """Return what it has taken of a batch: for each key who has rendered the letter, and the PDF."""
        query = "SELECT key, worker, document FROM letters WHERE key GLOB ?"
        with closing(open_database(str(self._database))) as database:
            rows = database.execute(query, (f"letters/{batch}/*",)).fetchall()
        return {key: (worker, document) for key, worker, document in rows}

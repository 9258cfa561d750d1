"""The lines that the functions print: a minimal CloudWatch Logs."""

import threading
from collections import deque
from pathlib import Path
from typing import IO

MAX_LINES = 2000


class FunctionLogs:
    """Keeps the last lines in memory, and appends all lines to the file at `path`, if given."""

    def __init__(self, path: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._lines: deque[str] = deque(maxlen=MAX_LINES)
        self._file = path.open("a", buffering=1, encoding="utf-8") if path else None

    def write(self, function: str, line: str) -> None:
        """Store a line of a function."""
        text = f"[{function}] {line}"
        with self._lock:
            self._lines.append(text)
            if self._file and not self._file.closed:
                self._file.write(text + "\n")

    def copy(self, function: str, output: IO[bytes]) -> None:
        """Store the lines that a function prints, until the last process that can print there has exited."""
        for line in output:
            # The runtime client ends the lines of a traceback with \r.
            self.write(function, line.decode(errors="replace").rstrip().replace("\r", "\n"))

    def lines(self) -> list[str]:
        """Return the last lines, oldest first."""
        with self._lock:
            return list(self._lines)

    def close(self) -> None:
        """Close the file; the lines in memory can still be read."""
        with self._lock:
            if self._file:
                self._file.close()

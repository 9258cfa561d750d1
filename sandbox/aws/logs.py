"""What the functions print: CloudWatch Logs in small."""

import threading
from collections import deque
from pathlib import Path

KEPT = 2000


class FunctionLogs:
    """Keeps the last lines in memory, and appends all of them to a file if one is given."""

    def __init__(self, path: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._lines: deque[str] = deque(maxlen=KEPT)
        self._file = path.open("a", buffering=1, encoding="utf-8") if path else None

    def write(self, function: str, line: str) -> None:
        """Keep one line of a function."""
        text = f"[{function}] {line}"
        with self._lock:
            self._lines.append(text)
            if self._file and not self._file.closed:
                self._file.write(text + "\n")

    def lines(self) -> list[str]:
        """Return the last lines, oldest first."""
        with self._lock:
            return list(self._lines)

    def close(self) -> None:
        """Close the file; the lines in memory can still be read."""
        with self._lock:
            if self._file:
                self._file.close()

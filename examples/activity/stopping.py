"""How a worker stops: at once while it waits, between two steps while it works."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


class StopRequested(BaseException):
    """Somebody wants the process to end. Like KeyboardInterrupt no Exception: botocore would take it for a bad line."""


class Stop:
    """Whether SIGTERM or SIGINT has arrived. `listen` has to be called in the main thread."""

    def __init__(self) -> None:
        self._requested = False
        self._waiting = False

    def listen(self) -> None:
        """Take note of both signals from now on."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def check(self) -> None:
        """Raise StopRequested if a signal has arrived."""
        if self._requested:
            raise StopRequested

    @contextmanager
    def while_waiting(self) -> Iterator[None]:
        """Raise StopRequested in the middle of this block, too. For what may be cut off anywhere."""
        self._waiting = True
        try:
            self.check()
            yield
        finally:
            self._waiting = False

    def _on_signal(self, *_: object) -> None:
        self._requested = True
        if self._waiting:
            self._waiting = False  # a second signal must not cut off what follows
            raise StopRequested

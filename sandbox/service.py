"""The base classes of everything that runs in the background until it is stopped."""

from abc import ABC, abstractmethod
from contextlib import ExitStack
from types import TracebackType
from typing import Self


class BackgroundService(ABC):
    """Runs from `start` to `stop`, or for as long as a `with` block."""

    @abstractmethod
    def start(self) -> Self:
        """Start, and return when it is ready."""

    @abstractmethod
    def stop(self) -> None:
        """Stop, and return when it has ended."""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class CompositeService(BackgroundService):
    """A service that consists of others. If one cannot start, those that have started are stopped again."""

    _running = ExitStack()

    @abstractmethod
    def _start_all(self, stack: ExitStack) -> None:
        """Start everything; `stack` stops it in the opposite order."""

    def start(self) -> Self:
        """Start everything, and return when it is ready."""
        with ExitStack() as stack:
            self._start_all(stack)
            self._running = stack.pop_all()
        return self

    def stop(self) -> None:
        """Stop everything, in the opposite order."""
        self._running.close()

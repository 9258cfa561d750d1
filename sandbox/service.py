"""The base class of everything that runs in the background until it is stopped."""

from abc import ABC, abstractmethod
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

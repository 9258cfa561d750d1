"""Applications that are simulated: each takes a POST, and says after how many seconds it answers what."""

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol

# How long an answer takes where nothing else is said, in seconds.
LATENCY = 0.2

_TOO_FAST = (429, 503)


class Answer(NamedTuple):
    """What the application answers: `status` after `seconds` (0: it has not within the POST's timeout)."""

    status: int
    seconds: float
    retry_after: float | None = None

    @property
    def accepted(self) -> bool:
        """Whether the application took the communication."""
        return self.status == 202  # noqa: PLR2004 (a status)

    @property
    def refused(self) -> bool:
        """Whether the application asked for fewer."""
        return self.status in _TOO_FAST


class Application(Protocol):
    """An application; `now` is in seconds."""

    @property
    def latency(self) -> float:
        """How long an answer takes if nothing else is under way, in seconds."""
        ...

    def post(self, now: float) -> Answer:
        """Receive a POST."""
        ...

    def capacity(self, now: float) -> float:
        """Return how many POSTs it takes a second; infinity if it has no limit."""
        ...


class Refusing:
    """Takes `capacity(now)` POSTs a second (a token bucket of one second), refuses more, and locks out who tries.

    While its capacity is 0 it is down, and answers 503.
    """

    def __init__(
        self,
        capacity: float | Callable[[float], float],
        lockout: float = 10.0,
        retry_after: bool = False,
        latency: float = LATENCY,
    ) -> None:
        self.latency = latency
        self._capacity = capacity
        self._lockout = lockout
        self._tells_when = retry_after
        self._tokens, self._at = self.capacity(0), 0.0
        self._locked_until = 0.0

    def capacity(self, now: float) -> float:
        """Return how many POSTs it takes a second."""
        return self._capacity(now) if callable(self._capacity) else self._capacity

    def post(self, now: float) -> Answer:
        """Receive a POST."""
        capacity = self.capacity(now)
        if not capacity:
            return Answer(503, self.latency)
        self._tokens = min(max(1.0, capacity), self._tokens + (now - self._at) * capacity)
        self._at = now
        if now >= self._locked_until and self._tokens >= 1:
            self._tokens -= 1
            return Answer(202, self.latency)
        if now >= self._locked_until:
            self._locked_until = now + self._lockout
        return Answer(429, self.latency, math.ceil(self._locked_until - now) if self._tells_when else None)


class Slow:
    """Never refuses: so many lanes, each POST occupies one for so many seconds, and the others wait."""

    def __init__(self, lanes: int, seconds: float, timeout: float = 10.0) -> None:
        self.latency = seconds
        self._free_at = [0.0] * lanes
        self._timeout = timeout

    def capacity(self, now: float) -> float:  # noqa: ARG002 (it never changes)
        """Return how many POSTs it takes a second."""
        return len(self._free_at) / self.latency

    def post(self, now: float) -> Answer:
        """Receive a POST."""
        lane = min(range(len(self._free_at)), key=self._free_at.__getitem__)
        self._free_at[lane] = max(now, self._free_at[lane]) + self.latency
        seconds = self._free_at[lane] - now
        return Answer(202, seconds) if seconds <= self._timeout else Answer(0, self._timeout)


class Unlimited:
    """Takes whatever it gets."""

    def __init__(self, seconds: float) -> None:
        self.latency = seconds

    def capacity(self, now: float) -> float:  # noqa: ARG002 (it never changes)
        """Return how many POSTs it takes a second."""
        return math.inf

    def post(self, now: float) -> Answer:  # noqa: ARG002 (it never changes)
        """Receive a POST."""
        return Answer(202, self.latency)

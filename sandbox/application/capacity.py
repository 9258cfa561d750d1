"""How much the application can take: a rate above which it refuses, and lanes in which POSTs take their turns."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import msgspec

Clock = Callable[[], float]
"""Returns the time in seconds since any fixed point; it never goes back."""

Seconds = Annotated[float, msgspec.Meta(ge=0, le=600)]

_MOST_IN_LANES = 1000


class Capacity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A token bucket: `per_second` tokens flow in steadily, and there is room for one second's worth (at least 1)."""

    per_second: Annotated[float, msgspec.Meta(gt=0)]
    lockout: Seconds = 0.0
    """Refuse everybody for this long after a POST that found no token. Refusals meanwhile do not prolong it."""
    retry_after: Seconds | None = None
    """Refusals have a `Retry-After`: what is left of the lock-out, or this value if there is none (rounded up)."""
    status: Annotated[int, msgspec.Meta(ge=400, le=599)] = 429


class Lanes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Each POST is in one of `number` lanes for `seconds` before it is processed, even if the caller has hung up.

    The others wait for their turn, in order. Each holds a thread, so while 1000 are there, others get a 503 at once.
    A process that stops answers none of them.
    """

    number: Annotated[int, msgspec.Meta(ge=1)]
    seconds: Annotated[float, msgspec.Meta(gt=0, le=600)]


@dataclass(frozen=True)
class Overload:
    """How to refuse a POST for lack of capacity: the status, and the `Retry-After` in seconds (None: without)."""

    status: int
    retry_after: int | None = None


class TokenBucket:
    """Admits POSTs while there are tokens. Full at first. Thread-safe."""

    def __init__(self, capacity: Capacity, clock: Clock = time.monotonic) -> None:
        self._capacity = capacity
        self._clock = clock
        self._lock = threading.Lock()
        self._room = self._tokens = max(1.0, capacity.per_second)
        self._filled_at = clock()
        self._locked_at = -math.inf

    def take(self) -> Overload | None:
        """Take a token, or return how to refuse the POST. Tokens flow in during a lock-out as well."""
        with self._lock:
            now = self._clock()
            self._fill(now)
            lockout_left = self._capacity.lockout - (now - self._locked_at)
            if lockout_left > 0:
                return self._overload(lockout_left)
            if self._tokens >= 1:
                self._tokens -= 1
                return None
            self._locked_at = now
            return self._overload(self._capacity.lockout)

    def _fill(self, now: float) -> None:
        inflow = (now - self._filled_at) * self._capacity.per_second
        self._tokens, self._filled_at = min(self._room, self._tokens + inflow), now

    def _overload(self, lockout_left: float) -> Overload:
        status, retry_after = self._capacity.status, self._capacity.retry_after
        return Overload(status, None if retry_after is None else math.ceil(lockout_left or retry_after))


class LaneQueue:
    """Lets POSTs through the lanes in the order in which they come. Thread-safe."""

    def __init__(self, lanes: Lanes, clock: Clock = time.monotonic) -> None:
        self._lanes = lanes
        self._clock = clock
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._ends: deque[float] = deque()

    def reserve(self) -> float | None:
        """Return in how many seconds a POST that comes now will have left its lane; None if too many wait.

        As all stay equally long, they leave in order: a POST enters when the one `number` places before it leaves.
        """
        with self._lock:
            now = self._clock()
            while self._ends and self._ends[0] <= now:
                self._ends.popleft()
            if len(self._ends) >= _MOST_IN_LANES:
                return None
            begin = self._ends[-self._lanes.number] if len(self._ends) >= self._lanes.number else now
            self._ends.append(begin + self._lanes.seconds)
            return self._ends[-1] - now

    def pass_through(self) -> Overload | None:
        """Return once a POST has left its lane, or at once how to refuse it."""
        seconds = self.reserve()
        if seconds is None:
            return Overload(503)
        self._closed.wait(seconds)
        return None

    def close(self) -> None:
        """Let everybody through at once."""
        self._closed.set()

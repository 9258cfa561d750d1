"""How much the application can take: the rate above which it refuses."""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import msgspec

Clock = Callable[[], float]
"""Returns the time in seconds since any fixed point; it never goes back."""

Seconds = Annotated[float, msgspec.Meta(ge=0, le=600)]


class Capacity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A token bucket: `per_second` tokens flow in steadily, and there is room for one second's worth (at least 1)."""

    per_second: Annotated[float, msgspec.Meta(gt=0)]
    lockout: Seconds = 0.0
    """Refuse everybody for this long after a POST that found no token. Refusals meanwhile do not prolong it."""
    retry_after: Seconds | None = None
    """Refusals have a `Retry-After`: what is left of the lock-out, or this value if there is none (rounded up)."""
    status: Annotated[int, msgspec.Meta(ge=400, le=599)] = 429


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

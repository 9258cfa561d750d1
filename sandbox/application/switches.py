"""The switches that break the application on purpose."""

import threading
import time
from collections.abc import Collection, Mapping
from typing import Annotated, Generic, Literal, TypeVar

import msgspec

from sandbox.application.capacity import Capacity, Clock, LaneQueue, Lanes, Overload, Seconds, TokenBucket

_T = TypeVar("_T")
_Status = Annotated[int, msgspec.Meta(ge=200, le=599)]
_GOLDEN_RATIO = 0.6180339887498949


class PartialFault(msgspec.Struct, Generic[_T], frozen=True, forbid_unknown_fields=True):
    """A fault in a share (0 to 1) of the calls."""

    value: _T
    share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0


class Switches(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first six break `POST /communications`: every call, or with `{"value": ..., "share": 0.5}` some calls.

    They affect the calls that `capacity` and then `lanes` have let in.
    """

    slow: Seconds | PartialFault[Seconds] | None = None
    """Wait for this many seconds, then process the call, even if the caller has hung up."""
    status: _Status | PartialFault[_Status] | None = None
    """Answer with this status, without processing the call."""
    status_after: _Status | PartialFault[_Status] | None = None
    """Process the call, but answer with this status."""
    cut: Literal["before", "after"] | PartialFault[Literal["before", "after"]] | None = None
    """Close the connection without an answer, before or after processing the call."""
    drip: Seconds | PartialFault[Seconds] | None = None
    """Wait for this many seconds before each byte of the answer's body."""
    accepts_but_never_sends: bool | PartialFault[bool] | None = None
    """Answer 202, but let every attempt fail until the communication has finally failed again."""
    capacity: Capacity | None = None
    """Refuse each `POST /communications` above this rate, without processing it; see `Capacity`."""
    lanes: Lanes | None = None
    """Process so many `POST /communications` at a time, and let the others wait for their turn; see `Lanes`."""
    unauthorized: bool | None = None
    """Refuse the token (401), for the lists as well."""
    lists_down: bool | None = None
    """Answer 503 instead of listing failed communications."""
    worker_paused: bool | None = None
    """Receive nothing from the queue."""


class Faults(msgspec.Struct, frozen=True):
    """The faults of one call."""

    slow: float = 0.0
    status: int | None = None
    status_after: int | None = None
    cut: str | None = None
    drip: float = 0.0
    accepts_but_never_sends: bool = False


class SwitchBoard:
    """The current state of the switches. Thread-safe."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._calls = 0
        self._bucket: TokenBucket | None = None
        self._lane_queue: LaneQueue | None = None
        self.current = Switches()

    def set(self, changes: Mapping[str, object]) -> Switches:
        """Change some switches (None turns a switch off), and count calls from 0 again.

        `capacity` starts with a full bucket, and `lanes` with empty lanes: who waits is let through at once. Other
        changes leave both as they are. ValidationError names a switch that does not exist, or its bad value.
        """
        with self._lock:
            before = msgspec.structs.asdict(self.current)
            self.current = msgspec.convert(msgspec.to_builtins(before) | dict(changes), Switches)
            self._calls = 0
            self._limit(changes)
            return self.current

    def clear(self) -> Switches:
        """Turn all switches off."""
        with self._lock:
            self.current = Switches()
            self._limit(("capacity", "lanes"))
            return self.current

    def _limit(self, names: Collection[str]) -> None:
        """Start the limits of these switches afresh."""
        capacity, lanes = self.current.capacity, self.current.lanes
        if "capacity" in names:
            self._bucket = TokenBucket(capacity, self._clock) if capacity else None
        if "lanes" in names:
            if self._lane_queue:
                self._lane_queue.close()
            self._lane_queue = LaneQueue(lanes, self._clock) if lanes else None

    def admit(self) -> Overload | None:
        """Let a POST in once it has had its turn in a lane, or return how to refuse it."""
        bucket, lane_queue = self._bucket, self._lane_queue
        overload = bucket.take() if bucket else None
        return overload or (lane_queue.pass_through() if lane_queue else None)

    def next_call(self) -> Faults:
        """Return the faults of the next call."""
        with self._lock:
            self._calls += 1
            return _faults_of(self.current, self._calls)


def _faults_of(switches: Switches, call: int) -> Faults:
    """Spread the shares evenly over the calls, as multiples of the golden ratio spread evenly over 0 to 1.

    Each share is a separate interval, so 0.2 of one fault and 0.3 of another together break half of the calls.
    """
    faults: dict[str, object] = {}
    position, start = call * _GOLDEN_RATIO, 0.0
    for name in Faults.__struct_fields__:
        setting = getattr(switches, name)
        if setting is None:
            continue
        fault = setting if isinstance(setting, PartialFault) else PartialFault(setting)
        if (position - start) % 1 < fault.share:
            faults[name] = fault.value
        start += fault.share
    return msgspec.convert(faults, Faults)

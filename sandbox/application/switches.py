"""How the application is told to break."""

import threading
from collections.abc import Mapping
from typing import Annotated, Generic, Literal, TypeVar

import msgspec

_T = TypeVar("_T")
_Seconds = Annotated[float, msgspec.Meta(ge=0, le=600)]
_Status = Annotated[int, msgspec.Meta(ge=200, le=599)]
_GOLDEN = 0.6180339887498949


class Partly(msgspec.Struct, Generic[_T], frozen=True, forbid_unknown_fields=True):
    """A fault that hits only a share (0 to 1) of the calls."""

    value: _T
    share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0


class Switches(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first five break `POST /communications`, each for all calls or as `{"value": ..., "share": 0.5}`."""

    slow: _Seconds | Partly[_Seconds] | None = None
    """Wait so many seconds, then process it, even if the caller has hung up."""
    status: _Status | Partly[_Status] | None = None
    """Answer this without processing it."""
    status_after: _Status | Partly[_Status] | None = None
    """Process it, then answer this all the same."""
    cut: Literal["before", "after"] | Partly[Literal["before", "after"]] | None = None
    """Close the connection without an answer, before or after processing it."""
    drip: _Seconds | Partly[_Seconds] | None = None
    """Wait so many seconds before each byte of the answer's body."""
    unauthorized: bool | None = None
    """Refuse the token (401), on the failed lists too."""
    lists_down: bool | None = None
    """Answer 503 instead of the failed lists."""
    worker_paused: bool | None = None
    """Take nothing from the queue."""
    accepts_but_never_sends: bool | None = None
    """Answer 202, but fail each round of what was accepted, until it has finally failed again."""


class Faults(msgspec.Struct, frozen=True):
    """What is broken about one call."""

    slow: float = 0.0
    status: int | None = None
    status_after: int | None = None
    cut: str | None = None
    drip: float = 0.0


class Board:
    """The switches as they are now; threads may ask at any time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls = 0
        self.switches = Switches()

    def set(self, changes: Mapping[str, object]) -> Switches:
        """Change some switches (None turns one off) and start counting calls anew; ValidationError names a bad one."""
        with self._lock:
            present = msgspec.structs.asdict(self.switches)
            self.switches = msgspec.convert(msgspec.to_builtins(present) | dict(changes), Switches)
            self._calls = 0
            return self.switches

    def clear(self) -> Switches:
        """Turn everything off."""
        with self._lock:
            self.switches = Switches()
            return self.switches

    def next_call(self) -> Faults:
        """Return what is broken about the next call."""
        with self._lock:
            self._calls += 1
            return _draw(self.switches, self._calls)


def _draw(switches: Switches, call: int) -> Faults:
    """Spread the shares evenly over the calls, as multiples of the golden ratio spread over 0 to 1.

    Each share has an interval of its own, so 0.2 of one fault and 0.3 of another break half of the calls.
    """
    faults: dict[str, object] = {}
    point, start = call * _GOLDEN, 0.0
    for name in Faults.__struct_fields__:
        setting = getattr(switches, name)
        if setting is None:
            continue
        fault = setting if isinstance(setting, Partly) else Partly(setting)
        if (point - start) % 1 < fault.share:
            faults[name] = fault.value
        start += fault.share
    return msgspec.convert(faults, Faults)

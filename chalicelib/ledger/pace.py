"""The pace without the table: how fast the application may be called, and when the next batch has its turn.

There is one pace for all runs. A batch reserves its time before it is sent: a generic cell rate algorithm, in which the
next free moment moves on by the time that the batch takes (ITU-T I.371; the same as a leaky bucket). What the answers
change is in pace_feedback.py.
"""

import math

from msgspec.structs import replace

from chalicelib import times
from chalicelib.models.base import Record
from chalicelib.models.runs import Proof

# Rates are whole communications in 1,000 seconds: DynamoDB's numbers are whole here. The first is that of an
# application that nobody knows. The lowest still sends some within a child workflow's window.
START, LOWEST, HIGHEST = 10_000, 100, 10_000_000

# In seconds: how long a child workflow may wait until its last communication is sent. The rest of the five minutes of
# an EXPRESS workflow is for sending and recording; deployment/comms_reprocess/worst_case.py adds it up.
WINDOW_S = 60

# In seconds: how much later than that it may ask for the last time, since state machines wait whole seconds, and more.
LATE_S = 3

# How many communications the first batches of a run hold, and how many may be under way at first while it is not known
# whether the application works: whoever sends in growing batches finds out with a handful.
CANARY = (1, 5, 20)

# In seconds: how long a batch that is larger than the canary lets a smaller one go first. After that it sends a part of
# itself, and the next run sends the rest.
_SMALLER_FIRST_S = 15

# In milliseconds: for how long the last good answer vouches for the application, and for how long what was learned
# holds.
_TRUST, _MEMORY = times.parse_duration("10m"), times.parse_duration("1d")

# In milliseconds: how long a batch counts as under way if it is never recorded, after its last communication's turn.
_LEASE = 200_000

# A run ends instead of waiting after so many blocks in a row without a good answer, or if a block still lasts for so
# many milliseconds. It survives shorter ones: what has no turn in them is little.
_HOPELESS, _LONG_BLOCK = 6, times.parse_duration("15m")

# In milliseconds: how far ahead reservations are made; whoever comes earlier asks again. What is reserved is lost when
# the application refuses, and does not become faster when it can take more.
_AHEAD_OF_TIME = 4_000

# In seconds: the longest that a batch waits before it asks again, so that it notices when there is more room.
_LONGEST_POLL_S = 5

# From this rate on, a second takes one communication more rather than one less than the rate says.
_ROUNDED_UP = 5_000

# In milliseconds: how long everybody stays away at first from an application that refuses and does not say how long.
FIRST_PAUSE = 5_000

# In milliseconds: how long the first communication after a block goes ahead of the others, beside the usual time of an
# answer. If it is refused as well, the application still locks us out.
_AHEAD = 2_000


class Limits(Record, frozen=True):
    """What the application's owner allows: communications a second, and at once. None: whatever it can take."""

    max_per_second: float | None = None
    max_in_flight: int | None = None


class SetPace(Record, frozen=True):
    """A rate that an operator has set by hand, who did, and until when."""

    rate: int
    by: str
    at: int
    until: int


class Lease(Record, frozen=True):
    """How many communications of a batch are under way, and when they no longer can be."""

    size: int
    until: int


class Pace(Record, frozen=True):
    """The pace of the application. Times in milliseconds since 1970, rates in communications in 1,000 seconds.

    `next_free` is when the next reservation may begin, `blocked_until` until when nobody may send. `epoch` counts how
    often the pace was lowered, so that what was sent before does not lower it again; what was reserved in an epoch
    below `void_below` may not be sent. `since` is since when this rate is tried, and `answered` how many answers it has
    had. `sustained` is the highest rate that went well, `refused` the lowest that did not (0: none), and `probing` says
    that this one is a try. `pause` is how long the next block will be, `blocks` how many there were without a good
    answer in between, and `warned_at` when a single POST was last refused. `reason` is why the pace was last lowered,
    at `lowered_at`. `usual_ms` is how long an answer usually takes, `slow_ms` how long it took when that lowered the
    pace (0: it is over). `heard_at` is the last good answer. `canary` is how many may be under way while nobody knows
    whether the application works (0: it does). `leases` are kept only while the number under way is limited.
    """

    rate: int = START
    next_free: int = 0
    blocked_until: int = 0
    epoch: int = 0
    void_below: int = 0
    since: int = 0
    answered: int = 0
    sustained: int = 0
    refused: int = 0
    probing: bool = False
    pause: int = FIRST_PAUSE
    blocks: int = 0
    warned_at: int = 0
    reason: str | None = None
    lowered_at: int = 0
    usual_ms: int = 0
    slow_ms: int = 0
    heard_at: int = 0
    canary: int = 0
    leases: dict[str, Lease] = {}
    set_pace: SetPace | None = None
    version: int = 0


class Turn(Record, frozen=True, omit_defaults=False):
    """When a batch may be sent: what Begin Batch tells its child workflow, and later Record.

    It begins `after` milliseconds, less than a second. Then `waits` has the seconds that each communication waits (-1:
    it has no turn in this run), unless `ask_after` says in how many seconds to ask again, or `halted` why the run is
    over. `since` is when the child first asked. `epoch` and `rate` are those of the reservation, `heard_at` is the last
    good answer before it. `limited` says that the pace, and not the run's concurrency, made it wait; `leased` that the
    pace counts the batch as under way. `proof` is that of the run.
    """

    since: str = ""
    after: int = 0
    waits: list[int] = []
    ask_after: int | None = None
    halted: str | None = None
    epoch: int = 0
    rate: int = 0
    limited: bool = False
    leased: bool = False
    heard_at: int = 0
    proof: Proof | None = None


def effective_rate(pace: Pace, limits: Limits, now: int) -> int:
    """Return the rate that holds now: the learned one, or the one set by hand, within the owner's limit."""
    by_hand = rate_by_hand(pace, now)
    return within(by_hand.rate if by_hand else pace.rate, limits)


def rate_by_hand(pace: Pace, now: int) -> SetPace | None:
    """Return the rate that somebody has set, None if nobody has, or it has expired."""
    return pace.set_pace if pace.set_pace and pace.set_pace.until > now else None


def within(rate: float, limits: Limits) -> int:
    """Return the rate that is nearest to another one and allowed."""
    ceiling = HIGHEST if limits.max_per_second is None else max(1, int(limits.max_per_second * 1000))
    return min(max(int(rate), LOWEST), ceiling)


def reserve(pace: Pace, owner: str, size: int, waited: float, limits: Limits, now: int) -> tuple[Turn, Pace]:
    """Return when a batch of `size` communications may be sent, and the pace with its reservation.

    `waited` is how long its child workflow has been waiting, in seconds.
    """
    pace = _up_to_date(pace, owner, limits, now)
    if _wants_nothing(pace, now):
        return Turn(halted="overloaded"), pace
    if waited > WINDOW_S + LATE_S:
        # Whoever was held up has no time left to send: an EXPRESS workflow ends after five minutes, whatever it does.
        return _ask_again(size, waited, 0, 0), pace
    left = max(0, int((WINDOW_S - waited) * 1000))
    allowed = _allowed(pace, size, waited, limits)
    if not allowed:
        return _ask_again(size, waited, left, min(int(waited / 2), _LONGEST_POLL_S)), pace
    early = pace.next_free - now - _AHEAD_OF_TIME
    if early > 0 and waited < WINDOW_S - 1:
        return _ask_again(size, waited, left, min(math.ceil(early / 1000), _LONGEST_POLL_S)), pace
    rate = effective_rate(pace, limits, now)
    moments = [moment for moment in _moments(pace, allowed, rate, now) if moment - now <= left]
    if not moments:
        return _ask_again(size, waited, left, math.ceil(left / 1000)), pace
    return _granted(pace, owner, size, moments, rate, limits, now)


def _wants_nothing(pace: Pace, now: int) -> bool:
    """Whether a run is to end instead of waiting for the end of a block."""
    return pace.blocked_until > now and (pace.blocks >= _HOPELESS or pace.blocked_until - now >= _LONG_BLOCK)


def _moments(pace: Pace, count: int, rate: int, now: int) -> list[int]:
    """Return when each of the next communications may be sent: the first exactly, the others whole seconds later.

    That is how a state machine waits. From five a second on, a second takes one more rather than one less.
    """
    start, ahead = max(now, pace.next_free, pace.blocked_until), _ahead(pace)
    a_second = math.ceil(rate / 1000) if rate >= _ROUNDED_UP else rate / 1000
    return [start + int(number / a_second) * 1000 + (ahead if number else 0) for number in range(count)]


def _granted(
    pace: Pace, owner: str, size: int, moments: list[int], rate: int, limits: Limits, now: int
) -> tuple[Turn, Pace]:
    """Return the turn of a batch of which some are sent at certain moments, and the pace after it."""
    first_wait, after = divmod(moments[0] - now, 1000)
    waits = [first_wait + (moment - moments[0]) // 1000 for moment in moments]
    leased = _in_flight_limit(pace, limits) is not None
    turn = Turn(
        after=after,
        waits=waits + [-1] * (size - len(waits)),
        epoch=pace.epoch,
        rate=rate,
        limited=moments[0] > now or waits[-1] > 0,
        leased=leased,
        heard_at=pace.heard_at,
    )
    lease = {owner: Lease(size=len(waits), until=now + waits[-1] * 1000 + _LEASE)} if leased else {}
    next_free = moments[0] + _ahead(pace) + math.ceil(len(waits) * 1_000_000 / rate)
    return turn, replace(pace, next_free=next_free, leases=pace.leases | lease)


def _ahead(pace: Pace) -> int:
    """Return how long the next communication goes ahead of all others: it is the first one after a block."""
    return ahead_ms(pace) if pace.heard_at < pace.since and pace.next_free <= pace.blocked_until else 0


def ahead_ms(pace: Pace) -> int:
    """Return how long the first communication after a block goes ahead: whole seconds, as a state machine waits."""
    return _AHEAD + pace.usual_ms // 1000 * 1000


def _ask_again(size: int, waited: float, left: int, seconds: int) -> Turn:
    """Return the turn of a batch that has to wait, or that has waited for as long as it can."""
    if waited >= WINDOW_S - 1:
        return Turn(waits=[-1] * size)
    return Turn(ask_after=max(1, min(seconds, math.ceil(left / 1000))))


def _in_flight_limit(pace: Pace, limits: Limits) -> int | None:
    """Return how many communications may be under way, None if only the runs' concurrency limits it."""
    return min((limit for limit in (pace.canary, limits.max_in_flight) if limit), default=None)


def _allowed(pace: Pace, size: int, waited: float, limits: Limits) -> int:
    """Return how many communications of a batch may be under way besides the others; 0 if they do not fit in yet."""
    limit = _in_flight_limit(pace, limits)
    if limit is None:
        return size
    wanted = min(size, limits.max_in_flight or size)
    if wanted > limit and waited < _SMALLER_FIRST_S:
        return 0
    wanted = min(wanted, limit)
    return wanted if wanted + sum(lease.size for lease in pace.leases.values()) <= limit else 0


def _up_to_date(pace: Pace, owner: str, limits: Limits, now: int) -> Pace:
    """Return the pace without what has expired; whoever has heard nothing good for a while begins with a canary."""
    leases = {each: lease for each, lease in pace.leases.items() if each != owner and lease.until > now}
    pace = replace(pace, leases=leases, set_pace=rate_by_hand(pace, now), rate=within(pace.rate, limits))
    if now - pace.heard_at > _MEMORY:
        pace = forgotten(pace)
    # Five may also be what nothing good was heard for; twenty was left by a run that ended before its canary did.
    if now - pace.heard_at > _TRUST and pace.canary in (0, CANARY[-1]):
        pace = replace(pace, canary=CANARY[0])
    return pace


def forgotten(pace: Pace) -> Pace:
    """Return a pace that begins anew: a slow start."""
    return replace(pace, rate=min(pace.rate, START), sustained=0, refused=0, answered=0, probing=False)


def is_void(pace: Pace, epoch: int) -> bool:
    """Whether a reservation was made before the last block, so that what waits for it may not be sent."""
    return epoch < pace.void_below


def as_of(pace: Pace, now: int) -> Pace:
    """Return the pace as a batch would find it now: without what has expired."""
    return _up_to_date(pace, "", Limits(), now)

"""What the pace learns from the application's answers, without the table.

The rate doubles while nothing was ever refused. Then it closes in on the highest rate that the application sustains, by
bisection between that and the lowest rate that it refused.
"""

import math

from msgspec.structs import replace

from chalicelib import times
from chalicelib.ledger.pace import (
    CANARY,
    FIRST_PAUSE,
    LOWEST,
    Limits,
    Pace,
    Turn,
    ahead_ms,
    forgotten,
    rate_by_hand,
    within,
)

# The numbers below are those with which `make bench-pace` and variations of it lose least.

# In milliseconds: how much longer a block has to become for another refusal to change it: hundreds may arrive at once.
_LONGER = 1_000

# In milliseconds: how long everybody stays away at most. The pause doubles while nothing is accepted in between. What
# sufficed is remembered, up to the first number. Whatever the application says, after an hour we ask again (as
# application/retry_after.py has it).
_REMEMBERED_PAUSE, _LONGEST_PAUSE, _LONGEST_BLOCK = 30_000, times.parse_duration("15m"), times.parse_duration("1h")

# In milliseconds: refusals that are no further apart count together.
_TOGETHER = 10_000

# How many communications have to be answered at a rate before it is raised, and in milliseconds: how long a rate has to
# go well before a higher one is tried, and how long the higher one until it counts as sustained.
_ENOUGH, _HOLD, _PROOF = 20, 15_000, 10_000

# The part that is left of a rate when it is refused: of the first one, which may have been doubled once too often; of
# one that failed at once; of one that had gone well before. And at least, when only its answers got slow: they cost no
# pause.
_PART_FIRST, _PART, _PART_PROVEN, _PART_SLOW = 0.45, 0.5, 0.9, 0.7

# A try goes so far from the sustained to the refused rate (as logarithms): less than half, since it costs more to fail.
_STEP = 1 / 3

# Refused and sustained rates that are closer than this have nothing worth finding in between. What is left to find out
# is whether the application can take more now. That try costs a pause whenever it cannot, so it comes after so many
# pauses, and after so many milliseconds at the latest.
_CLOSE, _PAUSES_UNTIL_TRY, _LONGEST_HOLD = 1.1, 30, 600_000

# Answers are "much slower than usual" from this multiple of the usual time, and so many milliseconds more. While they
# take less each time than before, what was sent too fast is being worked off.
_SLOWER, _SLOWER_MS, _IMPROVED = 4, 500, 0.9


def refused(pace: Pace, epoch: int, reason: str, retry_after: int | None, now: int) -> Pace:
    """Return the pace after a POST that the application refused as too fast (429 or 503).

    At a rate that has gone well for a while, one refusal may be about one communication. Two within seconds are about
    all, and so is one that says how long to wait.
    """
    goes_well = pace.heard_at >= pace.since and now - pace.since >= _HOLD and not pace.probing
    alone = goes_well and now - pace.warned_at > _TOGETHER
    if alone and retry_after is None and epoch == pace.epoch:
        return replace(pace, warned_at=now)
    return lower(pace, epoch, reason, retry_after, now)


def lower(pace: Pace, turn_epoch: int, reason: str, retry_after: int | None, now: int) -> Pace:
    """Return the pace after an answer that says "too fast". `retry_after`: in how many milliseconds it may be asked.

    Only the first such answer of an epoch lowers the rate; the others can only make the block longer. If it comes as
    soon as we may send again, the rate is not the cause: the application still locks us out, so only the pause gets
    longer. Nor is it if somebody has set the pace by hand.
    """
    told = None if retry_after is None else min(retry_after, _LONGEST_BLOCK)
    if turn_epoch != pace.epoch:
        later = now + (told or 0)
        return _postponed(pace, later) if told and later >= pace.blocked_until + _LONGER else pace
    locked_out = _is_locked_out(pace, now)
    pause = _pause(pace, told, locked_out=locked_out)
    pace = pace if locked_out or rate_by_hand(pace, now) else _slower(pace, _part(pace, now))
    until = max(pace.blocked_until, now + (pause if told is None else told))
    return replace(
        pace, epoch=pace.epoch + 1, void_below=pace.epoch + 1, pause=pause, blocked_until=until, next_free=until,
        since=until, answered=0, reason=reason, lowered_at=now, blocks=pace.blocks + 1,
    )  # fmt: skip


def _is_locked_out(pace: Pace, now: int) -> bool:
    """Whether a refusal now comes as soon as a block is over."""
    return pace.heard_at < pace.since <= now < pace.since + ahead_ms(pace)


def _postponed(pace: Pace, until: int) -> Pace:
    """Return the pace with a longer block. What was reserved for after the shorter one is void."""
    epoch = pace.epoch + 1
    return replace(pace, epoch=epoch, void_below=epoch, blocked_until=until, next_free=until, since=until, answered=0)


def _pause(pace: Pace, told: int | None, *, locked_out: bool) -> int:
    """Return how long this block lasts, and the next one: what the application says, otherwise what it takes."""
    if told is not None:
        return min(max(told, FIRST_PAUSE), _LONGEST_PAUSE)
    return min(pace.pause * 2, _LONGEST_PAUSE) if locked_out else pace.pause


def _slower(pace: Pace, part: float) -> Pace:
    """Return the pace with the rate after a loss: the sustained one after a try, otherwise a part of this one."""
    rate = pace.rate
    sustained = pace.sustained if pace.refused and pace.sustained < rate else 0
    refused = min(rate, pace.refused) if pace.refused > sustained else rate
    lowered = sustained if sustained and pace.probing else rate * part
    return replace(pace, rate=max(LOWEST, int(lowered)), sustained=sustained, refused=refused, probing=False)


def _part(pace: Pace, now: int) -> float:
    """Return which part of the rate is left after a loss."""
    if not pace.refused:
        return _PART_FIRST
    proven = pace.rate <= pace.sustained or (pace.answered >= _ENOUGH and now - pace.since >= _PROOF)
    return _PART_PROVEN if proven else _PART


def ended(pace: Pace, turn: Turn, owner: str, answered: int, mean_ms: int | None, limits: Limits, now: int) -> Pace:
    """Return the pace after a batch that the application answered, `answered` of them.

    `mean_ms` is how long those took that it accepted.
    """
    pace = _without_lease(pace, owner)
    if not answered or turn.epoch != pace.epoch:
        return pace
    pace = _next_canary(replace(pace, heard_at=now, blocks=0, pause=min(pace.pause, _REMEMBERED_PAUSE)))
    if turn.rate != pace.rate:
        # It was sent at another rate, or at one set by hand.
        return pace
    if mean_ms is not None and pace.usual_ms and mean_ms > _SLOWER * pace.usual_ms + _SLOWER_MS:
        # What was sent before has to be answered first; while that goes on, answers take less and less.
        worse = now - pace.since > mean_ms > _IMPROVED * pace.slow_ms
        return _slowed(pace, mean_ms, now) if worse else pace
    pace = replace(pace, answered=pace.answered + answered, usual_ms=_usual(pace.usual_ms, mean_ms), slow_ms=0)
    return _raised(pace, limits, now) if turn.limited else pace


def _slowed(pace: Pace, mean_ms: int, now: int) -> Pace:
    """Return the pace after answers that took much longer than usual: slower, once what is under way is answered."""
    pace = _slower(pace, max(_part(pace, now), _PART_SLOW))
    then = now + mean_ms
    return replace(
        pace,
        epoch=pace.epoch + 1,
        next_free=max(pace.next_free, then),
        since=then,
        answered=0,
        slow_ms=mean_ms,
        reason="slow_answers",
        lowered_at=now,
    )


def _usual(usual: int, mean: int | None) -> int:
    """Return the usual time of an answer: it follows faster answers at once, and slower ones little by little."""
    if mean is None or not usual:
        return usual or max(1, mean or 0)
    return max(1, mean if mean < usual else usual + math.ceil((mean - usual) / 100))


def _raised(pace: Pace, limits: Limits, now: int) -> Pace:
    """Return the pace with a higher rate, if this one has gone well for long enough."""
    if pace.answered < _ENOUGH or (pace.refused and now - pace.since < _hold(pace)):
        return pace
    if pace.rate >= pace.refused:
        # Nothing was ever refused, or what once was goes well now: nobody knows how much it can take.
        return _doubled(pace, limits, now)
    sustained = max(pace.sustained, pace.rate)
    if not _is_close(pace):
        return _at(pace, sustained * (pace.refused / sustained) ** _STEP, limits, now)
    if not pace.probing:
        return _at(pace, pace.refused * _CLOSE, limits, now)
    return replace(pace, probing=False, sustained=sustained, since=now, answered=0)


def _hold(pace: Pace) -> int:
    """Return how long this rate has to go well before a higher one is tried."""
    if pace.probing:
        return _PROOF
    return min(max(_HOLD, _PAUSES_UNTIL_TRY * pace.pause), _LONGEST_HOLD) if _is_close(pace) else _HOLD


def _is_close(pace: Pace) -> bool:
    """Whether nothing worth finding is left between the sustained rate and the refused one."""
    return pace.refused < max(pace.sustained, pace.rate) * _CLOSE


def _at(pace: Pace, rate: float, limits: Limits, now: int) -> Pace:
    """Return the pace that tries a higher rate; the one before is sustained."""
    sustained = max(pace.sustained, pace.rate)
    return replace(pace, rate=within(rate, limits), sustained=sustained, since=now, answered=0, probing=True)


def _doubled(pace: Pace, limits: Limits, now: int) -> Pace:
    """Return the pace at twice the rate. What is reserved already leaves room in between for as much again."""
    reserved = max(0, pace.next_free - now) // 2
    return _at(replace(pace, refused=0, next_free=now + reserved), pace.rate * 2, limits, now)


def _next_canary(pace: Pace) -> Pace:
    """Return the pace after a canary that came back."""
    return replace(pace, canary=next((size for size in CANARY if size > pace.canary), 0) if pace.canary else 0)


def unanswered(pace: Pace, owner: str) -> Pace:
    """Return the pace after a batch without a good answer: it says too little, so a handful may follow it.

    One communication alone may be at fault itself. If the handful fails as well, the breaker halts the run.
    """
    return replace(_without_lease(pace, owner), canary=pace.canary and max(pace.canary, CANARY[1]))


def distrusted(pace: Pace) -> Pace:
    """Return the pace of an application that seems to be down: the next batch is a canary, then a slow start."""
    return replace(forgotten(pace), canary=CANARY[0])


def _without_lease(pace: Pace, owner: str) -> Pace:
    return replace(pace, leases={each: lease for each, lease in pace.leases.items() if each != owner})

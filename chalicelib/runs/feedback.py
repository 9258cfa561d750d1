"""What the pace learns from a batch that has ended."""

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import NamedTuple

from chalicelib.ledger import Ledger
from chalicelib.ledger.claims import State
from chalicelib.ledger.pace import Limits, Pace, Turn
from chalicelib.ledger.pace_feedback import ended, lower, unanswered
from chalicelib.models.batches import TaskResult
from chalicelib.runs import breaker

# Several timeouts in a batch, and this part of it at least, say that the application is overloaded.
_TIMEOUTS, _PART = 2, 0.2
_TIMEOUT_CODES = ("no_answer_in_time", "http_504")

# What a healthy batch need not tell: answers below so many milliseconds cannot be called slow, and the last good answer
# is known precisely enough.
_QUICK_MS, _RECENT_MS = 500, 60_000


class Heard(NamedTuple):
    """What the application said to a batch.

    How many communications were attempted, how many it answered without fail and how fast (in milliseconds, None if it
    accepted none), and how many timed out.
    """

    attempted: int
    answered: int
    mean_ms: int | None
    timeouts: int


def learn(
    owner: str,
    results: Sequence[TaskResult],
    states: Mapping[tuple[str, str], State],
    turn: Turn,
    ledger: Ledger,
    limits: Limits,
) -> None:
    """Let the pace learn from an owner's batch. `states` are what the ledger knows about its communications.

    If it is repeated, the application counts as having answered twice as many: that does no harm.
    """
    heard = listen(owner, results, states)
    if not _is_no_news(heard, turn, ledger.clock()):
        ledger.pacing.change(lambda pace, now: (None, after(pace, heard, turn, owner, limits, now)))


def listen(owner: str, results: Sequence[TaskResult], states: Mapping[tuple[str, str], State]) -> Heard:
    """Return what the application said to the communications that an owner claimed."""
    entries = [entry for state in states.values() if (entry := state.entry_of(owner))]
    times = [result.post_ms for result in results if result.post_ms is not None]
    return Heard(
        attempted=len(entries),
        answered=sum(not breaker.is_failure(entry) and entry.answer in breaker.ANSWERS for entry in entries),
        mean_ms=round(mean(times)) if times else None,
        timeouts=sum(entry.reason in _TIMEOUT_CODES for entry in entries),
    )


def _is_no_news(heard: Heard, turn: Turn, now: int) -> bool:
    """Whether the pace would not change: then the batch costs no write, and does not stand in the others' way."""
    well = heard.answered and not heard.timeouts and (heard.mean_ms or 0) <= _QUICK_MS
    return bool(well) and not (turn.limited or turn.leased) and now - turn.heard_at < _RECENT_MS


def after(pace: Pace, heard: Heard, turn: Turn, owner: str, limits: Limits, now: int) -> Pace:
    """Return the pace after a batch."""
    if not heard.answered:
        pace = unanswered(pace, owner)
    if heard.timeouts >= max(_TIMEOUTS, _PART * heard.attempted):
        pace = lower(pace, turn.epoch, _TIMEOUT_CODES[0], None, now)
    return ended(pace, turn, owner, heard.answered, heard.mean_ms, limits, now)

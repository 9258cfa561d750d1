"""Runs as the state machine carries them out, simulated: with the rules of the pace as shipped, and as before them."""

import random
from collections.abc import Iterator
from statistics import mean
from typing import TypeAlias

import simpy

from benchmarks.pace.applications import Answer
from benchmarks.pace.backlog import Backlog
from chalicelib.ledger import pace, pace_feedback
from chalicelib.ledger.pace import CANARY, Limits, Pace, Turn
from chalicelib.runs import breaker, feedback
from chalicelib.settings import Settings

Process: TypeAlias = simpy.events.ProcessGenerator

# In seconds: what a child workflow takes before its turn and after its last POST, what a run takes before its first
# batch, and how often the schedule fires.
BEFORE, AFTER, COLLECTING, SCHEDULE = 0.3, 0.35, 5.0, 900.0

# In seconds: when the next run begins at the earliest, and how long a block has to be for one to follow a run that got
# nothing accepted (runs/next_run.py).
_SOON, _NAMED = 5.0, 60.0

# How many communications a batch has, and how many are under way in one child.
_SETTINGS = Settings(resource_prefix="bench")
BATCH_SIZE = _SETTINGS.batch_size

# What ended a run before there was a pace: barren batches in a row. And the longest waits before the second and the
# third try of a POST, in seconds.
BREAKER_BATCHES, _RETRIES = 3, (2.0, 4.0)

# In milliseconds since 1970. A time of 0 means "never" to the pace.
_EPOCH = 2_000_000_000_000


class SharedPace:
    """The pace of the application as the table holds it: all runs share it."""

    def __init__(self, env: simpy.Environment, limits: Limits | None = None) -> None:
        self.state = Pace()
        self._env = env
        self._limits = limits or Limits()

    def reserve(self, owner: str, size: int, waited: float) -> Turn:
        """Return when a batch may be sent."""
        turn, self.state = pace.reserve(self.state, owner, size, waited, self._limits, self._now())
        return turn

    def lower(self, turn: Turn, answer: Answer) -> None:
        """Take note of an answer that says "too fast"."""
        wait = None if answer.retry_after is None else int(answer.retry_after * 1000)
        self.state = pace_feedback.refused(self.state, turn.epoch, f"http_{answer.status}", wait, self._now())

    def ended(self, turn: Turn, owner: str, answers: list[Answer]) -> None:
        """Take note of the end of a batch."""
        accepted = [answer.seconds * 1000 for answer in answers if answer.accepted]
        heard = feedback.Heard(
            attempted=len(answers),
            answered=len(accepted),
            mean_ms=round(mean(accepted)) if accepted else None,
            timeouts=sum(not (answer.accepted or answer.refused) for answer in answers),
        )
        self.state = feedback.after(self.state, heard, turn, owner, self._limits, self._now())

    def distrust(self) -> None:
        """Take note that the breaker has ended a run."""
        self.state = pace_feedback.distrusted(self.state)

    def is_void(self, turn: Turn) -> bool:
        """Whether a turn was reserved before the last block."""
        return turn.limited and pace.is_void(self.state, turn.epoch)

    @property
    def blocked_for(self) -> float:
        """For how many seconds nobody may send."""
        return max(0, self.state.blocked_until - self._now()) / 1000

    def _now(self) -> int:
        return int(self._env.now * 1000) + _EPOCH


class PacedRuns:
    """Run after run at the shared pace, each with so many children at once, until everything is sent."""

    def __init__(self, backlog: Backlog, children: int, shared: SharedPace) -> None:
        self.runs = 0
        self._backlog = backlog
        self._env = backlog.env
        self._children = children
        self._pace = shared
        self._halted = False
        self._barren: set[int] = set()

    def run_all(self) -> Process:
        """Run as often as it takes: soon after a run that got somewhere, otherwise when a long block is over."""
        while not self._backlog.done:
            settled = self._backlog.settled
            yield from self._run()
            blocked_for = self._pace.blocked_for
            early = self._backlog.settled > settled or blocked_for >= _NAMED
            yield self._env.timeout(max(_SOON, blocked_for) if early else SCHEDULE)

    def _run(self) -> Process:
        self.runs += 1
        self._halted, self._barren = False, set()
        yield self._env.timeout(COLLECTING)
        batches = _batches(self._backlog, CANARY)
        yield self._env.all_of([self._env.process(self._child(batches)) for _ in range(self._children)])

    def _child(self, batches: Iterator[tuple[int, list[int]]]) -> Process:
        for number, batch in batches:
            if self._halted:
                self._backlog.waiting.extend(batch)
            else:
                yield from self._batch(number, batch)

    def _batch(self, number: int, batch: list[int]) -> Process:
        owner = f"{id(self)}/{self.runs}/{number}"
        turn = yield from self._turn(owner, len(batch))
        self._halted = self._halted or bool(turn.halted)
        yield self._env.timeout(turn.after / 1000)
        answers: list[Answer] = []
        waits = turn.waits or [-1] * len(batch)
        posts = [self._post(each, wait, turn, answers) for each, wait in zip(batch, waits, strict=True)]
        yield self._env.all_of([self._env.process(post) for post in posts])
        yield self._env.timeout(AFTER)
        self._pace.ended(turn, owner, answers)
        self._halted = self._halted or self._breaks(number, answers)

    def _breaks(self, number: int, answers: list[Answer]) -> bool:
        """Whether the breaker ends the run. An answer that asks for fewer does not count: the application is up."""
        if any(answer.accepted for answer in answers):
            self._barren = set()
        elif any(not answer.refused for answer in answers):
            self._barren.add(number)
        if not breaker.are_enough(self._barren, self._pace.state, _SETTINGS):
            return False
        self._pace.distrust()
        return True

    def _turn(self, owner: str, size: int) -> Process:
        began = self._env.now
        while True:
            yield self._env.timeout(BEFORE)
            turn = self._pace.reserve(owner, size, self._env.now - began - BEFORE)
            if turn.ask_after is None:
                return turn
            yield self._env.timeout(turn.ask_after)

    def _post(self, communication: int, wait: int, turn: Turn, answers: list[Answer]) -> Process:
        yield self._env.timeout(max(wait, 0))
        if wait < 0 or self._pace.is_void(turn):
            self._backlog.waiting.append(communication)
            return
        answer = yield from self._backlog.post(communication)
        answers.append(answer)
        if answer.refused:
            self._pace.lower(turn, answer)
            self._backlog.waiting.append(communication)


class UnpacedRuns:
    """Runs as they were without a pace: a batch is sent at once, and what is refused is sent twice more in seconds."""

    def __init__(self, backlog: Backlog, children: int) -> None:
        self._backlog = backlog
        self._env = backlog.env
        self._children = children
        self._random = random.Random(7)  # noqa: S311 (waits, no secrets)
        self._barren = 0

    def run_all(self) -> Process:
        """Run as often as it takes, a quarter of an hour apart."""
        while not self._backlog.done:
            yield self._env.timeout(COLLECTING)
            self._barren = 0
            batches = _batches(self._backlog)
            yield self._env.all_of([self._env.process(self._child(batches)) for _ in range(self._children)])
            yield self._env.timeout(SCHEDULE - self._env.now % SCHEDULE)

    def _child(self, batches: Iterator[tuple[int, list[int]]]) -> Process:
        for _, batch in batches:
            if self._barren >= BREAKER_BATCHES:
                self._backlog.waiting.extend(batch)
                continue
            yield self._env.timeout(BEFORE)
            accepted: list[int] = []
            yield self._env.all_of([self._env.process(self._post(each, accepted)) for each in batch])
            self._barren = 0 if accepted else self._barren + 1
            yield self._env.timeout(AFTER)

    def _post(self, communication: int, accepted: list[int]) -> Process:
        for longest in (*_RETRIES, None):
            answer = yield from self._backlog.post(communication)
            if not answer.refused:
                if answer.accepted:
                    accepted.append(communication)
                return
            if longest:
                yield self._env.timeout(self._random.uniform(0, longest))
        self._backlog.waiting.append(communication)


def _batches(backlog: Backlog, first: tuple[int, ...] = ()) -> Iterator[tuple[int, list[int]]]:
    """Yield what waits now in numbered batches, the first ones smaller."""
    waiting, sizes, number = list(backlog.waiting), iter(first), 0
    backlog.waiting.clear()
    while waiting:
        size = next(sizes, BATCH_SIZE)
        yield number, waiting[:size]
        del waiting[:size]
        number += 1

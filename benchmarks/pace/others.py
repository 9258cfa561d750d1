"""Two well-known ways to find out what a server can take, for comparison: AIMD of the AWS SDK, and Netflix's gradient.

Both send from one queue with as many senders at once as the concurrency allows. They know of no runs and no batches,
each learns of an answer at once, and both are spared what a workflow takes. What is given up goes to the queue's end.
"""

import math
import random
from typing import TypeAlias

import simpy
from botocore.exceptions import CapacityNotAvailableError
from botocore.retries.adaptive import RateClocker
from botocore.retries.bucket import Clock, TokenBucket
from botocore.retries.throttling import CubicCalculator

from benchmarks.pace.applications import Answer
from benchmarks.pace.backlog import Backlog

Process: TypeAlias = simpy.events.ProcessGenerator


class _Clock(Clock):
    """The simulation's clock for botocore."""

    def __init__(self, env: simpy.Environment) -> None:
        super().__init__()
        self._env = env

    def current_time(self) -> float:
        """Return the time in seconds."""
        return float(self._env.now)


class Aimd:
    """The adaptive mode of the AWS SDK (botocore/retries/adaptive.py), with botocore's own parts and a simulated clock.

    CUBIC (RFC 9438) for a rate: a throttled answer makes it 0.7 of what it was, and success brings it back along a
    cubic curve, at most to twice the measured rate. Nothing is limited before the first throttled answer. A call has
    three tries, with a random part of 1, 2 ... seconds in between (standard.py). The quota of retries is left out.
    """

    _TRIES, _MOST_OF_MEASURED = 3, 2.0

    def __init__(self, backlog: Backlog, concurrency: int) -> None:
        self._backlog = backlog
        self._env = backlog.env
        self._concurrency = concurrency
        self._clock = _Clock(self._env)
        self._cubic = CubicCalculator(starting_max_rate=0, start_time=0)
        self._bucket = TokenBucket(max_rate=1, clock=self._clock)
        self._measured = RateClocker(self._clock)
        self._limited = False
        self._head_of_the_line = simpy.Resource(self._env)
        self._random = random.Random(7)  # noqa: S311 (waits, no secrets)

    def run_all(self) -> Process:
        """Send until everything is taken."""
        yield self._env.all_of([self._env.process(self._send()) for _ in range(self._concurrency)])

    def _send(self) -> Process:
        while self._backlog.waiting:
            communication = self._backlog.waiting.popleft()
            for number in range(self._TRIES):
                yield from self._acquire()
                answer = yield from self._backlog.post(communication)
                self._learn(answer)
                if not answer.refused:
                    break
                yield self._env.timeout(self._random.random() * 2**number)
            else:
                self._backlog.waiting.append(communication)

    def _acquire(self) -> Process:
        """Wait for a token. Only the first in line looks for one: all others would wake up in vain."""
        if not self._limited:
            return
        with self._head_of_the_line.request() as turn:
            yield turn
            while not self._has_token():
                yield self._env.timeout((1 - self._bucket.available_capacity) / self._bucket.max_rate + 0.001)

    def _has_token(self) -> bool:
        try:
            return bool(self._bucket.acquire(block=False))
        except CapacityNotAvailableError:
            return False

    def _learn(self, answer: Answer) -> None:
        measured, now = self._measured.record(), self._clock.current_time()
        if answer.refused:
            rate = self._cubic.error_received(min(measured, self._bucket.max_rate) if self._limited else measured, now)
            self._limited = True
        else:
            rate = self._cubic.success_received(now)
        self._bucket.max_rate = min(rate, self._MOST_OF_MEASURED * measured)


class Gradient:
    """A limit for what is under way, which follows the time of an answer: GradientLimit of Netflix/concurrency-limits.

    Behind its WindowedLimit, with the defaults of both: windows of a second and at least 10 answers; the limit is
    multiplied by how much faster an answer is without load, twice that at most counting as none, plus a queue of its
    square root. A drop halves it, and it goes down by a fifth of the way. What is refused or not answered is a drop.
    The new measurement without load after 1,000 windows is left out.
    """

    _INITIAL, _LOWEST, _SMOOTHING, _TOLERANCE, _QUEUE = 50, 1, 0.2, 2.0, 4
    _WINDOW_S, _WINDOW_ANSWERS = 1.0, 10

    def __init__(self, backlog: Backlog, concurrency: int) -> None:
        self._backlog = backlog
        self._env = backlog.env
        self._most = concurrency
        self._limit = float(min(self._INITIAL, concurrency))
        self._in_flight = self._most_in_flight = 0
        self._without_load = math.inf
        self._window: list[Answer] = []
        self._window_ends = 0.0
        self._freed = self._env.event()

    def run_all(self) -> Process:
        """Send until everything is taken."""
        while not self._backlog.done:
            while self._backlog.waiting and self._in_flight < int(self._limit):
                self._in_flight += 1
                self._most_in_flight = max(self._most_in_flight, self._in_flight)
                self._env.process(self._post(self._backlog.waiting.popleft()))
            yield self._freed

    def _post(self, communication: int) -> Process:
        answer = yield from self._backlog.post(communication)
        if answer.refused:
            self._backlog.waiting.append(communication)
        self._in_flight -= 1
        self._window.append(answer)
        if self._env.now >= self._window_ends:
            self._end_window()
        freed, self._freed = self._freed, self._env.event()
        freed.succeed()

    def _end_window(self) -> None:
        window, most = self._window, self._most_in_flight
        self._window, self._most_in_flight = [], self._in_flight
        self._window_ends = self._env.now + self._WINDOW_S
        if len(window) >= self._WINDOW_ANSWERS:
            seconds = sum(answer.seconds for answer in window) / len(window)
            self._learn(seconds, most, dropped=not all(answer.accepted for answer in window))

    def _learn(self, seconds: float, most_in_flight: int, *, dropped: bool) -> None:
        queue = max(self._QUEUE, int(math.sqrt(self._limit)))
        self._without_load = min(self._without_load, seconds)
        if not dropped and most_in_flight + queue < self._limit:
            return
        gradient = max(0.5, min(1.0, self._TOLERANCE * self._without_load / seconds))
        wanted = self._limit / 2 if dropped else self._limit * gradient + queue
        if wanted < self._limit:
            wanted = max(self._LOWEST, self._limit + self._SMOOTHING * (wanted - self._limit))
        self._limit = max(queue, min(self._most, wanted))

"""What all senders share: the clock, the application, the communications that wait, and what is counted."""

from collections import deque

import simpy

from benchmarks.pace.applications import Answer, Application


class Backlog:
    """So many communications that wait for an application. Several backlogs may share a clock and an application."""

    def __init__(self, env: simpy.Environment, application: Application, number: int) -> None:
        self.env = env
        self.application = application
        self.waiting = deque(range(number))
        self.number = number
        self.refused = self.burned = 0
        self.last_settled_at = 0.0
        self._settled: set[int] = set()

    def post(self, communication: int) -> simpy.events.ProcessGenerator:
        """POST a communication, and return the answer."""
        answer = self.application.post(self.env.now)
        yield self.env.timeout(answer.seconds)
        self._count(communication, answer)
        return answer

    def _count(self, communication: int, answer: Answer) -> None:
        if answer.refused:
            self.refused += 1
            return
        # Without an answer it was processed after all, but nobody knows: an attempt is burned.
        self.burned += not answer.accepted
        self._settled.add(communication)
        self.last_settled_at = self.env.now

    @property
    def settled(self) -> int:
        """How many communications the application has taken."""
        return len(self._settled)

    @property
    def done(self) -> bool:
        """Whether the application has taken everything."""
        return self.settled >= self.number

"""The threads: the outbox fills the queue, workers send, the requeuer gives failures another round."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from sandbox.application.communications import Communications
from sandbox.application.queues import AT_ONCE, EntryQueue, Ticketed
from sandbox.application.senders import Providers
from sandbox.application.switches import Board

_log = logging.getLogger(__name__)

# moto looks at the whole queue for each message that comes or goes: a thousand of them would take half an hour
_IN_QUEUE = 40

# few, because what a worker has taken when it dies comes back only after the visibility timeout
_TAKEN_AT_ONCE = 8


@dataclass(frozen=True)
class Rules:
    """How often, and when, a failed communication is tried again."""

    rounds: int
    requeue_after: float
    lost_after: float


class Repeating(threading.Thread):
    """Does one step after the other until told to stop; a step that fails is logged and tried again."""

    def __init__(self, name: str, step: Callable[[], None], stopping: threading.Event) -> None:
        super().__init__(name=name, daemon=True)
        self._step = step
        self._stopping = stopping

    def run(self) -> None:
        """Go on until stopped."""
        while not self._stopping.is_set():
            try:
                self._step()
            except Exception:  # noqa: BLE001 (SQS or a provider may do anything: the thread has to outlive it)
                _log.exception("%s failed, and goes on", self.name)
                self._stopping.wait(0.5)


class Outbox:
    """The only one that puts entries on the queue: a row says that it wants one, so dying in between loses nothing."""

    def __init__(self, communications: Communications, queue: EntryQueue, board: Board, lost_after: float) -> None:
        self._communications = communications
        self._queue = queue
        self._board = board
        self._lost_after = lost_after
        self._wanted = threading.Event()

    def wake(self) -> None:
        """Say that a row was queued."""
        self._wanted.set()

    def step(self) -> None:
        """Queue what is wanted, and again what the queue seems to have lost; wait up to a second for it."""
        self._wanted.wait(1)
        self._wanted.clear()
        if not self._board.switches.worker_paused:
            self._communications.requeue_lost(self._lost_after)
        while entries := self._communications.to_enqueue(AT_ONCE, _IN_QUEUE):
            self._communications.enqueued(self._queue.send(entries))


class Worker:
    """Takes entries and sends; several threads may run one."""

    def __init__(
        self,
        communications: Communications,
        queue: EntryQueue,
        outbox: Outbox,
        providers: Providers,
        board: Board,
        stopping: threading.Event,
    ) -> None:
        self._communications = communications
        self._queue = queue
        self._outbox = outbox
        self._providers = providers
        self._board = board
        self._stopping = stopping
        # moto gives one message to two callers who ask at the same moment
        self._turn = threading.Lock()

    def step(self) -> None:
        """Take a few entries; what is done leaves the queue, what failed goes to the dead letter queue."""
        with self._turn:
            entries = self._take()
        done = [entry for entry in entries if self._handle(entry)]
        self._queue.delete(done)
        self._queue.release([entry for entry in entries if entry not in done])
        if entries:
            self._outbox.wake()

    def _take(self) -> list[Ticketed]:
        if self._board.switches.worker_paused:
            self._stopping.wait(0.05)
            return []
        return [] if self._stopping.is_set() else self._queue.receive(_TAKEN_AT_ONCE)

    def _handle(self, entry: Ticketed) -> bool:
        """Send it if nobody else does; tell whether the entry is done with."""
        claimed = None if self._board.switches.worker_paused else self._communications.claim(entry)
        if claimed is None:
            return self._communications.is_over(entry)
        try:
            self._providers.send(claimed, self._communications.delivered)
        except (OSError, ValueError) as error:
            self._communications.attempt_failed(entry, str(error)[:300])
            return False
        return True


class Requeuer:
    """Moves entries that have been in the dead letter queue for a while back, until their rounds are used up."""

    def __init__(
        self,
        communications: Communications,
        dead: EntryQueue,
        outbox: Outbox,
        rules: Rules,
        stopping: threading.Event,
    ) -> None:
        self._communications = communications
        self._dead = dead
        self._outbox = outbox
        self._rules = rules
        self._stopping = stopping

    def step(self) -> None:
        """Take entries, wait until they are old enough (later ones are younger), and give their rows a new round."""
        entries = self._dead.receive()
        due = self._communications.attempted_at(entries) + self._rules.requeue_after
        if self._stopping.wait(max(0.0, due - time.time())):
            self._dead.release(entries)
            return
        self._communications.requeue(entries, self._rules.rounds)
        self._outbox.wake()
        # one that is still being sent stays, and is looked at again
        self._dead.delete([entry for entry in entries if self._communications.is_over(entry)])

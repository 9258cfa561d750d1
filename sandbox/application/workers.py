"""The threads: the outbox fills the queue, workers send, and the requeuer queues failed communications again."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from sandbox.application.communications import Communications
from sandbox.application.queues import MAX_BATCH, Queue, QueueMessage
from sandbox.application.senders import Providers, error_code
from sandbox.application.switches import SwitchBoard

_log = logging.getLogger(__name__)

# moto searches the whole queue for each message that is sent or deleted: with a thousand it would take half an hour.
_MAX_IN_QUEUE = 40

# Few, because what a worker has received when it dies comes back only after the visibility timeout.
_RECEIVE_AT_ONCE = 8


@dataclass(frozen=True)
class RetryPolicy:
    """How often and when a failed communication is tried again; the times are in seconds."""

    rounds: int
    requeue_after: float
    lost_after: float


class RepeatingThread(threading.Thread):
    """Repeats a step until `stopping` is set. A step that raises is logged and repeated."""

    def __init__(self, name: str, step: Callable[[], None], stopping: threading.Event) -> None:
        super().__init__(name=name, daemon=True)
        self._step = step
        self._stopping = stopping

    def run(self) -> None:
        """Repeat the step."""
        while not self._stopping.is_set():
            try:
                self._step()
            except Exception:  # noqa: BLE001 (SQS or a provider may do anything: the thread must survive it)
                _log.exception("%s failed and continues", self.name)
                self._stopping.wait(0.5)


class Outbox:
    """Puts messages on the main queue, and nothing else does.

    A row says that it needs a message, so nothing is lost if the process dies before the message is sent.
    """

    def __init__(
        self, communications: Communications, queue: Queue, switchboard: SwitchBoard, lost_after: float
    ) -> None:
        self._communications = communications
        self._queue = queue
        self._switchboard = switchboard
        self._lost_after = lost_after
        self._woken = threading.Event()

    def wake(self) -> None:
        """Continue at once, because a row needs a message."""
        self._woken.set()

    def step(self) -> None:
        """Wait up to a second for `wake`; queue what needs a message, and again what the queue seems to have lost."""
        self._woken.wait(1)
        self._woken.clear()
        if not self._switchboard.current.worker_paused:
            self._communications.requeue_lost(self._lost_after)
        while messages := self._communications.to_enqueue(MAX_BATCH, _MAX_IN_QUEUE):
            self._communications.mark_enqueued(self._queue.send(messages))


class Worker:
    """Receives messages and sends their communications. Several threads may share a worker."""

    def __init__(
        self,
        communications: Communications,
        queue: Queue,
        outbox: Outbox,
        providers: Providers,
        switchboard: SwitchBoard,
        stopping: threading.Event,
    ) -> None:
        self._communications = communications
        self._queue = queue
        self._outbox = outbox
        self._providers = providers
        self._switchboard = switchboard
        self._stopping = stopping
        # moto gives the same message to two callers that ask at the same moment.
        self._receive_lock = threading.Lock()

    def step(self) -> None:
        """Handle a few messages: delete those that are done, and release the others to the dead letter queue."""
        with self._receive_lock:
            messages = self._receive()
        done = [message for message in messages if self._handle(message)]
        self._queue.delete(done)
        self._queue.release([message for message in messages if message not in done])
        if messages:
            self._outbox.wake()

    def _receive(self) -> list[QueueMessage]:
        if self._switchboard.current.worker_paused:
            self._stopping.wait(0.05)
            return []
        return [] if self._stopping.is_set() else self._queue.receive(_RECEIVE_AT_ONCE)

    def _handle(self, message: QueueMessage) -> bool:
        """Send the communication unless another worker does; return whether the message is done."""
        claimed = None if self._switchboard.current.worker_paused else self._communications.claim(message)
        if claimed is None:
            return self._communications.is_outdated(message)
        try:
            self._providers.send(claimed, self._communications.mark_delivered)
        except (OSError, ValueError) as error:
            self._communications.record_failed_attempt(message, str(error)[:300], error_code(error))
            return False
        return True


class Requeuer:
    """Queues the communications in the dead letter queue again after a delay, until their rounds are used up."""

    def __init__(
        self,
        communications: Communications,
        dead_letters: Queue,
        outbox: Outbox,
        policy: RetryPolicy,
        stopping: threading.Event,
    ) -> None:
        self._communications = communications
        self._dead_letters = dead_letters
        self._outbox = outbox
        self._policy = policy
        self._stopping = stopping

    def step(self) -> None:
        """Receive messages, wait until the last one is old enough, and queue their communications again."""
        messages = self._dead_letters.receive()
        due = self._communications.last_attempt(messages) + self._policy.requeue_after
        if self._stopping.wait(max(0.0, due - time.time())):
            self._dead_letters.release(messages)
            return
        self._communications.requeue(messages, self._policy.rounds)
        self._outbox.wake()
        # A message that is still being sent stays, and is received again.
        self._dead_letters.delete([message for message in messages if self._communications.is_outdated(message)])

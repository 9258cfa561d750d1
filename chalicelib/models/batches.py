"""The batches of a run: what the state machine hands to its tasks, and what comes of it."""

from chalicelib.models.base import Record
from chalicelib.models.communications import Communication
from chalicelib.models.outcomes import Outcome, OutcomeRecord


class Batch(Record, frozen=True):
    """At most `BATCH_SIZE` communications: one item of the manifest, handled by one child workflow."""

    index: int
    communications: list[Communication]


class Task(Record, frozen=True):
    """The input of one call of `reprocess`: a communication, and the run and batch that it belongs to.

    `epoch` is that of the batch's reservation (see chalicelib.ledger.pace), `limited` whether the pace made it wait.
    """

    run_id: str
    index: int
    communication: Communication
    requested_by: str
    epoch: int = 0
    limited: bool = False

    @property
    def owner(self) -> str:
        """Who claims the communication: this batch of this run."""
        return owner_of(self.run_id, self.index)


def owner_of(run_id: str, index: int) -> str:
    """Return the name under which a batch of a run claims its communications."""
    return f"{run_id}#{index}"


def run_of(owner: str) -> str:
    """Return the id of the run that an owner belongs to."""
    return owner.rpartition("#")[0]


class TaskResult(Record, frozen=True):
    """What the state machine hands to `record` about one communication: an outcome, or the name of an error.

    `post_ms` is how long the POST took if it was accepted.
    """

    operation: str
    primary_id: str
    outcome: Outcome | None = None
    reason: str | None = None
    error: str | None = None
    post_ms: int | None = None


class BatchRecord(Record, frozen=True):
    """The outcomes of a batch, written once at `at`: the only source of truth about them."""

    index: int
    outcomes: list[OutcomeRecord]
    at: int

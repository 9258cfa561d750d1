"""Counts what a scan sees: how many communications fail for which cause. No I/O here."""

from collections import Counter
from collections.abc import Iterable

from chalicelib.ledger.situations import KnownCause
from chalicelib.models.base import Record, json_size
from chalicelib.models.communications import CommunicationStatus
from chalicelib.runs.causes import Cause
from chalicelib.runs.collection import Collection
from chalicelib.runs.eligibility import Candidate

# How many different causes are counted one by one. There are only a few, unless the application's codes contain an id:
# a million of those would need more memory than the collector has. All further ones count as OTHER of their kind.
MAX_CAUSES, OTHER = 1000, "other"

# Of how many scans a cause has the counts.
TREND = 12

# The longest example in bytes of JSON. An id may take more, but a hundred of those would make the item large.
MAX_EXAMPLE = 200


class Snapshot(Record, frozen=True):
    """What a scan saw that began `at`, in milliseconds since 1970.

    `unfinished` are the operations whose lists were not read from their first page to their end.
    """

    at: int
    causes: list[KnownCause]
    sent: dict[str, int] = {}
    dismissed: dict[str, int] = {}
    unfinished: list[str] = []
    oldest: int | None = None
    skipped: dict[str, int] = {}


class _Count:
    """How many communications have a cause, how many of them are on the worklist, and the id of one."""

    __slots__ = ("example", "folded", "number", "on_worklist")

    def __init__(self) -> None:
        self.number = self.on_worklist = 0
        self.example: str | None = None
        self.folded = False


class Tally:
    """The counts of one scan."""

    def __init__(self) -> None:
        self._causes: dict[Cause, _Count] = {}
        self._sent: Counter[str] = Counter()
        self._dismissed: Counter[str] = Counter()

    def add(self, candidate: Candidate) -> None:
        """Count a listed communication."""
        cause, state = candidate.cause, candidate.state
        if cause:
            self._add_cause(cause, candidate)
        elif state and state.status == CommunicationStatus.DISMISSED:
            self._dismissed[state.operation] += 1
        else:
            self._sent[candidate.listed.operation] += 1

    def _add_cause(self, cause: Cause, candidate: Candidate) -> None:
        known = cause in self._causes or len(self._causes) < MAX_CAUSES
        count = self._causes.setdefault(cause if known else other_of(cause), _Count())
        count.folded = count.folded or not known
        count.number += 1
        count.on_worklist += candidate.is_manual
        primary_id = candidate.listed.primary_id
        if count.example is None and json_size(primary_id) <= MAX_EXAMPLE:
            count.example = primary_id

    def snapshot(self, at: int, operations: Iterable[str], collection: Collection) -> Snapshot:
        """Return what the scan of the lists of some operations has seen, which began `at`."""
        return Snapshot(
            at=at,
            causes=[_known(cause, count, at) for cause, count in self._causes.items()],
            sent=dict(self._sent),
            dismissed=dict(self._dismissed),
            unfinished=sorted(set(operations) - collection.read_whole),
            oldest=collection.oldest,
            skipped=collection.skipped,
        )


def other_of(cause: Cause) -> Cause:
    """Return the cause that adds up the rare ones of the same operation and kind."""
    return Cause(operation=cause.operation, kind=cause.kind, reason=OTHER)


def _known(cause: Cause, count: _Count, at: int) -> KnownCause:
    return KnownCause(
        id=cause.id,
        operation=cause.operation,
        kind=cause.kind,
        reason=cause.reason,
        count=count.number,
        on_worklist=count.on_worklist,
        first_seen=at,
        last_seen=at,
        example=count.example,
        trend=[0] * (TREND - 1) + [count.number],
        folded=count.folded,
    )

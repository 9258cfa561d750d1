"""Adds up the batches of a run for its mail."""

from collections import Counter

from chalicelib.models.batches import BatchRecord
from chalicelib.models.outcomes import Outcome, OutcomeRecord

# How many new entries of the worklist a mail shows.
SHOWN = 10

# How many different reasons are counted one by one. There are only a few, unless the application's own contain an id:
# a million of those would need more memory than the report has. All further ones count as OTHER.
MAX_REASONS, OTHER = 1000, "other"


class Summary:
    """Sums over the batches that were added, and the first of their communications that went to the worklist."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.by_operation: Counter[tuple[str, str]] = Counter()
        self.reasons: Counter[tuple[str, str]] = Counter()
        self.relapsed = 0
        self.refused = 0
        self.manual = 0
        self.worklist: list[OutcomeRecord] = []

    def add(self, batch: BatchRecord) -> None:
        """Add a batch."""
        for record in batch.outcomes:
            outcome = record.outcome.value
            self.counts[outcome] += 1
            self.by_operation[record.operation, outcome] += 1
            self.relapsed += record.relapsed
            self.refused += record.refused
            if record.reason:
                self._add_reason(outcome, record.reason)
            if record.manual:
                self._add_manual(record)

    def add_skipped(self, skipped: dict[str, int]) -> None:
        """Add what the collector skipped, by reason."""
        for reason, number in skipped.items():
            self.counts[Outcome.SKIPPED.value] += number
            self.reasons[Outcome.SKIPPED.value, reason] += number

    def add_unaccounted(self, number: int, reason: str) -> None:
        """Add communications of which nothing more is known than that the run was for them."""
        self.counts[Outcome.UNKNOWN.value] += number
        self.reasons[Outcome.UNKNOWN.value, reason] += number

    def _add_reason(self, outcome: str, reason: str) -> None:
        known = (outcome, reason) in self.reasons or len(self.reasons) < MAX_REASONS
        self.reasons[outcome, reason if known else OTHER] += 1

    def _add_manual(self, record: OutcomeRecord) -> None:
        self.manual += 1
        if len(self.worklist) < SHOWN:
            self.worklist.append(record)

"""Adds up the batches of a run for its mail."""

from collections import Counter

from chalicelib.models import BatchRecord, Outcome, OutcomeRecord

# How many new entries of the worklist a mail shows.
SHOWN = 10


class Summary:
    """Sums over the batches that were added, and the first of their communications that went to the worklist."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.by_operation: Counter[tuple[str, str]] = Counter()
        self.reasons: Counter[tuple[str, str]] = Counter()
        self.relapsed = 0
        self.manual = 0
        self.worklist: list[OutcomeRecord] = []

    def add(self, batch: BatchRecord) -> None:
        """Add a batch."""
        for record in batch.outcomes:
            outcome = record.outcome.value
            self.counts[outcome] += 1
            self.by_operation[record.operation, outcome] += 1
            self.relapsed += record.relapsed
            if record.reason:
                self.reasons[outcome, record.reason] += 1
            if record.manual:
                self._add_manual(record)

    def add_skipped(self, skipped: dict[str, int]) -> None:
        """Add what the collector skipped, by reason."""
        for reason, number in skipped.items():
            self.counts[Outcome.SKIPPED.value] += number
            self.reasons[Outcome.SKIPPED.value, reason] += number

    def _add_manual(self, record: OutcomeRecord) -> None:
        self.manual += 1
        if len(self.worklist) < SHOWN:
            self.worklist.append(record)

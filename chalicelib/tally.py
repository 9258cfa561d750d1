"""What the batches of a run add up to."""

from collections import Counter

from chalicelib.models import BatchRecord, Outcome

# How many communications of the worklist a mail names.
NAMED = 10


class Tally:
    """Sums over the batches that were added, and the first of those that went to the worklist."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.by_operation: Counter[tuple[str, str]] = Counter()
        self.reasons: Counter[tuple[str, str]] = Counter()
        self.relapsed = 0
        self.manual = 0
        self.worklist: list[Outcome] = []

    def add(self, record: BatchRecord) -> None:
        """Add a batch."""
        for outcome in record.outcomes:
            self.counts[outcome.outcome] += 1
            self.by_operation[outcome.operation, outcome.outcome] += 1
            self.relapsed += outcome.relapsed
            if outcome.reason:
                self.reasons[outcome.outcome, outcome.reason] += 1
            if outcome.manual:
                self._add_manual(outcome)

    def _add_manual(self, outcome: Outcome) -> None:
        self.manual += 1
        if len(self.worklist) < NAMED:
            self.worklist.append(outcome)

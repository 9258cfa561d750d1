"""Relapses in the ledger: each is counted once, on the run that sent the communication."""

from collections import defaultdict
from collections.abc import Iterable

from chalicelib.ledger.claims import State
from chalicelib.ledger.communications import key_of
from chalicelib.ledger.runs import run_key
from chalicelib.ledger.table import MAX_ACTIONS, Table, Update, change_of
from chalicelib.models.batches import run_of

# A state, and the owner whose try has relapsed: the first of `claims.uncounted_relapses`.
Relapse = tuple[State, str]

# One action of a transaction is the run's.
_AT_ONCE = MAX_ACTIONS - 1

# How often a transaction is tried without what was refused before: others may be counting the same.
_TRIES = 3


class Relapses:
    """The relapses in one deployment's table.

    A communication's mark and its run's number are one transaction, so a relapse that is not marked is not counted, and
    whoever sees it next counts it. The mark is conditional on the one before, so a repetition changes nothing. It needs
    UpdateItem and no further permission (Amazon DynamoDB Developer Guide, "Using IAM with DynamoDB transactions").
    """

    def __init__(self, table: Table) -> None:
        self._table = table

    def count(self, relapses: Iterable[Relapse]) -> bool:
        """Count relapses of different communications, unless somebody else has counted them meanwhile.

        Returns whether none is left. A ClientError leaves some uncounted, too: they may be counted later.
        """
        by_run: defaultdict[str, list[Update]] = defaultdict(list)
        for state, owner in relapses:
            by_run[run_of(owner)].append(_mark(state, owner))
        counted = [
            self._count(run_id, marks[first : first + _AT_ONCE])
            for run_id, marks in by_run.items()
            for first in range(0, len(marks), _AT_ONCE)
        ]
        return all(counted)

    def _count(self, run_id: str, marks: list[Update]) -> bool:
        """Count relapses of one run. A run that has expired stays away, and only the marks are written."""
        exists = True
        for _ in range(_TRIES):
            added = [_add(run_id, len(marks))] if exists else []
            refused = self._table.transact([*added, *marks])
            if not refused:
                return True
            exists = exists and 0 not in refused
            marks = [mark for place, mark in enumerate(marks, len(added)) if place not in refused]
            if not marks:
                return True
        return False


def _mark(state: State, owner: str) -> Update:
    expression, values, as_read = change_of({"relapseCounted": owner}, {"relapseCounted": state.relapse_counted})
    return key_of(state.operation, state.primary_id), expression, values, f"attribute_exists(pk) AND {as_read}"


def _add(run_id: str, number: int) -> Update:
    return run_key(run_id), "ADD #relapsed :number", {"number": number}, "attribute_exists(pk)"

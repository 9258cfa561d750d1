"""What somebody may start within an hour without approval, however many runs it is divided into."""

import pytest

from chalicelib.ledger.allowances import Allowances
from tests.fakes import HOUR, make_run


def run(number, requested_by="olga"):
    """Return a requested run."""
    return make_run(f"r-{number}", requested_by=requested_by)


def test_a_requester_may_start_so_many_communications_within_an_hour(ledger, clock):
    """A run that would exceed them is not counted, so a smaller one may follow."""
    assert ledger.allowances.take(run(1), 30, 50)
    assert not ledger.allowances.take(run(2), 30, 50)
    assert ledger.allowances.used("olga") == 30
    assert ledger.allowances.take(run(3), 20, 50)
    clock.advance(HOUR)
    assert not ledger.allowances.take(run(4), 1, 50)
    clock.advance(1)
    assert ledger.allowances.take(run(4), 50, 50)


def test_each_requester_has_an_allowance_of_their_own(ledger):
    """What others start is what they answer for."""
    assert ledger.allowances.take(run(1), 50, 50)
    assert ledger.allowances.take(run(2, "bob"), 50, 50)
    assert (ledger.allowances.used("olga"), ledger.allowances.used("jo")) == (50, 0)


def test_a_run_that_is_collected_again_is_counted_once(ledger, clock):
    """Its first collector may have died before it started the run."""
    assert ledger.allowances.take(run(1), 30, 50)
    clock.advance(HOUR // 2)
    assert ledger.allowances.take(run(1), 40, 50)
    assert ledger.allowances.used("olga") == 40


class RivalledTable:
    """A table in which somebody else makes a call just before the first query."""

    def __init__(self, table):
        self._table = table
        self.rival = None

    def query(self, *arguments):
        rival, self.rival = self.rival, None
        if rival:
            rival()
        return self._table.query(*arguments)

    def __getattr__(self, name):
        return getattr(self._table, name)


@pytest.mark.parametrize(("size", "expected"), [(25, 2), (30, 1)])
def test_two_runs_at_once_never_start_more_than_the_allowance(table, clock, size, expected):
    """Each is written before it reads, so at least one of them sees the other."""
    rivalled = RivalledTable(table)
    allowances, started = Allowances(rivalled, clock), []
    rivalled.rival = lambda: started.append(Allowances(table, clock).take(run(2), size, 50))
    started.append(allowances.take(run(1), size, 50))
    assert (sum(started), allowances.used("olga")) == (expected, expected * size)

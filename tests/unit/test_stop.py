"""Stopping a run: who has done it stays with the run."""

import contextlib

import pytest

from chalicelib.api import runs
from chalicelib.application.config import Configuration, Reprocess, Source
from chalicelib.errors import Conflict
from chalicelib.ledger import Ledger
from chalicelib.models.runs import RunStatus
from chalicelib.runs.stop import stop_run
from tests.fakes import HOUR, FakeCall, FakeExecutions, InterruptedTable, make_run

CONFIGURATION = Configuration(
    sources=[Source(operation="send.email", list="https://a.example", cool_down="1h")],
    reprocess=Reprocess(url="https://a.example"),
)


@pytest.fixture
def halt_reason(ledger):
    """Why the run was stopped, as the API says it."""
    return lambda: runs.get_run(FakeCall(ledger, CONFIGURATION), "run").halt_reason


@pytest.mark.parametrize("status", [RunStatus.REQUESTED, RunStatus.COLLECTING, RunStatus.RUNNING])
def test_a_run_that_was_stopped_says_by_whom(ledger, halt_reason, status):
    """However far it was. A second stop does not change it."""
    ledger.runs.create(make_run(status=status))
    assert halt_reason() is None
    for name in ("olga", "bert"):
        with contextlib.suppress(Conflict):  # It has ended already.
            stop_run("run", name, ledger, FakeExecutions())
        assert halt_reason() == "hand:olga"


def test_a_run_that_moves_on_while_it_is_stopped_is_stopped_all_the_same(table, clock, ledger, halt_reason):
    """Its collector has started it meanwhile; its batches look at the switch before they begin."""
    run = make_run(status=RunStatus.COLLECTING)
    ledger.runs.create(run)
    interrupted = InterruptedTable(table)
    interrupted.before_second_update(lambda: ledger.runs.change(run, status=RunStatus.RUNNING))
    stopped = stop_run("run", "olga", Ledger(interrupted, clock, HOUR), FakeExecutions())
    assert stopped.status == RunStatus.RUNNING
    assert halt_reason() == "hand:olga"


def test_a_stop_that_came_too_late_is_not_why_a_run_ended(ledger, halt_reason):
    """The run's report and the stop may meet."""
    ledger.runs.create(make_run(status=RunStatus.SUCCEEDED))
    ledger.runs.halt("run", "hand:olga")
    assert halt_reason() is None

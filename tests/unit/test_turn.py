"""The beginning of a batch: its question, and what it is told."""

import msgspec
import pytest

from chalicelib.application.config import Configuration, Reprocess, Source
from chalicelib.ledger.pace import WINDOW_S, Lease, Turn
from chalicelib.runs.turn import TurnRequest, take_turn
from tests.fakes import NOON, make_run

SINCE = "2026-11-20T12:00:00Z"


def configuration(**reprocess):
    source = Source(operation="send.email", list="https://a.example/emails/failed", cool_down="1h")
    return Configuration(sources=[source], reprocess=Reprocess(url="https://a.example/communications", **reprocess))


class Child:
    """Asks for the turn of a batch, and keeps how long the function slept."""

    def __init__(self, ledger):
        self.ledger = ledger
        self.slept = []
        ledger.runs.create(make_run())

    def ask(self, size=20, *, entered_at=SINCE, turn=None, index=0, **reprocess):
        request = TurnRequest(run_id="run", index=index, size=size, entered_at=entered_at, turn=turn or Turn())
        return take_turn(request, self.ledger, configuration(**reprocess), self.slept.append)

    def set(self, **fields):
        """Change the pace."""
        self.ledger.pacing.change(lambda pace, _: (None, msgspec.structs.replace(pace, **fields)))


@pytest.fixture
def child(ledger):
    return Child(ledger)


def test_a_batch_of_a_halted_run_is_told_so_and_reserves_nothing(child):
    """Whoever halted it: the breaker, or a person."""
    child.ledger.runs.halt("run", "by:olga")
    assert child.ask().halted == "by:olga"
    assert child.ledger.pacing.read().version == 0


def test_the_first_batch_of_an_unknown_application_is_sent_at_once_and_the_second_asks_again(child):
    """Until the first one is recorded, nobody knows whether the application works."""
    assert child.ask(1).waits == [0]
    second = child.ask(5, index=1)
    assert (second.ask_after, second.waits) == (1, [])


def test_a_batch_that_asks_again_says_since_when(child):
    """By Step Functions' clock, from which all its times are: ours may differ."""
    child.ask(1)
    second = child.ask(5, index=1)
    assert second.since == SINCE
    entered_at = f"2026-11-20T12:{WINDOW_S // 60:02d}:00.123Z"
    last = child.ask(5, entered_at=entered_at, turn=second, index=1)
    assert last.waits == [-1] * 5
    assert last.ask_after is None


def test_the_part_of_a_second_that_a_state_machine_cannot_wait_is_slept(child):
    """It is less than a second, so it costs next to nothing."""
    child.set(heard_at=NOON, next_free=NOON + 1_300, rate=10_000)
    turn = child.ask(3)
    assert (turn.waits, child.slept) == ([1, 1, 1], [0.3])


def test_an_application_that_wants_to_be_left_alone_for_a_quarter_of_an_hour_halts_the_run(child):
    """All other batches then end at once, and the run says why."""
    child.set(heard_at=NOON, blocked_until=NOON + 15 * 60_000)
    assert child.ask().halted == "overloaded"
    assert child.ledger.runs.halt_reason("run") == "overloaded"


def test_a_run_survives_a_block_of_some_minutes(child):
    """Those who cannot wait for its end give up one after the other, and the rest is sent after it."""
    child.set(heard_at=NOON, blocked_until=NOON + 14 * 60_000)
    turn = child.ask()
    assert (turn.ask_after, child.ledger.runs.halt_reason("run")) == (WINDOW_S, None)
    last = child.ask(entered_at="2026-11-20T12:01:00.5Z", turn=turn)
    assert last.waits == [-1] * 20


def test_an_application_that_refuses_six_times_in_a_row_halts_the_run(child):
    """However short each block is: it is down, and people hear of it."""
    child.set(heard_at=NOON, blocks=6, blocked_until=NOON + 5_000)
    assert child.ask(1).halted == "overloaded"


def test_a_shorter_block_is_waited_for(child):
    """Nothing is sent before its end."""
    child.set(heard_at=NOON, blocked_until=NOON + 30_000, since=NOON + 30_000)
    turn = child.ask(20)
    assert min(turn.waits) >= 30
    assert child.ledger.runs.halt_reason("run") is None


def test_the_owners_ceilings_hold(child):
    """A batch that does not fit in besides the others asks again."""
    child.set(heard_at=NOON, rate=1_000_000, leases={"other#0": Lease(size=4, until=NOON + 60_000)})
    assert child.ask(5, max_in_flight=8).ask_after == 1
    assert child.ask(4, max_in_flight=8).waits == [0] * 4
    child.set(next_free=0, leases={})
    assert child.ask(4, max_per_second=2).waits == [0, 0, 1, 1]


def test_a_question_that_is_repeated_does_not_lease_twice(child):
    """Lambda may have lost the answer to the first."""
    child.set(heard_at=NOON)
    for _ in range(2):
        child.ask(4, max_in_flight=8)
    assert [lease.size for lease in child.ledger.pacing.read().leases.values()] == [4]

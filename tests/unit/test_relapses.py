"""Relapses: what was accepted and is listed as failed again counts once, on the run that sent it."""

import pytest
from botocore.exceptions import ClientError

from chalicelib.ledger import Ledger, claims
from chalicelib.ledger.claims import Rules
from chalicelib.ledger.table import MAX_ACTIONS, Table
from chalicelib.models.batches import Task
from chalicelib.models.communications import Communication
from chalicelib.models.runs import RunStatus
from tests.fakes import HOUR, NOON, InterruptedTable, attempt, make_run

RULES = Rules(cool_down=HOUR, honours_key=True, max_attempts=5, retention=90 * 24 * HOUR)


def listed(primary_id, clock):
    return Communication(operation="send.email", primary_id=primary_id, listed_at=clock())


def send(ledger, clock, run_id, primary_id="1", answer="accepted"):
    """Let a run send a communication that is listed now."""
    task = Task(run_id=run_id, index=0, communication=listed(primary_id, clock), requested_by="bob")
    attempt(ledger.communications, task, answer, RULES)


def look(ledger, clock, *primary_ids):
    """List communications, and count what has relapsed, as a scan does. Return how many relapses were found."""
    communications = [listed(each, clock) for each in primary_ids or ("1",)]
    states = ledger.communications.read(communications)
    found = [(state, claims.uncounted_relapses(state, clock())) for state in states.values()]
    relapses = [(state, owners[0]) for state, owners in found if owners]
    ledger.relapses.count(relapses)
    return len(relapses)


def relapsed(ledger, *run_ids):
    return [ledger.runs.read(each).relapsed for each in run_ids]


@pytest.fixture
def runs(ledger):
    """Two runs, `R1` and `R2`."""
    for run_id in ("R1", "R2"):
        ledger.runs.create(make_run(run_id))


@pytest.mark.usefixtures("runs")
def test_a_communication_relapses_once_it_is_listed_after_its_cool_down(ledger, clock):
    """Before, it may still arrive."""
    send(ledger, clock, "R1")
    clock.advance(HOUR)
    assert (look(ledger, clock), relapsed(ledger, "R1")) == (0, [0])
    clock.advance(1)
    assert (look(ledger, clock), relapsed(ledger, "R1")) == (1, [1])
    assert (look(ledger, clock), relapsed(ledger, "R1")) == (0, [1])


@pytest.mark.usefixtures("runs")
def test_a_second_relapse_counts_on_the_run_that_sent_it_again(ledger, clock):
    """And never again on the first one."""
    for run_id in ("R1", "R2"):
        send(ledger, clock, run_id)
        clock.advance(HOUR + 1)
        look(ledger, clock)
        look(ledger, clock)
    assert relapsed(ledger, "R1", "R2") == [1, 1]


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize("answer", ["ApplicationUnavailable", "OutcomeUnknown", None])
def test_a_relapse_that_was_not_counted_before_the_next_try_counts_on_the_run_that_was_accepted(ledger, clock, answer):
    """The bookkeeping of one scan failed, and the next run has tried, whatever became of that."""
    send(ledger, clock, "R1")
    clock.advance(HOUR + 1)
    send(ledger, clock, "R2", answer=answer)
    assert look(ledger, clock) == 1
    clock.advance(HOUR + 1)
    assert look(ledger, clock) == 0
    assert relapsed(ledger, "R1", "R2") == [1, 0]


@pytest.mark.usefixtures("runs")
def test_two_relapses_that_were_not_counted_count_one_scan_after_the_other(ledger, clock):
    """The oldest first."""
    for run_id in ("R1", "R2"):
        send(ledger, clock, run_id)
        clock.advance(HOUR + 1)
    look(ledger, clock)
    assert relapsed(ledger, "R1", "R2") == [1, 0]
    look(ledger, clock)
    look(ledger, clock)
    assert relapsed(ledger, "R1", "R2") == [1, 1]


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize("decision", ["worklist", "retry", "dismiss", "restore"])
def test_a_relapse_counts_whatever_people_decide_meanwhile(ledger, clock, decision):
    """A decision changes nothing about what became of an earlier POST."""
    send(ledger, clock, "R1")
    clock.advance(HOUR + 1)
    key = ("send.email", "1")
    if decision in ("worklist", "retry"):
        assert ledger.communications.move_to_worklist(listed("1", clock), "R2#0", "relapsed")
    else:
        assert ledger.worklist.dismiss(*key, "olga", "gone") is None
    if decision == "retry":
        assert ledger.worklist.retry(*key, "olga", HOUR) is None
    if decision == "restore":
        assert ledger.worklist.restore(*key, "olga") is None
    clock.advance(1)
    look(ledger, clock)
    look(ledger, clock)
    assert relapsed(ledger, "R1") == [1]
    if decision == "retry":
        send(ledger, clock, "R2")
        clock.advance(HOUR + 1)
        look(ledger, clock)
        assert relapsed(ledger, "R1", "R2") == [1, 1]


@pytest.mark.usefixtures("runs")
def test_two_scans_at_once_count_a_relapse_once(ledger, clock):
    """Both have read it before either counts."""
    send(ledger, clock, "R1")
    clock.advance(HOUR + 1)
    (state,) = ledger.communications.read([listed("1", clock)]).values()
    for _ in range(2):
        ledger.relapses.count([(state, "R1#0")])
    assert relapsed(ledger, "R1") == [1]


@pytest.mark.usefixtures("runs")
def test_what_another_scan_has_counted_keeps_no_other_relapse_from_being_counted(ledger, clock):
    """More than fit into one transaction, of two runs, and some of them are counted meanwhile."""
    for number in range(MAX_ACTIONS + 20):
        send(ledger, clock, "R1" if number else "R2", str(number))
    clock.advance(HOUR + 1)
    ids = [str(number) for number in range(MAX_ACTIONS + 20)]
    stale = ledger.communications.read([listed(each, clock) for each in ids]).values()
    assert look(ledger, clock, *ids[5:10], ids[-1]) == 6
    ledger.relapses.count([(state, state.owner) for state in stale])
    assert relapsed(ledger, "R1", "R2") == [MAX_ACTIONS + 19, 1]
    assert look(ledger, clock, *ids) == 0


def test_a_run_that_the_ledger_has_forgotten_does_not_come_back(ledger, table, clock):
    """Its relapse is marked all the same, so that no further scan writes anything."""
    send(ledger, clock, "gone")
    clock.advance(HOUR + 1)
    assert (look(ledger, clock), look(ledger, clock)) == (1, 0)
    assert table.get("RUN#gone", "RUN") is None


def test_a_communication_that_the_ledger_has_forgotten_does_not_come_back(ledger, table, clock):
    """It expired while the scan was under way."""
    ledger.runs.create(make_run("R1"))
    send(ledger, clock, "R1")
    clock.advance(HOUR + 1)
    states = ledger.communications.read([listed("1", clock)])
    table.delete("COMM#send.email#1", "COMM")
    ledger.relapses.count([(state, "R1#0") for state in states.values()])
    assert table.get("COMM#send.email#1", "COMM") is None
    assert relapsed(ledger, "R1") == [0]


@pytest.mark.usefixtures("runs")
def test_relapses_are_given_up_for_now_if_others_keep_counting_them(table, clock):
    """The tries are bounded, and the next scan sees what is left."""
    interrupted = InterruptedTable(table)
    ledger = Ledger(interrupted, clock, RULES.retention)
    ids = [str(number) for number in range(5)]
    for each in ids:
        send(ledger, clock, "R1", each)
    clock.advance(HOUR + 1)
    other = Ledger(table, clock, RULES.retention)

    def count_another():
        if ids:
            look(other, clock, ids.pop(0))
            interrupted.before_update(1, count_another)

    interrupted.before_update(1, count_another)
    assert look(ledger, clock, *ids) == 5
    interrupted.cancel_interruption()
    look(other, clock, *map(str, range(5)))
    assert relapsed(other, "R1") == [5]


class ConflictingClient:
    """A client of DynamoDB whose updates meet a transaction of somebody else, so many times."""

    def __init__(self, client, times):
        self._client, self.times = client, times

    def update_item(self, **request):
        if self.times:
            self.times -= 1
            raise ClientError({"Error": {"Code": "TransactionConflictException", "Message": "ongoing"}}, "UpdateItem")
        return self._client.update_item(**request)

    def __getattr__(self, name):
        return getattr(self._client, name)


def test_an_update_that_meets_a_transaction_is_made_after_it(table):
    """AWS refuses it for as long as the transaction lasts: a moment. If it goes on, the caller hears of it."""
    pauses = []
    client = ConflictingClient(table._client, times=2)
    patient = Table(client, table._name, pauses.append)
    patient.update(("a", "b"), "SET #n = :n", {"n": 1})
    assert (table.get("a", "b"), len(pauses)) == ({"pk": "a", "sk": "b", "n": 1}, 2)
    client.times = 100
    with pytest.raises(ClientError, match="TransactionConflict"):
        patient.update(("a", "b"), "SET #n = :n", {"n": 2})


def test_a_transaction_that_is_cancelled_for_another_reason_than_a_condition_is_an_error(table):
    """Two actions on one item are a mistake, not a condition that is not met."""
    update = (("a", "b"), "SET #n = :n", {"n": 1}, None)
    with pytest.raises(ClientError):
        table.transact([update, update])
    assert table.get("a", "b") is None


# -- settling


def close(ledger, run_id, accepted, **fields):
    """Create a run and close it."""
    ledger.runs.create(make_run(run_id, **fields))
    run = ledger.runs.read(run_id)
    return ledger.runs.change(run, status=RunStatus.SUCCEEDED, counts={"accepted": accepted} if accepted else {})


def test_a_run_that_accepted_nothing_is_settled_when_it_ends(ledger):
    """Nothing of it can turn out otherwise."""
    run = close(ledger, "R1", 0)
    assert (run.settled_at, run.recovery, list(ledger.runs.unsettled())) == (run.ended_at, None, [])


def test_a_run_is_settled_once_with_its_recovery(ledger, clock):
    """Until then nobody knows it."""
    run = close(ledger, "R1", 4)
    assert (run.settled_at, run.recovery) == (None, None)
    assert [each.run_id for each in ledger.runs.unsettled()] == ["R1"]
    ledger.runs.settle("R1")
    clock.advance(1)
    ledger.runs.settle("R1")
    run = ledger.runs.read("R1")
    assert (run.settled_at, run.recovery) == (NOON, 1.0)
    assert (list(ledger.runs.unsettled()), list(ledger.runs.worse())) == ([], [])

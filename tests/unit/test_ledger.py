"""The rest of the ledger on a real table: runs, the schedule's lock, the switch, tokens, and the calls to AWS."""

import pytest
from botocore.exceptions import ClientError

from chalicelib.errors import RunNotFound
from chalicelib.ledger.runs import switch_key
from chalicelib.ledger.table import BATCH_GET, ConditionFailed, Table
from chalicelib.models import BatchRecord, Checkpoint, Incident, NotifyReason, Outcome, OutcomeRecord, Run, RunStatus
from tests.conftest import RETENTION
from tests.fakes import NOON

HOUR = 3_600_000
COMM = ("COMM#send.email#1", "COMM")


def run(run_id="run", **more):
    values = {"trigger": "request", "requested_by": "bob", "status": "collecting", "requested_at": NOON}
    return Run(run_id=run_id, **values | more)


# -- runs


def test_a_run_is_created_once(ledger):
    """Whoever comes second finds the first one's run."""
    assert ledger.runs.create(run())
    assert not ledger.runs.create(run(requested_by="carol"))
    assert ledger.runs.read("run") == run()


def test_an_unknown_run_is_an_error_that_names_it(ledger):
    """What the API turns into a 404."""
    with pytest.raises(RunNotFound, match="nowhere"):
        ledger.runs.read("nowhere")


def test_a_run_moves_on_only_from_where_it_was_seen(ledger):
    """Of two collectors that both finished, one pins its manifest."""
    seen = run()
    ledger.runs.create(seen)
    moved = ledger.runs.change(seen, status=RunStatus.RUNNING, manifest="mine", batches=3, skipped={"too_fresh": 2})
    assert (moved.status, moved.manifest, moved.batches, moved.skipped) == ("running", "mine", 3, {"too_fresh": 2})
    assert ledger.runs.change(seen, status=RunStatus.RUNNING, manifest="other") is None
    assert ledger.runs.read("run") == moved


def test_a_run_is_open_until_it_ends(ledger, clock):
    """The oldest first; what has ended is found by its id only, and says when it ended."""
    later = run("later", requested_at=NOON + 1)
    for each in (later, run()):
        ledger.runs.create(each)
    assert [each.run_id for each in ledger.runs.open_runs()] == ["run", "later"]
    clock.advance(HOUR)
    assert ledger.runs.change(run(), status=RunStatus.SUCCEEDED).ended_at == NOON + HOUR
    assert [each.run_id for each in ledger.runs.open_runs()] == ["later"]


def test_an_empty_run_is_deleted(ledger):
    """An empty schedule leaves no item."""
    ledger.runs.create(run())
    ledger.runs.delete(run())
    with pytest.raises(RunNotFound):
        ledger.runs.read("run")


def test_final_counts_take_the_place_of_progress(ledger):
    """While it runs the counters add up; once it is closed the report's sums are the truth."""
    ledger.runs.create(run())
    ledger.runs.add_progress("run", {"accepted": 2, "not_attempted": 1}, [])
    ledger.runs.add_progress("run", {"accepted": 3}, [])
    assert ledger.runs.read("run").counts == {"accepted": 5, "not_attempted": 1}
    ledger.runs.change(run(), status=RunStatus.PARTIAL, counts={"accepted": 4})
    ledger.runs.add_progress("run", {"accepted": 1}, [])
    assert ledger.runs.read("run").counts == {"accepted": 4}


def test_the_times_of_posts_add_up(ledger):
    """The last runs say how long a POST takes; a batch without any says nothing."""
    ledger.runs.create(run())
    ledger.runs.add_progress("run", {"accepted": 2}, [100, 250])
    ledger.runs.add_progress("run", {"failed": 1}, [])
    ledger.runs.add_progress("run", {"accepted": 1}, [50])
    known = ledger.runs.read("run")
    assert (known.post_ms, known.posts, known.counts) == (400, 3, {"accepted": 3, "failed": 1})


def test_items_of_earlier_versions_keep_their_attributes(ledger, table):
    """Fields have been renamed; what earlier versions wrote, and would read after a rollback, has not."""
    ledger.runs.create(
        run(
            truncated=True,
            truncated_count=3,
            not_found=["9"],
            not_found_count=1,
            notify_reason=NotifyReason.NEWS,
            incident="partial",
        )
    )
    item = table.get("RUN#run", "RUN")
    assert item.items() >= {"leftOut": True, "leftOutCount": 3, "notListedCount": 1, "trouble": "partial"}.items()
    assert (item["notListed"], item["told"]) == (["9"], "news")
    ledger.runs.change(run(), truncated_count=4)
    assert table.get("RUN#run", "RUN")["leftOutCount"] == 4
    ledger.incidents.write(Incident(kind="partial", since=1, notified_at=2))
    assert table.get("ALERT", "schedule").items() >= {"trouble": "partial", "since": 1, "toldAt": 2}.items()
    ledger.checkpoints.write(Checkpoint(operation="send.email", source="digest", page="{}"))
    assert table.get("SCHEDULE", "POSITION")["place"] == "{}"
    ledger.checkpoints.write(Checkpoint(operation="send.sms", source="digest"))
    assert "place" not in table.get("SCHEDULE", "POSITION")


def test_batches_come_in_their_order_and_are_put_once(ledger):
    """Also beyond nine, and with all that an outcome can hold."""
    outcome = OutcomeRecord(
        operation="send.email", primary_id="1", outcome=Outcome.REJECTED, reason="code", relapsed=True, manual=True
    )
    records = [BatchRecord(index=index, outcomes=[outcome], at=NOON) for index in (10, 9, 100_000)]
    assert all(ledger.runs.record_batch("run", each) for each in records)
    assert not ledger.runs.record_batch("run", BatchRecord(index=9, outcomes=[], at=NOON))
    assert list(ledger.runs.batches("run")) == [records[1], records[0], records[2]]


def test_all_of_a_run_expires(ledger, table):
    """What needs nobody is forgotten after the retention."""
    ledger.runs.create(run())
    ledger.runs.record_batch("run", BatchRecord(index=0, outcomes=[], at=NOON))
    ledger.runs.halt("run", "breaker")
    expiries = {item["expiresAt"] for kind in ("RUN", "BATCH#", "SWITCH") for item in table.query("RUN#run", kind)}
    assert expiries == {(NOON + RETENTION) // 1000}


# -- the schedule's lock


def test_one_scheduled_run_at_a_time(ledger):
    """The next one waits for the end of this one; the same event again is the same run."""
    assert ledger.schedule.acquire_lock("first")
    assert ledger.schedule.acquire_lock("first")
    assert not ledger.schedule.acquire_lock("second")
    assert ledger.schedule.lock_holder() == ("first", NOON)
    ledger.schedule.release_lock("second")
    assert not ledger.schedule.acquire_lock("second")
    ledger.schedule.release_lock("first")
    assert ledger.schedule.acquire_lock("second")


def test_the_lock_is_taken_over_only_from_the_expected_holder(ledger):
    """Two that find the same dead run cannot both follow it."""
    ledger.schedule.acquire_lock("dead")
    assert ledger.schedule.acquire_lock("next", instead_of="dead")
    assert not ledger.schedule.acquire_lock("other", instead_of="dead")


# -- the switch


def test_the_first_reason_to_halt_stays(ledger):
    """Whatever halts it afterwards."""
    assert ledger.runs.halt_reason("run") is None
    ledger.runs.halt("run", "hand:bob")
    ledger.runs.halt("run", "breaker")
    assert ledger.runs.halt_reason("run") == "hand:bob"


def test_the_switch_is_where_the_state_machine_reads_it(ledger, table):
    """`CheckSwitch` gets `RUN#<runId>` / `SWITCH` and asks for the BOOL `halted`."""
    ledger.runs.halt("run", "breaker")
    assert switch_key("run") == ("RUN#run", "SWITCH")
    assert table.get("RUN#run", "SWITCH")["halted"] is True


def test_barren_batches_count_once_each_until_one_bears_fruit(ledger):
    """The switch keeps which they are."""
    assert [ledger.runs.record_unsuccessful_batch("run", index) for index in (4, 4, 7)] == [1, 1, 2]
    assert ledger.runs.halt_reason("run") is None
    ledger.runs.reset_breaker("run")
    assert ledger.runs.record_unsuccessful_batch("run", 8) == 1


# -- tokens


def test_a_token_is_found_by_its_secret_until_it_expires(ledger, clock):
    """To the millisecond."""
    secret = ledger.tokens.add("bob", "operator", HOUR)
    found = ledger.tokens.find(secret)
    assert (found.name, found.role) == ("bob", "operator")
    assert ledger.tokens.find(secret + "x") is None
    clock.advance(HOUR - 1)
    assert ledger.tokens.find(secret) == found
    clock.advance(1)
    assert ledger.tokens.find(secret) is None


def test_the_table_does_not_give_a_token_away(ledger, dynamodb, table):
    """It holds the hash only."""
    secret = ledger.tokens.add("bob", "operator", HOUR)
    assert secret not in str(dynamodb.scan(TableName=table._name)["Items"])


def test_no_two_tokens_are_alike(ledger):
    """Each is 32 random bytes."""
    assert ledger.tokens.add("bob", "viewer", HOUR) != ledger.tokens.add("bob", "viewer", HOUR)


# -- the table


def test_a_refused_write_tells_what_stood_there(table):
    """So that nobody has to read again, when it may have changed already."""
    table.update(COMM, "SET #status = :status", {"status": "manual"})
    with pytest.raises(ConditionFailed) as refused:
        table.update(COMM, "SET #status = :new", {"new": "open", "old": "open"}, "#status = :old")
    assert refused.value.item == {"pk": COMM[0], "sk": COMM[1], "status": "manual"}


def test_a_write_refused_for_want_of_an_item_tells_that_too(table):
    """Nothing stood there."""
    with pytest.raises(ConditionFailed) as refused:
        table.update(COMM, "SET #status = :new", {"new": "open"}, "attribute_exists(#status)")
    assert refused.value.item == {}


def test_an_error_of_awss_is_not_taken_for_a_refusal(table):
    """A mistake in an expression, or a throttled table, is not "somebody else has it"."""
    with pytest.raises(ClientError):
        table.update(COMM, "SET #status", {})


def test_many_items_are_read_in_portions(table):
    """BatchGetItem takes a hundred at most; what is missing is left out."""
    keys = [(f"COMM#{number}", "COMM") for number in range(BATCH_GET + 5)]
    for key in keys[:-1]:
        table.update(key, "SET #status = :status", {"status": "open"})
    assert {item["pk"] for item in table.batch_get(keys)} == {pk for pk, _ in keys[:-1]}


def test_what_aws_left_unprocessed_is_asked_for_again(dynamodb, table):
    """BatchGetItem may return a part only (16 MB, or a throttled partition)."""

    class Portions:
        """One key of each request is processed."""

        def __init__(self):
            self.asked = 0

        def batch_get_item(self, RequestItems):  # noqa: N803 (AWS's name)
            self.asked += 1
            [(name, wanted)] = RequestItems.items()
            first, rest = wanted["Keys"][:1], wanted["Keys"][1:]
            answer = dynamodb.batch_get_item(RequestItems={name: wanted | {"Keys": first}})
            return answer | {"UnprocessedKeys": {name: wanted | {"Keys": rest}} if rest else {}}

    keys = [(f"COMM#{number}", "COMM") for number in range(3)]
    for key in keys:
        table.update(key, "SET #status = :status", {"status": "open"})
    portions = Portions()
    assert len(list(Table(portions, table._name).batch_get(keys))) == 3
    assert portions.asked == 3


def test_a_query_goes_on_beyond_a_page(table):
    """A page of DynamoDB's ends at 1 MB."""
    for index in range(5):
        table.put_new({"pk": "RUN#run", "sk": f"BATCH#{index}", "text": "x" * 300_000})
    assert [item["sk"] for item in table.query("RUN#run", "BATCH#")] == [f"BATCH#{index}" for index in range(5)]


def test_plain_values_come_back_as_they_went(table):
    """Numbers are whole, sets and nested records stay what they are."""
    values = {"number": 2**53 + 1, "text": "ü", "yes": True, "list": [{"a": 1}], "map": {"b": [2]}, "numbers": {1, 2}}
    expression = "SET " + ", ".join(f"#{name} = :{name}" for name in values)
    assert table.update(COMM, expression, values) == {"pk": COMM[0], "sk": COMM[1], **values}
    assert table.get(*COMM) == {"pk": COMM[0], "sk": COMM[1], **values}
    table.delete(*COMM)
    assert table.get(*COMM) is None

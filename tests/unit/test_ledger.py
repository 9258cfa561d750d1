"""The ledger in DynamoDB: its runs, schedule and switch, and the calls to AWS."""

import msgspec
import pytest
from botocore.exceptions import ClientError, ParamValidationError

from chalicelib import wiring
from chalicelib.errors import RunNotFound
from chalicelib.ledger.bulk_pages import BulkPage, PinnedEntry
from chalicelib.ledger.runs import switch_key
from chalicelib.ledger.table import BATCH_GET, PAUSES, ConditionFailed, ReadsThrottled, Table
from chalicelib.models.base import MAX_ID
from chalicelib.models.batches import BatchRecord
from chalicelib.models.notifications import Incident, NotifyReason
from chalicelib.models.outcomes import Outcome, OutcomeRecord
from chalicelib.models.runs import RunKind, RunStatus
from chalicelib.models.selections import Checkpoint
from chalicelib.runs import start
from chalicelib.runs.bulk import PAGE_SIZE
from tests.conftest import RETENTION
from tests.fakes import HOUR, NOON, FakeExecutions, make_run

COMM = ("COMM#send.email#1", "COMM")


def run(run_id="run", **fields):
    """Return a run that is collecting."""
    return make_run(run_id, **{"status": RunStatus.COLLECTING} | fields)


# -- runs


def test_a_run_id_is_created_only_once(ledger):
    """A second attempt finds the run of the first."""
    assert ledger.runs.create(run())
    assert not ledger.runs.create(run(requested_by="carol"))
    assert ledger.runs.read("run") == run()


def test_reading_an_unknown_run_is_an_error_that_names_it(ledger):
    """The API turns RunNotFound into a 404."""
    with pytest.raises(RunNotFound, match="nowhere"):
        ledger.runs.read("nowhere")


def test_a_run_changes_only_if_it_still_has_the_status_that_was_read(ledger):
    """If two collectors finish for the same run, only one of them pins its manifest."""
    collecting = run()
    ledger.runs.create(collecting)
    running = ledger.runs.change(
        collecting, status=RunStatus.RUNNING, manifest="mine", batches=3, skipped={"too_fresh": 2}
    )
    assert (running.status, running.manifest, running.batches, running.skipped) == (
        "running",
        "mine",
        3,
        {"too_fresh": 2},
    )
    assert ledger.runs.change(collecting, status=RunStatus.RUNNING, manifest="other") is None
    assert ledger.runs.read("run") == running


def test_a_bulk_run_changes_only_while_its_page_is_in_hand(ledger):
    """Of two collectors that count a page, one does; and none closes a run that has got on."""
    first = make_run(kind=RunKind.RETRY)
    ledger.runs.create(first)
    second = ledger.runs.change(first, pages=1, matched=3)
    assert ledger.runs.change(first, pages=1, matched=4) is None
    assert ledger.runs.change(first, status=RunStatus.FAILED) is None
    third = ledger.runs.change(second, pages=2, matched=6, counts={"changed": 3}, refused={})
    assert ledger.runs.change(second, pages=2, matched=9, counts={"changed": 2}) is None
    assert ledger.runs.read("run") == third
    assert ledger.runs.change(third, status=RunStatus.SUCCEEDED).closed


def test_a_page_of_a_bulk_run_is_pinned_once(ledger, clock, table):
    """Whoever pins it later gets what was pinned, whatever the index has become since. Page 0 is always there."""
    entries = [PinnedEntry(operation="send.email", primary_id="1", since=NOON)]
    page = BulkPage(index=1, at=clock(), entries=entries, next_key=("pk", "sk", NOON))
    assert ledger.bulk_pages.pin("run", page) == page
    assert ledger.bulk_pages.pin("run", BulkPage(index=1, at=clock.advance(1), last=True)) == page
    assert ledger.bulk_pages.read("run", 1) == page
    assert ledger.bulk_pages.read("run", 0) == BulkPage(index=0, at=0)
    assert table.get("RUN#run", "PAGE#000001")["expiresAt"] == (NOON + RETENTION) // 1000


def test_the_longest_page_of_a_bulk_run_fits_into_an_item(ledger, clock):
    """An item has at most 400 KB (Amazon DynamoDB Developer Guide, "Constraints")."""
    longest = PinnedEntry(operation="o" * 100, primary_id="x" * MAX_ID, since=NOON)
    page = BulkPage(index=999_999, at=clock(), entries=[longest] * (2 * PAGE_SIZE), next_key=("p" * 620, "COMM", NOON))
    assert ledger.bulk_pages.pin("run", page) == page
    assert len(msgspec.json.encode(page)) < 400_000 // 2


def test_open_runs_are_those_that_have_not_ended_oldest_first(ledger, clock):
    """A run that has ended is found by its id only, and says when it ended."""
    later = run("later", requested_at=NOON + 1)
    for each in (later, run()):
        ledger.runs.create(each)
    assert [each.run_id for each in ledger.runs.open_runs()] == ["run", "later"]
    clock.advance(HOUR)
    assert ledger.runs.change(run(), status=RunStatus.SUCCEEDED).ended_at == NOON + HOUR
    assert [each.run_id for each in ledger.runs.open_runs()] == ["later"]


def test_a_deleted_run_is_unknown(ledger):
    """A scheduled run that found nothing leaves no item."""
    ledger.runs.create(run())
    ledger.runs.delete(run())
    with pytest.raises(RunNotFound):
        ledger.runs.read("run")


def test_the_final_counts_of_a_run_replace_its_progress(ledger):
    """The counters add up while it runs; once it is closed, the sums of the report are the truth."""
    ledger.runs.create(run())
    ledger.runs.add_progress("run", {"accepted": 2, "not_attempted": 1}, [])
    ledger.runs.add_progress("run", {"accepted": 3}, [])
    assert ledger.runs.read("run").counts == {"accepted": 5, "not_attempted": 1}
    ledger.runs.change(run(), status=RunStatus.PARTIAL, counts={"accepted": 4})
    ledger.runs.add_progress("run", {"accepted": 1}, [])
    assert ledger.runs.read("run").counts == {"accepted": 4}


def test_the_post_times_of_a_runs_batches_add_up(ledger):
    """The last runs say how long a POST takes; a batch without any adds nothing."""
    ledger.runs.create(run())
    ledger.runs.add_progress("run", {"accepted": 2}, [100, 250])
    ledger.runs.add_progress("run", {"failed": 1}, [])
    ledger.runs.add_progress("run", {"accepted": 1}, [50])
    found = ledger.runs.read("run")
    assert (found.post_ms, found.posts, found.counts) == (400, 3, {"accepted": 3, "failed": 1})


def test_renamed_fields_keep_their_attributes_in_the_table(ledger, table):
    """Earlier versions wrote these attributes, and would read them after a rollback."""
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


def test_batches_are_recorded_once_and_read_in_the_order_of_their_index(ledger):
    """The order is that of numbers, not of texts, and an outcome keeps all of its fields."""
    outcome = OutcomeRecord(
        operation="send.email", primary_id="1", outcome=Outcome.REJECTED, reason="code", relapsed=True, manual=True
    )
    records = [BatchRecord(index=index, outcomes=[outcome], at=NOON) for index in (10, 9, 100_000)]
    assert all(ledger.runs.record_batch("run", each) for each in records)
    assert not ledger.runs.record_batch("run", BatchRecord(index=9, outcomes=[], at=NOON))
    assert list(ledger.runs.batches("run")) == [records[1], records[0], records[2]]


def test_all_items_of_a_run_expire_after_the_retention(ledger, table):
    """The run, its batches and its switch are forgotten together."""
    ledger.runs.create(run())
    ledger.runs.record_batch("run", BatchRecord(index=0, outcomes=[], at=NOON))
    ledger.runs.halt("run", "breaker")
    expiries = {item["expiresAt"] for kind in ("RUN", "BATCH#", "SWITCH") for item in table.query("RUN#run", kind)}
    assert expiries == {(NOON + RETENTION) // 1000}


# -- the schedule: its lock and its pause


def test_only_one_scheduled_run_can_hold_the_schedule_lock(ledger):
    """The same run may acquire it again; only its holder can release it."""
    assert ledger.schedule.acquire_lock("first")
    assert ledger.schedule.acquire_lock("first")
    assert not ledger.schedule.acquire_lock("second")
    assert ledger.schedule.lock_holder() == ("first", NOON)
    ledger.schedule.release_lock("second")
    assert not ledger.schedule.acquire_lock("second")
    ledger.schedule.release_lock("first")
    assert ledger.schedule.acquire_lock("second")


def test_the_schedule_lock_is_taken_over_only_from_the_expected_holder(ledger):
    """Two collectors that find the same dead run cannot both take its place."""
    ledger.schedule.acquire_lock("dead")
    assert ledger.schedule.acquire_lock("next", instead_of="dead")
    assert not ledger.schedule.acquire_lock("other", instead_of="dead")


def test_a_paused_schedule_starts_no_run_until_it_is_resumed(ledger):
    """The first person to pause it is the one who is shown."""
    ledger.schedule.pause("olga")
    ledger.schedule.pause("anna")
    assert ledger.schedule.paused().by == "olga"
    assert start.begin_scheduled("r-1", ledger, FakeExecutions()) is None
    ledger.schedule.resume()
    assert start.begin_scheduled("r-1", ledger, FakeExecutions()).run_id == "r-1"


# -- the switch


def test_the_first_halt_reason_of_a_run_is_kept(ledger):
    """Something else may halt the run again afterwards."""
    assert ledger.runs.halt_reason("run") is None
    ledger.runs.halt("run", "hand:bob")
    ledger.runs.halt("run", "breaker")
    assert ledger.runs.halt_reason("run") == "hand:bob"


def test_the_switch_is_the_item_that_executions_of_earlier_versions_read(ledger, table):
    """Their state machine gets `RUN#<runId>` / `SWITCH` and asks for the BOOL `halted`."""
    ledger.runs.halt("run", "breaker")
    assert switch_key("run") == ("RUN#run", "SWITCH")
    assert table.get("RUN#run", "SWITCH")["halted"] is True


def test_unsuccessful_batches_count_once_each_until_the_breaker_is_reset(ledger):
    """The switch keeps their indexes, so a repeated delivery adds nothing."""
    assert [ledger.runs.record_unsuccessful_batch("run", index) for index in (4, 4, 7)] == [{4}, {4}, {4, 7}]
    assert ledger.runs.halt_reason("run") is None
    ledger.runs.reset_breaker("run")
    assert ledger.runs.record_unsuccessful_batch("run", 8) == {8}


# -- the table


def test_a_refused_write_raises_condition_failed_with_the_item_in_the_table(table):
    """A second read might find that the item has changed already."""
    table.update(COMM, "SET #status = :status", {"status": "manual"})
    with pytest.raises(ConditionFailed) as caught:
        table.update(COMM, "SET #status = :new", {"new": "open", "old": "open"}, "#status = :old")
    assert caught.value.item == {"pk": COMM[0], "sk": COMM[1], "status": "manual"}


def test_a_write_refused_because_there_is_no_item_raises_condition_failed_without_one(table):
    """The caller can distinguish this from an item that contradicts the condition."""
    with pytest.raises(ConditionFailed) as caught:
        table.update(COMM, "SET #status = :new", {"new": "open"}, "attribute_exists(#status)")
    assert caught.value.item == {}


def test_any_other_error_of_dynamodb_is_raised_as_it_is(table):
    """A mistake in an expression, or a throttled table, does not mean that somebody else was faster."""
    with pytest.raises(ClientError):
        table.update(COMM, "SET #status = :missing", {})


def test_only_a_write_whose_item_is_read_asks_for_it():
    """Parsing an item costs CPU. A refused write always returns what the table holds."""

    class Client:
        """Keeps the requests, and answers as DynamoDB does."""

        def __init__(self):
            self.requests = []

        def update_item(self, **request):
            self.requests.append(request)
            return {"Attributes": {"status": {"S": "open"}}} if request["ReturnValues"] == "ALL_NEW" else {}

    client = Client()
    update = (COMM, "SET #status = :status", {"status": "open"}, "attribute_exists(#status)")
    assert Table(client, "ledger").update(*update) is None
    assert Table(client, "ledger").update_and_get(*update) == {"status": "open"}
    assert [request["ReturnValues"] for request in client.requests] == ["NONE", "ALL_NEW"]
    assert {request["ReturnValuesOnConditionCheckFailure"] for request in client.requests} == {"ALL_OLD"}


@pytest.mark.usefixtures("dynamodb")
def test_only_dynamodbs_client_leaves_the_check_of_a_request_to_the_service(monkeypatch):
    """It would cost CPU with every communication. Elsewhere the check is what stops an empty key of S3."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    new_client = wiring.client.__wrapped__
    with pytest.raises(ClientError):
        new_client("dynamodb").get_item(TableName="", Key={"pk": {"S": "RUN#run"}, "sk": {"S": "RUN"}})
    with pytest.raises(ParamValidationError):
        new_client("s3").delete_object(Bucket="bucket", Key="")


def test_batch_get_reads_more_items_than_one_request_can_name(table):
    """BatchGetItem accepts a hundred keys at most; items that do not exist are left out."""
    keys = [(f"COMM#{number}", "COMM") for number in range(BATCH_GET + 5)]
    for key in keys[:-1]:
        table.update(key, "SET #status = :status", {"status": "open"})
    assert {item["pk"] for item in table.batch_get(keys)} == {pk for pk, _ in keys[:-1]}


def test_batch_get_asks_again_for_unprocessed_keys_after_longer_and_longer_pauses(dynamodb, table):
    """BatchGetItem may return only a part (16 MB, or a throttled partition); at once it would be refused again."""

    class OneKeyPerRequest:
        """DynamoDB's client, when only the first key of each request is processed."""

        def __init__(self):
            self.requests = 0

        def batch_get_item(self, RequestItems):  # noqa: N803 (AWS's name)
            self.requests += 1
            [(name, wanted)] = RequestItems.items()
            processed, unprocessed = wanted["Keys"][:1], wanted["Keys"][1:]
            answer = dynamodb.batch_get_item(RequestItems={name: wanted | {"Keys": processed}})
            return answer | {"UnprocessedKeys": {name: wanted | {"Keys": unprocessed}} if unprocessed else {}}

    keys = [(f"COMM#{number}", "COMM") for number in range(3)]
    for key in keys:
        table.update(key, "SET #status = :status", {"status": "open"})
    client, pauses = OneKeyPerRequest(), []
    assert len(list(Table(client, table._name, pauses.append).batch_get(keys))) == 3
    assert client.requests == 3
    assert [0 <= pause <= longest for pause, longest in zip(pauses, PAUSES[:2], strict=True)] == [True, True]
    assert list(PAUSES) == sorted(PAUSES)


def test_batch_get_gives_up_with_an_error_that_says_what_to_look_at():
    """Without a bound it would ask until its Lambda dies."""

    class Throttled:
        """DynamoDB's client, when nothing is processed."""

        def batch_get_item(self, RequestItems):  # noqa: N803 (AWS's name)
            return {"Responses": {}, "UnprocessedKeys": RequestItems}

    pauses = []
    with pytest.raises(ReadsThrottled, match="DynamoDB left 2 of 2 items of the table ledger unread, 7 times in a row"):
        list(Table(Throttled(), "ledger", pauses.append).batch_get([("a", "COMM"), ("b", "COMM")]))
    assert len(pauses) == len(PAUSES)
    assert sum(PAUSES) < 15 / 2  # the shortest Lambda that reads so has 15 s


def test_a_query_reads_all_pages(table):
    """A page of DynamoDB ends at 1 MB."""
    for index in range(5):
        table.put_new({"pk": "RUN#run", "sk": f"BATCH#{index}", "text": "x" * 300_000})
    assert [item["sk"] for item in table.query("RUN#run", "BATCH#")] == [f"BATCH#{index}" for index in range(5)]


def test_plain_values_survive_a_round_trip_through_the_table(table):
    """Numbers stay whole, and sets and nested records what they are."""
    values = {"number": 2**53 + 1, "text": "ü", "yes": True, "list": [{"a": 1}], "map": {"b": [2]}, "numbers": {1, 2}}
    expression = "SET " + ", ".join(f"#{name} = :{name}" for name in values)
    assert table.update_and_get(COMM, expression, values) == {"pk": COMM[0], "sk": COMM[1], **values}
    assert table.get(*COMM) == {"pk": COMM[0], "sk": COMM[1], **values}
    table.delete(*COMM)
    assert table.get(*COMM) is None

"""The bounds of ids and names: what the application calls a communication fits wherever it has to go."""

import csv
import io
import json

import msgspec
import pytest

from chalicelib.api import ids, runs, selections
from chalicelib.api.communications import export_communications, list_communications
from chalicelib.api.parsing import parse_query
from chalicelib.api.schemas.communications import CommunicationsQuery, ExportQuery
from chalicelib.api.schemas.runs import OutcomesQuery, RunsQuery
from chalicelib.application import list_records
from chalicelib.application.config import Configuration, Reprocess, Source
from chalicelib.errors import InvalidRequest, ListingFailed, NotFound
from chalicelib.ledger.communications import key_of
from chalicelib.models.base import MAX_ID, as_json
from chalicelib.models.batches import Batch, BatchRecord, TaskResult
from chalicelib.models.communications import Communication
from chalicelib.models.outcomes import Outcome, OutcomeRecord
from tests.fakes import NOON, FakeCall, make_run

# In bytes of UTF-8: the most that a state of Step Functions may get or return (AWS Step Functions API Reference,
# LambdaFunctionSucceededEventDetails), and the longest partition key (Amazon DynamoDB Developer Guide, "Constraints").
MAX_PAYLOAD, MAX_KEY = 262_144, 2048

# In bytes: the most that a function may answer (AWS Lambda Developer Guide, "Lambda quotas").
MAX_ANSWER = 6 * 1024 * 1024

OPERATION = "o" * 100
SOURCE = Source(
    operation=OPERATION,
    list="https://a.example",
    cool_down="1h",
    created_by="author",
    created="at",
    failure_reason="code",
)
CONFIGURATION = Configuration(sources=[SOURCE], reprocess=Reprocess(url="https://a.example"))

# Characters that take 1, 3 and 4 bytes of UTF-8, and characters that JSON escapes with 2 and 6.
CHARACTERS = ["x", "漢", "🙂", '"', "\n", "\x01"]


def longest_id(character):
    """Return the longest id out of one character that JSON writes in MAX_ID bytes."""
    return character * (MAX_ID // (len(msgspec.json.encode(character)) - 2))


def listed(primary_id, author="a"):
    """Return the communication of a record with this id, as a source lists it."""
    record = {"id": primary_id, "author": author, "at": "2026-11-20T09:30:00.123Z", "code": "c" * 100}
    return list_records.communication(SOURCE, record, NOON)


def longest_listed(character):
    """Return the communication with the longest id out of one character that a list may contain."""
    for length in range(MAX_ID, 0, -1):
        try:
            return listed(character * length, author=character * 10_000)
        except ListingFailed:
            continue
    raise AssertionError("no id is accepted")


@pytest.mark.parametrize("character", CHARACTERS)
def test_a_batch_of_40_with_its_results_fits_into_a_payload_of_step_functions(character):
    """The last state of a child workflow gets both, whatever ids and authors consist of."""
    communication = msgspec.structs.replace(longest_listed(character), retry=True)
    result = TaskResult(
        operation=OPERATION,
        primary_id=communication.primary_id,
        outcome=Outcome.NOT_ATTEMPTED,
        reason="r" * 100,
        post_ms=99_999,
    )
    payload = {
        "runId": "r" * 80,
        "requestedBy": "🙂" * 100,
        "concurrency": 40,
        "batch": as_json(Batch(index=999_999, communications=[communication] * 40)),
        "switch": {"Item": {"halted": {"BOOL": True}}, "SdkHttpMetadata": {"HttpHeaders": {"x": "y" * 2000}}},
        "results": [as_json(result)] * 40,
    }
    assert len(json.dumps(payload, ensure_ascii=False).encode()) <= MAX_PAYLOAD


@pytest.mark.parametrize("character", CHARACTERS)
def test_an_id_is_as_long_for_the_lists_as_for_the_api_and_fits_into_a_key(character):
    """One byte more of JSON is an unreadable record in a list, and a mistake in a request."""
    longest = longest_id(character)
    too_long = longest + character
    assert listed(longest).primary_id == longest
    assert selections.parse_selection(body(longest), CONFIGURATION, pytest.fail).primary_ids == [longest]
    assert ids.decode_id(ids.encode_id(OPERATION, longest)) == (OPERATION, longest)
    assert len(key_of(OPERATION, longest)[0].encode()) <= MAX_KEY
    with pytest.raises(ListingFailed, match="1 to 512 bytes in JSON"):
        listed(too_long)
    with pytest.raises(InvalidRequest, match=r"^primaryIds\[0\]: "):
        selections.parse_selection(body(too_long), CONFIGURATION, pytest.fail)
    with pytest.raises(NotFound):
        ids.decode_id(ids.encode_id(OPERATION, too_long))


def body(primary_id):
    return json.dumps({"primaryIds": [primary_id]}).encode()


@pytest.mark.parametrize("character", CHARACTERS)
def test_a_query_for_an_id_that_is_too_long_is_refused(ledger, character):
    """DynamoDB would refuse the key, and the caller would get a 500."""
    assert look_up(ledger, longest_id(character)).communications == []
    with pytest.raises(InvalidRequest, match=r"^primaryId: "):
        look_up(ledger, longest_id(character) + character)


def look_up(ledger, primary_id):
    """Answer `GET /communications?primaryId=...`."""
    query = parse_query({"primaryId": primary_id}, CommunicationsQuery)
    return list_communications(FakeCall(ledger, CONFIGURATION, query=query))


@pytest.mark.parametrize("character", CHARACTERS)
def test_an_authors_name_of_256_characters_is_kept_whole_unless_json_escapes_it(character):
    """What is longer is cut off: the payload of the POST has the same text in every repetition."""
    author = listed("1", author=character * 300).created_by
    assert author == character * (170 if character == "\x01" else 256)


def answered(page):
    """Check that a function may answer with this page; return the page."""
    body = page.body if hasattr(page, "body") else msgspec.json.encode(page).decode()
    assert len(json.dumps({"statusCode": 200, "headers": {}, "body": body})) <= MAX_ANSWER
    return page


# The ids that earlier versions accepted in a request: 512 characters, whatever they were.
EARLIER_ID = "🙂" * 512


@pytest.mark.parametrize("dynamodb", ["ministack"], indirect=True)  # one is enough to read what was written
def test_pages_of_runs_end_before_an_answer_is_too_large_and_lead_to_all_runs(ledger, clock):
    """Each run may keep 20 ids that no list contains."""
    for number in range(60):
        ledger.runs.create(make_run(f"r-{number}", requested_at=clock.advance(1), not_found=[EARLIER_ID] * 20))
    seen, cursor = [], None
    while True:
        page = answered(runs.list_runs(FakeCall(ledger, query=RunsQuery(limit=200, cursor=cursor))))
        assert page.runs
        seen += [run.run_id for run in page.runs]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == [f"r-{number}" for number in reversed(range(60))]


@pytest.mark.parametrize("dynamodb", ["ministack"], indirect=True)  # as above
def test_pages_of_the_worklist_end_before_an_answer_is_too_large_and_lead_to_all_rows(ledger, clock):
    """A CSV file may have 2,000 rows."""
    for number in range(750):
        primary_id = f"{number:03}{EARLIER_ID[3:]}"
        communication = Communication(operation="o", primary_id=primary_id, listed_at=NOON)
        ledger.communications.move_to_worklist(communication, "r#0", "r" * 100)
        clock.advance(1)
    seen, cursor = [], None
    while True:
        call = FakeCall(ledger, query=ExportQuery(limit=2_000, cursor=cursor))
        page = answered(export_communications(call))
        seen += [row["primaryId"][:3] for row in csv.DictReader(io.StringIO(page.body))]
        cursor = page.headers.get("X-Next-Cursor")
        if cursor is None:
            break
    assert seen == [f"{number:03}" for number in range(750)]


@pytest.mark.parametrize("dynamodb", ["ministack"], indirect=True)  # as above
def test_the_largest_page_of_outcomes_fits_into_an_answer(ledger):
    """Each outcome is small, so the number of them in a page is bound enough."""
    ledger.runs.create(make_run("r"))
    record = OutcomeRecord(operation=OPERATION, primary_id=EARLIER_ID, outcome=Outcome.NOT_ATTEMPTED, reason="r" * 100)
    for index in range(5):
        ledger.runs.record_batch("r", BatchRecord(index=index, outcomes=[record] * 40, at=NOON))
    page = answered(runs.list_outcomes(FakeCall(ledger, query=OutcomesQuery(limit=200)), "r"))
    assert len(page.communications) == 200

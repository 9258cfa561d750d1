"""The bounds of ids and names: what the application calls a communication fits wherever it has to go."""

import json

import msgspec
import pytest

from chalicelib.api import ids, selections
from chalicelib.api.communications import list_communications
from chalicelib.api.parsing import parse_query
from chalicelib.api.schemas import CommunicationsQuery
from chalicelib.application import list_pages
from chalicelib.application.config import Configuration, Reprocess, Source
from chalicelib.errors import InvalidRequest, ListingFailed, NotFound
from chalicelib.ledger.communications import key_of
from chalicelib.models import MAX_ID, Batch, Outcome, TaskResult, as_json
from tests.fakes import NOON, FakeCall

# In bytes of UTF-8: the most that a state of Step Functions may get or return (AWS Step Functions API Reference,
# LambdaFunctionSucceededEventDetails), and the longest partition key (Amazon DynamoDB Developer Guide, "Constraints").
MAX_PAYLOAD, MAX_KEY = 262_144, 2048

OPERATION = "o" * 100
SOURCE = Source(operation=OPERATION, list="https://a.example", cool_down="1h", created_by="author", created="at")
CONFIGURATION = Configuration(sources=[SOURCE], reprocess=Reprocess(url="https://a.example"))

# Characters that take 1, 3 and 4 bytes of UTF-8, and characters that JSON escapes with 2 and 6.
CHARACTERS = ["x", "漢", "🙂", '"', "\n", "\x01"]


def longest_id(character):
    """Return the longest id out of one character that JSON writes in MAX_ID bytes."""
    return character * (MAX_ID // (len(msgspec.json.encode(character)) - 2))


def listed(primary_id, author="a"):
    """Return the communication of a record with this id, as a source lists it."""
    record = {"id": primary_id, "author": author, "at": "2026-11-20T09:30:00.123Z"}
    (communication,) = list_pages.communications(SOURCE, [record], NOON)
    return communication


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
    communication = longest_listed(character)
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
    assert selections.parse_selection(body(longest), CONFIGURATION).primary_ids == [longest]
    assert ids.decode_id(ids.encode_id(OPERATION, longest)) == (OPERATION, longest)
    assert len(key_of(OPERATION, longest)[0].encode()) <= MAX_KEY
    with pytest.raises(ListingFailed, match="1 to 512 bytes"):
        listed(too_long)
    with pytest.raises(InvalidRequest, match=r"^primaryIds\[0\]: "):
        selections.parse_selection(body(too_long), CONFIGURATION)
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

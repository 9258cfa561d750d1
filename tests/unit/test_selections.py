"""The body of `POST /reprocess`: it becomes a selection, or an error that names the field at fault."""

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.api import selections
from chalicelib.application.config import Configuration, Reprocess, Source
from chalicelib.errors import InvalidRequest, NotFound
from chalicelib.ledger.situations import KnownCause
from chalicelib.models.communications import CauseKind
from chalicelib.models.selections import Selection

EMAILS = Source(
    operation="send.email",
    list="https://app.example.com/emails",
    cool_down="1h",
    created="created_at",
    filters={"createdBy": "author"},
)
SMS = Source(operation="send.sms", list="https://app.example.com/sms", cool_down="1h")
CONFIGURATION = Configuration(sources=[EMAILS, SMS], reprocess=Reprocess(url="https://app.example.com/post"))


def parse(body):
    """Return the selection in a body: bytes as they are, anything else as JSON."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    return selections.parse_selection(body, CONFIGURATION, get_cause)


def get_cause(cause_id):
    """The causes that scans have seen: one of emails, one that adds up rare ones, and one without a source."""
    operations = {"0" * 16: "send.email", "1" * 16: "send.sms", "2" * 16: "send.fax"}
    if cause_id not in operations:
        raise NotFound("there is no such cause")
    times = {"first_seen": 1, "last_seen": 2, "trend": []}
    folded = cause_id == "1" * 16
    return KnownCause(id=cause_id, operation=operations[cause_id], kind=CauseKind.FAILED, folded=folded, **times)


def test_a_cause_selects_its_operation():
    """So no other list is read, and it is no matter whether that can be filtered."""
    selected = Selection(operation="send.email", cause="0" * 16, created_by="Jo")
    assert parse({"cause": "0" * 16, "createdBy": "Jo"}) == selected
    assert parse({"cause": "0" * 16, "createdBy": "Jo", "operation": "send.email"}) == selected
    assert selected.takes_manual
    assert not Selection(operation="send.email").takes_manual


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"cause": "smtp_timeout"}, "cause: "),
        ({"cause": "f" * 16}, "cause: no scan of the last 24 hours has seen it; see GET /causes"),
        ({"cause": "f" * 16, "dryRun": True}, "cause: no scan"),
        ({"cause": "1" * 16}, "cause: it adds up many rare causes, so it cannot be selected; see GET /causes"),
        ({"cause": "2" * 16}, "operation: no source lists 'send.fax'"),
        ({"cause": "0" * 16, "operation": "send.sms"}, "operation: the cause is one of send.email; leave operation"),
    ],
)
def test_a_cause_that_cannot_be_selected_is_refused(body, error):
    with pytest.raises(InvalidRequest) as caught:
        parse(body)
    assert str(caught.value).startswith(error)


@pytest.mark.parametrize("body", [b"", b"{}", b" {} ", b'{"operation": null, "limit": null, "primaryIds": null}'])
def test_a_body_without_any_filter_selects_everything_that_is_due(body):
    """No body, an empty object and nulls give the selection of the schedule."""
    assert parse(body) == Selection()


def test_every_field_of_the_body_reaches_the_selection():
    """Times are converted to UTC; ids keep their order and are not changed."""
    selection = parse(
        {
            "operation": "send.email",
            "createdAfter": "2026-11-19T00:00:00+01:00",
            "createdBefore": "2026-11-20",
            "createdBy": "Jo",
            "primaryIds": ["b", "a", "b"],
            "limit": 5,
        }
    )
    assert selection == Selection(
        operation="send.email",
        created_after="2026-11-18T23:00:00.000Z",
        created_before="2026-11-20T00:00:00.000Z",
        created_by="Jo",
        primary_ids=["b", "a", "b"],
        limit=5,
    )


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_selection_may_prove_the_fix_of_a_cause(dry_run):
    """A dry run shows what such a run would send."""
    selection = parse({"cause": "0" * 16, "prove": True, "dryRun": dry_run})
    assert (selection.cause, selection.prove, selection.dry_run) == ("0" * 16, True, dry_run)


@pytest.mark.parametrize("primary_id", ["1\n2", "🙂", "a#b", "a/b", " ", "\0", '"', "../..", "e\u0301", "x" * 512])
def test_a_primary_id_is_accepted_as_it_is(primary_id):
    """Ids are the application's, and opaque to us."""
    assert parse({"primaryIds": [primary_id]}).primary_ids == [primary_id]


@pytest.mark.parametrize("number", [1, 1_000])
def test_a_selection_may_have_one_to_a_thousand_ids(number):
    """Both bounds are inclusive."""
    ids = [str(each) for each in range(number)]
    assert parse({"primaryIds": ids}).primary_ids == ids


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"limit": 0}, "limit: Expected `int` >= 1"),
        ({"limit": -1}, "limit: Expected `int` >= 1"),
        ({"limit": True}, "limit: Expected `int`, got `bool`"),
        ({"limit": "5"}, "limit: Expected `int`, got `str`"),
        ({"limit": 1.5}, "limit: Expected `int`, got `float`"),
        (b'{"limit": 1e3}', "limit: Expected `int`, got `float`"),
        ({"limit": 10**9 + 1}, "limit: Expected `int` <= 1000000000"),
        ({"limit": 10**30}, "limit: Expected `int` <= 1000000000"),
        (b'{"limit": ' + b"9" * 5_000 + b"}", "limit: Integer value out of range"),
        (b'{"limit": 1e999}', "limit: Number out of range"),
        ({"operation": ""}, "operation: Expected `str` of length >= 1"),
        ({"operation": 5}, "operation: Expected `str`, got `int`"),
        ({"operation": "send.fax"}, "operation: no source lists 'send.fax'; the operations are send.email, send.sms"),
        ({"createdBy": ""}, "createdBy: Expected `str` of length >= 1"),
        ({"createdBy": "x" * 257}, "createdBy: Expected `str` of length <= 256"),
        ({"createdBy": ["Jo"]}, "createdBy: Expected `str`, got `array`"),
        ({"createdBy": "Jo"}, "createdBy: the source of send.sms cannot be filtered by it"),
        ({"createdAfter": "2026-11-20"}, "createdAfter: the source of send.sms cannot be filtered by it"),
        ({"primaryIds": []}, "primaryIds: Expected `array` of length >= 1"),
        ({"primaryIds": ["x"] * 1_001}, "primaryIds: Expected `array` of length <= 1000"),
        ({"primaryIds": ["a", ""]}, "primaryIds[1]: Expected `str` of length >= 1"),
        ({"primaryIds": ["x" * 513]}, "primaryIds[0]: Expected `str` of length <= 512"),
        ({"primaryIds": [1]}, "primaryIds[0]: Expected `str`, got `int`"),
        ({"primaryIds": [True]}, "primaryIds[0]: Expected `str`, got `bool`"),
        ({"primaryIds": "a"}, "primaryIds: Expected `array`, got `str`"),
        (
            {"createdAt": "x"},
            "createdAt: there is no such field; the fields are operation, createdAfter, createdBefore, createdBy, ",
        ),
        ({"created_after": "2026-11-20"}, "created_after: there is no such field; the fields are operation"),
        ({"prove": True}, "prove: needs a cause, which says what is to be fixed"),
        ({"prove": 1, "cause": "0" * 16}, "prove: Expected `bool`, got `int`"),
        ({"a\nb": 1}, "a\nb: there is no such field; the fields are operation"),
        ({"": 1}, ": there is no such field; the fields are operation"),
    ],
    ids=str,
)
def test_an_invalid_field_is_an_error_that_begins_with_its_name(body, message):
    """The field's rule follows its name."""
    with pytest.raises(InvalidRequest) as caught:
        parse(body)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("field", ["createdAfter", "createdBefore"])
@pytest.mark.parametrize(
    "text", ["", "yesterday", "1763631000", "2026-02-30", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-01:00"]
)
def test_an_invalid_time_is_an_error_with_an_example_of_a_valid_one(field, text):
    """A time that UTC cannot name is invalid, too."""
    with pytest.raises(InvalidRequest) as caught:
        parse({"operation": "send.email", field: text})
    assert str(caught.value) == f"{field}: is not an ISO 8601 time such as 2026-11-20T09:30:00Z"


@pytest.mark.parametrize("before", ["2026-11-20T00:00:00Z", "2026-11-19", "2026-11-20T01:00:00+02:00"])
def test_created_before_must_be_later_than_created_after(before):
    """An empty span would select nothing, which is surely a mistake."""
    with pytest.raises(InvalidRequest, match="createdBefore: must be later than createdAfter"):
        parse({"operation": "send.email", "createdAfter": "2026-11-20", "createdBefore": before})


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z"])
def test_the_earliest_and_the_latest_time_of_iso_8601_are_valid(time):
    """Its years have four digits."""
    assert parse({"operation": "send.email", "createdAfter": time}).created_after in (time, "0001-01-01T00:00:00.000Z")


def test_a_filter_is_valid_only_for_a_source_that_can_apply_it():
    """Either the source has a parameter for it, or its records have the field to compare with."""
    assert parse({"operation": "send.email", "createdBy": "Jo"}).created_by == "Jo"
    assert parse({"operation": "send.email", "createdBefore": "2026-11-20"}).created_before
    with pytest.raises(InvalidRequest, match=r"createdBefore: the source of send.sms cannot be filtered by it"):
        parse({"operation": "send.sms", "createdBefore": "2026-11-20"})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"null", "the body: Expected `object`, got `null`"),
        (b"[]", "the body: Expected `object`, got `array`"),
        (b'"send.email"', "the body: Expected `object`, got `str`"),
        (b"[" * 100_000, "the body: Expected `object`, got `array`"),
        (b'{"primaryIds": ' + b"[" * 100_000, "primaryIds[0]: Expected `str`, got `array`"),
        (b'{"x": ' + b"[" * 100_000, "x: there is no such field"),
        (b" ", "the body is not JSON: "),
        (b"{", "the body is not JSON: "),
        (b"{'limit': 5}", "the body is not JSON: "),
        (b'{"limit": NaN}', "the body is not JSON: "),
        (b'{"limit": 5} x', "the body is not JSON: "),
        (b"operation=send.email", "the body is not JSON: "),
        (b'{"createdBy": "\\ud800"}', "the body is not JSON: "),
        (b'\xef\xbb\xbf{"limit": 5}', "the body is not JSON: "),
        (b'{"createdBy": "\xff"}', "the body is not UTF-8"),
        (b'{"createdBy": "\xed\xa0\x80"}', "the body is not UTF-8"),
        (b"\x1f\x8b\x08", "the body is not JSON: "),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_body_that_is_not_a_json_object_is_an_invalid_request(body, message):
    """Whatever the bytes are, the caller gets a readable message."""
    with pytest.raises(InvalidRequest) as caught:
        parse(body)
    assert str(caught.value).startswith(message)


def test_the_last_of_two_fields_with_the_same_name_counts():
    """Many JSON readers do the same (RFC 8259, section 4)."""
    assert parse(b'{"limit": 1, "limit": 2}').limit == 2


def test_an_error_message_repeats_only_the_beginning_of_a_long_field_name():
    """The name is the caller's own text, here a megabyte of it."""
    with pytest.raises(InvalidRequest) as caught:
        parse({"x" * 1_000_000: 1})
    assert len(str(caught.value)) < 300


@settings(deadline=None)
@given(
    st.one_of(
        st.binary(max_size=50),
        st.dictionaries(
            st.sampled_from(Selection.__struct_encode_fields__),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
                lambda inner: st.lists(inner, max_size=3),
                max_leaves=5,
            ),
        ),
    )
)
def test_any_body_is_a_selection_or_an_invalid_request(body):
    """No input leads to another exception, and every selection can be kept as JSON."""
    try:
        selection = parse(body)
    except InvalidRequest:
        return
    assert msgspec.json.decode(msgspec.json.encode(selection), type=Selection) == selection

"""The opaque ids and cursors of the API."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.api import cursors, ids
from chalicelib.errors import InvalidRequest, NotFound
from chalicelib.models.base import is_primary_id

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=512)


@given(TEXT.filter(is_primary_id))
def test_any_primary_id_survives_encoding_as_a_path_safe_id(primary_id):
    """It may contain slashes, line breaks and emoji."""
    communication_id = ids.encode_id("send.email", primary_id)
    assert communication_id.replace("-", "").replace("_", "").isalnum()
    assert ids.decode_id(communication_id) == ("send.email", primary_id)


@given(st.one_of(st.text(max_size=60), st.from_regex(r"[A-Za-z0-9_-]{1,60}", fullmatch=True)))
def test_any_other_text_is_refused_as_an_id_and_as_a_cursor(text):
    """The error is NotFound or InvalidRequest, never another exception."""
    with pytest.raises(NotFound):
        ids.decode_id(text)
    for decode in (cursors.decode_page_key, cursors.decode_outcome_key):
        with pytest.raises(InvalidRequest, match="cursor: "):
            decode(text, "runs")


@pytest.mark.parametrize("operation", ["", "send.email#1", "a/b", "x" * 101])
def test_an_id_with_an_invalid_operation_is_refused(operation):
    """A `#` in it would name another item of the table."""
    with pytest.raises(NotFound):
        ids.decode_id(ids.encode_id(operation, "1"))


@given(TEXT, TEXT, st.integers(0, 2**53 - 1))
def test_a_page_cursor_is_valid_only_for_its_own_listing_and_filters(pk, sk, number):
    """With other filters it would skip or repeat entries."""
    key = (pk, sk, number)
    cursor = cursors.encode(key, "runs", None)
    if len(sk.encode()) <= 1024:
        assert cursors.decode_page_key(cursor, "runs", None) == key
    with pytest.raises(InvalidRequest):
        cursors.decode_page_key(cursor, "runs", "send.email")


@pytest.mark.parametrize("number", [-1, 2**53, 10**18])
def test_a_page_cursor_with_a_number_out_of_range_is_refused(number):
    """Numbers that the table cannot hold would otherwise become an error of ours."""
    with pytest.raises(InvalidRequest):
        cursors.decode_page_key(cursors.encode(("a", "b", number), "runs"), "runs")


@given(st.integers(0, 2**53 - 1), st.integers(0, 39))
def test_an_outcome_cursor_holds_batch_and_index_for_its_own_run_and_filter_only(batch, index):
    """It is not accepted where the cursor of a page is expected, either."""
    cursor = cursors.encode((batch, index), "outcomes", "run", None)
    assert cursors.decode_outcome_key(cursor, "outcomes", "run", None) == (batch, index)
    for other in (("outcomes", "run", "failed"), ("outcomes", "other", None)):
        with pytest.raises(InvalidRequest):
            cursors.decode_outcome_key(cursor, *other)
    with pytest.raises(InvalidRequest):
        cursors.decode_page_key(cursor, "outcomes", "run", None)


@pytest.mark.parametrize("key", [(-1, 0), (0, -1), (2**53, 0), (0, 2**53)])
def test_an_outcome_cursor_with_a_number_out_of_range_is_refused(key):
    """No listing gives such a cursor."""
    with pytest.raises(InvalidRequest):
        cursors.decode_outcome_key(cursors.encode(key, "outcomes"), "outcomes")


def test_no_cursor_means_the_first_page_in_a_request_and_no_further_page_in_a_response():
    """Without a cursor, an outcome key is that of the first outcome, and a page key is None."""
    assert cursors.decode_outcome_key(None, "outcomes") == (0, 0)
    assert cursors.decode_page_key(None, "runs") is None
    assert cursors.encode(None, "runs") is None

"""The opaque ids and cursors of the API."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.api import cursors, ids
from chalicelib.errors import InvalidRequest, NotFound

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=512)


@given(TEXT)
def test_any_primary_id_comes_back_from_a_path_that_needs_no_encoding(primary_id):
    """Slashes, newlines and emoji included."""
    made = ids.encode_id("send.email", primary_id)
    assert made.replace("-", "").replace("_", "").isalnum()
    assert ids.decode_id(made) == ("send.email", primary_id)


@given(st.one_of(st.text(max_size=60), st.from_regex(r"[A-Za-z0-9_-]{1,60}", fullmatch=True)))
def test_any_other_text_is_no_id_and_no_cursor(text):
    """It is told, and never another error."""
    with pytest.raises(NotFound):
        ids.decode_id(text)
    for decode in (cursors.decode_page_key, cursors.decode_outcome_key):
        with pytest.raises(InvalidRequest, match="cursor: "):
            decode(text, "runs")


@pytest.mark.parametrize("operation", ["", "send.email#1", "a/b", "x" * 101])
def test_an_id_with_an_operation_that_cannot_be_is_refused(operation):
    """A `#` would name another item of the table."""
    with pytest.raises(NotFound):
        ids.decode_id(ids.encode_id(operation, "1"))


@given(TEXT, TEXT, st.integers(0, 2**53 - 1))
def test_a_cursor_is_good_for_its_listing_only(pk, sk, number):
    """With other filters it would skip or repeat."""
    key = (pk, sk, number)
    cursor = cursors.encode(key, "runs", None)
    if len(sk.encode()) <= 1024:
        assert cursors.decode_page_key(cursor, "runs", None) == key
    with pytest.raises(InvalidRequest):
        cursors.decode_page_key(cursor, "runs", "send.email")


@pytest.mark.parametrize("number", [-1, 2**53, 10**18])
def test_a_cursor_of_no_such_place_is_refused(number):
    """Numbers that the table could not hold would be an error of ours."""
    with pytest.raises(InvalidRequest):
        cursors.decode_page_key(cursors.encode(("a", "b", number), "runs"), "runs")


@given(st.integers(0, 2**53 - 1), st.integers(0, 39))
def test_a_cursor_of_outcomes_holds_a_batch_and_an_index(batch, index):
    """It is valid for its run and filter only, and no other listing's cursor is taken for one."""
    cursor = cursors.encode((batch, index), "outcomes", "run", None)
    assert cursors.decode_outcome_key(cursor, "outcomes", "run", None) == (batch, index)
    for other in (("outcomes", "run", "failed"), ("outcomes", "other", None)):
        with pytest.raises(InvalidRequest):
            cursors.decode_outcome_key(cursor, *other)
    with pytest.raises(InvalidRequest):
        cursors.decode_page_key(cursor, "outcomes", "run", None)


@pytest.mark.parametrize("key", [(-1, 0), (0, -1), (2**53, 0), (0, 2**53)])
def test_a_cursor_of_outcomes_outside_of_all_batches_is_refused(key):
    """It cannot come from a listing."""
    with pytest.raises(InvalidRequest):
        cursors.decode_outcome_key(cursors.encode(key, "outcomes"), "outcomes")


def test_no_cursor_is_the_beginning_and_the_end():
    """None means both."""
    assert cursors.decode_outcome_key(None, "outcomes") == (0, 0)
    assert cursors.decode_page_key(None, "runs") is None
    assert cursors.encode(None, "runs") is None

"""Opaque ids and cursors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib import ids
from chalicelib.errors import InvalidRequest, NotFound

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=512)


@given(TEXT)
def test_any_primary_id_comes_back_from_a_path_that_needs_no_encoding(primary_id):
    """Slashes, newlines and emoji included."""
    made = ids.of("send.email", primary_id)
    assert made.replace("-", "").replace("_", "").isalnum()
    assert ids.parse(made) == ("send.email", primary_id)


@given(st.one_of(st.text(max_size=60), st.from_regex(r"[A-Za-z0-9_-]{1,60}", fullmatch=True)))
def test_any_other_text_is_no_id_and_no_cursor(text):
    """It is told, and never another error."""
    with pytest.raises(NotFound):
        ids.parse(text)
    with pytest.raises(InvalidRequest, match="cursor: "):
        ids.position(text, "runs")


@pytest.mark.parametrize("operation", ["", "send.email#1", "a/b", "x" * 101])
def test_an_id_with_an_operation_that_cannot_be_is_refused(operation):
    """A `#` would name another item of the table."""
    with pytest.raises(NotFound):
        ids.parse(ids.of(operation, "1"))


@given(TEXT, TEXT, st.integers(0, 2**53 - 1))
def test_a_cursor_is_good_for_its_listing_only(pk, sk, number):
    """With other filters it would skip or repeat."""
    position = (pk, sk, number)
    cursor = ids.cursor(position, "runs", None)
    if len(sk.encode()) <= 1024:
        assert ids.position(cursor, "runs", None) == position
    with pytest.raises(InvalidRequest):
        ids.position(cursor, "runs", "send.email")


@pytest.mark.parametrize("number", [-1, 2**53, 10**18])
def test_a_cursor_of_no_such_place_is_refused(number):
    """Numbers that the table could not hold would be an error of ours."""
    with pytest.raises(InvalidRequest):
        ids.position(ids.cursor(("a", "b", number), "runs"), "runs")


def test_no_cursor_is_the_beginning_and_the_end():
    """None means both."""
    assert ids.position(None, "runs") is None
    assert ids.cursor(None, "runs") is None

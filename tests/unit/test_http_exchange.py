"""The body of a request, and whether it may have been sent. The exchange itself is tested in tests/integration."""

import pytest

from chalicelib.application.http_exchange import DeadlineExceeded, RequestBody


def test_a_body_withdrawn_before_it_was_read_is_never_sent():
    """`withdraw` says so, and from then on nobody can read the body."""
    body = RequestBody(b"content")
    assert not body.withdraw()
    with pytest.raises(DeadlineExceeded, match="the request was given up before its body was sent"):
        body.read()


def test_a_body_withdrawn_after_it_was_read_may_have_been_sent():
    """Reading a part of it is enough."""
    body = RequestBody(b"content")
    assert body.read(3) == b"con"
    assert body.withdraw()

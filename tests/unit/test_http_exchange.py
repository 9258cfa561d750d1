"""What a request sends, and when it may not be sent any more. The exchange itself: tests/integration."""

import pytest

from chalicelib.application.http_exchange import DeadlineExceeded, RequestBody


def test_a_body_that_was_never_asked_for_was_never_sent():
    """Giving up says so, and from then on nobody gets it."""
    body = RequestBody(b"content")
    assert not body.withdraw()
    with pytest.raises(DeadlineExceeded, match="the request was given up before its body was sent"):
        body.read()


def test_a_body_that_was_asked_for_may_have_been_sent():
    """Even if only a part of it was read."""
    body = RequestBody(b"content")
    assert body.read(3) == b"con"
    assert body.withdraw()

"""The body of a request, and the threads of exchanges. What they do with a server is tested in tests/integration."""

import gc
import threading
import weakref
from types import SimpleNamespace

import pytest
import requests

from chalicelib.application.http_exchange import DeadlineExceeded, RequestBody, exchange

# Seconds: a deadline that no test reaches, and one that a test lets expire.
LONG, SHORT = 60, 0.05


class Response(requests.Response):
    """An answer without a body."""

    def __init__(self):
        super().__init__()
        self.status_code = 202
        self.raw = SimpleNamespace(read1=lambda *_, **__: b"", close=lambda: None)


class Session:
    """A session that keeps the thread and a weak reference to the answer of each request."""

    def __init__(self, answer=Response):
        self.answer = answer
        self.threads = []
        self.answers = []

    def request(self, *_, **__):
        self.threads.append(threading.current_thread())
        answer = self.answer()
        self.answers.append(weakref.ref(answer))
        return answer


def post(session, timeout=LONG):
    return exchange(session, "POST", "http://example.com", timeout=timeout).status


@pytest.fixture
def blocked():
    """A session whose exchange waits for the event `go`."""
    go = threading.Event()

    def wait():
        assert go.wait(LONG)
        return Response()

    session = Session(wait)
    session.go = go
    yield session
    go.set()


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


def test_exchanges_one_after_the_other_share_a_thread():
    """Starting a thread for each would take CPU."""
    session = Session()
    assert [post(session) for _ in range(3)] == [202, 202, 202]
    assert len(set(session.threads)) == 1
    assert session.threads[0] is not threading.current_thread()


def test_a_thread_goes_on_after_an_exchange_that_failed():
    """The error is raised where the response is awaited."""

    def fail():
        raise requests.ConnectionError("cut")

    failing, session = Session(fail), Session()
    with pytest.raises(requests.ConnectionError, match="cut"):
        post(failing)
    assert post(session) == 202
    assert session.threads == failing.threads


def test_an_exchange_past_its_deadline_does_not_hold_up_the_next_ones(blocked):
    """They have another thread, and never get its late answer."""
    with pytest.raises(DeadlineExceeded):
        post(blocked, timeout=SHORT)
    session = Session()
    assert [post(session), post(session)] == [202, 202]
    assert blocked.threads[0] not in session.threads


def test_exchanges_at_once_have_a_thread_each(blocked):
    """Two callers never wait for each other."""
    first = threading.Thread(target=post, args=(blocked,))
    first.start()
    session = Session()
    assert post(session) == 202
    blocked.go.set()
    first.join(LONG)
    assert not first.is_alive()
    assert blocked.threads != session.threads


def test_a_waiting_thread_keeps_nothing_of_its_last_exchange():
    """A page of a list may have megabytes."""
    session = Session()
    post(session)
    post(Session())  # the thread waits again, or is about to
    gc.collect()
    assert session.answers[0]() is None

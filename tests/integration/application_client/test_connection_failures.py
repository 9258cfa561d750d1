"""What it means for a POST when the connection, TLS or the answer fails: not processed, or an unknown outcome."""

import socket
import time

import pytest

from chalicelib.errors import ApplicationUnavailable, OutcomeUnknown
from tests.integration.application_client.helpers import AT_MOST, DEADLINE, SLOW_BODY, send, sending_error
from tests.servers import always, closed_port, cut_after_request, cut_at_once, dripping, reply, serving, silent


def test_a_refused_connection_means_not_processed():
    """Nothing was sent."""
    with closed_port() as url:
        assert sending_error(url) == (ApplicationUnavailable, "connection_refused")


def test_an_unknown_host_means_not_processed():
    """There is no address to connect to. The domain .invalid never exists (RFC 2606)."""
    assert sending_error("http://comms-reprocess.invalid", timeout=10) in (
        (ApplicationUnavailable, "host_unknown"),
        (ApplicationUnavailable, "no_connection"),  # a machine whose resolver answers late
    )


@pytest.mark.parametrize("host", ["a" * 64, "a..b"])
def test_an_impossible_host_name_means_not_processed(host):
    """urllib3 raises special errors for these names."""
    assert sending_error(f"http://{host}")[0] is ApplicationUnavailable


def test_tls_to_a_plain_http_server_means_not_processed():
    """The handshake fails before the request is sent."""

    def answer_in_plain_http(_server, connection):
        connection.recv(65_536)
        connection.sendall(reply(400))
        connection.recv(65_536)

    with serving(answer_in_plain_http) as server:
        assert sending_error(server.url.replace("http:", "https:")) == (ApplicationUnavailable, "tls_failed")


def test_a_tls_handshake_that_never_ends_means_not_processed():
    """The deadline passes before the request is sent, and nothing is sent later."""

    def wait(server, _connection):
        server.over.wait()

    with serving(wait) as server:
        url = server.url.replace("http:", "https:")
        assert sending_error(url, timeout=DEADLINE) == (ApplicationUnavailable, "no_connection")


def test_a_host_that_drops_all_packets_means_not_processed():
    """A closed firewall does that, and a connection is never made."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        # The queue of a listener that never accepts holds one or two connections; the kernel drops any others.
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(server.getsockname())
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        assert sending_error(url, timeout=DEADLINE) == (ApplicationUnavailable, "no_connection")
        for each in waiting:
            each.close()


def test_a_connection_cut_before_the_request_is_read_is_an_unknown_outcome():
    """The client has sent the request, and cannot know that the server did not read it."""
    with serving(cut_at_once) as server:
        assert sending_error(server.url) == (OutcomeUnknown, "connection_cut")


def test_a_connection_cut_after_the_request_is_read_is_an_unknown_outcome():
    """The request may have been processed, so it is not repeated."""
    with serving(cut_after_request) as server:
        assert sending_error(server.url) == (OutcomeUnknown, "connection_cut")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "answer", [b"nonsense\r\n\r\n", b"HTTP/1.1 2x2 OK\r\n\r\n", b"HTTP/1.1 202 OK\r\nX: " + b"x" * 99_999]
)
def test_an_answer_that_is_not_http_is_an_unknown_outcome(answer):
    """The request was sent, and the answer does not say what became of it."""
    with serving(dripping(answer, b"")) as server:
        assert sending_error(server.url) == (OutcomeUnknown, "connection_cut")


@pytest.mark.parametrize(
    "converse",
    [
        pytest.param(silent, id="no answer"),
        pytest.param(dripping(b"", b"HTTP/1.1 202 OK\r\nX-Slow: " + SLOW_BODY), id="headers byte by byte"),
        pytest.param(dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 50), id="never more than Continue"),
    ],
)
def test_no_answer_before_the_deadline_is_an_unknown_outcome(converse):
    """There is one deadline for the whole exchange, however many bytes arrive meanwhile."""
    with serving(converse) as server:
        began = time.monotonic()
        assert sending_error(server.url, timeout=DEADLINE) == (OutcomeUnknown, "no_answer_in_time")
        assert time.monotonic() - began < AT_MOST
    assert len(server.requests) == 1


def test_an_untrusted_certificate_means_not_processed(tls_context):
    """The handshake fails before the request is sent."""
    with serving(always(reply(202)), tls_context) as server:
        assert sending_error(server.url) == (ApplicationUnavailable, "tls_failed")
    assert server.requests == []


def test_a_tls_error_after_the_request_is_read_is_an_unknown_outcome(tls_context, certificate, monkeypatch):
    """Not every TLS error is a failed handshake: here the request may have been processed."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))

    def break_off(server, connection):
        with connection.makefile("rb") as stream:
            server.read(stream)
        with socket.socket(fileno=connection.detach()) as plain:
            plain.sendall(b"no TLS record, but long enough to be taken for one: " * 10)

    with serving(always(reply(202)), tls_context) as server:
        send(server.url)
    with serving(break_off, tls_context) as server:
        assert sending_error(server.url) == (OutcomeUnknown, "tls_failed")
    assert len(server.requests) == 1

"""Sending one communication: what the POST contains, and what each answer to it means."""

import email.utils
import gzip
import json
import time

import msgspec
import pytest

from chalicelib.application import http_exchange
from chalicelib.errors import (
    ApplicationError,
    ApplicationMisconfigured,
    ApplicationOverloaded,
    ApplicationUnavailable,
    CommunicationRejected,
    OutcomeUnknown,
    ReprocessError,
    UnexpectedRedirect,
)
from tests.fakes import NOON, FakeClock
from tests.integration.application_client.helpers import (
    AT_MOST,
    DEADLINE,
    PAYLOAD,
    SLOW_BODY,
    THROTTLED,
    FakeSecret,
    make_client,
    send,
    sending_error,
)
from tests.servers import always, answering, dripping, reply, serving

MEANINGS = {
    ApplicationUnavailable: [408, 425],
    ApplicationOverloaded: [429, 503],
    ApplicationError: [500, 501, 505, 507, 599, 600, 999],
    CommunicationRejected: [400, 402, 404, 406, 409, 410, 411, 413, 415, 418, 422, 423, 451, 499],
    ApplicationMisconfigured: [401, 403, 405, 307, 308],
    UnexpectedRedirect: [300, 301, 302, 303, 304],
    OutcomeUnknown: [502, 504],
}


@pytest.mark.parametrize(
    ("kind", "status"), [(kind, status) for kind, statuses in MEANINGS.items() for status in statuses]
)
def test_each_refusal_status_raises_its_error(kind, status):
    """Without a code in the body, the status is also the reason."""
    with serving(always(reply(status))) as server:
        assert sending_error(server.url) == (kind, f"http_{status}")
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [200, 201, 202, 204, 206, 299])
def test_every_2xx_status_means_accepted(status):
    """`accepted` in application.toml could narrow that, but is not set here."""
    with serving(always(reply(status))) as server:
        send(server.url)
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [409, 303, 422])
def test_a_status_configured_as_already_sent_means_accepted(status):
    """It does not matter what the status means otherwise."""
    with serving(always(reply(status))) as server:
        send(server.url, already_sent=[status])


def test_the_post_carries_the_payload_the_idempotency_key_the_run_id_and_the_credentials():
    """The body has the four fields of the payload and no others."""
    with serving(always(reply(202))) as server:
        send(server.url, secret=FakeSecret("s3cret"))
    (request,) = server.requests
    assert (request.method, request.path, request.query) == ("POST", "/communications", {})
    assert json.loads(request.body) == PAYLOAD
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Accept"] == "application/json"
    assert request.headers["Idempotency-Key"] == "key-1"
    assert request.headers["X-Run-Id"] == "run-1"
    assert request.headers["Authorization"] == "Bearer s3cret"


def test_a_repeated_post_is_byte_identical():
    """Applications may compare the bodies that come with the same idempotency key."""
    with serving(always(reply(202))) as server:
        send(server.url)
        send(server.url)
    first, second = server.requests
    assert first.body == second.body
    assert first.headers.items() == second.headers.items()


def test_each_post_opens_a_new_connection():
    """A connection that was kept open may be dead when it is used again, and then the outcome is unknown."""
    connections = []

    def answer_once(server, connection):
        connections.append(connection)
        with connection.makefile("rb") as stream:
            server.read(stream)
            connection.sendall(reply(202))

    with serving(answer_once) as server:
        client = make_client(server.url)
        client.reprocess(PAYLOAD, "key-1", "run-1")
        client.reprocess(PAYLOAD, "key-2", "run-1")
    assert len(connections) == 2


def test_credentials_from_netrc_are_never_sent(monkeypatch, tmp_path):
    """`requests` would prefer them to our Authorization header."""
    (tmp_path / "netrc").write_text("default login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with serving(always(reply(202))) as server:
        send(server.url, secret=FakeSecret("s3cret"))
        send(server.url)
    assert [request.headers["Authorization"] for request in server.requests] == ["Bearer s3cret", None]


def test_a_redirect_is_not_followed():
    """Following it would send the POST and the secret elsewhere."""
    with serving(always(reply(202))) as elsewhere:
        moved = reply(307, Location=f"{elsewhere.url}/communications")
        with serving(always(moved)) as server:
            assert sending_error(server.url, secret=FakeSecret("s3cret")) == (ApplicationMisconfigured, "http_307")
    assert elsewhere.requests == []


# -- when to come back


def retry_after(answer, **options):
    """Send one communication that is answered so; return the error's type, and the wait that it tells."""
    with serving(always(answer)) as server, pytest.raises(ReprocessError) as caught:
        send(server.url, **options)
    return type(caught.value), caught.value.retry_after


@pytest.mark.parametrize("status", [429, 503])
def test_an_overloaded_application_says_when_it_wants_to_hear_from_us_again(status):
    """In milliseconds, from whichever header says so; None if none does."""
    assert retry_after(reply(status, Retry_After="30")) == (ApplicationOverloaded, 30_000)
    assert retry_after(reply(status, x_ratelimit_remaining="0", x_ratelimit_reset="7")) == (
        ApplicationOverloaded,
        7_000,
    )
    assert retry_after(reply(status)) == (ApplicationOverloaded, None)


def test_a_time_to_come_back_is_compared_with_our_clock_if_the_answer_has_no_date():
    """The clock is the one that the client was given."""
    soon = email.utils.formatdate((NOON + 30_000) / 1000, usegmt=True)
    assert retry_after(reply(503, Retry_After=soon)) == (ApplicationOverloaded, 30_000)
    assert retry_after(reply(503, Retry_After=soon), clock=FakeClock(NOON + 10_000)) == (ApplicationOverloaded, 20_000)


def test_the_wait_is_told_whatever_the_status_means_for_the_post():
    """`doubtful = [503]` says that the POST may have been processed; the application wants a pause all the same."""
    assert retry_after(reply(503, Retry_After="30"), doubtful=[503]) == (OutcomeUnknown, 30_000)


@pytest.mark.parametrize("status", [301, 401, 408, 422, 500, 502])
def test_only_429_and_503_tell_a_wait(status):
    """After another status, the same header is about something else."""
    assert retry_after(reply(status, Retry_After="30"))[1] is None


def test_a_wait_is_told_even_if_the_body_never_ends():
    """The headers arrived in time."""
    answer = dripping(reply(429, Retry_After="30", Content_Length="1200"), SLOW_BODY)
    with serving(answer) as server, pytest.raises(ApplicationOverloaded) as caught:
        send(server.url, timeout=DEADLINE)
    assert caught.value.retry_after == 30_000


# -- reasons


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"error": {"code": "invalid_address"}}, "invalid_address"),
        ({"error": {"code": "ADDR-17.b:x"}}, "ADDR-17.b:x"),
        ({"error": {"code": "A" * 100}}, "A" * 100),
        ({"error": {"code": "A" * 101}}, "http_422"),
        ({"error": {"code": "Jo Doe has no such address"}}, "http_422"),
        ({"error": {"code": "jo.doe@example.com"}}, "http_422"),
        ({"error": {"code": "Müller"}}, "http_422"),
        ({"error": {"code": "+49 89 123456"}}, "http_422"),
        ({"error": {"code": "4989123456"}}, "http_422"),
        ({"error": {"code": "invalid_address\n"}}, "http_422"),
        ({"error": {"code": ""}}, "http_422"),
        ({"error": {"code": None}}, "http_422"),
        ({"error": {"code": 17}}, "http_422"),
        ({"error": {"code": True}}, "http_422"),
        ({"error": {"code": ["invalid_address"]}}, "http_422"),
        ({"error": "invalid_address"}, "http_422"),
        (["invalid_address"], "http_422"),
        (b"", "http_422"),
        (b"<html>invalid_address</html>", "http_422"),
        (b'{"error": {"code": "invalid_address"', "http_422"),
        (b'{"error": {"code": NaN}}', "http_422"),
        (b'{"error": {"code": "\\ud800"}}', "http_422"),
        (b'{"error": {"code": "M\xfcller"}}', "http_422"),
        (b'{"error": ' * 20_000, "http_422"),
        (b'{"error": {"code": "first"}, "error": {"code": "last"}}', "last"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_reason_is_kept_only_if_it_is_a_code(body, reason):
    """Text may name a person. No body, however broken, changes what the status means."""
    with serving(always(reply(422, body))) as server:
        assert sending_error(server.url, reason="error.code") == (CommunicationRejected, reason)


def test_the_status_is_the_reason_if_no_expression_is_configured():
    """The body may contain a code, but the client does not know where."""
    with serving(always(reply(422, {"error": {"code": "invalid_address"}}))) as server:
        assert sending_error(server.url) == (CommunicationRejected, "http_422")


@pytest.mark.parametrize("expression", ["length(error)", "sort_by(@, &a)", "no_such_function(@)", "error[::0]"])
def test_a_reason_expression_that_fails_leaves_the_status_as_the_reason(expression):
    """A refusal of an unexpected shape is still a refusal."""
    with serving(always(reply(422, {"error": [3, {}]}))) as server:
        kind, reason = sending_error(server.url, reason=expression)
    assert (kind, reason) == (CommunicationRejected, "http_422")


# -- bodies


def test_the_reason_is_found_in_a_gzipped_body():
    """`requests` offers to accept gzip."""
    body = gzip.compress(msgspec.json.encode({"code": "invalid_address"}))
    with serving(always(reply(422, body, Content_Encoding="gzip"))) as server:
        assert sending_error(server.url, reason="code") == (CommunicationRejected, "invalid_address")


@pytest.mark.parametrize(
    ("status", "expected"), [(422, (CommunicationRejected, "http_422")), (500, (ApplicationError, "http_500"))]
)
@pytest.mark.parametrize(
    "body",
    [
        pytest.param((b"x" * (http_exchange.MAX_BODY + 1), {}), id="too large"),
        pytest.param((gzip.compress(bytes(50_000_000)), {"Content_Encoding": "gzip"}), id="too large when unpacked"),
        pytest.param((b"no gzip at all", {"Content_Encoding": "gzip"}), id="not compressed"),
        pytest.param((b"", {"Content_Length": "5"}), id="cut off"),
    ],
)
def test_an_unreadable_body_does_not_change_what_the_status_means(status, expected, body):
    """The client reads at most MAX_BODY bytes. If it cannot read the body, it decides by the status alone."""
    content, headers = body

    def answer_once(server, connection):
        with connection.makefile("rb") as stream:
            server.read(stream)
            connection.sendall(reply(status, content, **headers))

    with serving(answer_once) as server:
        assert sending_error(server.url, reason="code") == expected


@pytest.mark.parametrize("status", [202, 409])
def test_an_accepted_status_counts_even_if_the_body_never_ends(status):
    """The deadline ends the exchange, but must not turn an accepted communication into an unknown outcome."""
    head = reply(status, Content_Length="1200")
    with serving(dripping(head, SLOW_BODY)) as server:
        began = time.monotonic()
        send(server.url, timeout=DEADLINE, already_sent=[409])
        assert time.monotonic() - began < AT_MOST


def test_a_refusal_counts_even_if_its_body_never_ends():
    """The status is its reason, because the body that has the code is incomplete."""
    with serving(dripping(reply(422, Content_Length="1200") + b'{"code": "a"', SLOW_BODY)) as server:
        assert sending_error(server.url, timeout=DEADLINE, reason="code") == (CommunicationRejected, "http_422")


# -- the secret


def requiring(secret, then):
    """Answer 401 to every request without this bearer token."""

    def answer(request):
        return then if request.headers["Authorization"] == f"Bearer {secret}" else reply(401)

    return answering(answer)


def test_after_a_401_the_secret_is_reread_and_the_post_repeated():
    """The secret was rotated. A 401 has processed nothing, so the idempotency key stays the same."""
    with serving(requiring("new", reply(202))) as server:
        send(server.url, secret=FakeSecret("old", "new"))
    assert [request.headers["Authorization"] for request in server.requests] == ["Bearer old", "Bearer new"]
    assert {request.headers["Idempotency-Key"] for request in server.requests} == {"key-1"}


def test_after_a_401_an_unchanged_secret_is_not_sent_again():
    """It would only be refused again."""
    with serving(requiring("other", reply(202))) as server:
        assert sending_error(server.url, secret=FakeSecret("old")) == (ApplicationMisconfigured, "http_401")
    assert len(server.requests) == 1


def test_after_a_401_the_post_is_repeated_only_once():
    """Here the secret is a new one whenever it is read."""
    with serving(requiring("other", reply(202))) as server:
        assert sending_error(server.url, secret=FakeSecret("old", "new", "newer")) == (
            ApplicationMisconfigured,
            "http_401",
        )
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("values", "posts"), [([None], 0), ([""], 0), (["a\nb"], 0), (["old", None], 1), (["old", "ü"], 1)]
)
def test_an_unreadable_secret_is_a_misconfiguration(values, posts):
    """It may be read before the POST or after a 401. A value that no header can carry is never sent."""
    with serving(always(reply(401))) as server:
        assert sending_error(server.url, secret=FakeSecret(*values)) == (ApplicationMisconfigured, "secret_unreadable")
    assert len(server.requests) == posts


@pytest.mark.parametrize(("values", "posts"), [([THROTTLED], 0), (["old", THROTTLED], 1)])
def test_a_secret_that_aws_cannot_give_now_is_no_misconfiguration(values, posts):
    """Nothing was processed, and the state machine tries again. After a 401 the secret may have been rotated."""
    with serving(always(reply(401))) as server:
        assert sending_error(server.url, secret=FakeSecret(*values)) == (ApplicationUnavailable, "secret_unavailable")
    assert len(server.requests) == posts

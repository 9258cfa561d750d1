"""The application as it is spoken to over real connections: what each answer, and each lack of one, is taken for."""

import datetime as dt
import gzip
import ipaddress
import json
import socket
import ssl
import time

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from chalicelib import times
from chalicelib.application import http_exchange
from chalicelib.application.client import ApplicationClient
from chalicelib.application.config import Auth, Configuration, Next, Reprocess, Source
from chalicelib.application.credentials import Credentials
from chalicelib.errors import (
    ApplicationError,
    ApplicationMisconfigured,
    ApplicationUnavailable,
    CommunicationRejected,
    ConfigurationError,
    ListingFailed,
    OutcomeUnknown,
    ReprocessError,
)
from chalicelib.models import Communication, Selection
from tests.fakes import FakeClock
from tests.servers import (
    always,
    answering,
    cut_after_request,
    cut_at_once,
    dripping,
    in_turn,
    nobody,
    reply,
    serving,
    silent,
)

PAYLOAD = {"primaryId": "123455", "operation": "send.email", "createdBy": "Jö", "created": "2026-11-20T09:30:00.000Z"}

# What a drip would take if nobody stopped it: far more than any test may.
MINUTE = b"x" * 1_200

# A deadline in the tests, in seconds; and how long a test that meets one may take on a slow machine.
SOON, AT_MOST = 0.6, 5


@pytest.fixture(autouse=True)
def _directly(monkeypatch):
    """No proxy of the machine's stands between a test and its server."""
    monkeypatch.setenv("NO_PROXY", "*")


class Secret:
    """The application's secret, which a test may change or lose."""

    def __init__(self, *values):
        self.values = list(values)

    def __call__(self, name):
        value = self.values.pop(0) if len(self.values) > 1 else self.values[0]
        if value is None:
            raise ConfigurationError(f"the secret {name!r} cannot be read: AccessDeniedException")
        return value


def application(url, secret=None, source=None, timeout=5, clock=None, **reprocess):
    """The application behind a URL; with a secret it wants a bearer."""
    configuration = Configuration(
        sources=[source or emails(url)],
        reprocess=Reprocess(url=f"{url}/communications", timeout=timeout, **reprocess),
        auth=Auth(type="bearer", secret="app") if secret else Auth(),
    )
    clock = clock or FakeClock()
    return ApplicationClient(configuration, Credentials(configuration.auth, secret or Secret(None), clock), clock)


# -- reprocessing: what an answer means


def send(url, **more):
    application(url, **more).reprocess(PAYLOAD, "key-1", "run-1")


def refused(url, **more):
    """Send, and return the name and the reason of the error that comes of it."""
    with pytest.raises(ReprocessError) as caught:
        send(url, **more)
    return type(caught.value), caught.value.reason


MEANINGS = {
    ApplicationUnavailable: [408, 425, 429, 503],
    ApplicationError: [500, 501, 505, 507, 599, 600, 999],
    CommunicationRejected: [400, 402, 404, 406, 409, 410, 411, 413, 415, 418, 422, 423, 451, 499],
    ApplicationMisconfigured: [401, 403, 405, 300, 301, 302, 303, 304, 307, 308],
    OutcomeUnknown: [502, 504],
}


@pytest.mark.parametrize(("kind", "status"), [(kind, it) for kind, statuses in MEANINGS.items() for it in statuses])
def test_each_status_has_its_meaning(kind, status):
    """A refusal's status alone decides the error, and is its reason if there is no other."""
    with serving(always(reply(status))) as server:
        assert refused(server.url) == (kind, f"http_{status}")
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [200, 201, 202, 204, 206, 299])
def test_every_2xx_is_accepted(status):
    """Returning without an error means that the application has it."""
    with serving(always(reply(status))) as server:
        send(server.url)
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [409, 303, 422])
def test_already_sent_is_what_the_configuration_says(status):
    """A status that means "I have it" is accepted, whatever it means elsewhere."""
    with serving(always(reply(status))) as server:
        send(server.url, already_sent=[status])


def test_what_is_sent_is_the_payload_and_nothing_else():
    """One POST: four fields of JSON, the key, the run, the credentials."""
    with serving(always(reply(202))) as server:
        send(server.url, secret=Secret("s3cret"))
    (request,) = server.requests
    assert (request.method, request.path, request.query) == ("POST", "/communications", {})
    assert json.loads(request.body) == PAYLOAD
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Accept"] == "application/json"
    assert request.headers["Idempotency-Key"] == "key-1"
    assert request.headers["X-Run-Id"] == "run-1"
    assert request.headers["Authorization"] == "Bearer s3cret"


def test_a_repetition_is_the_same_byte_by_byte():
    """An application that compares bodies under one key finds no difference."""
    with serving(always(reply(202))) as server:
        send(server.url)
        send(server.url)
    first, second = server.requests
    assert first.body == second.body
    assert first.headers.items() == second.headers.items()


def test_each_post_has_a_connection_of_its_own():
    """A connection that was kept open may be dead by the time it is used again, and then the outcome is unknown."""
    connections = []

    def once(server, connection):
        connections.append(connection)
        with connection.makefile("rb") as stream:
            server.read(stream)
            connection.sendall(reply(202))

    with serving(once) as server:
        it = application(server.url)
        it.reprocess(PAYLOAD, "key-1", "run-1")
        it.reprocess(PAYLOAD, "key-2", "run-1")
    assert len(connections) == 2


def test_a_machines_own_passwords_are_not_sent(monkeypatch, tmp_path):
    """A ~/.netrc, which `requests` would prefer to our header, is left alone."""
    (tmp_path / "netrc").write_text("default login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with serving(always(reply(202))) as server:
        send(server.url, secret=Secret("s3cret"))
        send(server.url)
    assert [request.headers["Authorization"] for request in server.requests] == ["Bearer s3cret", None]


def test_a_redirect_is_not_followed():
    """It is a mistake in the configuration: following would send the POST, and the secret, elsewhere."""
    with serving(always(reply(202))) as elsewhere:
        moved = reply(307, Location=f"{elsewhere.url}/communications")
        with serving(always(moved)) as server:
            assert refused(server.url, secret=Secret("s3cret")) == (ApplicationMisconfigured, "http_307")
    assert elsewhere.requests == []


# -- reprocessing: reasons


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
    """A text may name a person, so it is not kept; and no body, however broken, changes what the status means."""
    with serving(always(reply(422, body))) as server:
        assert refused(server.url, reason="error.code") == (CommunicationRejected, reason)


def test_a_reason_is_looked_for_only_where_the_configuration_says():
    """Without an expression the status is the reason."""
    with serving(always(reply(422, {"error": {"code": "invalid_address"}}))) as server:
        assert refused(server.url) == (CommunicationRejected, "http_422")


@pytest.mark.parametrize("expression", ["length(error)", "sort_by(@, &a)", "no_such_function(@)", "error[::0]"])
def test_an_expression_that_does_not_fit_the_answer_costs_only_the_reason(expression):
    """A refusal of another shape than expected is still that refusal."""
    with serving(always(reply(422, {"error": [3, {}]}))) as server:
        kind, reason = refused(server.url, reason=expression)
    assert (kind, reason) == (CommunicationRejected, "http_422")


# -- reprocessing: bodies


def test_a_compressed_refusal_is_understood():
    """What `requests` offers to take, it can read."""
    body = gzip.compress(msgspec.json.encode({"code": "invalid_address"}))
    with serving(always(reply(422, body, Content_Encoding="gzip"))) as server:
        assert refused(server.url, reason="code") == (CommunicationRejected, "invalid_address")


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
def test_a_body_that_cannot_be_read_leaves_the_status(status, expected, body):
    """The status came first and says what counts; what it takes to read the rest is bounded."""
    content, headers = body

    def once(server, connection):
        with connection.makefile("rb") as stream:
            server.read(stream)
            connection.sendall(reply(status, content, **headers))

    with serving(once) as server:
        assert refused(server.url, reason="code") == expected


@pytest.mark.parametrize("status", [202, 409])
def test_accepted_is_accepted_even_if_the_body_never_ends(status):
    """Once the application has said that it has it, a slow body must not make that unknown."""
    head = reply(status, Content_Length="1200")
    with serving(dripping(head, MINUTE)) as server:
        began = time.monotonic()
        send(server.url, timeout=SOON, already_sent=[409])
        assert time.monotonic() - began < AT_MOST


def test_a_refusal_whose_body_never_ends_is_that_refusal():
    """Without a reason of its own."""
    with serving(dripping(reply(422, Content_Length="1200") + b'{"code": "a"', MINUTE)) as server:
        assert refused(server.url, timeout=SOON, reason="code") == (CommunicationRejected, "http_422")


# -- reprocessing: no answer


def test_nobody_listens():
    """A refused connection: surely not processed."""
    with nobody() as url:
        assert refused(url) == (ApplicationUnavailable, "connection_refused")


def test_the_host_is_unknown():
    """No address, no connection: surely not processed. The domain .invalid never exists (RFC 2606)."""
    assert refused("http://comms-reprocess.invalid", timeout=10) in (
        (ApplicationUnavailable, "host_unknown"),
        (ApplicationUnavailable, "no_connection"),  # a machine whose resolver answers late
    )


@pytest.mark.parametrize("host", ["a" * 64, "a..b"])
def test_a_host_that_cannot_be_is_no_crash(host):
    """urllib3 has errors of its own for these; nothing was sent, so it is as if it was not there."""
    assert refused(f"http://{host}")[0] is ApplicationUnavailable


def test_tls_to_a_server_that_speaks_none():
    """The handshake fails before anything is sent: surely not processed."""

    def puzzled(_server, connection):
        connection.recv(65_536)
        connection.sendall(reply(400))
        connection.recv(65_536)

    with serving(puzzled) as server:
        assert refused(server.url.replace("http:", "https:")) == (ApplicationUnavailable, "tls_failed")


def test_a_tls_handshake_that_never_ends():
    """The deadline finds nothing sent: surely not processed, and it will not be sent later either."""

    def waits(server, _connection):
        server.over.wait()

    with serving(waits) as server:
        url = server.url.replace("http:", "https:")
        assert refused(url, timeout=SOON) == (ApplicationUnavailable, "no_connection")


def test_a_host_that_answers_nothing_at_all():
    """Packets that are dropped, as a closed firewall does it, are no connection: surely not processed."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        # The queue of a listener that accepts nobody takes one or two; then the kernel drops what comes.
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(server.getsockname())
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        assert refused(url, timeout=SOON) == (ApplicationUnavailable, "no_connection")
        for each in waiting:
            each.close()


def test_a_connection_that_is_cut_before_the_request_was_read():
    """We have sent it, and cannot know that nobody read it: unknown."""
    with serving(cut_at_once) as server:
        assert refused(server.url) == (OutcomeUnknown, "connection_cut")


def test_a_connection_that_is_cut_after_the_request_was_read():
    """It may have been processed: unknown, and it was sent once only."""
    with serving(cut_after_request) as server:
        assert refused(server.url) == (OutcomeUnknown, "connection_cut")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "answer", [b"nonsense\r\n\r\n", b"HTTP/1.1 2x2 OK\r\n\r\n", b"HTTP/1.1 202 OK\r\nX: " + b"x" * 99_999]
)
def test_an_answer_that_is_no_http(answer):
    """Something was sent and something came back that says nothing: unknown."""
    with serving(dripping(answer, b"")) as server:
        assert refused(server.url) == (OutcomeUnknown, "connection_cut")


@pytest.mark.parametrize(
    "converse",
    [
        pytest.param(silent, id="no answer"),
        pytest.param(dripping(b"", b"HTTP/1.1 202 OK\r\nX-Slow: " + MINUTE), id="headers byte by byte"),
        pytest.param(dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 50), id="never more than Continue"),
    ],
)
def test_no_answer_in_time(converse):
    """The deadline is one for the whole exchange, however busy the other side looks: unknown."""
    with serving(converse) as server:
        began = time.monotonic()
        assert refused(server.url, timeout=SOON) == (OutcomeUnknown, "no_answer_in_time")
        assert time.monotonic() - began < AT_MOST
    assert len(server.requests) == 1


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for loopback and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return file


@pytest.fixture
def tls(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def test_a_certificate_that_nobody_vouches_for(tls):
    """The handshake fails before anything is sent: surely not processed."""
    with serving(always(reply(202)), tls) as server:
        assert refused(server.url) == (ApplicationUnavailable, "tls_failed")
    assert server.requests == []


def test_tls_that_breaks_after_the_request_was_read(tls, certificate, monkeypatch):
    """An error of TLS is not always one of the handshake: here it may have been processed, so it is unknown."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))

    def breaks(server, connection):
        with connection.makefile("rb") as stream:
            server.read(stream)
        with socket.socket(fileno=connection.detach()) as plain:
            plain.sendall(b"no record of TLS, but enough of it to be one: " * 10)

    with serving(always(reply(202)), tls) as server:
        send(server.url)
    with serving(breaks, tls) as server:
        assert refused(server.url) == (OutcomeUnknown, "tls_failed")
    assert len(server.requests) == 1


# -- the secret


def wanting(secret, otherwise):
    """Answer 401 to everybody who does not show the secret."""

    def answer(request):
        return otherwise if request.headers["Authorization"] == f"Bearer {secret}" else reply(401)

    return answering(answer)


def test_a_rotated_secret_is_picked_up_with_the_first_401():
    """The secret is read again and the POST repeated, under the same key: a 401 has not processed it."""
    with serving(wanting("new", reply(202))) as server:
        send(server.url, secret=Secret("old", "new"))
    assert [request.headers["Authorization"] for request in server.requests] == ["Bearer old", "Bearer new"]
    assert {request.headers["Idempotency-Key"] for request in server.requests} == {"key-1"}


def test_a_secret_that_has_not_changed_is_not_tried_again():
    """It would only be refused again."""
    with serving(wanting("other", reply(202))) as server:
        assert refused(server.url, secret=Secret("old")) == (ApplicationMisconfigured, "http_401")
    assert len(server.requests) == 1


def test_a_new_secret_that_is_refused_too_is_not_tried_for_ever():
    """Two POSTs at most."""
    with serving(wanting("other", reply(202))) as server:
        assert refused(server.url, secret=Secret("old", "new", "newer")) == (ApplicationMisconfigured, "http_401")
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("values", "posts"), [([None], 0), ([""], 0), (["a\nb"], 0), (["old", None], 1), (["old", "ü"], 1)]
)
def test_a_secret_that_cannot_be_read_is_our_fault(values, posts):
    """Not the communication's, before the POST and after a 401 alike; what no header can carry is never sent."""
    with serving(always(reply(401))) as server:
        assert refused(server.url, secret=Secret(*values)) == (ApplicationMisconfigured, "secret_unreadable")
    assert len(server.requests) == posts


# -- listing


def emails(url, **more):
    given = {"operation": "send.email", "list": f"{url}/emails/failed", "cool_down": "1h", "items": "results"} | more
    return Source(**given)


def detailed(url, **more):
    return emails(url, created="created_at", created_by="author", failed_at="failed_at", **more)


def listed(url, source=None, selection=None, **more):
    """Every communication that the source lists, in one list."""
    source = source or emails(url)
    pages = application(url, source=source, **more).failed_pages(source, selection or Selection())
    return [it for page in pages for it in page.communications]


def fails(url, source=None, **more):
    """List, and return what the error says between the source and the key that it names."""
    with pytest.raises(ListingFailed) as caught:
        listed(url, source, **more)
    name, _, message = str(caught.value).partition(": ")
    assert name == "send.email"
    assert caught.value.key in message
    return message.removesuffix(f" (see {caught.value.key} in application.toml)")


def page_of(*ids, **more):
    return reply(200, {"results": [{"id": each} for each in ids], **more})


IDS = [f"id-{number}" for number in range(2_347)]


def by_url(request, url=""):
    """An application of 200 a page that gives the next page's URL."""
    start = int(request.query.get("cursor", "0"))
    following = f"{url}/emails/failed?page_size=200&cursor={start + 200}" if start + 200 < len(IDS) else None
    return page_of(*IDS[start : start + 200], next=following)


def by_number(request):
    """An application of 200 a page that takes the number of a page, from 1 on."""
    start = (int(request.query["page"]) - 1) * 200
    return page_of(*IDS[start : start + 200])


def test_absolute_urls_lead_to_every_record_once():
    """2,347 records, 12 pages: each record exactly once, and not a request more than needed."""
    with serving(answering(lambda request: by_url(request, server.url))) as server:
        found = listed(server.url, emails(server.url, next=Next(url="next"), params={"page_size": 200}))
    assert [it.primary_id for it in found] == IDS
    assert len(server.requests) == 12
    assert {request.query["page_size"] for request in server.requests} == {"200"}


def test_relative_urls_lead_to_every_record_once():
    """A next page without scheme and host is on the same host."""
    with serving(answering(by_url)) as server:
        found = listed(server.url, emails(server.url, next=Next(url="next")))
    assert [it.primary_id for it in found] == IDS


def test_a_query_alone_is_a_relative_url_too():
    """`?cursor=2` is the same path with another query."""
    with serving(in_turn(page_of("a", next="?cursor=2"), page_of("b", next=None))) as server:
        assert [it.primary_id for it in listed(server.url, emails(server.url, next=Next(url="next")))] == ["a", "b"]
    assert [(request.path, request.query) for request in server.requests] == [
        ("/emails/failed", {}),
        ("/emails/failed", {"cursor": "2"}),
    ]


def test_page_numbers_lead_to_every_record_once():
    """2,347 records: 12 pages and the empty one that ends the list."""
    with serving(answering(by_number)) as server:
        found = listed(server.url, emails(server.url, next=Next(page="page"), params={"per_page": 200}))
    assert [it.primary_id for it in found] == IDS
    assert [request.query["page"] for request in server.requests] == [str(number) for number in range(1, 14)]
    assert {request.query["per_page"] for request in server.requests} == {"200"}


def test_page_numbers_may_begin_anywhere():
    """Some count from 0."""
    source = {"next": Next(page="page", first=0)}
    with serving(in_turn(page_of("a"), page_of())) as server:
        assert len(listed(server.url, emails(server.url, **source))) == 1
    assert [request.query["page"] for request in server.requests] == ["0", "1"]


def test_without_paging_one_page_is_all():
    """A source without `next` is asked once, and a page may be a plain list."""
    with serving(always(reply(200, [{"id": "a"}, {"id": "b"}]))) as server:
        assert len(listed(server.url, emails(server.url, items="@"))) == 2
    assert len(server.requests) == 1


def test_an_empty_list_is_a_list():
    """Nothing has failed."""
    with serving(always(page_of(next=None))) as server:
        assert listed(server.url, emails(server.url, next=Next(url="next"))) == []


def test_an_empty_page_in_the_middle_does_not_end_a_list_of_urls():
    """Applications that filter after paging give such pages; only a missing URL is the end."""
    with serving(in_turn(page_of("a", next="?p=2"), page_of(next="?p=3"), page_of("b"))) as server:
        assert len(listed(server.url, emails(server.url, next=Next(url="next")))) == 2


def test_a_page_is_asked_for_when_the_one_before_was_used():
    """Who stops listing at a limit does not ask for pages in vain."""
    with serving(answering(by_number)) as server:
        source = emails(server.url, next=Next(page="page"))
        pages = application(server.url, source=source).failed_pages(source, Selection())
        assert len(next(pages).communications) == 200
        pages.close()
    assert len(server.requests) == 1


def test_the_filters_that_a_source_serves_are_asked_for():
    """Under its own names; those that it does not serve are left to the collector."""
    selection = Selection(
        created_after="2026-11-19T00:00:00.000Z", created_before="2026-11-20T00:00:00.000Z", created_by="J&ö"
    )
    with serving(always(page_of())) as server:
        source = emails(
            server.url, params={"size": 5, "author": "all"}, filters={"createdAfter": "since", "createdBy": "author"}
        )
        listed(server.url, source, selection)
    assert server.requests[0].query == {"size": "5", "since": "2026-11-19T00:00:00.000Z", "author": "J&ö"}


def test_a_list_is_asked_for_as_json_and_with_the_credentials():
    """Like the POST."""
    with serving(always(page_of())) as server:
        listed(server.url, secret=Secret("s3cret"))
    assert server.requests[0].headers["Accept"] == "application/json"
    assert server.requests[0].headers["Authorization"] == "Bearer s3cret"


def test_listed_at_is_the_time_before_each_page_was_asked_for():
    """What happens to a communication while its page is on the way is newer than the page."""
    clock = FakeClock()
    began = clock()

    def answer(request):
        clock.advance(1_000)
        return page_of(f"id-{request.query['page']}") if request.query["page"] != "3" else page_of()

    with serving(answering(answer)) as server:
        found = listed(server.url, emails(server.url, next=Next(page="page")), clock=clock)
    assert [it.listed_at for it in found] == [began, began + 1_000]


# -- listing: records


def test_a_record_becomes_a_communication():
    """All that is used later is taken, as the expressions say; the rest, which may be personal, is not."""
    record = {
        "meta": {"id": 17},
        "created_at": "2026-11-20T09:30:00.250+02:00",
        "failed_at": "2026-11-20 08:00:00",
        "author": "Jö",
        "address": "jo@example.com",
    }
    clock = FakeClock()
    with serving(always(reply(200, {"results": [record]}))) as server:
        (found,) = listed(server.url, detailed(server.url, id="meta.id"), clock=clock)
    assert found == Communication(
        operation="send.email",
        primary_id="17",
        listed_at=clock(),
        created_by="Jö",
        created=times.parse_iso("2026-11-20T07:30:00.250Z"),
        since=times.parse_iso("2026-11-20T08:00:00Z"),
    )


@pytest.mark.parametrize(
    ("value", "primary_id"),
    [
        *[("a", "a"), (17, "17"), (0, "0"), (-5, "-5"), (10**18, "1" + "0" * 18), ("1\n2", "1\n2"), ("🙂", "🙂")],
        *[
            ("a#b", "a#b"),
            ("a/../b", "a/../b"),
            (" ", " "),
            ("\0", "\0"),
            ("x" * 512, "x" * 512),
            ("🙂" * 128, "🙂" * 128),
        ],
    ],
    ids=lambda value: repr(value)[:20],
)
def test_an_id_is_opaque(value, primary_id):
    """A text is taken as it is, a whole number as its digits."""
    with serving(always(page_of(value))) as server:
        assert listed(server.url)[0].primary_id == primary_id


@pytest.mark.parametrize("number", [10**30, 2**64, -(2**70)])
def test_an_id_may_be_a_number_of_any_size(number):
    """No digit is lost."""
    with serving(always(reply(200, b'{"results": [{"id": %d}]}' % number))) as server:
        assert listed(server.url)[0].primary_id == str(number)


@pytest.mark.parametrize(
    "record",
    [
        *[
            {"id": None},
            {"id": ""},
            {"id": True},
            {"id": False},
            {"id": 1.5},
            {"id": 1e3},
            {"id": ["a"]},
            {"id": {"a": 1}},
        ],
        *[{"id": "x" * 513}, {"id": "🙂" * 129}, {}, {"Id": "a"}, None, "a", 5, [], [{"id": "a"}]],
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_record_without_an_id_fails_the_list(record):
    """Leaving it out would lose a communication and say nothing."""
    with serving(always(reply(200, {"results": [{"id": "a"}, record]}))) as server:
        assert fails(server.url) == "id = 'id' finds neither a text of 1 to 512 bytes nor a whole number"


@pytest.mark.parametrize(
    ("author", "created_by"),
    [
        *[
            ("Jö", "Jö"),
            (17, "17"),
            (None, None),
            ("", None),
            (True, None),
            (1.5, None),
            (["Jo"], None),
            ({"a": 1}, None),
        ],
        ("x" * 300, "x" * 256),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_an_author_that_is_none_is_left_out(author, created_by):
    """The POST then carries whoever asked for the run; a text too long is cut."""
    with serving(always(reply(200, {"results": [{"id": "a", "author": author}]}))) as server:
        assert listed(server.url, detailed(server.url))[0].created_by == created_by


@pytest.mark.parametrize(
    ("created_at", "failed_at", "created", "since"),
    [
        ("2026-11-20T09:30:00Z", None, "2026-11-20T09:30:00Z", "2026-11-20T09:30:00Z"),
        ("2026-11-20T09:30:00Z", "2026-11-20T10:00:00Z", "2026-11-20T09:30:00Z", "2026-11-20T10:00:00Z"),
        (None, "2026-11-20T10:00:00Z", None, "2026-11-20T10:00:00Z"),
        ("2026-11-20T09:30:00", None, "2026-11-20T09:30:00Z", "2026-11-20T09:30:00Z"),
        ("2026-11-20T09:30:00-05:00", None, "2026-11-20T14:30:00Z", "2026-11-20T14:30:00Z"),
        ("0001-01-01T00:00:00Z", None, "0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("1970-01-01T00:00:00Z", None, "1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
        (None, None, None, None),
    ],
)
def test_an_age_counts_from_the_failure_else_from_the_creation(created_at, failed_at, created, since):
    """A null is no time, 1970 is one, and a time without a zone is UTC."""
    record = {"id": "a", "created_at": created_at, "failed_at": failed_at}
    with serving(always(reply(200, {"results": [record]}))) as server:
        (found,) = listed(server.url, detailed(server.url))
    assert (found.created, found.since) == (created and times.parse_iso(created), since and times.parse_iso(since))


@pytest.mark.parametrize("key", ["created_at", "failed_at"])
@pytest.mark.parametrize(
    "value",
    [
        *[
            "",
            "yesterday",
            "2026-02-30",
            "20261120",
            "1711111320101",
            1_711_111_320_101,
            1_763_631_000,
            0,
            1.5,
            True,
            [],
        ],
        *["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", {"date": "2026-11-20"}],
    ],
    ids=repr,
)
def test_a_time_that_is_none_fails_the_list(key, value):
    """Ignoring it would send what is stale; a number is refused because nobody knows its unit."""
    with serving(always(reply(200, {"results": [{"id": "a", key: value}]}))) as server:
        message = fails(server.url, detailed(server.url))
    assert message.endswith(f"= {key!r} finds no ISO 8601 time such as 2026-11-20T09:30:00Z")


@pytest.mark.parametrize(
    ("key", "expression"),
    [("items", "sort_by(results, &id)"), ("id", "length(id)"), ("created_by", "abs(id)"), ("failed_at", "unknown(id)")],
)
def test_an_expression_that_does_not_fit_fails_the_list(key, expression):
    """JMESPath's functions have opinions on types, which show only with real records."""
    answer = reply(200, {"results": [{"id": "a"}, {"id": 5}]})
    with serving(always(answer)) as server:
        message = fails(server.url, emails(server.url, **{key: expression}))
    assert message.startswith(f"{key} = {expression!r} does not fit the answer: ")


# -- listing: what is no list


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (reply(200, b"<html>Please log in</html>", Content_Type="text/html"), "{} did not answer with JSON"),
        (reply(200, b""), "{} did not answer with JSON"),
        (reply(200, b'{"results": ['), "{} did not answer with JSON"),
        (reply(200, b'{"results": [{"id": NaN}]}'), "{} did not answer with JSON"),
        (reply(200, b'{"results": [{"id": 1e999}]}'), "{} did not answer with JSON"),
        (reply(200, b'{"results": [{"id": %s}]}' % (b"9" * 5_000)), "{} did not answer with JSON"),
        (reply(200, b'{"results": [{"id": "\\ud800"}]}'), "{} did not answer with JSON"),
        (reply(200, b'{"results": [{"id": "M\xfcller"}]}'), "{} did not answer with JSON"),
        (reply(200, b"[" * 100_000 + b"]" * 100_000), "{} did not answer with JSON"),
        (reply(200, {"result": []}), "items = 'results' finds no list in the answer"),
        (reply(200, {"results": None}), "items = 'results' finds no list in the answer"),
        (reply(200, {"results": {"id": "a"}}), "items = 'results' finds no list in the answer"),
        (reply(200, None), "items = 'results' finds no list in the answer"),
        (reply(200, []), "items = 'results' finds no list in the answer"),
        (reply(200, {"error": "not logged in"}), "items = 'results' finds no list in the answer"),
        (reply(204), "{} answered 204, not 200"),
        (reply(206, {"results": []}), "{} answered 206, not 200"),
        (reply(302, Location="/login"), "{} answered 302, not 200"),
        (reply(401), "{} answered 401, not 200"),
        (reply(404), "{} answered 404, not 200"),
        (reply(429), "{} answered 429, not 200"),
        (reply(500), "{} answered 500, not 200"),
        (reply(200, b"x" * (http_exchange.MAX_BODY + 1)), "{}: the answer is larger than 10,000,000 bytes"),
        (
            reply(200, gzip.compress(bytes(50_000_000)), Content_Encoding="gzip"),
            "{}: the answer is larger than 10,000,000 bytes",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_no_list_fails_the_list(answer, message):
    """The message names the source, and what was wrong with which URL."""
    with serving(always(answer)) as server:
        assert fails(server.url) == message.format(f"{server.url}/emails/failed")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("converse", "message"),
    [
        pytest.param(cut_at_once, " cannot be read: connection_cut", id="cut before"),
        pytest.param(cut_after_request, " cannot be read: connection_cut", id="cut after"),
        pytest.param(silent, " cannot be read: no_answer_in_time", id="silent"),
        pytest.param(
            dripping(b"", b"HTTP/1.1 200 OK\r\n" + MINUTE), " cannot be read: no_answer_in_time", id="slow headers"
        ),
        pytest.param(
            dripping(reply(200, Content_Length="1200"), MINUTE), ": no complete answer in time", id="slow body"
        ),
        pytest.param(dripping(reply(200, b"[", Content_Length="5"), b""), ": the answer ended early: ", id="cut body"),
        pytest.param(
            dripping(
                reply(200, Transfer_Encoding="chunked").replace(b"Content-Length: 0\r\n", b"") + b"1\r\n[\r\n", b""
            ),
            ": the answer ended early: ",
            id="cut chunks",
        ),
    ],
)
def test_a_connection_that_fails_fails_the_list(converse, message):
    """In bounded time, with the source, the URL, and a code for what happened."""
    with serving(converse) as server:
        began = time.monotonic()
        told = fails(server.url, emails(server.url, timeout=SOON))
        assert time.monotonic() - began < AT_MOST
    assert told.startswith(f"{server.url}/emails/failed{message}")


def test_a_list_that_nobody_serves_fails():
    """The code says that nobody listened."""
    with nobody() as url:
        assert fails(url) == f"{url}/emails/failed cannot be read: connection_refused"


def test_a_list_from_somebody_whom_nobody_vouches_for_fails(tls):
    """Nothing is asked of a server with such a certificate."""
    with serving(always(page_of()), tls) as server:
        assert fails(server.url) == f"{server.url}/emails/failed cannot be read: tls_failed"
    assert server.requests == []


def test_a_compressed_list_is_read_however_it_arrives():
    """A first piece that unpacks to nothing yet does not end the page."""
    packed = gzip.compress(msgspec.json.encode({"results": [{"id": each} for each in IDS]}))

    def in_pieces(server, connection):
        with connection.makefile("rb") as stream:
            server.read(stream)
            connection.sendall(reply(200, Content_Encoding="gzip", Content_Length=str(len(packed))))
            for piece in (packed[:5], packed[5:15], packed[15:]):
                server.over.wait(0.02)
                connection.sendall(piece)

    with serving(in_pieces) as server:
        assert [it.primary_id for it in listed(server.url)] == IDS


def test_what_was_asked_for_is_not_in_the_message():
    """A query holds names, and messages are stored and mailed."""
    source = {"filters": {"createdBy": "author"}, "params": {"key": "k"}}
    with serving(always(reply(500))) as server:
        told = fails(server.url, emails(f"{server.url}", **source), selection=Selection(created_by="Jo Doe"))
    assert told == f"{server.url}/emails/failed answered 500, not 200"


@pytest.mark.parametrize("bad", [reply(500), reply(401), reply(200, b"<html>"), reply(200, {"results": None})])
def test_a_page_that_fails_in_the_middle_fails_the_list(bad):
    """The pages before it were given page by page; nobody can take them for the whole."""
    with serving(in_turn(page_of("a", next="?p=2"), bad)) as server:
        source = emails(server.url, next=Next(url="next"))
        pages = application(server.url, source=source).failed_pages(source, Selection())
        assert [it.primary_id for it in next(pages).communications] == ["a"]
        with pytest.raises(ListingFailed, match=r"^send.email: "):
            next(pages)
        assert list(pages) == []


def test_a_secret_that_is_rotated_in_the_middle_is_picked_up():
    """The page is asked for again, so nothing is missing."""
    old, new = "Bearer old", "Bearer new"

    def answer(request):
        wanted = old if "p" not in request.query else new
        return (
            page_of(f"id-{len(request.query)}", next=None if request.query else "?p=2")
            if request.headers["Authorization"] == wanted
            else reply(401)
        )

    with serving(answering(answer)) as server:
        found = listed(server.url, emails(server.url, next=Next(url="next")), secret=Secret("old", "new"))
    assert [it.primary_id for it in found] == ["id-0", "id-1"]


@pytest.mark.parametrize("values", [[None], ["old", None]])
def test_a_secret_that_cannot_be_read_fails_the_list(values):
    """Before the first page and after a 401 alike, with the secret's name."""
    with serving(always(reply(401))) as server:
        told = fails(server.url, secret=Secret(*values))
    assert told == "the secret 'app' cannot be read: AccessDeniedException"


# -- listing: next pages that lead nowhere


def test_a_next_page_that_never_changes_fails_the_list():
    """It would never end."""
    with serving(always(page_of("a", next="?p=2"))) as server:
        told = fails(server.url, emails(server.url, next=Next(url="next")))
    assert told == f"the list repeats the page {server.url}/emails/failed, so it would never end"
    assert len(server.requests) == 2


def test_next_pages_in_a_circle_fail_the_list():
    """However many there are."""
    with serving(
        answering(lambda request: page_of("a", next=f"?p={(int(request.query.get('p', 0)) + 1) % 5}"))
    ) as server:
        assert fails(server.url, emails(server.url, next=Next(url="next"))).startswith("the list repeats the page")
    assert len(server.requests) < 10


def test_an_application_that_does_not_know_the_page_parameter_fails_the_list():
    """It gives its first page for every number, which neither ends nor is all there is."""
    with serving(always(page_of("a", "b"))) as server:
        told = fails(server.url, emails(server.url, next=Next(page="seite")))
    assert told.startswith("the list repeats the page ")
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "following",
    [
        *["http://127.0.0.1:1/emails", "//evil.example/emails", "https://127.0.0.1/emails", "ftp://127.0.0.1/"],
        *["http://user@127.0.0.1/", "javascript:alert(1)", "file:///etc/passwd", "http://evil.example\\@127.0.0.1/"],
    ],
)
def test_a_next_page_elsewhere_is_not_asked_for(following):
    """The request would carry the secret to a host that the configuration does not name."""
    with serving(always(page_of("a", next=following))) as server:
        told = fails(server.url, emails(server.url, next=Next(url="next")), secret=Secret("s3cret"))
    assert told.startswith("the list's next page is on ")
    assert told.endswith(", which application.toml does not name")
    assert len(server.requests) == 1


def test_a_next_page_on_the_same_host_under_another_name_of_the_port_is_elsewhere():
    """Another port is another server."""
    with serving(always(page_of())) as other, serving(always(page_of("a", next=f"{other.url}/emails"))) as server:
        assert fails(server.url, emails(server.url, next=Next(url="next"))).startswith("the list's next page is on ")
    assert other.requests == []


def test_a_hosts_name_is_the_same_in_any_case():
    """Capitals in a name make no other host (RFC 9110, section 4.2.3)."""

    def answer(request):
        return page_of(request.path, next=None if request.query else f"{url}/x?p=2")

    with serving(answering(answer)) as server:
        url = server.url.replace("127.0.0.1", "localhost")
        shouted = url.replace("localhost", "LOCALHOST")
        assert len(listed(shouted, emails(shouted, next=Next(url="next")))) == 2


@pytest.mark.parametrize("following", [5, True, ["?p=2"], {"href": "?p=2"}, "http://[::1", "//["], ids=repr)
def test_a_next_page_that_is_no_url_fails_the_list(following):
    """It is a mistake in the expression, which would otherwise end the list early."""
    with serving(always(page_of("a", next=following))) as server:
        assert (
            fails(server.url, emails(server.url, next=Next(url="next"))) == "next.url finds something that is not a URL"
        )


@pytest.mark.parametrize("following", [None, ""])
def test_no_next_page_is_the_end(following):
    """Null, an empty text, or nothing at all."""
    with serving(always(page_of("a", next=following))) as server:
        assert len(listed(server.url, emails(server.url, next=Next(url="next")))) == 1
        assert len(listed(server.url, emails(server.url, next=Next(url="paging.next")))) == 1

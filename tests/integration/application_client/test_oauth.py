"""OAuth 2 client credentials with a real token endpoint."""

import base64
import json
from urllib.parse import parse_qsl

import pytest

from chalicelib.application.client import ApplicationClient
from chalicelib.application.config import Auth, Configuration, Reprocess, Source
from chalicelib.application.credentials import Credentials
from chalicelib.errors import ApplicationMisconfigured, ApplicationUnavailable, ListingFailed
from chalicelib.models.selections import Selection
from tests.fakes import FakeClock
from tests.servers import answering, cut_after_request, reply, serving

SECRET = json.dumps({"client_id": "us:er", "client_secret": "p w"})
PAYLOAD = {"primaryId": "1", "operation": "send.email", "createdBy": "Jo", "created": "2026-11-20T09:30:00.000Z"}


class TokenServer:
    """A token endpoint and an application in one: it issues numbered tokens, and accepts those not revoked."""

    def __init__(self):
        self.issued = 0
        self.revoked = set()
        self.answer = {"token_type": "Bearer", "expires_in": 3600}
        self.status = 200

    def __call__(self, request):
        if request.path == "/token":
            self.issued += 1
            return reply(self.status, {"access_token": f"token-{self.issued}"} | self.answer)
        number = request.headers["Authorization"].removeprefix("Bearer token-")
        if int(number) > self.issued or int(number) in self.revoked:
            return reply(401)
        return reply(202) if request.method == "POST" else reply(200, [{"id": 1}])


class OAuthClient:
    """A client of the application that uses that token endpoint."""

    def __init__(self, url, secret=SECRET, **auth):
        self.clock = FakeClock()
        source = Source(operation="send.email", list=f"{url}/emails", cool_down="1h")
        configuration = Configuration(
            sources=[source],
            reprocess=Reprocess(url=f"{url}/post", timeout=5),
            auth=Auth(type="oauth2", secret="app", token_url=f"{url}/token", **auth),
        )
        self.application = ApplicationClient(
            configuration, Credentials(configuration.auth, lambda _: secret, self.clock), self.clock
        )
        self.source = source

    def send(self):
        self.application.reprocess(PAYLOAD, "key-1", "run-1")

    def list(self):
        return list(self.application.failed_pages(self.source, Selection()))


@pytest.fixture
def token_server():
    return TokenServer()


def token_request(server):
    (request,) = [each for each in server.requests if each.path == "/token"]
    return request, dict(parse_qsl(request.body.decode()))


def test_client_id_and_secret_are_sent_as_basic_authentication(token_server):
    """Both are encoded before they are joined (RFC 6749, section 2.3.1). The scope is in the body."""
    with serving(answering(token_server)) as server:
        OAuthClient(server.url, scope="send read").send()
    request, form = token_request(server)
    assert base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")) == b"us%3Aer:p+w"
    assert form == {"grant_type": "client_credentials", "scope": "send read"}
    assert server.requests[-1].headers["Authorization"] == "Bearer token-1"


def test_client_id_and_secret_may_be_sent_in_the_body(token_server):
    """Some endpoints require that; `client_in` says so."""
    with serving(answering(token_server)) as server:
        OAuthClient(server.url, client_in="body").send()
    request, form = token_request(server)
    assert request.headers["Authorization"] is None
    assert form == {"grant_type": "client_credentials", "client_id": "us:er", "client_secret": "p w"}


def test_a_token_is_reused_until_30_seconds_before_it_expires(token_server):
    """Lists and POSTs share it."""
    with serving(answering(token_server)) as server:
        client = OAuthClient(server.url)
        client.list()
        client.send()
        client.clock.advance(3_570_000)
        client.send()
        assert token_server.issued == 1
        client.clock.advance(1)
        client.send()
    assert token_server.issued == 2


def test_a_token_without_a_lifetime_is_reused_for_four_and_a_half_minutes(token_server):
    """RFC 6749 makes `expires_in` optional."""
    token_server.answer = {}
    with serving(answering(token_server)) as server:
        client = OAuthClient(server.url)
        client.send()
        client.clock.advance(270_000)
        client.send()
        assert token_server.issued == 1
        client.clock.advance(1)
        client.send()
    assert token_server.issued == 2


def test_after_a_401_the_client_gets_a_new_token_and_repeats_the_request(token_server):
    """The token was revoked. Lists and POSTs do the same."""
    with serving(answering(token_server)) as server:
        client = OAuthClient(server.url)
        client.send()
        token_server.revoked = {1}
        client.send()
        token_server.revoked = {1, 2}
        assert len(client.list()) == 1
    assert token_server.issued == 3


def test_a_new_token_that_is_refused_too_is_a_misconfiguration(token_server):
    """There are two POSTs at most."""
    token_server.revoked = set(range(100))
    with serving(answering(token_server)) as server, pytest.raises(ApplicationMisconfigured, match="http_401"):
        OAuthClient(server.url).send()
    assert [request.path for request in server.requests] == ["/token", "/post", "/token", "/post"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 302])
def test_a_token_endpoint_that_refuses_the_client_is_a_misconfiguration(token_server, status):
    """No POST is sent. The message says what to check, and does not contain the secret."""
    token_server.status = status
    with serving(answering(token_server)) as server:
        with pytest.raises(ApplicationMisconfigured, match="secret_unreadable"):
            OAuthClient(server.url).send()
        with pytest.raises(ListingFailed) as caught:
            OAuthClient(server.url).list()
    assert str(caught.value) == (
        f"send.email: the token endpoint (auth.token_url) answered {status}: check auth.scope, auth.client_in and "
        "the secret 'app' (see auth.secret in application.toml)"
    )
    assert {request.path for request in server.requests} == {"/token"}


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_failing_token_endpoint_means_not_processed(token_server, status):
    """No POST is sent, so nothing is lost and no attempt counts."""
    token_server.status = status
    with serving(answering(token_server)) as server, pytest.raises(ApplicationUnavailable, match="token_unavailable"):
        OAuthClient(server.url).send()


def test_a_token_endpoint_that_cuts_the_connection_means_not_processed():
    """For a list, the message has the code."""
    with serving(cut_after_request) as server:
        with pytest.raises(ApplicationUnavailable, match="token_unavailable"):
            OAuthClient(server.url).send()
        with pytest.raises(ListingFailed, match=r"\(auth.token_url\) cannot be read: connection_cut"):
            OAuthClient(server.url).list()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"access_token": None}, "did not answer with a token"),
        ({"access_token": "a\nb"}, "is not one line of printable ASCII"),
        ({"expires_in": "soon"}, "did not answer with a token"),
        ({"token_type": "mac"}, "issued a token whose type is not bearer"),
    ],
)
def test_an_answer_without_a_valid_token_fails_the_list(token_server, answer, message):
    """The message says what is wrong with it."""
    token_server.answer = answer
    with serving(answering(token_server)) as server, pytest.raises(ListingFailed, match=message):
        OAuthClient(server.url).list()


@pytest.mark.parametrize("secret", ["s3cret", "[]", '{"client_id": "a"}', '{"client_id": "a", "client_secret": 5}'])
def test_a_secret_of_the_wrong_shape_is_reported_without_its_value(token_server, secret):
    """The message shows the shape that it must have."""
    with serving(answering(token_server)) as server, pytest.raises(ListingFailed) as caught:
        OAuthClient(server.url, secret=secret).list()
    assert 'is not JSON like {"client_id": "...", "client_secret": "..."}' in str(caught.value)
    assert "s3cret" not in str(caught.value)

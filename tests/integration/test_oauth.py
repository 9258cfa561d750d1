"""OAuth 2 client credentials against a real token endpoint, and secrets from Secrets Manager and SSM."""

import base64
import json
from urllib.parse import parse_qsl

import boto3
import pytest
from moto import mock_aws

from chalicelib.application import secret_reader
from chalicelib.application.client import ApplicationClient
from chalicelib.application.config import Auth, Configuration, Reprocess, Source
from chalicelib.application.credentials import Credentials
from chalicelib.errors import ApplicationMisconfigured, ApplicationUnavailable, ConfigurationError, ListingFailed
from chalicelib.models import Selection
from tests.fakes import FakeClock
from tests.servers import answering, cut_after_request, reply, serving

SECRET = json.dumps({"client_id": "us:er", "client_secret": "p w"})
PAYLOAD = {"primaryId": "1", "operation": "send.email", "createdBy": "Jo", "created": "2026-11-20T09:30:00.000Z"}


@pytest.fixture(autouse=True)
def _directly(monkeypatch):
    """No proxy of the machine's stands between a test and its server."""
    monkeypatch.setenv("NO_PROXY", "*")


class System:
    """A token endpoint and an application in one: it gives numbered tokens, and takes those that are good."""

    def __init__(self):
        self.given = 0
        self.revoked = set()
        self.answer = {"token_type": "Bearer", "expires_in": 3600}
        self.status = 200

    def __call__(self, request):
        if request.path == "/token":
            self.given += 1
            return reply(self.status, {"access_token": f"token-{self.given}"} | self.answer)
        number = request.headers["Authorization"].removeprefix("Bearer token-")
        if int(number) > self.given or int(number) in self.revoked:
            return reply(401)
        return reply(202) if request.method == "POST" else reply(200, [{"id": 1}])


class Client:
    """What we are to that system."""

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
def system():
    return System()


def token_request(server):
    (request,) = [each for each in server.requests if each.path == "/token"]
    return request, dict(parse_qsl(request.body.decode()))


def test_the_client_shows_itself_in_the_header(system):
    """Id and secret are encoded before they are joined (RFC 6749, section 2.3.1), and the scope is asked for."""
    with serving(answering(system)) as server:
        Client(server.url, scope="send read").send()
    request, form = token_request(server)
    assert base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")) == b"us%3Aer:p+w"
    assert form == {"grant_type": "client_credentials", "scope": "send read"}
    assert server.requests[-1].headers["Authorization"] == "Bearer token-1"


def test_the_client_may_show_itself_in_the_body(system):
    """Where the endpoint wants it so."""
    with serving(answering(system)) as server:
        Client(server.url, client_in="body").send()
    request, form = token_request(server)
    assert request.headers["Authorization"] is None
    assert form == {"grant_type": "client_credentials", "client_id": "us:er", "client_secret": "p w"}


def test_a_token_is_kept_until_shortly_before_it_ends(system):
    """Lists and POSTs share it; 30 seconds before its end there is a new one."""
    with serving(answering(system)) as server:
        client = Client(server.url)
        client.list()
        client.send()
        client.clock.advance(3_570_000)
        client.send()
        assert system.given == 1
        client.clock.advance(1)
        client.send()
    assert system.given == 2


def test_a_token_that_does_not_say_how_long_it_is_good_for_is_kept_for_minutes(system):
    """RFC 6749 leaves that open."""
    system.answer = {}
    with serving(answering(system)) as server:
        client = Client(server.url)
        client.send()
        client.clock.advance(270_000)
        client.send()
        assert system.given == 1
        client.clock.advance(1)
        client.send()
    assert system.given == 2


def test_a_token_that_was_revoked_is_renewed_with_the_first_401(system):
    """In a list and in a POST alike, once."""
    with serving(answering(system)) as server:
        client = Client(server.url)
        client.send()
        system.revoked = {1}
        client.send()
        system.revoked = {1, 2}
        assert len(client.list()) == 1
    assert system.given == 3


def test_new_tokens_that_are_refused_too_end_it(system):
    """Two POSTs at most, and it is our fault."""
    system.revoked = set(range(100))
    with serving(answering(system)) as server, pytest.raises(ApplicationMisconfigured, match="http_401"):
        Client(server.url).send()
    assert [request.path for request in server.requests] == ["/token", "/post", "/token", "/post"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 302])
def test_an_endpoint_that_refuses_us_halts(system, status):
    """A wrong secret or scope: no POST is tried, and the message names where to look, not the secret."""
    system.status = status
    with serving(answering(system)) as server:
        with pytest.raises(ApplicationMisconfigured, match="secret_unreadable"):
            Client(server.url).send()
        with pytest.raises(ListingFailed) as caught:
            Client(server.url).list()
    assert str(caught.value) == (
        f"send.email: the token endpoint (auth.token_url) answered {status}: check auth.scope, auth.client_in and "
        "the secret 'app' (see auth.secret in application.toml)"
    )
    assert {request.path for request in server.requests} == {"/token"}


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_an_endpoint_in_trouble_is_waited_for(system, status):
    """Nothing was sent, so nothing is lost and no attempt counted."""
    system.status = status
    with serving(answering(system)) as server, pytest.raises(ApplicationUnavailable, match="token_unavailable"):
        Client(server.url).send()


def test_an_endpoint_that_does_not_answer_is_waited_for():
    """The same."""
    with serving(cut_after_request) as server:
        with pytest.raises(ApplicationUnavailable, match="token_unavailable"):
            Client(server.url).send()
        with pytest.raises(ListingFailed, match=r"\(auth.token_url\) cannot be read: connection_cut"):
            Client(server.url).list()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"access_token": None}, "did not answer with a token"),
        ({"access_token": "a\nb"}, "is not one line of printable ASCII"),
        ({"expires_in": "soon"}, "did not answer with a token"),
        ({"token_type": "mac"}, "issues tokens of another type than bearer"),
    ],
)
def test_an_answer_that_is_no_token_is_told(system, answer, message):
    """It is a mistake in the configuration."""
    system.answer = answer
    with serving(answering(system)) as server, pytest.raises(ListingFailed, match=message):
        Client(server.url).list()


@pytest.mark.parametrize("secret", ["s3cret", "[]", '{"client_id": "a"}', '{"client_id": "a", "client_secret": 5}'])
def test_a_secret_of_another_shape_is_told_without_showing_it(system, secret):
    """What it has to look like is in the message."""
    with serving(answering(system)) as server, pytest.raises(ListingFailed) as caught:
        Client(server.url, secret=secret).list()
    assert 'is not JSON like {"client_id": "...", "client_secret": "..."}' in str(caught.value)
    assert "s3cret" not in str(caught.value)


# -- where secrets are


@pytest.fixture
def client():
    """Clients of AWS, with a secret and two parameters; moto in this process."""
    with mock_aws():
        clients = {name: boto3.client(name, region_name="eu-central-1") for name in ("ssm", "secretsmanager")}
        clients["secretsmanager"].create_secret(Name="app", SecretString="from the manager")
        clients["ssm"].put_parameter(Name="/app/secret", Type="SecureString", Value="from a parameter")
        clients["ssm"].put_parameter(Name="app", Type="String", Value="plain")
        yield clients.__getitem__


@pytest.mark.parametrize(
    ("name", "value"),
    [("app", "from the manager"), ("ssm:/app/secret", "from a parameter"), ("ssm:app", "plain")],
)
def test_a_secret_is_where_its_name_says(client, name, value):
    """Secrets Manager, or a parameter, which is decrypted."""
    assert secret_reader.read(name, client) == value


def test_a_secret_may_be_named_by_its_arn(client):
    """Both services take their own."""
    arn = client("secretsmanager").describe_secret(SecretId="app")["ARN"]
    assert secret_reader.read(arn, client) == "from the manager"
    arn = client("ssm").get_parameter(Name="/app/secret")["Parameter"]["ARN"]
    assert secret_reader.read(arn, client) == "from a parameter"


@pytest.mark.parametrize(("name", "why"), [("other", "ResourceNotFoundException"), ("ssm:other", "ParameterNotFound")])
def test_a_secret_that_is_not_there_is_named(client, name, why):
    """With what AWS says of it."""
    with pytest.raises(ConfigurationError, match=f"the secret '{name}' .* cannot be read: {why}"):
        secret_reader.read(name, client)

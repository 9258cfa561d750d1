"""How we show the application who we are."""

import base64

import pytest

from chalicelib.application.config import Auth
from chalicelib.application.credentials import CACHE_MS, Credentials
from chalicelib.errors import ConfigurationError
from tests.fakes import FakeClock


class Secrets:
    """A place for one secret that can be changed, lost, and that counts how often it is read."""

    def __init__(self, value):
        self.value = value
        self.reads = []

    def __call__(self, name):
        self.reads.append(name)
        if self.value is None:
            raise ConfigurationError(f"the secret {name!r} cannot be read: ResourceNotFoundException")
        return self.value


@pytest.fixture
def secrets():
    return Secrets("s3cret")


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def bearer(secrets, clock):
    return Credentials(Auth(type="bearer", secret="prod/app"), secrets, clock)


@pytest.mark.parametrize(
    ("auth", "value", "headers"),
    [
        (Auth(type="bearer", secret="n"), "s3cret", {"Authorization": "Bearer s3cret"}),
        (Auth(type="bearer", secret="n"), "  s3cret\r\n", {"Authorization": "Bearer s3cret"}),
        (Auth(type="header", secret="n"), "s3cret", {"X-Api-Key": "s3cret"}),
        (Auth(type="header", secret="n", header="X-Key"), "Token a b", {"X-Key": "Token a b"}),
        (Auth(type="none"), "s3cret", {}),
    ],
)
def test_each_type_has_its_header(auth, value, headers, clock):
    """Blanks and line ends around a secret, which editors add, are no part of it."""
    assert Credentials(auth, Secrets(value), clock).headers() == headers


def test_basic_is_encoded_as_utf_8(clock):
    """The secret of type basic is `user:password`, in any language (RFC 7617)."""
    header = Credentials(Auth(type="basic", secret="n"), Secrets("jö:pä:ss"), clock).headers()["Authorization"]
    scheme, _, value = header.partition(" ")
    assert (scheme, base64.b64decode(value).decode()) == ("Basic", "jö:pä:ss")


def test_nothing_is_read_before_it_is_needed(secrets, bearer):
    """Building the credentials asks nobody for a secret."""
    assert secrets.reads == []
    bearer.headers()
    assert secrets.reads == ["prod/app"]


def test_a_secret_is_kept_for_minutes(secrets, bearer, clock):
    """Secrets Manager is asked once in five minutes, not for every POST; afterwards a rotated secret is picked up."""
    bearer.headers()
    secrets.value = "rotated"
    clock.advance(CACHE_MS)
    assert bearer.headers() == {"Authorization": "Bearer s3cret"}
    clock.advance(1)
    assert bearer.headers() == {"Authorization": "Bearer rotated"}
    assert len(secrets.reads) == 2


def test_refreshing_says_whether_another_try_makes_sense(secrets, bearer):
    """After a 401 only a secret that has changed is worth a second request."""
    bearer.headers()
    assert not bearer.refresh()
    secrets.value = "rotated"
    assert bearer.refresh()
    assert bearer.headers() == {"Authorization": "Bearer rotated"}


def test_without_credentials_there_is_nothing_to_refresh(secrets, clock):
    """Type none never asks for a secret."""
    assert not Credentials(Auth(type="none"), secrets, clock).refresh()
    assert secrets.reads == []


@pytest.mark.parametrize("method", ["headers", "refresh"])
def test_a_secret_that_cannot_be_read_is_told(secrets, bearer, method):
    """The error of whoever reads secrets, which names the secret, comes through."""
    secrets.value = None
    with pytest.raises(ConfigurationError, match="the secret 'prod/app' cannot be read: ResourceNotFoundException"):
        getattr(bearer, method)()


def test_a_secret_that_came_back_is_used(secrets, bearer):
    """A failed read leaves nothing behind that would last."""
    secrets.value = None
    with pytest.raises(ConfigurationError):
        bearer.headers()
    secrets.value = "back"
    assert bearer.headers() == {"Authorization": "Bearer back"}


def test_a_type_without_a_secret_is_told(clock):
    """Even where the file was not checked."""
    with pytest.raises(ConfigurationError, match=r"application.toml: auth.secret is missing"):
        Credentials(Auth(type="bearer"), Secrets("x"), clock).headers()


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *[("bearer", ""), ("bearer", " \n"), ("bearer", "a\nb"), ("bearer", "a\r\nX-Evil: 1"), ("bearer", "sécret")],
        *[("header", ""), ("header", "a\0b"), ("header", "🙂"), ("basic", ""), ("basic", "password-only")],
    ],
)
def test_a_secret_that_no_header_can_carry_is_refused_without_showing_it(kind, value, clock):
    """The message names the secret and the rule; the value appears nowhere."""
    with pytest.raises(ConfigurationError) as caught:
        Credentials(Auth(type=kind, secret="prod/app"), Secrets(value), clock).headers()
    assert str(caught.value).startswith("the secret 'prod/app' (auth.secret) ")
    assert not value.strip() or value not in str(caught.value)


def test_the_secret_shows_in_no_text_of_the_credentials(bearer):
    """What a log line or a traceback may print does not hold it."""
    bearer.headers()
    assert "s3cret" not in repr(bearer) + str(bearer)

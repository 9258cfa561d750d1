"""The credentials for the application: their headers, the cached secret, and the errors about it."""

import base64

import pytest

from chalicelib.application.config import Auth
from chalicelib.application.credentials import CACHE_MS, Credentials
from chalicelib.errors import ConfigurationError, SecretUnavailable


class FakeSecrets:
    """A reader of one secret, which fails while `value` is None. `reads` holds the names that were read.

    While it is `throttled`, AWS refuses every read.
    """

    def __init__(self, value):
        self.value = value
        self.reads = []
        self.throttled = False

    def __call__(self, name):
        self.reads.append(name)
        if self.throttled:
            raise SecretUnavailable(f"the secret {name!r} cannot be read now: ThrottlingException")
        if self.value is None:
            raise ConfigurationError(f"the secret {name!r} cannot be read: ResourceNotFoundException")
        return self.value


@pytest.fixture
def secrets():
    """A reader of the secret `s3cret`."""
    return FakeSecrets("s3cret")


@pytest.fixture
def bearer(secrets, clock):
    """Credentials of the type bearer."""
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
def test_each_type_of_auth_has_its_header(auth, value, headers, clock):
    """Blanks and line breaks around a secret, which editors add, are removed."""
    assert Credentials(auth, FakeSecrets(value), clock).headers() == headers


def test_basic_credentials_are_encoded_as_utf_8(clock):
    """The secret is `user:password`, in any language (RFC 7617)."""
    header = Credentials(Auth(type="basic", secret="n"), FakeSecrets("jö:pä:ss"), clock).headers()["Authorization"]
    scheme, _, value = header.partition(" ")
    assert (scheme, base64.b64decode(value).decode()) == ("Basic", "jö:pä:ss")


def test_the_secret_is_not_read_before_it_is_needed(secrets, bearer):
    """Creating Credentials must not call AWS."""
    assert secrets.reads == []
    bearer.headers()
    assert secrets.reads == ["prod/app"]


def test_the_secret_is_cached_for_five_minutes(secrets, bearer, clock):
    """Secrets Manager is not asked for every POST; after that time, a rotated secret is picked up."""
    bearer.headers()
    secrets.value = "rotated"
    clock.advance(CACHE_MS)
    assert bearer.headers() == {"Authorization": "Bearer s3cret"}
    clock.advance(1)
    assert bearer.headers() == {"Authorization": "Bearer rotated"}
    assert len(secrets.reads) == 2


def test_refresh_returns_whether_the_secret_has_changed(secrets, bearer):
    """After a 401, only a changed secret is worth a second request."""
    bearer.headers()
    assert not bearer.refresh()
    secrets.value = "rotated"
    assert bearer.refresh()
    assert bearer.headers() == {"Authorization": "Bearer rotated"}


def test_auth_of_type_none_never_reads_a_secret(secrets, clock):
    """There is nothing to refresh, so a 401 is final."""
    assert not Credentials(Auth(type="none"), secrets, clock).refresh()
    assert secrets.reads == []


@pytest.mark.parametrize("method", ["headers", "refresh"])
def test_a_secret_that_cannot_be_read_is_a_configuration_error(secrets, bearer, method):
    """The error of the reader, which names the secret, is passed on."""
    secrets.value = None
    with pytest.raises(ConfigurationError, match="the secret 'prod/app' cannot be read: ResourceNotFoundException"):
        getattr(bearer, method)()


def test_a_failed_read_of_the_secret_is_not_cached(secrets, bearer):
    """The next request works as soon as the secret can be read again."""
    secrets.value = None
    with pytest.raises(ConfigurationError):
        bearer.headers()
    secrets.value = "back"
    assert bearer.headers() == {"Authorization": "Bearer back"}


def test_the_old_secret_is_used_while_aws_cannot_give_a_new_one(secrets, bearer, clock):
    """It is still right, unless it was rotated just now; then the application answers 401."""
    bearer.headers()
    secrets.value, secrets.throttled = "rotated", True
    clock.advance(CACHE_MS + 1)
    assert bearer.headers() == {"Authorization": "Bearer s3cret"}
    secrets.throttled = False
    clock.advance(CACHE_MS + 1)
    assert bearer.headers() == {"Authorization": "Bearer rotated"}


def test_a_token_is_fetched_with_the_old_secret_while_aws_cannot_give_a_new_one(secrets, clock):
    """An expired token would be refused; the secret that it was fetched with has not expired."""
    tokens = iter(["one", "two"])
    auth = Auth(type="oauth2", secret="n", token_url="https://a.example/token")
    credentials = Credentials(auth, secrets, clock, lambda _auth, secret: (f"{secret}-{next(tokens)}", 1_000))
    assert credentials.headers() == {"Authorization": "Bearer s3cret-one"}
    secrets.throttled = True
    clock.advance(1_001)
    assert credentials.headers() == {"Authorization": "Bearer s3cret-two"}


def test_a_secret_that_was_never_read_and_one_that_was_refused_are_unavailable(secrets, bearer):
    """There is no value to use, or only one that the application refuses: nobody knows whether it was rotated."""
    secrets.throttled = True
    with pytest.raises(SecretUnavailable):
        bearer.headers()
    secrets.throttled = False
    bearer.headers()
    secrets.throttled = True
    with pytest.raises(SecretUnavailable):
        bearer.refresh()


def test_auth_without_the_name_of_a_secret_is_a_configuration_error(clock):
    """Credentials check this again, in case nobody has checked the file."""
    with pytest.raises(ConfigurationError, match=r"application.toml: auth.secret is missing"):
        Credentials(Auth(type="bearer"), FakeSecrets("x"), clock).headers()


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *[("bearer", ""), ("bearer", " \n"), ("bearer", "a\nb"), ("bearer", "a\r\nX-Evil: 1"), ("bearer", "sécret")],
        *[("header", ""), ("header", "a\0b"), ("header", "🙂"), ("basic", ""), ("basic", "password-only")],
    ],
)
def test_a_secret_that_no_header_can_hold_is_refused_without_showing_it(kind, value, clock):
    """The message names the secret and the rule."""
    with pytest.raises(ConfigurationError) as caught:
        Credentials(Auth(type=kind, secret="prod/app"), FakeSecrets(value), clock).headers()
    assert str(caught.value).startswith("the secret 'prod/app' (auth.secret) ")
    assert not value.strip() or value not in str(caught.value)


def test_repr_and_str_of_the_credentials_do_not_contain_the_secret(bearer):
    """They may end up in a log line or a traceback."""
    bearer.headers()
    assert "s3cret" not in repr(bearer) + str(bearer)

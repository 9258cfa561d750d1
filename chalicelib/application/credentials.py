"""The credentials for the application: the secret is read when first needed, cached for minutes, and never logged."""

import re
from collections.abc import Callable

from chalicelib import times
from chalicelib.application import http_exchange, oauth
from chalicelib.application.config import Auth
from chalicelib.errors import ConfigurationError, SecretUnavailable

# A rotated secret is picked up after this many milliseconds at the latest, and immediately after a 401.
CACHE_MS = 300_000

ReadSecret = Callable[[str], str]
# Returns a token, and for how many milliseconds it may be cached (see chalicelib.application.oauth).
FetchToken = Callable[[Auth, str], tuple[str, int]]


class Credentials:
    """The headers for `auth`. `read_secret` returns a secret's value by name or ARN.

    ConfigurationError if it cannot be read, SecretUnavailable if it cannot be read now. With type `oauth2`, the token
    that the secret was exchanged for is cached; TokenUnavailable if there is none.
    """

    def __init__(
        self, auth: Auth, read_secret: ReadSecret, clock: times.Clock, fetch_token: FetchToken = oauth.fetch
    ) -> None:
        self._auth = auth
        self._read_secret = read_secret
        self._clock = clock
        self._fetch_token = fetch_token
        self._cache_ms = CACHE_MS
        self._secret: str | None = None
        self._value: str | None = None
        self._read_at = 0

    def headers(self) -> dict[str, str]:
        """Return the headers that every request to the application needs.

        While AWS cannot give the secret, the last one is used for as long again as it may be cached.
        """
        if self._auth.type == "none":
            return {}
        if self._value is None or self._clock() - self._read_at > self._cache_ms:
            self._renew(self._read_or_keep())
        return _headers(self._auth, self._value or "")

    def refresh(self) -> bool:
        """Read the secret (and fetch a token) again; return whether it has changed, so that a retry makes sense.

        SecretUnavailable if AWS cannot give it now: the last one was refused, and a new one may exist.
        """
        if self._auth.type == "none":
            return False
        before = self._value
        self._renew(self._read())
        return self._value != before

    def _read_or_keep(self) -> str:
        try:
            return self._read()
        except SecretUnavailable:
            if self._secret is None:
                raise
            return self._secret

    def _read(self) -> str:
        if self._auth.secret is None:
            raise ConfigurationError("application.toml: auth.secret is missing")
        return self._read_secret(self._auth.secret).strip()

    def _renew(self, secret: str) -> None:
        value = secret
        if self._auth.type == "oauth2":
            value, self._cache_ms = self._fetch_token(self._auth, secret)
        _check(self._auth, value)
        self._secret, self._value, self._read_at = secret, value, self._clock()


def _check(auth: Auth, value: str) -> None:
    """Refuse a value that no header can hold, without showing it."""
    if auth.type == "basic" and ":" not in value:
        raise ConfigurationError(f"the secret {auth.secret!r} (auth.secret) is not user:password, as basic needs")
    if auth.type != "basic" and not re.fullmatch(r"[ -~]+", value):
        raise ConfigurationError(
            f"the secret {auth.secret!r} (auth.secret) is empty, or is not one line of printable ASCII"
        )


def _headers(auth: Auth, value: str) -> dict[str, str]:
    if auth.type in ("bearer", "oauth2"):
        return {"Authorization": f"Bearer {value}"}
    if auth.type == "basic":
        return {"Authorization": http_exchange.basic_auth(value)}
    return {auth.header: value}

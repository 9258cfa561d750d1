"""How we show the application who we are: the secret is read late, kept for minutes, and never logged."""

import re
from collections.abc import Callable

from chalicelib import http, oauth, times
from chalicelib.description import Auth
from chalicelib.errors import ConfigurationError

# A rotated secret is picked up after this time at the latest, and at once after a 401.
KEEP_MS = 300_000

ReadSecret = Callable[[str], str]
# Returns a token and for how many milliseconds it may be kept (see chalicelib.oauth).
FetchToken = Callable[[Auth, str], tuple[str, int]]


class Credentials:
    """The headers for `auth`; `read_secret` returns a secret's value by name or ARN, or raises ConfigurationError.

    With type `oauth2`, what is kept is the token that the secret was exchanged for; TokenUnavailable if there is none.
    """

    def __init__(
        self, auth: Auth, read_secret: ReadSecret, clock: times.Clock, fetch_token: FetchToken = oauth.fetch
    ) -> None:
        self._auth = auth
        self._read_secret = read_secret
        self._clock = clock
        self._fetch_token = fetch_token
        self._keep = KEEP_MS
        self._value: str | None = None
        self._read_at = 0

    def headers(self) -> dict[str, str]:
        """Return the headers that every request to the application carries."""
        if self._auth.type == "none":
            return {}
        if self._value is None or self._clock() - self._read_at > self._keep:
            self._read()
        return _headers(self._auth, self._value or "")

    def renew(self) -> bool:
        """Read the secret, and fetch a token, again; return whether it has changed, so that another try may succeed."""
        if self._auth.type == "none":
            return False
        before = self._value
        self._read()
        return self._value != before

    def _read(self) -> None:
        if self._auth.secret is None:
            raise ConfigurationError("application.toml: auth.secret is missing")
        value = self._read_secret(self._auth.secret).strip()
        if self._auth.type == "oauth2":
            value, self._keep = self._fetch_token(self._auth, value)
        _check(self._auth, value)
        self._value, self._read_at = value, self._clock()


def _check(auth: Auth, value: str) -> None:
    """Refuse what no header can carry, without showing it."""
    if auth.type == "basic" and ":" not in value:
        raise ConfigurationError(f"the secret {auth.secret!r} (auth.secret) holds no user:password, as basic needs")
    if auth.type != "basic" and not re.fullmatch(r"[ -~]+", value):
        raise ConfigurationError(
            f"the secret {auth.secret!r} (auth.secret) is empty, or holds more than printable ASCII on one line"
        )


def _headers(auth: Auth, value: str) -> dict[str, str]:
    if auth.type in ("bearer", "oauth2"):
        return {"Authorization": f"Bearer {value}"}
    if auth.type == "basic":
        return {"Authorization": http.basic(value)}
    return {auth.header: value}

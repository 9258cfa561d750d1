"""How we show the application who we are: the secret is read late, kept for minutes, and never logged."""

import base64
import re
from collections.abc import Callable

from chalicelib import times
from chalicelib.configuration import Auth
from chalicelib.errors import ConfigurationError

# A rotated secret is picked up after this time at the latest, and at once after a 401.
KEEP_MS = 300_000

ReadSecret = Callable[[str], str]


class Credentials:
    """The headers for `auth`; `read_secret` returns a secret's value by name or ARN, or raises ConfigurationError."""

    def __init__(self, auth: Auth, read_secret: ReadSecret, clock: times.Clock) -> None:
        self._auth = auth
        self._read_secret = read_secret
        self._clock = clock
        self._value: str | None = None
        self._read_at = 0

    def headers(self) -> dict[str, str]:
        """Return the headers that every request to the application carries."""
        if self._auth.type == "none":
            return {}
        if self._value is None or self._clock() - self._read_at > KEEP_MS:
            self._read()
        return _headers(self._auth, self._value or "")

    def renew(self) -> bool:
        """Read the secret again; return whether it has changed, so that another try may succeed."""
        if self._auth.type == "none":
            return False
        before = self._value
        self._read()
        return self._value != before

    def _read(self) -> None:
        if self._auth.secret is None:
            raise ConfigurationError("application.toml: auth.secret is missing")
        value = self._read_secret(self._auth.secret).strip()
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
    if auth.type == "bearer":
        return {"Authorization": f"Bearer {value}"}
    if auth.type == "basic":
        return {"Authorization": "Basic " + base64.b64encode(value.encode()).decode()}
    return {auth.header: value}

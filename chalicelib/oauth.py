"""OAuth 2 client credentials (RFC 6749, section 4.4): a token for a client's id and secret."""

from http import HTTPStatus
from urllib.parse import quote_plus

import msgspec
import requests

from chalicelib import http
from chalicelib.description import Auth
from chalicelib.errors import ConfigurationError, TokenUnavailable

# With two of them, two POSTs and two writes to the ledger fit into the Lambda's 30 s (see chalicelib.checks).
TIMEOUT = 4

# A token that does not say how long it is good for (RFC 6749, section 5.1: it should).
_OTHERWISE = 300
# A token is renewed before it ends: it has to last for the request that carries it.
_EARLIER = 30

_UNAVAILABLE = (408, 425, 429)


class _Client(msgspec.Struct, frozen=True):
    client_id: str
    client_secret: str


class _Token(msgspec.Struct, frozen=True):
    access_token: str
    token_type: str = "bearer"  # noqa: S105 (no secret)
    expires_in: int | float | str | None = None


def fetch(auth: Auth, secret: str) -> tuple[str, int]:
    """Return a token and for how many milliseconds it may be kept, given the secret's JSON.

    ConfigurationError if the endpoint refuses us, TokenUnavailable if it cannot be reached or is in trouble.
    """
    try:
        client = msgspec.json.decode(secret, type=_Client)
    except (ValueError, RecursionError):
        raise ConfigurationError(
            f'the secret {auth.secret!r} (auth.secret) is not JSON like {{"client_id": "...", "client_secret": "..."}}'
        ) from None
    answer = _answer(auth, client)
    if answer.status in _UNAVAILABLE or answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR or answer.error:
        raise TokenUnavailable(f"the token endpoint (auth.token_url) answered {answer.status}, or not whole")
    if answer.status != HTTPStatus.OK:
        raise ConfigurationError(
            f"the token endpoint (auth.token_url) answered {answer.status}: "
            f"check auth.scope, auth.client_in and the secret {auth.secret!r}"
        )
    return _token(answer.body)


def _answer(auth: Auth, client: _Client) -> http.Answer:
    form = {"grant_type": "client_credentials"} | ({"scope": auth.scope} if auth.scope else {})
    headers = {"Accept": "application/json"}
    if auth.client_in == "body":
        form |= {"client_id": client.client_id, "client_secret": client.client_secret}
    else:
        # Encoded before they are joined: RFC 6749, section 2.3.1.
        headers["Authorization"] = http.basic(f"{quote_plus(client.client_id)}:{quote_plus(client.client_secret)}")
    try:
        with requests.Session() as session:
            return http.exchange(session, "POST", auth.token_url or "", data=form, headers=headers, timeout=TIMEOUT)
    except (requests.RequestException, http.Deadline) as error:
        raise TokenUnavailable(f"the token endpoint (auth.token_url) cannot be read: {http.cause(error)}") from None


def _token(body: bytes) -> tuple[str, int]:
    try:
        token = msgspec.json.decode(body, type=_Token)
        seconds = _OTHERWISE if token.expires_in is None else int(token.expires_in)
    except (ValueError, RecursionError, OverflowError):
        raise ConfigurationError("the token endpoint (auth.token_url) did not answer with a token") from None
    if token.token_type.lower() != "bearer":
        raise ConfigurationError("the token endpoint (auth.token_url) gives tokens of another type than bearer")
    return token.access_token, max(seconds - _EARLIER, 0) * 1000

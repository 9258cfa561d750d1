"""OAuth 2 client credentials (RFC 6749, section 4.4): exchanges a client's id and secret for a token."""

from http import HTTPStatus
from urllib.parse import quote_plus

import msgspec
import requests

from chalicelib.application import http_exchange
from chalicelib.application.config import Auth
from chalicelib.errors import ConfigurationError, TokenUnavailable

# In seconds. Two token requests, two POSTs and two writes to the ledger fit into the Lambda's 30 s (see
# chalicelib.application.config_rules).
TIMEOUT = 4

# In seconds: how long a token is valid if the answer does not say (RFC 6749, section 5.1: it should).
_DEFAULT_LIFETIME = 300
# In seconds: a token is replaced this long before it expires, because it has to last for the request that carries it.
_MARGIN = 30

_UNAVAILABLE = (408, 425, 429)


class _Client(msgspec.Struct, frozen=True):
    client_id: str
    client_secret: str


class _Token(msgspec.Struct, frozen=True):
    access_token: str
    token_type: str = "bearer"  # noqa: S105 (not a secret)
    expires_in: int | float | str | None = None


def fetch(auth: Auth, secret: str) -> tuple[str, int]:
    """Return a token and for how many milliseconds it may be cached, given the secret's JSON.

    ConfigurationError if the endpoint refuses us, TokenUnavailable if it cannot be reached or fails.
    """
    try:
        client = msgspec.json.decode(secret, type=_Client)
    except (ValueError, RecursionError):
        raise ConfigurationError(
            f'the secret {auth.secret!r} (auth.secret) is not JSON like {{"client_id": "...", "client_secret": "..."}}'
        ) from None
    response = _request(auth, client)
    status = response.status
    if status in _UNAVAILABLE or status >= HTTPStatus.INTERNAL_SERVER_ERROR or response.error:
        raise TokenUnavailable(f"the token endpoint (auth.token_url) answered {status}, or its answer was incomplete")
    if status != HTTPStatus.OK:
        raise ConfigurationError(
            f"the token endpoint (auth.token_url) answered {status}: "
            f"check auth.scope, auth.client_in and the secret {auth.secret!r}"
        )
    return _token(response.body)


def _request(auth: Auth, client: _Client) -> http_exchange.HttpResponse:
    form = {"grant_type": "client_credentials"} | ({"scope": auth.scope} if auth.scope else {})
    headers = {"Accept": "application/json"}
    if auth.client_in == "body":
        form |= {"client_id": client.client_id, "client_secret": client.client_secret}
    else:
        # Each is encoded before they are joined (RFC 6749, section 2.3.1).
        user_and_password = f"{quote_plus(client.client_id)}:{quote_plus(client.client_secret)}"
        headers["Authorization"] = http_exchange.basic_auth(user_and_password)
    try:
        with requests.Session() as session:
            return http_exchange.exchange(
                session, "POST", auth.token_url or "", data=form, headers=headers, timeout=TIMEOUT
            )
    except (requests.RequestException, http_exchange.DeadlineExceeded) as error:
        code = http_exchange.failure_code(error)
        raise TokenUnavailable(f"the token endpoint (auth.token_url) cannot be read: {code}") from None


def _token(body: bytes) -> tuple[str, int]:
    try:
        token = msgspec.json.decode(body, type=_Token)
        seconds = _DEFAULT_LIFETIME if token.expires_in is None else int(token.expires_in)
    except (ValueError, RecursionError, OverflowError):
        raise ConfigurationError("the token endpoint (auth.token_url) did not answer with a token") from None
    if token.token_type.lower() != "bearer":
        raise ConfigurationError("the token endpoint (auth.token_url) issued a token whose type is not bearer")
    return token.access_token, max(seconds - _MARGIN, 0) * 1000

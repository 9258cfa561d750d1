"""Who may call what."""

import re
from typing import Any

from chalice.app import AuthRequest, AuthResponse, AuthRoute, ForbiddenError, UnauthorizedError

from chalicelib import doors, times
from chalicelib.ledger.tokens import ROLES, Role, Token, Tokens

# What each role adds to those before it. API Gateway keeps the policy for minutes and uses it for the caller's next
# calls too, so it names all routes of the role, not only the one that was called.
ROUTES: dict[Role, list[tuple[str, str]]] = {
    role: [(door.method, re.sub(r"{\w+}", "*", door.path)) for door in doors.ALL if door.role == role] for role in ROLES
}


def authorize(request: AuthRequest, tokens: Tokens) -> AuthResponse:
    """Return what the bearer of the request's token may call; API Gateway answers 401 if it is nobody's."""
    token = bearer(request.token, tokens)
    if token is None:
        # The word is API Gateway's: it makes a 401 of this very message (Developer Guide, Lambda authorizer output).
        raise Exception("Unauthorized")  # noqa: TRY002
    context = {"role": token.role, "validUntil": str(token.valid_until)}
    return AuthResponse(routes=_routes(token), principal_id=token.name, context=context)


def bearer(header: str, tokens: Tokens) -> Token | None:
    """Return whom the token in an `Authorization` header stands for now, None if for nobody (any more)."""
    scheme, _, secret = header.partition(" ")
    return tokens.find(secret.strip()) if scheme.lower() == "bearer" and secret.isascii() else None


def check(role: Role, request_context: dict[str, Any], header: str, tokens: Tokens) -> str:
    """Return the caller's name if it has the role and its token stands for it still: the cached policy may be older."""
    caller = require(role, request_context)
    if bearer(header, tokens) is None:
        raise UnauthorizedError("the token has been revoked, or has expired; ask for a new one")
    return caller


def _routes(token: Token) -> list[str | AuthRoute]:
    allowed = [route for role in ROLES if token.may(role) for route in ROUTES[role]]
    return [AuthRoute(path, [method]) for method, path in allowed]


def require(role: Role, request_context: dict[str, Any]) -> str:
    """Return the caller's name if it has the role and its token is still valid: a cached policy may be older."""
    caller = request_context.get("authorizer") or {}
    token = Token(
        name=str(caller.get("principalId", "")),
        role=caller.get("role", "viewer"),
        valid_until=int(caller.get("validUntil", 0)),
    )
    if token.valid_until <= times.now():
        raise UnauthorizedError("the token has expired; ask for a new one")
    if not token.may(role):
        raise ForbiddenError(f"this needs the role {role}; the token has {token.role}")
    return token.name

"""Who may call which route."""

import re
from typing import Any

from chalice.app import AuthRequest, AuthResponse, AuthRoute, ForbiddenError, UnauthorizedError

from chalicelib.api import routes
from chalicelib.ledger.tokens import ROLES, Role, Token, Tokens

# What each role adds to the ones before it. API Gateway caches the policy for minutes and applies it to the caller's
# next calls too, so it names all routes of the role and not only the one that was called.
ROUTES: dict[Role, list[tuple[str, str]]] = {
    role: [(route.method, re.sub(r"{\w+}", "*", route.path)) for route in routes.ALL if route.role == role]
    for role in ROLES
}


def authorize(request: AuthRequest, tokens: Tokens) -> AuthResponse:
    """Return what the bearer of a token may call. API Gateway answers 401 if the token is not valid."""
    token = find_token(request.token, tokens)
    if token is None:
        # API Gateway turns exactly this message into a 401 (Developer Guide, "Output from an API Gateway Lambda
        # authorizer").
        raise Exception("Unauthorized")  # noqa: TRY002
    return AuthResponse(routes=_allowed_routes(token), principal_id=token.name, context={"role": token.role})


def find_token(header: str, tokens: Tokens) -> Token | None:
    """Return the valid token in an `Authorization` header, None if there is none."""
    scheme, _, secret = header.partition(" ")
    return tokens.find(secret.strip()) if scheme.lower() == "bearer" and secret.isascii() else None


def check_caller(role: Role, request_context: dict[str, Any], header: str, tokens: Tokens) -> Token:
    """Return the caller's token if it is still valid, is the one of API Gateway's policy, and has the role.

    API Gateway caches policies for minutes. So name and role are those of the token itself; a policy of another token
    may belong to a revoked one.
    """
    token = find_token(header, tokens)
    if token is None:
        raise UnauthorizedError("the token has been revoked or has expired; ask for a new one")
    policy = request_context.get("authorizer") or {}
    if (policy.get("principalId"), policy.get("role")) != (token.name, token.role):
        raise UnauthorizedError("this is not the token that API Gateway checked; send one Authorization header only")
    if not token.may(role):
        raise ForbiddenError(f"this needs the role {role}; the token has the role {token.role}")
    return token


def _allowed_routes(token: Token) -> list[str | AuthRoute]:
    allowed = [route for role in ROLES if token.may(role) for route in ROUTES[role]]
    return [AuthRoute(path, [method]) for method, path in allowed]

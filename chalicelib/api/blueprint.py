"""The Chalice blueprint: how a call reaches its handler, how its answer leaves, and which status an error becomes."""

import functools
from collections.abc import Callable
from typing import Any, cast

import msgspec
from chalice.app import (
    AuthRequest,
    AuthResponse,
    BadRequestError,
    Blueprint,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    Response,
)

from chalicelib import wiring
from chalicelib.api import audit, auth
from chalicelib.api.parsing import parse_body, parse_query
from chalicelib.api.routes import Route
from chalicelib.errors import Conflict, Forbidden, InvalidRequest, NotFound
from chalicelib.ledger.tokens import ROLES

# The authorizer's Lambda calls `<this name>.authorizer`, and Chalice never updates that of a deployed function. So it
# is the module that never moves, and app.py imports the authorizer.
blueprint = Blueprint("app")

# Answers have data in them, errors too, so nobody may keep them; and a browser must take them for nothing but what they
# are. The page and its script have a Cache-Control of their own.
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

_STATUS_ERRORS: dict[type[Exception], type[Exception]] = {
    InvalidRequest: BadRequestError,
    Forbidden: ForbiddenError,
    NotFound: NotFoundError,
    Conflict: ConflictError,
}


@blueprint.middleware("http")
def add_headers(event: Any, get_response: Callable[[Any], Response]) -> Response:
    """Add the headers that all answers have, also the errors that Chalice makes. This is a Chalice middleware."""
    response = get_response(event)
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    return response


@blueprint.authorizer(name="authorizer")
def authorizer(request: AuthRequest) -> AuthResponse:
    """Return which routes the bearer of a token may call."""
    # Chalice gives an authorizer no context, but the method's ARN names the same location.
    return auth.authorize(request, wiring.of(request.method_arn).ledger.tokens)


class Call:
    """One call of a route: the request, the name and the `role` of its `caller`, and the deployment's dependencies."""

    def __init__(self, route: Route) -> None:
        self._route = route
        self.request = blueprint.current_request
        self.deps = wiring.of(blueprint.lambda_context.invoked_function_arn)
        self.caller, self.role = "", ROLES[0]
        if route.role:
            header = self.request.headers.get("authorization", "")
            token = auth.check_caller(route.role, self.request.context, header, self.deps.ledger.tokens)
            self.caller, self.role = token.name, token.role
        self.query: Any = parse_query(self.request.query_params or {}, route.query) if route.query else None

    @property
    def raw_body(self) -> bytes:
        """The body as it was sent."""
        return cast(bytes, self.request.raw_body)

    @property
    def body(self) -> Any:
        """The body as the record that the route accepts."""
        return parse_body(self.raw_body, self._route.body)

    def log_change(self, **details: object) -> None:
        """Write the audit line of a change that the caller made."""
        audit.log_change(self._route.name, self.caller, **details)

    def path_to(self, path: str) -> str:
        """Return the path of another route under this stage of API Gateway."""
        return base_path() + path


def base_path() -> str:
    """Return what comes before the path of every route: the stage of API Gateway, or the base path of a domain."""
    context = blueprint.current_request.context
    return str(context.get("path", "")).removesuffix(context.get("resourcePath", "")).rstrip("/")


def handles(route: Route) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a function the handler of a route. It gets the Call and the path's parameters, and returns the answer."""

    def decorate(handler: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(handler)
        def wrapped(**parameters: str) -> Response:
            try:
                answer = handler(Call(route), **parameters)
            except tuple(_STATUS_ERRORS) as error:
                status = next(to for kind, to in _STATUS_ERRORS.items() if isinstance(error, kind))
                raise status(str(error)) from None
            return answer if isinstance(answer, Response) else respond(answer, route.status)

        guard = authorizer if route.role else None
        blueprint.route(route.path, methods=[route.method], authorizer=guard, name=route.name)(wrapped)
        return handler

    return decorate


def respond(answer: Any, status: int, **headers: str) -> Response:
    """Return an answer as JSON. An underscore in the name of a header stands for a hyphen."""
    named: dict[str, str | list[str]] = {name.replace("_", "-"): value for name, value in headers.items()}
    named["Content-Type"] = "application/json"
    return Response(msgspec.json.encode(answer).decode(), status_code=status, headers=named)

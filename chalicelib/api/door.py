"""How a call comes in and an answer goes out: who calls, what was given, and our errors as Chalice's."""

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

from chalicelib import audit, auth, bodies, parts
from chalicelib.doors import Door
from chalicelib.errors import Conflict, Forbidden, InvalidRequest, NotFound

api = Blueprint(__name__)

# What our errors are in HTTP.
_STATUSES: dict[type[Exception], type[Exception]] = {
    InvalidRequest: BadRequestError,
    Forbidden: ForbiddenError,
    NotFound: NotFoundError,
    Conflict: ConflictError,
}


@api.authorizer(name="authorizer")
def authorizer(request: AuthRequest) -> AuthResponse:
    """Say what the bearer of a token may call."""
    # Chalice gives an authorizer no context; the method's ARN tells the place as well.
    return auth.authorize(request, parts.of(request.method_arn).ledger.tokens)


class Call:
    """One call of a door: `caller` is the name of the token, `it` the parts of this deployment."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self.request = api.current_request
        self.it = parts.of(api.lambda_context.invoked_function_arn)
        self.caller = ""
        if door.role:
            header = self.request.headers.get("authorization", "")
            self.caller = auth.check(door.role, self.request.context, header, self.it.ledger.tokens)
        self.query: Any = bodies.query(self.request.query_params or {}, door.query) if door.query else None

    @property
    def raw_body(self) -> bytes:
        """The body as it came."""
        return cast(bytes, self.request.raw_body)

    @property
    def body(self) -> Any:
        """The body as the record that the door takes."""
        return bodies.decode(self.raw_body, self._door.body)

    def changed(self, **about: object) -> None:
        """Say in the log that the caller changed something."""
        audit.write(self._door.name, self.caller, **about)

    def path_to(self, path: str) -> str:
        """Return the path of another route, under this stage of API Gateway."""
        context = self.request.context
        base = str(context.get("path", "")).removesuffix(context.get("resourcePath", "")).rstrip("/")
        return base + path


def serve(door: Door) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a function the handler of a door: it gets the Call and the path's parameters, and returns the answer."""

    def decorate(handler: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(handler)
        def wrapped(**parameters: str) -> Response:
            try:
                answer = handler(Call(door), **parameters)
            except tuple(_STATUSES) as error:
                status = next(to for kind, to in _STATUSES.items() if isinstance(error, kind))
                raise status(str(error)) from None
            return answer if isinstance(answer, Response) else respond(answer, door.status)

        guard = authorizer if door.role else None
        api.route(door.path, methods=[door.method], authorizer=guard, name=door.name)(wrapped)
        return handler

    return decorate


def respond(answer: Any, status: int, **headers: str) -> Response:
    """Return an answer as JSON; an underscore in a header's name stands for a hyphen."""
    named: dict[str, str | list[str]] = {name.replace("_", "-"): value for name, value in headers.items()}
    named["Content-Type"] = "application/json"
    return Response(msgspec.json.encode(answer).decode(), status_code=status, headers=named)

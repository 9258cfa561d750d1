"""Custom TOKEN authorizers: who may call what, as the authorizer's policy says, for as long as it holds."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chalice.local import ARNMatcher

from sandbox.aws.apis import Authorizer
from sandbox.aws.model import Answer, Pace
from sandbox.aws.proxy import Call

Json = dict[str, Any]


class Denied(Exception):
    """API Gateway's own answer to a call that it does not let through: a status, an error type and a body."""

    def __init__(self, status: int, kind: str, body: Json) -> None:
        super().__init__(f"{status} {kind}")
        self.status = status
        self.kind = kind
        self.body = body


@dataclass(frozen=True)
class _Judgement:
    """What an authorizer said of a token."""

    statements: list[Json]
    context: Json
    until: float


class Authorizers:
    """Asks the authorizer of a route, unless what it said of this token still holds."""

    def __init__(self, invoke: Callable[[str, Json], Answer], pace: Pace) -> None:
        self._invoke = invoke
        self._pace = pace
        self._lock = threading.Lock()
        self._cache: dict[tuple[str, str, str, str], _Judgement] = {}

    def authorize(self, call: Call) -> Json | None:
        """Return the authorizer's context for the event, None if the route has no authorizer; or raise Denied."""
        authorizer = call.route.authorizer
        if authorizer is None:
            return None
        token = call.request.headers.get(authorizer.header)
        if not token:
            raise _unauthorized()
        judgement = self._judgement(authorizer, call, token)
        _check(judgement.statements, call.method_arn)
        return judgement.context

    def _judgement(self, authorizer: Authorizer, call: Call, token: str) -> _Judgement:
        """Look up or ask; an Allow and a Deny are kept alike, an error never."""
        key = (call.api_id, call.stage, authorizer.name, token)
        with self._lock:
            cached = self._cache.get(key)
        if cached and self._pace.clock() < cached.until:
            return cached
        fresh = self._ask(authorizer, call, token)
        with self._lock:
            self._cache[key] = fresh
        return fresh

    def _ask(self, authorizer: Authorizer, call: Call, token: str) -> _Judgement:
        question = {"type": "TOKEN", "methodArn": call.method_arn, "authorizationToken": token}
        answer = self._invoke(authorizer.function, question)
        if answer.failed:
            raise _unauthorized() if _says_unauthorized(answer) else _broken("AuthorizerFailureException")
        try:
            said = json.loads(answer.payload)
            context = {"principalId": said["principalId"], **_texts(said.get("context") or {})}
            return _Judgement(said["policyDocument"]["Statement"], context, self._pace.clock() + authorizer.ttl)
        except (ValueError, TypeError, KeyError, AttributeError):
            raise _broken("AuthorizerConfigurationException") from None


def _says_unauthorized(answer: Answer) -> bool:
    """Tell a token refused, by an exception whose message is this very word, from any other failure."""
    said: Json = json.loads(answer.payload)
    return said.get("errorMessage") == "Unauthorized"


def _texts(context: Json) -> dict[str, str]:
    """Turn a context into strings, all that API Gateway passes on; it takes no lists or objects."""
    if any(isinstance(value, list | dict) for value in context.values()):
        raise TypeError("a context's values are strings, numbers and booleans")
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in context.items()}


def _check(statements: list[Json], method_arn: str) -> None:
    """Raise Denied unless a statement allows the call; one that denies it goes before."""
    effects = {one["Effect"] for one in statements if _is_invoke(one) and _is_about(one, method_arn)}
    text = "User is not authorized to access this resource"
    if "Deny" in effects:
        raise Denied(403, "AccessDeniedException", {"Message": f"{text} with an explicit deny"})
    if "Allow" not in effects:
        raise Denied(403, "AccessDeniedException", {"Message": text})


def _is_invoke(statement: Json) -> bool:
    return bool({"execute-api:invoke", "execute-api:*", "*"} & {one.lower() for one in _list(statement["Action"])})


def _is_about(statement: Json, method_arn: str) -> bool:
    return bool(ARNMatcher(method_arn).does_any_resource_match(_list(statement["Resource"])))


def _list(one_or_many: str | list[str]) -> list[str]:
    return [one_or_many] if isinstance(one_or_many, str) else one_or_many


def _unauthorized() -> Denied:
    return Denied(401, "UnauthorizedException", {"message": "Unauthorized"})


def _broken(kind: str) -> Denied:
    return Denied(500, kind, {"message": None})

"""TOKEN authorizers: invokes them, caches their policies, and checks calls against the policies."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chalice.local import ARNMatcher

from sandbox.aws.apis import Authorizer
from sandbox.aws.model import InvocationResult, Timings
from sandbox.aws.proxy import Call

Json = dict[str, Any]


class GatewayError(Exception):
    """API Gateway answers a call itself, with an error: a status, an error type and a body."""

    def __init__(self, status: int, kind: str, body: Json) -> None:
        super().__init__(f"{status} {kind}")
        self.status = status
        self.kind = kind
        self.body = body


@dataclass(frozen=True)
class _CachedPolicy:
    """The policy that an authorizer returned for a token. `expires` is a Unix time."""

    statements: list[Json]
    context: Json
    expires: float


class Authorizers:
    """Authorizes calls. The policy for a token is cached as long as its authorizer says."""

    def __init__(self, invoke: Callable[[str, Json], InvocationResult], timings: Timings) -> None:
        self._invoke = invoke
        self._timings = timings
        self._lock = threading.Lock()
        self._cache: dict[tuple[str, str, str, str], _CachedPolicy] = {}

    def authorize(self, call: Call) -> Json | None:
        """Return the authorizer's context, None if the route has no authorizer; GatewayError if the call is denied."""
        authorizer = call.route.authorizer
        if authorizer is None:
            return None
        token = call.request.headers.get(authorizer.header)
        if not token:
            raise _unauthorized()
        policy = self._policy(authorizer, call, token)
        _check(policy.statements, call.method_arn)
        return policy.context

    def _policy(self, authorizer: Authorizer, call: Call, token: str) -> _CachedPolicy:
        """Return the cached or a new policy. Policies that deny are cached too; errors are not."""
        key = (call.api_id, call.stage, authorizer.name, token)
        with self._lock:
            cached = self._cache.get(key)
        if cached and self._timings.clock() < cached.expires:
            return cached
        new = self._new_policy(authorizer, call, token)
        with self._lock:
            self._cache[key] = new
        return new

    def _new_policy(self, authorizer: Authorizer, call: Call, token: str) -> _CachedPolicy:
        event = {"type": "TOKEN", "methodArn": call.method_arn, "authorizationToken": token}
        result = self._invoke(authorizer.function, event)
        if result.failed:
            raise _unauthorized() if _is_unauthorized(result) else _server_error("AuthorizerFailureException")
        try:
            output = json.loads(result.payload)
            context = {"principalId": output["principalId"], **_to_strings(output.get("context") or {})}
            expires = self._timings.clock() + authorizer.ttl
            return _CachedPolicy(output["policyDocument"]["Statement"], context, expires)
        except (ValueError, TypeError, KeyError, AttributeError):
            raise _server_error("AuthorizerConfigurationException") from None


def _is_unauthorized(result: InvocationResult) -> bool:
    """Return whether the authorizer refused the token: it raises an exception whose message is exactly this word."""
    error: Json = json.loads(result.payload)
    return error.get("errorMessage") == "Unauthorized"


def _to_strings(context: Json) -> dict[str, str]:
    """Turn the values of a context into strings, as API Gateway does. It accepts no lists or objects."""
    if any(isinstance(value, list | dict) for value in context.values()):
        raise TypeError("the values of a context must be strings, numbers or booleans")
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in context.items()}


def _check(statements: list[Json], method_arn: str) -> None:
    """Raise GatewayError unless a statement allows the call. A statement that denies it wins."""
    effects = {each["Effect"] for each in statements if _is_invoke(each) and _covers(each, method_arn)}
    text = "User is not authorized to access this resource"
    if "Deny" in effects:
        raise GatewayError(403, "AccessDeniedException", {"Message": f"{text} with an explicit deny"})
    if "Allow" not in effects:
        raise GatewayError(403, "AccessDeniedException", {"Message": text})


def _is_invoke(statement: Json) -> bool:
    return bool(
        {"execute-api:invoke", "execute-api:*", "*"} & {action.lower() for action in _list(statement["Action"])}
    )


def _covers(statement: Json, method_arn: str) -> bool:
    return bool(ARNMatcher(method_arn).does_any_resource_match(_list(statement["Resource"])))


def _list(one_or_many: str | list[str]) -> list[str]:
    return [one_or_many] if isinstance(one_or_many, str) else one_or_many


def _unauthorized() -> GatewayError:
    return GatewayError(401, "UnauthorizedException", {"message": "Unauthorized"})


def _server_error(kind: str) -> GatewayError:
    return GatewayError(500, kind, {"message": None})

"""REST APIs: adapts Chalice's Swagger for moto, and keeps of it what the gateway routes by."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from moto.apigateway.models import apigateway_backends
from werkzeug import Request, Response

from sandbox.aws.model import ACCOUNT, REGION

LAMBDA_IN_URI = re.compile(r"/functions/(.+)/invocations$")
TTL = 300  # seconds; API Gateway's default for authorizerResultTtlInSeconds

Json = dict[str, Any]


@dataclass(frozen=True)
class Authorizer:
    """A TOKEN authorizer: the function that judges, the header that it judges by, how long a judgement holds."""

    name: str
    function: str
    header: str
    ttl: int


@dataclass(frozen=True)
class Route:
    """One method of one resource, such as GET /runs/{runId}."""

    resource: str
    method: str
    function: str
    authorizer: Authorizer | None

    @property
    def segments(self) -> list[str]:
        """Its path, cut at the slashes."""
        return self.resource.split("/")

    def captured(self, path: str) -> dict[str, str] | None:
        """Return the path's parameters, still URL-encoded as API Gateway passes them on; None if it is another path."""
        parts = path.split("/")
        if len(parts) != len(self.segments):
            return None
        pairs = list(zip(self.segments, parts, strict=True))
        if not all(part if _is_variable(segment) else part == segment for segment, part in pairs):
            return None
        return {segment[1:-1]: part for segment, part in pairs if _is_variable(segment)}


class Api:
    """A REST API as a deployment froze it."""

    def __init__(self, swagger: Json) -> None:
        self.binary_types: list[str] = swagger.get("x-amazon-apigateway-binary-media-types", [])
        authorizers = _authorizers(swagger.get("securityDefinitions", {}))
        routes = [
            _route(path, method, operation, authorizers)
            for path, methods in swagger["paths"].items()
            for method, operation in methods.items()
            if operation["x-amazon-apigateway-integration"]["type"] == "aws_proxy"
        ]
        self._routes = sorted(routes, key=lambda route: [_is_variable(segment) for segment in route.segments])

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        """Return the route for a raw path, with its parameters; a fixed segment goes before a variable one."""
        path = path if path == "/" else path.rstrip("/")
        for route in self._routes:
            if route.method == method and (captured := route.captured(path)) is not None:
                return route, captured
        return None


class Apis:
    """What was imported last for each API, and what is live on each stage since its last deployment."""

    def __init__(self) -> None:
        self._imported: dict[str, Json] = {}
        self._live: dict[tuple[str, str], Api] = {}

    def live(self, api_id: str, stage: str) -> Api | None:
        """Return what the stage serves now."""
        return self._live.get((api_id, stage))

    def for_moto(self, body: bytes) -> bytes:
        """Say Swagger 2.0 as OpenAPI 3, as far as moto looks: it refuses the former, or an info with no description."""
        document = _document(body)
        if "swagger" not in document:
            return body
        info = {"description": "", **document["info"]}
        rest = {key: value for key, value in document.items() if key != "swagger"}
        return json.dumps(rest | {"openapi": "3.0.1", "info": info}).encode()

    def note(self, request: Request, api_id: str | None, response: Response, *, is_deployment: bool) -> None:
        """Note what a call that moto has accepted did to an API. An import alone changes nothing on any stage."""
        document = _document(request.get_data())
        if "swagger" in document:
            self._imported[api_id or response.get_json(force=True)["id"]] = document
        elif api_id and is_deployment and "stageName" in document and api_id in self._imported:
            self._live[api_id, document["stageName"]] = Api(self._imported[api_id])
        elif api_id and not is_deployment and request.method == "DELETE":
            self._live = {key: api for key, api in self._live.items() if key[0] != api_id}


@contextmanager
def kept_settings(api_id: str | None) -> Iterator[None]:
    """Keep the settings of an API's stages over a deployment, as AWS does and moto does not."""
    api = apigateway_backends[ACCOUNT][REGION].apis.get(api_id or "")
    before = {name: stage.method_settings for name, stage in api.stages.items()} if api else {}
    yield
    for name, settings in before.items():
        assert api
        api.stages[name].method_settings = settings


def _document(body: bytes) -> Json:
    return json.loads(body) if body else {}


def _is_variable(segment: str) -> bool:
    return segment.startswith("{")


def _route(path: str, method: str, operation: Json, authorizers: dict[str, Authorizer]) -> Route:
    names = [name for requirement in operation.get("security", []) for name in requirement]
    authorizer = next((authorizers[name] for name in names if name in authorizers), None)
    function = _function(operation["x-amazon-apigateway-integration"]["uri"])
    return Route(path, method.upper(), function, authorizer)


def _authorizers(definitions: Json) -> dict[str, Authorizer]:
    """Take the TOKEN authorizers; the gateway has no other kind."""
    found = {}
    for name, definition in definitions.items():
        custom = definition.get("x-amazon-apigateway-authorizer", {})
        if custom.get("type") == "token":
            ttl = int(custom.get("authorizerResultTtlInSeconds", TTL))
            found[name] = Authorizer(name, _function(custom["authorizerUri"]), definition["name"], ttl)
    return found


def _function(uri: str) -> str:
    """Take the function's ARN out of an integration's URI."""
    match = LAMBDA_IN_URI.search(uri)
    if not match:
        raise ValueError(f"the sandbox's gateway only knows Lambda integrations, not {uri}")
    return match[1]

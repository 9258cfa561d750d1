"""The deployed REST APIs: adapts Chalice's Swagger for moto, and keeps the routes for the gateway."""

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
DEFAULT_TTL = 300  # seconds; API Gateway's default for authorizerResultTtlInSeconds

Json = dict[str, Any]


@dataclass(frozen=True)
class Authorizer:
    """A TOKEN authorizer: its function, the header with the token, and how many seconds a policy is cached."""

    name: str
    function: str
    header: str
    ttl: int


@dataclass(frozen=True)
class Route:
    """A method of a resource, such as GET /runs/{runId}."""

    resource: str
    method: str
    function: str
    authorizer: Authorizer | None

    @property
    def segments(self) -> list[str]:
        """The segments of its path."""
        return self.resource.split("/")

    def match(self, path: str) -> dict[str, str] | None:
        """Return the path's parameters, still URL-encoded as in API Gateway; None if the path does not match."""
        parts = path.split("/")
        if len(parts) != len(self.segments):
            return None
        pairs = list(zip(self.segments, parts, strict=True))
        if not all(part if _is_variable(segment) else part == segment for segment, part in pairs):
            return None
        return {segment[1:-1]: part for segment, part in pairs if _is_variable(segment)}


class Api:
    """A REST API as it was when it was deployed. It compresses answers of `minimum_compression` bytes; None: none."""

    def __init__(self, swagger: Json, minimum_compression: int | None) -> None:
        self.minimum_compression = minimum_compression
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
        """Return the route for a raw path, with its parameters. A fixed segment wins over a variable one."""
        path = path if path == "/" else path.rstrip("/")
        for route in self._routes:
            if route.method == method and (parameters := route.match(path)) is not None:
                return route, parameters
        return None


class Apis:
    """The last import of each API, and what each stage has served since its last deployment."""

    def __init__(self) -> None:
        self._imported: dict[str, Json] = {}
        self._minimum_compression: dict[str, int | None] = {}
        self._live: dict[tuple[str, str], Api] = {}

    def live(self, api_id: str, stage: str) -> Api | None:
        """Return what a stage serves now; None if nothing is deployed to it."""
        return self._live.get((api_id, stage))

    def as_openapi3(self, body: bytes) -> bytes:
        """Turn Swagger 2.0 into OpenAPI 3, as far as moto checks.

        moto refuses Swagger 2.0, and an `info` without a description.
        """
        document = _document(body)
        if "swagger" not in document:
            return body
        info = {"description": "", **document["info"]}
        others = {key: value for key, value in document.items() if key != "swagger"}
        return json.dumps(others | {"openapi": "3.0.1", "info": info}).encode()

    def record(self, request: Request, api_id: str | None, response: Response, *, is_deployment: bool) -> None:
        """Record what a call that moto accepted did to an API. An import alone changes no stage."""
        document = _document(request.get_data())
        if "swagger" in document:
            self._imported[api_id or response.get_json(force=True)["id"]] = document
        elif api_id and is_deployment and "stageName" in document and api_id in self._imported:
            api = Api(self._imported[api_id], self._minimum_compression.get(api_id))
            self._live[api_id, document["stageName"]] = api
        elif api_id and not is_deployment and request.method == "PATCH":
            self._patch(api_id, document["patchOperations"])
        elif api_id and not is_deployment and request.method == "DELETE":
            self._live = {key: api for key, api in self._live.items() if key[0] != api_id}

    def _patch(self, api_id: str, operations: list[Json]) -> None:
        """Note the one property of an API that moto does not know. Chalice sets it to an empty text for none."""
        for operation in operations:
            if operation["path"] == "/minimumCompressionSize":
                self._minimum_compression[api_id] = int(operation["value"]) if operation["value"] else None


@contextmanager
def preserve_stage_settings(api_id: str | None) -> Iterator[None]:
    """Keep the settings of an API's stages during a deployment, as AWS does and moto does not."""
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
    """Return the TOKEN authorizers by name. The gateway supports no other type."""
    found = {}
    for name, definition in definitions.items():
        custom = definition.get("x-amazon-apigateway-authorizer", {})
        if custom.get("type") == "token":
            ttl = int(custom.get("authorizerResultTtlInSeconds", DEFAULT_TTL))
            found[name] = Authorizer(name, _function(custom["authorizerUri"]), definition["name"], ttl)
    return found


def _function(uri: str) -> str:
    """Return the function's ARN from an integration's URI."""
    match = LAMBDA_IN_URI.search(uri)
    if not match:
        raise ValueError(f"the sandbox's gateway supports only Lambda integrations, not {uri}")
    return match[1]

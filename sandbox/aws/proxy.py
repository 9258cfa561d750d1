"""The Lambda proxy integration: turns a request into an event, and a function's result into a response."""

import base64
import json
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from werkzeug import Request, Response

from sandbox.aws.apis import Route
from sandbox.aws.model import ACCOUNT, InvocationResult, make_arn, region_of

Json = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """A request with its route."""

    request: Request
    api_id: str
    stage: str
    path: str  # below the stage, still URL-encoded
    route: Route
    parameters: dict[str, str]
    body: bytes

    @property
    def method_arn(self) -> str:
        """The ARN that the authorizer's policy has to allow."""
        resource = f"{self.api_id}/{self.stage}/{self.route.method}{self.path}"
        return make_arn("execute-api", resource, region_of(self.route.function))


class MalformedResponse(Exception):
    """The function returned something that API Gateway cannot turn into a response."""


def to_event(call: Call, binary_types: list[str], authorizer: Json | None) -> Json:
    """Return the event for a function, in payload format 1.0. `authorizer` is the authorizer's context."""
    query = parse_qs(call.request.query_string.decode(), keep_blank_values=True)
    headers = _headers(call.request)
    body, is_base64 = _body(call, binary_types)
    return {
        "resource": call.route.resource,
        "path": call.path,
        "httpMethod": call.route.method,
        "headers": {name: values[-1] for name, values in headers.items()},
        "multiValueHeaders": headers,
        "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
        "multiValueQueryStringParameters": query or None,
        "pathParameters": call.parameters or None,
        "stageVariables": None,
        "requestContext": _context(call, authorizer),
        "body": body,
        "isBase64Encoded": is_base64,
    }


def to_response(result: InvocationResult, call: Call, binary_types: list[str]) -> Response:
    """Return the response for a function's result, or raise MalformedResponse."""
    try:
        return _response(json.loads(result.payload), call, binary_types)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise MalformedResponse(str(error)) from error


def _headers(request: Request) -> dict[str, list[str]]:
    headers = {name: [value] for name, value in request.headers.items()}
    source = request.remote_addr or ""
    return headers | {
        "X-Amzn-Trace-Id": [f"Root=1-{int(time.time()):08x}-{uuid.uuid4().hex[:24]}"],
        "X-Forwarded-For": [source],
        "X-Forwarded-Port": [str(request.environ["SERVER_PORT"])],
        "X-Forwarded-Proto": [request.scheme],
    }


def _body(call: Call, binary_types: list[str]) -> tuple[str | None, bool]:
    """Return the body, and whether it is base64, as for a binary type, or else text."""
    if not call.body:
        return None, False
    if call.request.mimetype in binary_types or "*/*" in binary_types:
        return base64.b64encode(call.body).decode(), True
    return call.body.decode(errors="replace"), False


def _context(call: Call, authorizer: Json | None) -> Json:
    now = datetime.now(UTC)
    context = {
        "accountId": ACCOUNT,
        "apiId": call.api_id,
        "domainName": call.request.host,
        "httpMethod": call.route.method,
        "identity": {"sourceIp": call.request.remote_addr, "userAgent": call.request.headers.get("User-Agent")},
        # With all that comes before the route, as under a custom domain with a base path.
        "path": urlsplit(call.request.environ["RAW_URI"]).path,
        "protocol": call.request.environ["SERVER_PROTOCOL"],
        "requestId": str(uuid.uuid4()),
        "requestTime": now.strftime("%d/%b/%Y:%H:%M:%S +0000"),
        "requestTimeEpoch": int(now.timestamp() * 1000),
        "resourcePath": call.route.resource,
        "stage": call.stage,
    }
    return context | ({"authorizer": authorizer} if authorizer is not None else {})


def _response(output: Json, call: Call, binary_types: list[str]) -> Response:
    body = output.get("body") or ""
    if not isinstance(body, str):
        raise TypeError("the body is not a string")
    content = base64.b64decode(body) if _is_binary(output, call, binary_types) else body.encode()
    response = Response(content, status=int(output["statusCode"]), content_type="application/json")
    for name, value in (output.get("headers") or {}).items():
        response.headers[name] = str(value)
    for name, values in (output.get("multiValueHeaders") or {}).items():
        response.headers.setlist(name, [str(value) for value in values])
    return response


def _is_binary(output: Json, call: Call, binary_types: list[str]) -> bool:
    """Return whether to decode base64: API Gateway does so if the first type in Accept is binary."""
    accepted = call.request.headers.get("Accept", "").split(",")[0].split(";")[0].strip()
    return bool(output.get("isBase64Encoded")) and (accepted in binary_types or "*/*" in binary_types)

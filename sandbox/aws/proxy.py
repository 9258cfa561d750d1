"""Lambda proxy integration: an HTTP request as the event that a function gets, and its answer as an HTTP response."""

import base64
import json
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

from werkzeug import Request, Response

from sandbox.aws.apis import Route
from sandbox.aws.model import ACCOUNT, Answer

Json = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """A request that has found its route."""

    request: Request
    api_id: str
    stage: str
    path: str  # below the stage, still URL-encoded
    route: Route
    parameters: dict[str, str]
    body: bytes

    @property
    def method_arn(self) -> str:
        """What the authorizer's policy is asked about."""
        region = self.route.function.split(":")[3]
        return f"arn:aws:execute-api:{region}:{ACCOUNT}:{self.api_id}/{self.stage}/{self.route.method}{self.path}"


class Malformed(Exception):
    """The function's answer is not of the form that API Gateway demands."""


def event(call: Call, binary_types: list[str], authorizer: Json | None) -> Json:
    """Build the event, payload format 1.0."""
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


def response(answer: Answer, call: Call, binary_types: list[str]) -> Response:
    """Turn the function's answer into the response, or raise Malformed."""
    try:
        return _response(json.loads(answer.payload), call, binary_types)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Malformed(str(error)) from error


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
    """Return the body, of a binary type as base64 and of any other as text, and which of these it is."""
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
        "path": f"/{call.stage}{call.path}",
        "protocol": call.request.environ["SERVER_PROTOCOL"],
        "requestId": str(uuid.uuid4()),
        "requestTime": now.strftime("%d/%b/%Y:%H:%M:%S +0000"),
        "requestTimeEpoch": int(now.timestamp() * 1000),
        "resourcePath": call.route.resource,
        "stage": call.stage,
    }
    return context | ({"authorizer": authorizer} if authorizer is not None else {})


def _response(reply: Json, call: Call, binary_types: list[str]) -> Response:
    body = reply.get("body") or ""
    if not isinstance(body, str):
        raise TypeError("the body is not a string")
    content = base64.b64decode(body) if _is_binary(reply, call, binary_types) else body.encode()
    made = Response(content, status=int(reply["statusCode"]), content_type="application/json")
    for name, value in (reply.get("headers") or {}).items():
        made.headers[name] = str(value)
    for name, values in (reply.get("multiValueHeaders") or {}).items():
        made.headers.setlist(name, [str(value) for value in values])
    return made


def _is_binary(reply: Json, call: Call, binary_types: list[str]) -> bool:
    """Whether to decode base64: API Gateway does so for a client whose first accepted type is a binary one."""
    accepted = call.request.headers.get("Accept", "").split(",")[0].split(";")[0].strip()
    return bool(reply.get("isBase64Encoded")) and (accepted in binary_types or "*/*" in binary_types)

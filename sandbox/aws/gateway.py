"""API Gateway: serves the deployed REST APIs at /_aws/execute-api/{id}/{stage}/."""

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

from werkzeug import Request, Response

from sandbox.aws.apis import Api, Apis
from sandbox.aws.authorizers import Authorizers, GatewayError
from sandbox.aws.compression import UnsupportedEncoding, compress, decompress
from sandbox.aws.functions import Lambdas, find_function
from sandbox.aws.model import InvocationResult, LambdaError, Timings
from sandbox.aws.proxy import Call, MalformedResponse, to_event, to_response

PREFIX = "/_aws/execute-api/"
BODY_LIMIT = 10 * 1024 * 1024  # bytes


class Gateway:
    """Answers every call below `PREFIX`, with the limits and error messages of API Gateway."""

    def __init__(self, apis: Apis, lambdas: Lambdas, timings: Timings) -> None:
        self._apis = apis
        self._lambdas = lambdas
        self._timings = timings
        self._authorizers = Authorizers(self._invoke_authorizer, timings)
        self._threads = ThreadPoolExecutor(max_workers=64, thread_name_prefix="gateway")

    def __call__(self, request: Request) -> Response:
        """Answer a call."""
        try:
            response = self._serve(request)
        except GatewayError as error:
            response = Response(json.dumps(error.body), status=error.status, content_type="application/json")
            response.headers["x-amzn-ErrorType"] = error.kind
        response.headers["x-amzn-RequestId"] = str(uuid.uuid4())
        return response

    def close(self) -> None:
        """Wait for the calls that are being answered; their functions have been killed by then."""
        self._threads.shutdown(cancel_futures=True)

    def _serve(self, request: Request) -> Response:
        api, call = self._find(request)
        context = self._authorizers.authorize(call)
        result = self._invoke_integration(call.route.function, to_event(call, api.binary_types, context))
        try:
            if not result.failed:
                return compress(to_response(result, call, api.binary_types), request, api.minimum_compression)
        except MalformedResponse:
            pass
        raise GatewayError(502, "InternalServerErrorException", {"message": "Internal server error"})

    def _find(self, request: Request) -> tuple[Api, Call]:
        """Find the API and its route by the raw path, which API Gateway does not decode."""
        raw = urlsplit(request.environ["RAW_URI"]).path.removeprefix(PREFIX)
        api_id, _, rest = raw.partition("/")
        stage, _, below = rest.partition("/")
        path = f"/{below}"
        api = self._apis.live(api_id, stage)
        if api is None:
            raise GatewayError(403, "ForbiddenException", {"message": "Forbidden"})
        found = api.find(request.method, path)
        if found is None:
            raise GatewayError(403, "MissingAuthenticationTokenException", {"message": "Missing Authentication Token"})
        return api, Call(request, api_id, stage, path, *found, _body(request))

    def _invoke_authorizer(self, function: str, event: dict[str, Any]) -> InvocationResult:
        """Invoke an authorizer. An error of Lambda counts as a failure of the authorizer."""
        try:
            return self._invoke(function, event)
        except (LambdaError, TimeoutError) as error:
            return InvocationResult.error(type(error).__name__, str(error))

    def _invoke_integration(self, function: str, event: dict[str, Any]) -> InvocationResult:
        try:
            return self._invoke(function, event)
        except TimeoutError:
            raise GatewayError(504, "", {"message": "Endpoint request timed out"}) from None
        except LambdaError as error:
            if error.code == "RequestTooLargeException":
                raise _too_long() from None
            raise GatewayError(500, "InternalServerErrorException", {"message": "Internal server error"}) from None

    def _invoke(self, function: str, event: dict[str, Any]) -> InvocationResult:
        """Invoke a function; TimeoutError after the integration timeout. As on AWS, the function itself continues."""
        payload = json.dumps(event).encode()
        future = self._threads.submit(self._lambdas.invoke, find_function(function), payload)
        return future.result(self._timings.integration)


def _body(request: Request) -> bytes:
    if (request.content_length or 0) > BODY_LIMIT:
        raise _too_long()
    encoding = request.headers.get("Content-Encoding", "").lower()
    try:
        body = decompress(request.stream.read(BODY_LIMIT + 1), encoding, BODY_LIMIT)
    except UnsupportedEncoding:
        raise GatewayError(415, "UnsupportedMediaTypeException", {"message": "Unsupported Media Type"}) from None
    if len(body) > BODY_LIMIT:
        raise _too_long()
    return body


def _too_long() -> GatewayError:
    return GatewayError(413, "RequestTooLargeException", {"message": "Request Too Long"})

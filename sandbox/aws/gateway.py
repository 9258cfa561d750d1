"""API Gateway: serves the deployed REST APIs at /_aws/execute-api/{id}/{stage}/, with Amazon's limits and texts."""

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

from werkzeug import Request, Response

from sandbox.aws.apis import Api, Apis
from sandbox.aws.authorizers import Authorizers, Denied
from sandbox.aws.functions import Lambdas, deployed
from sandbox.aws.model import Answer, LambdaError, Pace
from sandbox.aws.proxy import Call, Malformed, event, response

PREFIX = "/_aws/execute-api/"
BODY_LIMIT = 10 * 1024 * 1024


class Gateway:
    """Answers every call below its prefix."""

    def __init__(self, apis: Apis, lambdas: Lambdas, pace: Pace) -> None:
        self._apis = apis
        self._lambdas = lambdas
        self._pace = pace
        self._authorizers = Authorizers(self._judge, pace)
        self._threads = ThreadPoolExecutor(max_workers=64, thread_name_prefix="gateway")

    def __call__(self, request: Request) -> Response:
        """Answer a call, or refuse it in Amazon's words."""
        try:
            reply = self._serve(request)
        except Denied as denied:
            reply = Response(json.dumps(denied.body), status=denied.status, content_type="application/json")
            reply.headers["x-amzn-ErrorType"] = denied.kind
        reply.headers["x-amzn-RequestId"] = str(uuid.uuid4())
        return reply

    def close(self) -> None:
        """Wait for what is under way; the functions have been killed by then."""
        self._threads.shutdown(cancel_futures=True)

    def _serve(self, request: Request) -> Response:
        api, call = self._find(request)
        authorizer = self._authorizers.authorize(call)
        answer = self._integrate(call.route.function, event(call, api.binary_types, authorizer))
        try:
            if not answer.failed:
                return response(answer, call, api.binary_types)
        except Malformed:
            pass
        raise Denied(502, "InternalServerErrorException", {"message": "Internal server error"})

    def _find(self, request: Request) -> tuple[Api, Call]:
        """Find the API and its route by the raw path: API Gateway does not decode it."""
        raw = urlsplit(request.environ["RAW_URI"]).path.removeprefix(PREFIX)
        api_id, _, rest = raw.partition("/")
        stage, _, below = rest.partition("/")
        path = f"/{below}"
        api = self._apis.live(api_id, stage)
        if api is None:
            raise Denied(403, "ForbiddenException", {"message": "Forbidden"})
        found = api.find(request.method, path)
        if found is None:
            raise Denied(403, "MissingAuthenticationTokenException", {"message": "Missing Authentication Token"})
        return api, Call(request, api_id, stage, path, *found, _body(request))

    def _judge(self, function: str, question: dict[str, Any]) -> Answer:
        """Call an authorizer; any refusal of Lambda counts as the authorizer's failure."""
        try:
            return self._within_limit(function, question)
        except (LambdaError, TimeoutError) as error:
            return Answer.error(type(error).__name__, str(error))

    def _integrate(self, function: str, proxy_event: dict[str, Any]) -> Answer:
        try:
            return self._within_limit(function, proxy_event)
        except TimeoutError:
            raise Denied(504, "", {"message": "Endpoint request timed out"}) from None
        except LambdaError as error:
            if error.code == "RequestTooLargeException":
                raise _too_long() from None
            raise Denied(500, "InternalServerErrorException", {"message": "Internal server error"}) from None

    def _within_limit(self, function: str, payload: dict[str, Any]) -> Answer:
        """Call a function for as long as API Gateway waits; the function itself goes on after that, as on AWS."""
        data = json.dumps(payload).encode()
        return self._threads.submit(self._lambdas.invoke, deployed(function), data).result(self._pace.integration)


def _body(request: Request) -> bytes:
    if (request.content_length or 0) > BODY_LIMIT:
        raise _too_long()
    body = request.stream.read(BODY_LIMIT + 1)
    if len(body) > BODY_LIMIT:
        raise _too_long()
    return body


def _too_long() -> Denied:
    return Denied(413, "RequestTooLargeException", {"message": "Request Too Long"})

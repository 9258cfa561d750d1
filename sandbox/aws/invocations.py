"""Lambda's Invoke call over HTTP, answered in front of moto (which would want Docker)."""

import json
import re
import uuid
from http import HTTPStatus

from werkzeug import Request, Response

from sandbox.aws.functions import Lambdas, deployed
from sandbox.aws.model import INTERPRETER, REGION, Answer, LambdaError

PATH = re.compile(r"/2015-03-31/functions/(?P<function>.+)/invocations/?")


class Invocations:
    """Answers `POST /2015-03-31/functions/{name or ARN}/invocations`."""

    def __init__(self, lambdas: Lambdas) -> None:
        self._lambdas = lambdas

    def __call__(self, request: Request) -> Response:
        """Answer a call."""
        request_id = str(uuid.uuid4())
        try:
            response = self._invoke(request, request_id)
        except LambdaError as error:
            response = _refusal(request, error)
        response.headers["x-amzn-RequestId"] = request_id
        return response

    def _invoke(self, request: Request, request_id: str) -> Response:
        match = PATH.fullmatch(request.path)
        assert match
        function = deployed(match["function"], _region(request), request.args.get("Qualifier"))
        kind = request.headers.get("X-Amz-Invocation-Type", "RequestResponse")
        payload = request.get_data() or b"{}"
        if kind == "Event":
            self._lambdas.invoke_event(function, payload, request_id)
            return Response(status=202)
        if kind == "DryRun":
            return Response(status=204)
        return _answer(self._lambdas.invoke(function, payload, request_id))


def _region(request: Request) -> str:
    """Read the region off a signature such as `Credential=AKIA/20250101/eu-west-1/lambda/aws4_request`."""
    match = re.search(r"Credential=[^/]+/\d+/([a-z0-9-]+)/", request.headers.get("Authorization", ""))
    return match[1] if match else REGION


def _answer(answer: Answer) -> Response:
    response = Response(answer.payload, content_type="application/json")
    response.headers["X-Amz-Executed-Version"] = "$LATEST"
    if answer.failed:
        response.headers["X-Amz-Function-Error"] = "Unhandled"
    return response


def _refusal(request: Request, error: LambdaError) -> Response:
    """Refuse as Lambda does.

    To a Task that names the function by its ARN, moto reports any refusal as the error "Exception". AWS reports it as
    Lambda.<code>, which is what Retry and Catch go by; so the interpreter gets it as a function's error of that name.
    """
    if f"Credential={INTERPRETER}/" in request.headers.get("Authorization", ""):
        return _answer(Answer.error(f"Lambda.{error.code}", str(error)))
    side = "User" if error.status < HTTPStatus.INTERNAL_SERVER_ERROR else "Service"
    body = json.dumps({"Type": side, "Message": str(error)})
    response = Response(body, status=error.status, content_type="application/json")
    response.headers["x-amzn-ErrorType"] = error.code
    return response

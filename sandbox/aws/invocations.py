"""The calls of the Lambda API that moto cannot answer: Invoke, for which it needs Docker, and GetAccountSettings."""

import json
import re
import uuid
from http import HTTPStatus

from werkzeug import Request, Response

from sandbox.aws.functions import Lambdas, find_function
from sandbox.aws.model import INTERPRETER, REGION, InvocationResult, LambdaError

PATH = re.compile(r"/2015-03-31/functions/(?P<function>.+)/invocations/?")


ACCOUNT_SETTINGS = "/2016-08-19/account-settings"


class Invocations:
    """Answers `POST /2015-03-31/functions/{name or ARN}/invocations`, and `GET /2016-08-19/account-settings`."""

    def __init__(self, lambdas: Lambdas) -> None:
        self._lambdas = lambdas

    def __call__(self, request: Request) -> Response:
        """Answer a call."""
        if request.path.rstrip("/") == ACCOUNT_SETTINGS:
            return Response(json.dumps({"AccountLimit": self._lambdas.account_limit()}), mimetype="application/json")
        request_id = str(uuid.uuid4())
        try:
            response = self._invoke(request, request_id)
        except LambdaError as error:
            response = _error(request, error)
        response.headers["x-amzn-RequestId"] = request_id
        return response

    def _invoke(self, request: Request, request_id: str) -> Response:
        match = PATH.fullmatch(request.path)
        assert match
        function = find_function(match["function"], _region(request), request.args.get("Qualifier"))
        kind = request.headers.get("X-Amz-Invocation-Type", "RequestResponse")
        payload = request.get_data() or b"{}"
        if kind == "Event":
            self._lambdas.invoke_async(function, payload, request_id)
            return Response(status=202)
        if kind == "DryRun":
            return Response(status=204)
        return _response(self._lambdas.invoke(function, payload, request_id))


def _region(request: Request) -> str:
    """Return the region of a signature such as `Credential=AKIA/20250101/eu-west-1/lambda/aws4_request`."""
    match = re.search(r"Credential=[^/]+/\d+/([a-z0-9-]+)/", request.headers.get("Authorization", ""))
    return match[1] if match else REGION


def _response(result: InvocationResult) -> Response:
    response = Response(result.payload, content_type="application/json")
    response.headers["X-Amz-Executed-Version"] = "$LATEST"
    if result.failed:
        response.headers["X-Amz-Function-Error"] = "Unhandled"
    return response


def _error(request: Request, error: LambdaError) -> Response:
    """Answer with an error of Lambda.

    To a Task that names the function by its ARN, moto reports every such error as "Exception". AWS reports it as
    Lambda.<code>, which Retry and Catch match. So the interpreter gets it as an error of the function, with that name.
    """
    if f"Credential={INTERPRETER}/" in request.headers.get("Authorization", ""):
        return _response(InvocationResult.error(f"Lambda.{error.code}", str(error)))
    side = "User" if error.status < HTTPStatus.INTERNAL_SERVER_ERROR else "Service"
    body = json.dumps({"Type": side, "Message": str(error)})
    response = Response(body, status=error.status, content_type="application/json")
    response.headers["x-amzn-ErrorType"] = error.code
    return response

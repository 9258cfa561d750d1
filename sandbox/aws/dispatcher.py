"""Routes each request to the handler that answers it as AWS does, or to moto."""

import functools
import io
import json
import re
import threading
from collections.abc import Callable, Iterable
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug import Request, Response

from sandbox.aws import activities, executions, notifications
from sandbox.aws.activities import Activities
from sandbox.aws.apis import Apis, preserve_stage_settings
from sandbox.aws.bucket_policies import BucketPolicies
from sandbox.aws.dynamodb import DynamoDb
from sandbox.aws.gateway import PREFIX, Gateway
from sandbox.aws.invocations import ACCOUNT_SETTINGS, Invocations
from sandbox.aws.invocations import PATH as INVOCATIONS
from sandbox.aws.notifications import EmailDelivery
from sandbox.aws.schedule import DisabledRuleError, Schedule, UnknownRuleError
from sandbox.aws.server import Environ, Wsgi

FIRE = re.compile(r"/_sandbox/rules/(?P<rule>[^/]+)/fire")
REST_API = re.compile(r"/restapis(?:/(?P<api>[^/]+)(?P<deployments>/deployments)?)?/?")

Handler = Callable[[Request], Response]


class _Moto(DomainDispatcherApplication):
    """moto's endpoint, but it remembers the backend of each host: each search lists hundreds of folders."""

    @functools.cache  # noqa: B019 (the cache may live as long as the process)
    def get_backend_for_host(self, host: str | None) -> Any:
        """Return the name of a host's backend."""
        return super().get_backend_for_host(host)


class Dispatcher:
    """Finds the handler for each request. A request without a handler goes to moto."""

    def __init__(
        self,
        dynamodb: DynamoDb,
        invocations: Invocations,
        gateway: Gateway,
        apis: Apis,
        schedule: Schedule,
        email: EmailDelivery,
        activities: Activities,
    ) -> None:
        self._moto: Wsgi = _Moto(create_backend_app)
        self._dynamodb = dynamodb
        self._invocations = invocations
        self._gateway = gateway
        self._apis = apis
        self._schedule = schedule
        self._email = email
        self._activities = activities
        self._bucket_policies = BucketPolicies()
        self._start_lock = threading.Lock()
        # Returns whether to throttle a request, by its target such as `AWSStepFunctions.SendTaskSuccess`.
        self.throttle: Callable[[str], bool] = lambda _target: False

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        """Answer a request, as a WSGI application."""
        handler = self._handler(environ)
        if handler is None:
            return self._moto(environ, start_response)
        return handler(Request(environ, populate_request=False))(environ, start_response)

    def _handler(self, environ: Environ) -> Handler | None:
        path, signature = environ["PATH_INFO"], environ.get("HTTP_AUTHORIZATION", "")
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        handlers: tuple[tuple[object, Handler], ...] = (
            (target and self.throttle(target), _throttled),
            (target.startswith("DynamoDB_"), self._dynamodb),
            (path.startswith(PREFIX), self._gateway),
            (INVOCATIONS.fullmatch(path) or path.rstrip("/") == ACCOUNT_SETTINGS, self._invocations),
            (FIRE.fullmatch(path), self._fire),
            (REST_API.fullmatch(path) and "/apigateway/" in signature, self._rest_api),
            ("/sns/" in signature, self._sns),
            ("/s3/" in signature and environ["QUERY_STRING"] in ("policy", "policy="), self._bucket_policies),
            (target == "AWSStepFunctions.StartExecution", self._start_execution),
            (target == "AWSStepFunctions.StopExecution", self._stop_execution),
            (target == "AWSStepFunctions.CreateActivity", self._create_activity),
            (target == "AWSStepFunctions.GetActivityTask", self._activities.get_task),
            (target.startswith("AWSStepFunctions.SendTask"), self._send_task),
        )
        return next((handler for matches, handler in handlers if matches), None)

    def _forward(self, request: Request, body: bytes) -> Response:
        """Let moto answer a request, with this body."""
        replaced = {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        return Response.from_app(self._moto, request.environ | replaced)

    def _start_execution(self, request: Request) -> Response:
        body = executions.with_name(request.get_data())
        if isinstance(body, Response):
            return body
        with self._start_lock:  # two requests at once with the same name start one execution
            return self._forward(request, body)

    def _stop_execution(self, request: Request) -> Response:
        body = request.get_data()
        return executions.stop(body) or self._forward(request, body)

    def _create_activity(self, request: Request) -> Response:
        with self._start_lock:  # so that of two requests at once, one creates it
            return activities.existing(request) or self._forward(request, request.get_data())

    def _send_task(self, request: Request) -> Response:
        body = request.get_data()
        operation = request.headers["X-Amz-Target"].rpartition(".")[2]
        return self._activities.report(operation, json.loads(body)) or self._forward(request, body)

    def _sns(self, request: Request) -> Response:
        body = request.get_data(parse_form_data=False)
        refused = notifications.refusal(request)
        if refused:
            return refused
        response = self._email.mark_unconfirmed(request, self._forward(request, body))
        if notifications.is_publish(request):
            self._email.enqueue(request, response)
        return response

    def _rest_api(self, request: Request) -> Response:
        match = REST_API.fullmatch(request.path)
        assert match
        body = self._apis.as_openapi3(request.get_data())
        with preserve_stage_settings(match["api"] if match["deployments"] else None):
            response = self._forward(request, body)
        if response.status_code < 300:  # noqa: PLR2004 (a success)
            self._apis.record(request, match["api"], response, is_deployment=bool(match["deployments"]))
        return response

    def _fire(self, request: Request) -> Response:
        """Fire a rule for another process: `POST /_sandbox/rules/{name}/fire`."""
        match = FIRE.fullmatch(request.path)
        assert match
        if request.method != "POST":
            return Response("use POST to fire a rule\n", status=405)
        try:
            self._schedule.fire(match["rule"])
        except UnknownRuleError as error:
            return Response(f"{error}\n", status=404)
        except DisabledRuleError as error:
            return Response(f"{error}\n", status=409)
        return Response(status=204)


def _throttled(_request: Request) -> Response:
    body = json.dumps({"__type": "ThrottlingException", "message": "Rate exceeded"})
    return Response(body, status=400, content_type="application/x-amz-json-1.0")

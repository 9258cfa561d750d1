"""The doors in front of moto, for the calls that moto alone would answer otherwise than AWS."""

import functools
import io
import re
import threading
from collections.abc import Callable, Iterable
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug import Request, Response

from sandbox.aws import executions, notifications
from sandbox.aws.apis import Apis, kept_settings
from sandbox.aws.bucket_policies import BucketPolicies
from sandbox.aws.gateway import PREFIX, Gateway
from sandbox.aws.invocations import PATH as INVOCATIONS
from sandbox.aws.invocations import Invocations
from sandbox.aws.notifications import Postman
from sandbox.aws.schedule import DisabledRuleError, Schedule, UnknownRuleError
from sandbox.aws.server import Environ, Wsgi

FIRE = re.compile(r"/_sandbox/rules/(?P<rule>[^/]+)/fire")
REST_API = re.compile(r"/restapis(?:/(?P<api>[^/]+)(?P<deployments>/deployments)?)?/?")

Door = Callable[[Request], Response]


class _Moto(DomainDispatcherApplication):
    """moto's endpoint, but it looks only once which backend serves a host: each look lists its hundreds of folders."""

    @functools.cache  # noqa: B019 (it lives as long as the process needs it)
    def get_backend_for_host(self, host: str | None) -> Any:
        """Return the name of the backend."""
        return super().get_backend_for_host(host)


class Front:
    """Finds the door for each request; what needs none goes straight to moto."""

    def __init__(
        self, invocations: Invocations, gateway: Gateway, apis: Apis, schedule: Schedule, mail: Postman
    ) -> None:
        self._moto: Wsgi = _Moto(create_backend_app)
        self._invocations = invocations
        self._gateway = gateway
        self._apis = apis
        self._schedule = schedule
        self._mail = mail
        self._bucket_policies = BucketPolicies()
        self._dynamodb = threading.Lock()
        self._starts = threading.Lock()

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        """Answer a request, as any WSGI application."""
        if environ.get("HTTP_X_AMZ_TARGET", "").startswith("DynamoDB_"):
            with self._dynamodb:  # moto's own is not safe under threads
                return self._moto(environ, start_response)
        door = self._door(environ)
        if door is None:
            return self._moto(environ, start_response)
        return door(Request(environ, populate_request=False))(environ, start_response)

    def _door(self, environ: Environ) -> Door | None:
        path, signature = environ["PATH_INFO"], environ.get("HTTP_AUTHORIZATION", "")
        target = environ.get("HTTP_X_AMZ_TARGET")
        doors: tuple[tuple[object, Door], ...] = (
            (path.startswith(PREFIX), self._gateway),
            (INVOCATIONS.fullmatch(path), self._invocations),
            (FIRE.fullmatch(path), self._fire),
            (REST_API.fullmatch(path) and "/apigateway/" in signature, self._rest_api),
            ("/sns/" in signature, self._sns),
            ("/s3/" in signature and environ["QUERY_STRING"] in ("policy", "policy="), self._bucket_policies),
            (target == "AWSStepFunctions.StartExecution", self._start_execution),
            (target == "AWSStepFunctions.StopExecution", self._stop_execution),
        )
        return next((door for fits, door in doors if fits), None)

    def _forward(self, request: Request, body: bytes) -> Response:
        """Let moto answer the request, with this body."""
        replaced = {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        return Response.from_app(self._moto, request.environ | replaced)

    def _start_execution(self, request: Request) -> Response:
        body = executions.named(request.get_data())
        if isinstance(body, Response):
            return body
        with self._starts:  # two that start the same name at once are one execution
            return self._forward(request, body)

    def _stop_execution(self, request: Request) -> Response:
        body = request.get_data()
        return executions.stop(body) or self._forward(request, body)

    def _sns(self, request: Request) -> Response:
        body = request.get_data(parse_form_data=False)
        refused = notifications.refusal(request)
        if refused:
            return refused
        response = self._mail.confirmations(request, self._forward(request, body))
        if notifications.is_publish(request):
            self._mail.published(request, response)
        return response

    def _rest_api(self, request: Request) -> Response:
        match = REST_API.fullmatch(request.path)
        assert match
        body = self._apis.for_moto(request.get_data())
        with kept_settings(match["api"] if match["deployments"] else None):
            response = self._forward(request, body)
        if response.status_code < 300:  # noqa: PLR2004 (success, in HTTP)
            self._apis.note(request, match["api"], response, is_deployment=bool(match["deployments"]))
        return response

    def _fire(self, request: Request) -> Response:
        """Fire a rule for somebody outside of this process: `POST /_sandbox/rules/{name}/fire`."""
        match = FIRE.fullmatch(request.path)
        assert match
        if request.method != "POST":
            return Response("only POST fires a rule\n", status=405)
        try:
            self._schedule.fire(match["rule"])
        except UnknownRuleError as error:
            return Response(f"{error}\n", status=404)
        except DisabledRuleError as error:
            return Response(f"{error}\n", status=409)
        return Response(status=204)

"""Records each request to AWS as IAM sees it: who wants to do what with which resource."""

import functools
import io
import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote

import botocore.session

from sandbox.aws.activity_tasks import activity_of
from sandbox.aws.model import make_arn
from sandbox.aws.server import Environ, Wsgi

CREDENTIAL = re.compile(r"Credential=([^/]+)/\d+/[a-z0-9-]+/([a-z0-9-]+)/")

# The actions of S3 that comms-reprocess uses, by HTTP method: on objects, and on a bucket by the query's first word. A
# multipart upload needs the permission to put.
S3 = {"GET": "GetObject", "HEAD": "GetObject", "PUT": "PutObject", "POST": "PutObject", "DELETE": "DeleteObject"}
S3_BUCKET = {
    "": {"GET": "ListBucket", "HEAD": "ListBucket", "PUT": "CreateBucket", "DELETE": "DeleteBucket"},
    "delete": {"POST": "DeleteObject"},
    "publicAccessBlock": {"GET": "GetBucketPublicAccessBlock", "PUT": "PutBucketPublicAccessBlock"},
    "policy": {"GET": "GetBucketPolicy", "PUT": "PutBucketPolicy", "DELETE": "DeleteBucketPolicy"},
    "lifecycle": {"GET": "GetLifecycleConfiguration", "PUT": "PutLifecycleConfiguration"},
}


@dataclass(frozen=True)
class IamRequest:
    """An action on a resource; `caller` is the access key id, which for a function is its name.

    `partitions` are those of the items that a request to DynamoDB names, without what follows `#`, separated by commas.
    """

    caller: str
    action: str
    resource: str
    partitions: str = ""


def of_dynamodb(
    caller: str, operation: str, table: str, index: str, partitions: str, count: int
) -> Counter[IamRequest]:
    """Return a number of equal requests to DynamoDB, which counts its requests itself."""
    resource = f"table/{table}/index/{index}" if index else f"table/{table}"
    request = IamRequest(caller, f"dynamodb:{operation}", make_arn("dynamodb", resource), partitions)
    return Counter({request: count})


class RequestRecorder:
    """Counts the requests on their way to `inner`, but for those to DynamoDB."""

    def __init__(self, inner: Wsgi) -> None:
        self._inner = inner
        self._lock = threading.Lock()
        self.counts: Counter[IamRequest] = Counter()
        # Called with each of them once it has been carried out, before it is answered.
        self.before_answer: Callable[[IamRequest], None] = lambda _request: None

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        """Record a request and pass it on."""
        found: list[IamRequest] = []
        signed = CREDENTIAL.search(environ.get("HTTP_AUTHORIZATION", ""))
        if signed:
            caller, service = signed.groups()
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)) if _reads_body(environ) else b""
            if body:
                environ["wsgi.input"] = io.BytesIO(body)
            found = [IamRequest(caller, *each) for each in _actions(service, environ, body)]
            with self._lock:
                self.counts.update(found)
        answer = self._inner(environ, start_response)
        for each in found:
            self.before_answer(each)
        return answer


def _reads_body(environ: Environ) -> bool:
    """Return whether the body names the resource. For S3 it is data, which may be chunked."""
    return "/s3/" not in environ["HTTP_AUTHORIZATION"] and "CONTENT_LENGTH" in environ


def _actions(service: str, environ: Environ, body: bytes) -> Iterator[tuple[str, str]]:
    """Yield the actions of a request, each with its resource; none for services that no policy here is about."""
    if service == "s3":
        yield _of_s3(environ)
    elif service == "lambda":
        yield from _of_lambda(environ["REQUEST_METHOD"], environ["PATH_INFO"], body)
    elif service == "apigateway":
        path = environ["PATH_INFO"].rstrip("/")
        yield f"apigateway:{environ['REQUEST_METHOD']}", make_arn(service, path, account="")
    elif service in ("sns", "iam"):
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        yield from _OF_FORMS[service](form["Action"], form)
    elif service in _OF_JSON:
        yield from _OF_JSON[service](environ["HTTP_X_AMZ_TARGET"].rpartition(".")[2], json.loads(body))


def _of_s3(environ: Environ) -> tuple[str, str]:
    path = unquote(environ["PATH_INFO"]).strip("/")
    method, query = environ["REQUEST_METHOD"], environ["QUERY_STRING"].partition("&")[0].partition("=")[0]
    actions = S3 if "/" in path else S3_BUCKET.get(query, S3_BUCKET[""])
    path += "/*" if query == "delete" else ""
    return f"s3:{actions[method]}", make_arn("s3", path, region="", account="")


def _of_lambda(method: str, path: str, body: bytes) -> Iterator[tuple[str, str]]:
    """Yield the action of a request to Lambda: the operation to which botocore gives this method and path."""
    operation, name = next(
        (operation, match.groups())
        for operation, (its_method, pattern) in _lambda_operations().items()
        if its_method == method and (match := pattern.fullmatch(path.rstrip("/")))
    )
    if operation == "CreateFunction":
        request = json.loads(body)
        name = (request["FunctionName"],)
        yield "iam:PassRole", request["Role"]
    action = "InvokeFunction" if operation == "Invoke" else operation
    yield f"lambda:{action}", _arn("lambda", unquote(name[0]), f"function:{unquote(name[0])}") if name else "*"


@functools.cache
def _lambda_operations() -> dict[str, tuple[str, re.Pattern[str]]]:
    """Return the HTTP method and the path of each operation; what varies first in a path names the function."""
    model = botocore.session.get_session().get_service_model("lambda")
    found = {}
    for name in model.operation_names:
        http = model.operation_model(name).http
        path = re.sub(r"\\{\w+\\}", "([^/]+)", re.escape(http["requestUri"].partition("?")[0].rstrip("/")))
        found[name] = (http["method"], re.compile(path))
    return found


def _of_sns(operation: str, form: dict[str, str]) -> Iterator[tuple[str, str]]:
    arn = form.get("TopicArn") or form.get("SubscriptionArn", "").rpartition(":")[0]
    yield f"sns:{operation}", arn or (make_arn("sns", form["Name"]) if "Name" in form else "*")


def _of_iam(operation: str, form: dict[str, str]) -> Iterator[tuple[str, str]]:
    name = form.get("RoleName")
    yield f"iam:{operation}", make_arn("iam", f"role/{name}", region="") if name else "*"


def _of_states(operation: str, request: dict[str, Any]) -> Iterator[tuple[str, str]]:
    arn = request.get("executionArn") or request.get("stateMachineArn") or request.get("activityArn")
    if not arn and "name" in request:
        kind = "activity" if operation == "CreateActivity" else "stateMachine"
        arn = make_arn("states", f"{kind}:{request['name']}")
    if not arn and "taskToken" in request:  # IAM reads the activity out of the token:
        # https://docs.aws.amazon.com/step-functions/latest/dg/concept-create-iam-advanced.html
        arn = activity_of(request["taskToken"])
    yield f"states:{operation}", arn or "*"
    if "roleArn" in request:
        yield "iam:PassRole", request["roleArn"]


def _of_secrets(operation: str, request: dict[str, Any]) -> Iterator[tuple[str, str]]:
    name = request.get("SecretId") or request.get("Name", "")
    # AWS adds six characters to a secret's name to make its ARN.
    yield f"secretsmanager:{operation}", _arn("secretsmanager", name, f"secret:{name}-AbCdEf")


def _of_ssm(operation: str, request: dict[str, Any]) -> Iterator[tuple[str, str]]:
    name = request.get("Name", "")
    yield f"ssm:{operation}", _arn("ssm", name, f"parameter/{name.lstrip('/')}")


def _of_events(operation: str, request: dict[str, Any]) -> Iterator[tuple[str, str]]:
    name = request.get("Rule") or request.get("Name")
    yield f"events:{operation}", make_arn("events", f"rule/{name}") if name else "*"


def _of_logs(operation: str, request: dict[str, Any]) -> Iterator[tuple[str, str]]:
    name = request.get("logGroupName")
    yield f"logs:{operation}", make_arn("logs", f"log-group:{name}:log-stream:") if name else "*"


def _of_alarms(operation: str, request: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name in request.get("AlarmNames") or [request.get("AlarmName", "*")]:
        yield f"cloudwatch:{operation}", make_arn("cloudwatch", f"alarm:{name}")


_OF_FORMS = {"sns": _of_sns, "iam": _of_iam}
_OF_JSON = {
    "states": _of_states,
    "secretsmanager": _of_secrets,
    "ssm": _of_ssm,
    "events": _of_events,
    "logs": _of_logs,
    "monitoring": _of_alarms,
}


def _arn(service: str, name: str, resource: str) -> str:
    """Return `name` if it is an ARN already, otherwise the ARN of `resource`."""
    return name if name.startswith("arn:") else make_arn(service, resource)

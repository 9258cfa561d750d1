"""Records each request to AWS as IAM sees it: who wants to do what with which resource."""

import io
import json
import re
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote

from sandbox.aws.invocations import PATH as INVOCATIONS
from sandbox.aws.model import make_arn
from sandbox.aws.server import Environ, Wsgi

CREDENTIAL = re.compile(r"Credential=([^/]+)/\d+/[a-z0-9-]+/([a-z0-9-]+)/")

# The actions of S3 that comms-reprocess uses, by HTTP method. A multipart upload needs the permission to put.
S3 = {"GET": "GetObject", "HEAD": "GetObject", "PUT": "PutObject", "POST": "PutObject", "DELETE": "DeleteObject"}


@dataclass(frozen=True)
class IamRequest:
    """An action on a resource; `caller` is the access key id, which for a function is its name."""

    caller: str
    action: str
    resource: str


def of_dynamodb(caller: str, operation: str, table: str, index: str, count: int) -> Counter[IamRequest]:
    """Return a number of equal requests to DynamoDB, which counts its requests itself."""
    resource = f"table/{table}/index/{index}" if index else f"table/{table}"
    return Counter({IamRequest(caller, f"dynamodb:{operation}", make_arn("dynamodb", resource)): count})


class RequestRecorder:
    """Counts the requests on their way to `inner`, but for those to DynamoDB."""

    def __init__(self, inner: Wsgi) -> None:
        self._inner = inner
        self._lock = threading.Lock()
        self.counts: Counter[IamRequest] = Counter()

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        """Record a request and pass it on."""
        signed = CREDENTIAL.search(environ.get("HTTP_AUTHORIZATION", ""))
        if signed:
            caller, service = signed.groups()
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)) if _reads_body(environ) else b""
            if body:
                environ["wsgi.input"] = io.BytesIO(body)
            with self._lock:
                self.counts.update(IamRequest(caller, *each) for each in _actions(service, environ, body))
        return self._inner(environ, start_response)


def _reads_body(environ: Environ) -> bool:
    """Return whether the body names the resource. For S3 it is data, which may be chunked."""
    return "/s3/" not in environ["HTTP_AUTHORIZATION"] and "CONTENT_LENGTH" in environ


def _actions(service: str, environ: Environ, body: bytes) -> Iterator[tuple[str, str]]:
    """Yield the actions of a request, each with its resource; none for services that no policy here is about."""
    operation = environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2]
    if service == "states":
        request = json.loads(body)
        yield f"states:{operation}", request.get("executionArn") or request.get("stateMachineArn") or "*"
    elif service == "secretsmanager":
        name = json.loads(body).get("SecretId", "")
        # AWS adds six characters to a secret's name to make its ARN.
        yield f"secretsmanager:{operation}", _arn(service, name, f"secret:{name}-AbCdEf")
    elif service == "ssm":
        name = json.loads(body).get("Name", "")
        yield f"ssm:{operation}", _arn(service, name, f"parameter/{name.lstrip('/')}")
    elif service == "s3":
        path = unquote(environ["PATH_INFO"]).strip("/")
        yield f"s3:{S3[environ['REQUEST_METHOD']]}", make_arn("s3", path, region="", account="")
    elif service == "sns":
        form = parse_qs(body.decode())
        yield f"sns:{form['Action'][0]}", form.get("TopicArn", ["*"])[0]
    elif service == "lambda" and (match := INVOCATIONS.fullmatch(environ["PATH_INFO"])):
        name = unquote(match["function"])
        yield "lambda:InvokeFunction", _arn(service, name, f"function:{name}")


def _arn(service: str, name: str, resource: str) -> str:
    """Return `name` if it is an ARN already, otherwise the ARN of `resource`."""
    return name if name.startswith("arn:") else make_arn(service, resource)

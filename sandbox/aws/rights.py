"""Who asked AWS for what: each request as the action and the resource that IAM would judge it by."""

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
from sandbox.aws.model import ACCOUNT, REGION
from sandbox.aws.server import Environ, Wsgi

CREDENTIAL = re.compile(r"Credential=([^/]+)/\d+/[a-z0-9-]+/([a-z0-9-]+)/")

# The S3 calls by their method, as far as ours are concerned: an upload in parts needs the right to put.
S3 = {"GET": "GetObject", "HEAD": "GetObject", "PUT": "PutObject", "POST": "PutObject", "DELETE": "DeleteObject"}


@dataclass(frozen=True)
class Right:
    """An action on a resource, for which `caller` (an access key id, here a function's name) asked."""

    caller: str
    action: str
    resource: str


class Requests:
    """Counts what passes on its way to `inner`."""

    def __init__(self, inner: Wsgi) -> None:
        self._inner = inner
        self._lock = threading.Lock()
        self.counts: Counter[Right] = Counter()

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        """Note a request and pass it on."""
        signed = CREDENTIAL.search(environ.get("HTTP_AUTHORIZATION", ""))
        if signed:
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)) if _is_small(environ) else b""
            if body:
                environ["wsgi.input"] = io.BytesIO(body)
            with self._lock:
                self.counts.update(Right(signed[1], *each) for each in _rights(signed[2], environ, body))
        return self._inner(environ, start_response)


def _is_small(environ: Environ) -> bool:
    """Whether the body says what is asked for; those of S3 are data, and may be sent in chunks."""
    return "/s3/" not in environ["HTTP_AUTHORIZATION"] and "CONTENT_LENGTH" in environ


def _rights(service: str, environ: Environ, body: bytes) -> Iterator[tuple[str, str]]:
    operation = environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2]
    if service == "dynamodb":
        yield from ((f"dynamodb:{operation}", resource) for resource in _tables(json.loads(body)))
    elif service == "states":
        wanted = json.loads(body)
        yield f"states:{operation}", wanted.get("executionArn") or wanted.get("stateMachineArn") or "*"
    elif service == "secretsmanager":
        name = json.loads(body).get("SecretId", "")
        # AWS adds six characters to a secret's name to make its ARN.
        yield f"secretsmanager:{operation}", name if name.startswith("arn:") else _arn(service, f"secret:{name}-AbCdEf")
    elif service == "ssm":
        name = json.loads(body).get("Name", "")
        yield f"ssm:{operation}", name if name.startswith("arn:") else _arn("ssm", f"parameter/{name.lstrip('/')}")
    elif service == "s3":
        yield f"s3:{S3[environ['REQUEST_METHOD']]}", f"arn:aws:s3:::{unquote(environ['PATH_INFO']).strip('/')}"
    elif service == "sns":
        form = parse_qs(body.decode())
        yield f"sns:{form['Action'][0]}", form.get("TopicArn", ["*"])[0]
    elif service == "lambda" and (match := INVOCATIONS.fullmatch(environ["PATH_INFO"])):
        name = unquote(match["function"])
        yield "lambda:InvokeFunction", name if name.startswith("arn:") else _arn("lambda", f"function:{name}")


def _tables(wanted: dict[str, Any]) -> list[str]:
    names = list(wanted["RequestItems"]) if "RequestItems" in wanted else [wanted.get("TableName", "*")]
    index = f"/index/{wanted['IndexName']}" if "IndexName" in wanted else ""
    return [_arn("dynamodb", f"table/{name}{index}") for name in names]


def _arn(service: str, resource: str) -> str:
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"

"""The program of the embedded AWS's DynamoDB: that of MiniStack, on a socket that it inherits.

`python dynamodb_program.py <number of the listening socket>`. It ends when its stdin closes. `GET /_sandbox/requests`
counts the requests so far by access key, operation, table, index and partitions. `PUT /_sandbox/faults` sets the shares
of the requests that are throttled, that meet a transaction, and whose answer is lost although they were carried out; it
answers with how often each fault has hit.
"""

import asyncio
import json
import os
import random
import re
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

from hypercorn.asyncio import serve
from hypercorn.config import Config
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, Scope
from ministack.app import app as ministack

_CREDENTIAL = re.compile(rb"Credential=([^/]+)/")

_requests: Counter[tuple[str, str, str, str, str]] = Counter()

# Each fault's share of the requests.
_shares = {"throttled": 0.0, "conflict": 0.0, "answer_lost": 0.0}
_hits: Counter[str] = Counter()

# How many times as often faults hit transactions, which are rare.
_TRANSACTIONS_HIT = 10
_random = random.Random(20261122)  # noqa: S311 (no secret)


async def app(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    """Answer a request, as an ASGI application."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
    elif scope["type"] == "http" and scope["path"] == "/_sandbox/faults":
        _shares.update(json.loads(await _body(receive)))
        await _answer(send, json.dumps(_hits).encode())
    elif scope["type"] == "http" and scope["path"] == "/_sandbox/requests":
        await _answer(send, json.dumps([[*key, count] for key, count in _requests.items()]).encode())
    elif scope["type"] == "http":
        await _pass_on(scope, receive, send)


async def _lifespan(receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    """Answer the lifespan here: MiniStack's own would start its other services, some of them on ports of their own."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})  # type: ignore[misc,arg-type]  # one of the two completions
        if message["type"] == "lifespan.shutdown":
            return


async def _pass_on(scope: Any, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    """Record a request and pass it on to MiniStack, unless it is hit by a fault."""
    body = await _body(receive)
    headers = dict(scope["headers"])
    _record(headers, body)
    operation = headers.get(b"x-amz-target", b"").decode().rpartition(".")[2]
    refusal = _refusal(operation, body)
    if refusal:
        await _answer(send, refusal, 400)
        return

    async def replay() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    if _is_hit("answer_lost", operation):
        await ministack(scope, replay, _forget)
        await _answer(send, _error("InternalServerError"), 500)
    else:
        await ministack(scope, replay, send)


def _refusal(operation: str, body: bytes) -> bytes | None:
    """Return the error of a request that is hit by a fault before it is carried out.

    One that meets an ongoing transaction is refused, and a transaction is cancelled with its reasons (Amazon DynamoDB
    Developer Guide, "Transaction conflict handling in DynamoDB").
    """
    if _is_hit("throttled", operation):
        return _error("ThrottlingException")
    if operation == "UpdateItem" and _is_hit("conflict", operation):
        return _error("TransactionConflictException")
    if operation == "TransactWriteItems" and _is_hit("conflict", operation):
        others = [{"Code": "None"}] * (len(json.loads(body)["TransactItems"]) - 1)
        return _error("TransactionCanceledException", CancellationReasons=[{"Code": "TransactionConflict"}, *others])
    return None


def _is_hit(fault: str, operation: str) -> bool:
    often = _TRANSACTIONS_HIT if operation == "TransactWriteItems" else 1
    hit = _random.random() < _shares[fault] * often
    _hits[f"{fault} {operation}"] += hit
    return hit


async def _body(receive: ASGIReceiveCallable) -> bytes:
    body = b""
    while True:
        message: Any = await receive()
        body += bytes(message.get("body", b""))
        if not message.get("more_body"):
            return body


async def _forget(_message: Any) -> None:
    """Drop a part of an answer."""


def _error(name: str, **fields: Any) -> bytes:
    error = {"__type": f"com.amazonaws.dynamodb.v20120810#{name}", "message": "a fault"}
    return json.dumps(error | fields).encode()


def _record(headers: dict[bytes, bytes], body: bytes) -> None:
    signed = _CREDENTIAL.search(headers.get(b"authorization", b""))
    if signed:
        request = json.loads(body)
        operation = headers[b"x-amz-target"].decode().rpartition(".")[2]
        for name, table, part in _parts(operation, request):
            _requests[signed[1].decode(), name, table, request.get("IndexName", ""), _partitions(part)] += 1


def _parts(operation: str, request: Any) -> Iterator[tuple[str, str, Any]]:
    """Yield what IAM checks of a request: an operation, its table, and what it asks of that.

    An action of a transaction counts as the operation of its own, which needs the permission (Amazon DynamoDB Developer
    Guide, "Using IAM with DynamoDB transactions").
    """
    for action in request.get("TransactItems", []):
        for name, part in action.items():
            yield f"{name}Item", part["TableName"], part
    if "TransactItems" not in request:
        for table, part in request.get("RequestItems", {request.get("TableName", "*"): request}).items():
            yield operation, table, part


def _partitions(request: Any) -> str:
    """Return the partitions that a request names, without what follows `#`, sorted and separated by commas."""
    if not isinstance(request, dict):
        return ""  # BatchWriteItem, which nothing here uses
    keys = [*request.get("Keys", []), request.get("Key", {}), request.get("Item", {})]
    keys.append({"pk": request.get("ExpressionAttributeValues", {}).get(":pk", {})})
    names = {key.get("pk", {}).get("S", "").partition("#")[0] for key in keys} - {""}
    return ",".join(sorted(names))


async def _answer(send: ASGISendCallable, body: bytes, status: int = 200) -> None:
    # Every answer of AWS has an id, and moto's interpreter needs that of an error.
    request_id = (b"x-amzn-requestid", str(uuid.uuid4()).encode())
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), request_id]
    await send({"type": "http.response.start", "status": status, "headers": headers, "trailers": False})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def main() -> None:
    """Serve until stdin closes."""
    threading.Thread(target=lambda: (os.read(0, 1), os._exit(0)), daemon=True).start()
    config = Config()
    config.bind = [f"fd://{sys.argv[1]}"]
    config.loglevel = "ERROR"
    # The SDK keeps connections open; one that is closed in between would cost a retry.
    config.keep_alive_timeout = 3600
    config.keep_alive_max_requests = 1_000_000
    asyncio.run(serve(app, config))


if __name__ == "__main__":
    main()

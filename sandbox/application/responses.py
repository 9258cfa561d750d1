"""How an answer goes out: whole, byte by byte, or not at all."""

import time
from collections.abc import Iterator
from socket import SHUT_RDWR, socket

import msgspec
from flask import Response

from sandbox.application.inbox import Answer, refusal

_REDIRECTS = range(300, 400)


def answered(answer: Answer) -> Response:
    """Write an answer as JSON; a redirect has somewhere to go."""
    response = Response(msgspec.json.encode(answer.content), answer.status, mimetype="application/json")
    if answer.status in _REDIRECTS:
        response.location = "/health"
    return response


def broken(status: int) -> Answer:
    """Answer a status that has nothing to do with what was asked."""
    return refusal(status, "broken_on_purpose", "a switch says so")


def dripped(response: Response, seconds: float) -> Response:
    """Let the body go out byte by byte, each after so many seconds; all at once for 0."""
    if not seconds:
        return response
    body = response.get_data()
    slow = Response(_drip(body, seconds), response.status_code, response.headers)
    slow.content_length = len(body)
    return slow


def hung_up(connection: socket) -> Response:
    """Close the connection instead of answering."""
    return Response(_hang_up(connection))


def _drip(body: bytes, seconds: float) -> Iterator[bytes]:
    for byte in body:
        time.sleep(seconds)
        yield bytes([byte])


def _hang_up(connection: socket) -> Iterator[bytes]:
    """Do it before the first byte; werkzeug takes the error for the caller's having gone."""
    connection.shutdown(SHUT_RDWR)
    raise ConnectionAbortedError
    yield b""

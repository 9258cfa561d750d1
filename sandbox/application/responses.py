"""How an answer leaves: as a whole, byte by byte, or not at all."""

import time
from collections.abc import Iterator
from socket import SHUT_RDWR, socket

import msgspec
from flask import Response

from sandbox.application.capacity import Overload
from sandbox.application.inbox import Answer, refusal

_REDIRECTS = range(300, 400)


def to_response(answer: Answer) -> Response:
    """Return an answer as a JSON response. A redirect gets a Location."""
    response = Response(msgspec.json.encode(answer.content), answer.status, mimetype="application/json")
    if answer.status in _REDIRECTS:
        response.location = "/health"
    return response


def injected_error(status: int) -> Answer:
    """Return the answer for a status that a switch asks for."""
    return refusal(status, "broken_on_purpose", "a switch asks for this status")


def too_busy(overload: Overload) -> Response:
    """Refuse a POST for lack of capacity."""
    response = to_response(refusal(overload.status, "too_busy", "the application cannot take more now"))
    if overload.retry_after is not None:
        response.headers["Retry-After"] = str(overload.retry_after)
    return response


def drip(response: Response, seconds: float) -> Response:
    """Send the body byte by byte, each after this many seconds; 0 changes nothing."""
    if not seconds:
        return response
    body = response.get_data()
    slow = Response(_drip(body, seconds), response.status_code, response.headers)
    slow.content_length = len(body)
    return slow


def hang_up(connection: socket) -> Response:
    """Close the connection instead of answering."""
    return Response(_hang_up(connection))


def _drip(body: bytes, seconds: float) -> Iterator[bytes]:
    for byte in body:
        time.sleep(seconds)
        yield bytes([byte])


def _hang_up(connection: socket) -> Iterator[bytes]:
    """Close the connection before the first byte; to werkzeug the error looks as if the caller had hung up."""
    connection.shutdown(SHUT_RDWR)
    raise ConnectionAbortedError
    yield b""

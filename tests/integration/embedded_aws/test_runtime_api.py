"""Lambda's runtime API: an answer counts only if the function's process has sent all of it."""

import socket
from urllib.parse import urlsplit

import pytest

from sandbox.aws.model import Function
from sandbox.aws.runtime_api import Invocation, RuntimeApi

PATH = "/2018-06-01/runtime"


@pytest.fixture
def api():
    started = RuntimeApi()
    yield started
    started.close()


def post(api: RuntimeApi, path: str, body: bytes, length: int) -> None:
    """Send a body of this length, or as much of it as there is, and hang up."""
    address = urlsplit(f"//{api.address}")
    with socket.create_connection((address.hostname, address.port)) as process:
        process.sendall(f"POST {PATH}{path} HTTP/1.1\r\nContent-Length: {length}\r\n\r\n".encode() + body)


@pytest.mark.parametrize("sent", [b"", b'"payments/1'])
def test_a_process_that_is_killed_while_it_answers_has_not_answered(api, sent):
    """What it has sent may look like an answer. The second request is its end, as the sandbox notices it."""
    function = Function("f", "arn", "app.f", 3, 128, (), "sha", b"", reserved=None, retries=0)
    invocation = Invocation(function, b"{}", "1")
    api.submit(invocation)
    post(api, "/invocation/1/response", sent, length=100)
    post(api, "/init/error", b'{"errorType": "Runtime.ExitError"}', length=34)
    result = invocation.future.result(timeout=30)
    assert (result.failed, result.payload) == (True, b'{"errorType": "Runtime.ExitError"}')

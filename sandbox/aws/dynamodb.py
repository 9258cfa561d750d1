"""MiniStack's DynamoDB, in a process of its own: independent of moto's, and much faster.

docs/design.md lists what the two answer differently.
"""

import os
import socket
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Self

import urllib3
from werkzeug import Request, Response

from sandbox.aws.iam_requests import IamRequest, of_dynamodb
from sandbox.aws.logs import FunctionLogs
from sandbox.aws.model import ACCOUNT, REGION
from sandbox.service import BackgroundService

_PROGRAM = Path(__file__).with_name("dynamodb_program.py")

# The headers of a request that decide about its answer.
_HEADERS = ("Authorization", "Content-Type", "X-Amz-Target")


class DynamoDbEnded(Exception):
    """The process has ended, and with it everything in its tables."""


class DynamoDb(BackgroundService):
    """Serves at `url`, on a free loopback port. It starts empty, and forgets everything when it stops."""

    def __init__(self, logs: FunctionLogs) -> None:
        self._logs = logs
        self._http = urllib3.PoolManager(maxsize=50, retries=False)
        self._stopping = False
        self.url = ""

    def start(self) -> Self:
        """Start to serve. Requests wait until it can answer, which takes half a second."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(_PROGRAM), str(listener.fileno())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                # Nothing of our environment: MiniStack has some hundred settings.
                env={"PATH": os.defpath, "MINISTACK_ACCOUNT_ID": ACCOUNT, "MINISTACK_REGION": REGION},
                pass_fds=[listener.fileno()],
                start_new_session=True,  # Ctrl-C does not reach it
            )
        self._printer = threading.Thread(target=self._log, daemon=True)
        self._printer.start()
        return self

    def stop(self) -> None:
        """End the process."""
        self._http.clear()
        self._stopping = True
        self._process.kill()
        self._process.wait()
        self._printer.join()
        assert self._process.stdin
        self._process.stdin.close()

    def check(self) -> None:
        """Raise DynamoDbEnded if the process has ended by itself."""
        status = self._process.poll()
        if status is not None and not self._stopping:
            raise DynamoDbEnded(
                f"DynamoDB's process has ended with status {status}, and its tables are gone: start again"
            )

    def disturb(self, *, throttled: float = 0, conflict: float = 0, answer_lost: float = 0) -> Counter[str]:
        """Throttle this share of all requests from now on, and lose the answers to another share that is carried out.

        What AWS's SDK does then is to repeat the request. `conflict` is the share of updates that meet a transaction,
        and of transactions that are cancelled because they meet another; these the SDK does not repeat. Returns how
        often each fault has hit each operation so far. All faults hit transactions ten times as often.
        """
        shares = {"throttled": throttled, "conflict": conflict, "answer_lost": answer_lost}
        return Counter(self._http.request("PUT", f"{self.url}/_sandbox/faults", json=shares).json())

    def requests(self) -> Counter[IamRequest]:
        """Return the requests so far, as IAM sees them."""
        counted = self._http.request("GET", f"{self.url}/_sandbox/requests").json()
        return sum((of_dynamodb(*each) for each in counted), Counter())

    def __call__(self, request: Request) -> Response:
        """Answer a request that was sent to the embedded AWS's own endpoint."""
        headers = {name: request.headers[name] for name in _HEADERS if name in request.headers}
        answer = self._http.request("POST", self.url, body=request.get_data(), headers=headers)
        return Response(answer.data, answer.status, dict(answer.headers))

    def _log(self) -> None:
        assert self._process.stdout
        with self._process.stdout as output:
            self._logs.copy("dynamodb", output)
        self._process.wait()
        try:
            self.check()
        except DynamoDbEnded as ended:
            self._logs.write("dynamodb", str(ended))

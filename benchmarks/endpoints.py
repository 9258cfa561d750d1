"""An AWS and an application that answer at once, to be run in a process of their own.

It prints its URL. What comes with an `X-Amz-Target` is for AWS: DynamoDB's UpdateItem, which keeps claims, and the
secret. Any other POST is a communication. `GET /` counts the communications that were claimed, then POSTed, and then
recorded as accepted under the same claim: `{"accepted": 3}`.
"""

import json
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# The attributes of a claimed item that the request has a value for under the same name, and those of every first claim.
_GIVEN = ("operation", "primaryId", "owner", "claimId", "until", "key", "created", "createdBy", "expiresAt")
_ASSUMED = {
    "status": {"S": "sending"},
    "previousStatus": {"S": "open"},
    "previousUntil": {"N": "0"},
    "attempts": {"N": "1"},
    "attemptsBefore": {"N": "0"},
    "inDoubt": {"BOOL": False},
}

_CONDITION_FAILED = "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException"


class _Ledger:
    """The items of the communications that were claimed, and which of them were POSTed and accepted since."""

    def __init__(self) -> None:
        self.items: dict[str, dict[str, Any]] = {}
        self.posted: set[str] = set()
        self.accepted = 0

    def update(self, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Answer an UpdateItem as DynamoDB does: the first claim, and the answer that knows the claim's id."""
        key, values = request["Key"]["pk"]["S"], request["ExpressionAttributeValues"]
        if key not in self.items:
            self.items[key] = _claimed(request)
        elif {"S": "accepted"} in values.values() and self.items[key]["claimId"] in values.values():
            self.accepted += key.rpartition("#")[2] in self.posted
        else:
            return 400, {"__type": _CONDITION_FAILED, "message": "The conditional request failed"}
        return 200, {"Attributes": self.items[key]} if request.get("ReturnValues") == "ALL_NEW" else {}


def _claimed(request: dict[str, Any]) -> dict[str, Any]:
    """Return the item of a communication's first claim."""
    values = request["ExpressionAttributeValues"]
    given = {name: values[f":{name}"] for name in _GIVEN if f":{name}" in values}
    item: dict[str, Any] = request["Key"] | given | _ASSUMED | {"history": values[":entry"]}
    return item


class _Endpoint(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one packet
    disable_nagle_algorithm = True
    ledger = _Ledger()

    def do_GET(self) -> None:
        """Answer with the count."""
        self._reply(200, {"accepted": self.ledger.accepted})

    def do_POST(self) -> None:
        """Answer as AWS or as the application."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        target = self.headers["X-Amz-Target"] or ""
        if target.endswith(".UpdateItem"):
            self._reply(*self.ledger.update(body))
        elif target.endswith(".GetSecretValue"):
            self._reply(200, {"Name": body["SecretId"], "SecretString": "secret"})
        else:
            self.ledger.posted.add(body["primaryId"])
            self._reply(202, {"status": "queued"})

    def _reply(self, status: int, answer: dict[str, Any]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("x-amzn-RequestId", "0" * 52)
        self.send_header("x-amz-crc32", str(zlib.crc32(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: it would be measured too."""


def main() -> None:
    """Serve until the process is ended."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Endpoint) as server:
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()

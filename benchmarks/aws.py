"""S3 and DynamoDB as far as a report and the worklist need them, in a process of its own, for runs of any size.

It prints its URL. A run's id begins with how many of its batches are recorded at first, such as `47500-recorded`. What
is asked for is made up then: the memory of a fake must not count as that of the process that is measured.
"""

import json
import re
import sys
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from chalicelib.manifests import ManifestWriter
from chalicelib.models.communications import Communication

BATCH_SIZE = 20
OPERATION = "send.email"
MANIFEST = "manifest.json"

# How many items of a kind have 1 MB, which a query reads at most (Amazon DynamoDB API Reference, "Query").
_BATCHES_PER_PAGE, _ENTRIES_PER_PAGE = 450, 1800

NOON = 1795176000000

_Item = dict[str, Any]


def listed(number: int) -> Communication:
    """Return the communication of this number as an application lists it."""
    return Communication(
        operation=OPERATION,
        primary_id=_id(number),
        listed_at=NOON,
        created_by=f"user-{number % 997}",
        created=NOON - number,
        since=NOON - number,
    )


def _id(number: int) -> str:
    return f"email-{number:08}"


def _attributes(**values: Any) -> _Item:
    """Return an item in DynamoDB's format, without its other types."""
    return {name: {"S": value} if isinstance(value, str) else {"N": str(value)} for name, value in values.items()}


class _Table:
    """The calls of DynamoDB that are needed. They return JSON."""

    def __init__(self, communications: int) -> None:
        self._communications = communications
        self._batches = communications // BATCH_SIZE
        self._put: dict[str, dict[int, str]] = defaultdict(dict)  # the batches that were put, by run
        self._entry = json.dumps(_entry())

    def get_item(self, request: _Item) -> str:
        """Return a run. There is nothing else."""
        key = request["Key"]
        return json.dumps({"Item": self._run(key["pk"]["S"])} if key["sk"]["S"] == "RUN" else {})

    def put_item(self, request: _Item) -> str:
        """Record a batch."""
        item = request["Item"]
        self._put[item["pk"]["S"]][int(item["index"]["N"])] = json.dumps(item)
        return "{}"

    def update_item(self, request: _Item) -> str:
        """Return a run as it is changed, and forget that."""
        values = request["ExpressionAttributeValues"]
        changed = {name.removeprefix(":"): value for name, value in values.items()}
        return json.dumps({"Attributes": self._run(request["Key"]["pk"]["S"]) | changed})

    def batch_get_item(self, _request: _Item) -> str:
        """Know no communication: nothing was sent."""
        return '{"Responses": {}}'

    def query(self, request: _Item) -> str:
        """Return a page of the recorded batches of a run, of the worklist, or of the runs, of which there are none."""
        start = request.get("ExclusiveStartKey")
        if request.get("IndexName") in ("runs", "open"):
            return _page([], None)
        if "IndexName" in request:
            return self._worklist_page(int(start["manualSince"]["N"]) + 1 if start else 0, request["Limit"])
        first = int(start["index"]["N"]) + 1 if start else 0
        return self._batches_page(request["ExpressionAttributeValues"][":pk"]["S"], first)

    def _run(self, pk: str) -> _Item:
        return _attributes(
            runId=pk.removeprefix("RUN#"),
            trigger="request",
            requestedBy="bench",
            status="running",
            requestedAt=NOON,
            manifest=MANIFEST,
            batches=self._batches,
            matched=self._communications,
        )

    def _batches_page(self, pk: str, first: int) -> str:
        recorded, put = int(re.findall(r"\d+", pk)[0]), self._put[pk]
        indexes = [index for index in range(first, self._batches) if index < recorded or index in put]
        page = indexes[:_BATCHES_PER_PAGE]
        items = [put.get(index) or json.dumps(_recorded_batch(index)) for index in page]
        return _page(items, _attributes(index=page[-1]) if len(page) < len(indexes) else None)

    def _worklist_page(self, first: int, limit: int) -> str:
        end = min(first + min(limit, _ENTRIES_PER_PAGE), self._communications)
        items = [self._entry.replace("{id}", _id(each)).replace("{number}", str(each)) for each in range(first, end)]
        last = _attributes(pk=_id(end - 1), sk="COMM", manualSince=end - 1)
        return _page(items, last if end < self._communications else None)


def _page(items: list[str], last: _Item | None) -> str:
    key = f', "LastEvaluatedKey": {json.dumps(last)}' if last else ""
    return f'{{"Count": {len(items)}, "Items": [{",".join(items)}]{key}}}'


def _recorded_batch(index: int) -> _Item:
    """Return a recorded batch, in which one in twenty was rejected."""
    outcomes = [
        _attributes(operation=OPERATION, primaryId=_id(index * BATCH_SIZE + number), outcome="accepted")
        for number in range(BATCH_SIZE - 1)
    ]
    rejected = _attributes(operation=OPERATION, primaryId=_id((index + 1) * BATCH_SIZE - 1), outcome="rejected")
    rejected |= _attributes(reason="no_such_address") | {"manual": {"BOOL": True}}
    items = [{"M": outcome} for outcome in [*outcomes, rejected]]
    return _attributes(pk="RUN#bench", sk=f"BATCH#{index:06}", index=index, at=NOON) | {"outcomes": {"L": items}}


def _entry() -> _Item:
    """Return an entry of the worklist that has been tried twice; `{id}` and `{number}` are to be filled in."""
    owner = "20261121T093000Z-1f0c9a2be344#12345"
    attempt = _attributes(owner=owner, at=NOON, answer="CommunicationRejected", reason="no_such_address")
    entry = _attributes(
        pk=f"COMM#{OPERATION}#{{id}}",
        sk="COMM",
        operation=OPERATION,
        primaryId="{id}",
        status="manual",
        worklist="manual",
        attempts=2,
        until=NOON,
        owner=owner,
        claimId="0123456789abcdef0123456789abcdef",
        answer="CommunicationRejected",
        reason="no_such_address",
        manualBy=owner,
        manualReason="no_such_address",
    )
    return entry | {"manualSince": {"N": "{number}"}, "history": {"L": [{"M": attempt}, {"M": attempt}]}}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one packet
    disable_nagle_algorithm = True
    table: _Table
    manifest: ManifestWriter

    def do_GET(self) -> None:
        """Answer S3's GetObject with a range of the manifest."""
        size = self.manifest.file.seek(0, 2)
        first, last = map(int, re.findall(r"\d+", self.headers.get("Range", f"0-{size}")))
        self.manifest.file.seek(first)
        body = self.manifest.file.read(last + 1 - first)
        self._answer(206, body, {"Content-Range": f"bytes {first}-{first + len(body) - 1}/{size}"})

    def do_POST(self) -> None:
        """Answer a call of DynamoDB."""
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        call = re.sub(r"(?<!^)([A-Z])", r"_\1", self.headers["X-Amz-Target"].partition(".")[2]).lower()
        self._answer(200, getattr(self.table, call)(request).encode(), {"Content-Type": "application/x-amz-json-1.0"})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: it would be measured too."""


def main(communications: int) -> None:
    """Serve until the process is ended."""
    _Handler.table = _Table(communications)
    with ManifestWriter(BATCH_SIZE) as _Handler.manifest:
        for number in range(communications):
            _Handler.manifest.add(listed(number))
        _Handler.manifest.finish()
        with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
            print(f"http://127.0.0.1:{server.server_port}", flush=True)
            server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]))

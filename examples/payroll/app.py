"""Payroll: hours come as a CSV file, and payments leave as one. The functions only translate."""

import re
from typing import Any

from chalice.app import AuthRequest, AuthResponse, Chalice, NotFoundError, Response

from chalicelib import steps, uploads
from chalicelib.errors import refusals
from chalicelib.executions import Executions
from chalicelib.ledger import Ledger
from chalicelib.place import Place
from chalicelib.store import Store

app = Chalice(app_name="payroll")

# Otherwise API Gateway takes the file for UTF-8 text, and replaces what is none before its digest is taken.
app.api.binary_types.append("text/csv")

# In bytes: a third more as Base64, and still below Lambda's 6 MB for an event (AWS Lambda Developer Guide, "Quotas").
MOST_BYTES = 4_000_000

# The id of a payroll: a SHA-256.
_ID = re.compile(r"[0-9a-f]{64}")


@app.authorizer()
def authorizer(request: AuthRequest) -> AuthResponse:
    """Let in whoever has a token: `Authorization: Bearer <token>`."""
    known = Ledger().has_token(request.token.removeprefix("Bearer "))
    return AuthResponse(routes=["*"] if known else [], principal_id="payroll")


@app.route("/payrolls", methods=["POST"], content_types=["text/csv"], authorizer=authorizer)
def upload() -> Response:
    """Take a file: 202 while it is being paid, 200 if it is paid already."""
    request: Any = app.current_request
    content = request.raw_body
    if len(content) > MOST_BYTES:
        return Response({"message": f"a file has at most {MOST_BYTES} bytes: upload it in parts"}, status_code=413)
    found = uploads.upload(content, _deps())
    return Response(found, status_code=200 if found["status"] == "paid" else 202)


@app.route("/payrolls/{payroll}", methods=["GET"], authorizer=authorizer)
def show(payroll: str) -> dict[str, Any]:
    """Say what has become of a payroll."""
    found = uploads.status(payroll, _deps()) if _ID.fullmatch(payroll) else None
    if found is None:
        raise NotFoundError("no such payroll: POST /payrolls answers with its id")
    return found


@app.lambda_function()
def split(event: dict[str, Any], context: Any) -> list[int]:
    """Split a file into batches."""
    with refusals():
        return steps.split(event["payroll"], event["execution"], _store(context))


@app.lambda_function()
def compute(event: dict[str, Any], context: Any) -> None:
    """Check and compute one batch."""
    with refusals():
        steps.compute(event["execution"], event["batch"], _store(context))


@app.lambda_function()
def aggregate(event: dict[str, Any], context: Any) -> str:
    """Add up the batches, and write the payment file."""
    with refusals():
        return steps.aggregate(event["payroll"], event["execution"], event["batches"], _store(context))


@app.lambda_function()
def pay(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Pay all, or nobody."""
    with refusals():
        where = event["payroll"], event["execution"], event["batches"]
        return steps.pay(*where, event["file"], Ledger(), _store(context))


def _store(context: Any) -> Store:
    return Store(Place.of(context.invoked_function_arn))


def _deps() -> uploads.Deps:
    place = Place.of(app.lambda_context.invoked_function_arn)
    return uploads.Deps(Ledger(), Store(place), Executions(place))

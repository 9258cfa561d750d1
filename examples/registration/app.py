"""The Lambda functions: the HTTP API, and the steps of the state machine."""

import re
from http import HTTPStatus
from typing import Any

from chalice.app import BadRequestError, Chalice, ConflictError, NotFoundError, Request, Response

from chalicelib import exchange, mails
from chalicelib.exchange import Refused, Unavailable
from chalicelib.failed_mails import FailedMails, UnknownMail
from chalicelib.registrations import IN_PROGRESS, KeyTaken, Registrations

app = Chalice(app_name="registration")

# The key is an execution's name and a part of the systems' paths.
_KEY = re.compile(r"[A-Za-z0-9_-]{8,64}")
_LONGEST = 200  # characters of a name or an address

# Line ends and other control characters could add lines to a mail, what separates addresses could add recipients, and
# halves of characters are no UTF-8.
_TEXT = re.compile(rf"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]{{1,{_LONGEST}}}")
_ADDRESS = re.compile(r"""[^\s@,;:<>()[\]"\\]+@[^\s@,;:<>()[\]"\\]+""")

Event = dict[str, Any]


@app.route("/registrations", methods=["POST"])
def start_registration() -> Response:
    """Start a registration and answer at once. The same key and body again tell how the same registration is doing."""
    key = _request().headers.get("idempotency-key", "")
    if not _KEY.fullmatch(key):
        raise BadRequestError("The header Idempotency-Key must be 8 to 64 letters, digits, - or _, such as a UUID.")
    try:
        status = _registrations().start(key, _person())
    except KeyTaken:
        raise ConflictError("Another registration has had this Idempotency-Key: use a new one.") from None
    code = HTTPStatus.ACCEPTED if status == IN_PROGRESS else HTTPStatus.OK
    return Response({"key": key, "status": status}, {"Location": f"registrations/{key}"}, code)


@app.route("/registrations/{key}", methods=["GET"])
def get_registration(key: str) -> dict[str, str]:
    """Say how a registration is doing."""
    status = _registrations().status(key) if _KEY.fullmatch(key) else None
    if status is None:
        raise NotFoundError("There is no registration with this key.")
    return {"key": key, "status": status}


@app.route("/mails/failed", methods=["GET"])
def list_failed_mails() -> dict[str, Any]:
    """List the mails that could not be sent, for comms-reprocess."""
    query = _request().query_params
    try:
        return FailedMails().page(query.get("cursor") if query else None)
    except ValueError:
        raise BadRequestError("The cursor must be `next` of an earlier page.") from None


@app.route("/mails", methods=["POST"])
def send_failed_mail() -> Response:
    """Send a failed mail again, for comms-reprocess."""
    mail_id = _body().get("primaryId")
    if not mail_id or not isinstance(mail_id, str):
        raise BadRequestError("primaryId must be the id of a failed mail.")
    try:
        FailedMails().send_again(mail_id)
    except UnknownMail:
        raise NotFoundError("No mail with this primaryId has failed.") from None
    except Refused as error:
        return Response({"code": str(error)}, status_code=HTTPStatus.UNPROCESSABLE_ENTITY)
    except Unavailable:
        return Response({"code": "mail_unavailable"}, status_code=HTTPStatus.SERVICE_UNAVAILABLE)
    return Response({"primaryId": mail_id, "sent": True})


@app.lambda_function()
def register(event: Event, _context: object) -> None:
    """Register the person in one system. Repeating it is safe, because the system knows the key."""
    exchange.call("PUT", event["system"], f"/registrations/{event['key']}", event["person"])


@app.lambda_function()
def cancel(event: Event, _context: object) -> None:
    """Cancel what was done in one system under the same key, and what may still arrive there."""
    exchange.call("DELETE", event["system"], f"/registrations/{event['key']}")


@app.lambda_function()
def send_mail(event: Event, _context: object) -> None:
    """Send the mail that the execution's state asks for."""
    mails.send(event["id"], event["state"])


def _registrations() -> Registrations:
    return Registrations(app.lambda_context.invoked_function_arn)


def _person() -> dict[str, str]:
    """Return who wants to be registered."""
    body = _body()
    name, email = (_text(body, field) for field in ("name", "email"))
    if not _ADDRESS.fullmatch(email):
        raise BadRequestError("email must be an address.")
    return {"name": name, "email": email.lower()}


def _text(body: dict[str, Any], field: str) -> str:
    text = body.get(field)
    if not isinstance(text, str) or not _TEXT.fullmatch(text.strip()):
        raise BadRequestError(f"{field} must be a text of 1 to {_LONGEST} characters, in one line.")
    return text.strip()


def _request() -> Request:
    assert app.current_request, "there is one while a route is called"
    return app.current_request


def _body() -> dict[str, Any]:
    body = _request().json_body
    if not isinstance(body, dict):
        raise BadRequestError("The body must be a JSON object.")
    return body

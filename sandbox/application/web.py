"""The application's HTTP endpoints."""

import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlencode

import msgspec
from flask import Flask, request
from flask.typing import ResponseReturnValue

from sandbox.application.communications import Communications, NewCommunication
from sandbox.application.inbox import Answer, Inbox, Received, refusal
from sandbox.application.listings import EmailQuery, Listings, SmsQuery
from sandbox.application.overview import Overview
from sandbox.application.responses import answered, broken, dripped, hung_up
from sandbox.application.switches import Board, Faults

_T = TypeVar("_T", bound=msgspec.Struct)
_CONTROLS = ("/switches", "/stats", "/health")


@dataclass(frozen=True)
class Parts:
    """What the endpoints talk to; `queued` is called when a row was queued."""

    communications: Communications
    inbox: Inbox
    listings: Listings
    overview: Overview
    board: Board
    queued: Callable[[], None]
    token: str


def create_app(parts: Parts) -> Flask:
    """Return the WSGI application."""
    app = Flask(__name__)
    app.before_request(lambda: _authorize(parts))
    app.register_error_handler(
        msgspec.MsgspecError, lambda error: answered(refusal(400, "invalid_request", str(error)))
    )
    app.add_url_rule("/health", view_func=lambda: {"status": "ok"}, endpoint="health")
    app.add_url_rule("/stats", view_func=parts.overview.stats)
    _add_creation(app, parts)
    _add_listings(app, parts)
    _add_communications(app, parts)
    _add_switches(app, parts.board)
    return app


def _authorize(parts: Parts) -> ResponseReturnValue | None:
    if request.path == "/health":
        return None
    known = hmac.compare_digest(request.headers.get("Authorization", "").encode(), f"Bearer {parts.token}".encode())
    refused = parts.board.switches.unauthorized and request.path not in _CONTROLS
    if known and not refused:
        return None
    return answered(refusal(401, "unauthorized", "the token is missing or wrong"))


def _add_creation(app: Flask, parts: Parts) -> None:
    def create(operation: str) -> ResponseReturnValue:
        wanted = msgspec.json.decode(request.get_data(), type=NewCommunication | list[NewCommunication])
        ids = parts.communications.create(operation, wanted if isinstance(wanted, list) else [wanted])
        parts.queued()
        return {"ids": ids}, 201

    app.add_url_rule("/emails", "create_email", lambda: create("send.email"), methods=["POST"])
    app.add_url_rule("/sms", "create_sms", lambda: create("send.sms"), methods=["POST"])


def _add_listings(app: Flask, parts: Parts) -> None:
    def down() -> ResponseReturnValue | None:
        is_down = parts.board.switches.lists_down
        return answered(refusal(503, "unavailable", "the lists are down")) if is_down else None

    @app.get("/emails/failed")
    def failed_emails() -> ResponseReturnValue:
        query = _query(EmailQuery)
        return down() or _with_next(*parts.listings.emails(query))

    @app.get("/sms/failed")
    def failed_sms() -> ResponseReturnValue:
        query = _query(SmsQuery)
        return down() or parts.listings.sms(query)


def _query(kind: type[_T]) -> _T:
    return msgspec.convert(request.args.to_dict(), kind, strict=False)


def _with_next(page: dict[str, object], cursor: str | None) -> dict[str, object]:
    query = urlencode({**request.args.to_dict(), "cursor": cursor})
    return page | {"next": f"{request.base_url}?{query}" if cursor else None}


def _add_communications(app: Flask, parts: Parts) -> None:
    @app.post("/communications")
    def reprocess() -> ResponseReturnValue:
        headers = request.headers
        received = parts.inbox.receive(request.get_data(), headers.get("Idempotency-Key"), headers.get("X-Run-Id"))
        faults = parts.board.next_call()
        time.sleep(faults.slow)
        answer = _process(parts, received, faults)
        parts.inbox.answered(received, answer.status if answer else None)
        return dripped(answered(answer), faults.drip) if answer else hung_up(request.environ["werkzeug.socket"])

    @app.get("/communications/<path:communication_id>")
    def communication(communication_id: str) -> ResponseReturnValue:
        found = parts.overview.communication(communication_id, request.args.get("operation"))
        return found or answered(refusal(404, "unknown_communication", "there is no such communication"))


def _process(parts: Parts, received: Received, faults: Faults) -> Answer | None:
    """Process it unless a fault is faster; return what to answer, None for hanging up."""
    if faults.status:
        return broken(faults.status)
    if faults.cut == "before":
        return None
    answer = parts.inbox.process(received, doomed=bool(parts.board.switches.accepts_but_never_sends))
    parts.queued()
    if faults.cut == "after":
        return None
    return broken(faults.status_after) if faults.status_after else answer


def _add_switches(app: Flask, board: Board) -> None:
    @app.get("/switches")
    def switches() -> ResponseReturnValue:
        return answered(Answer(200, msgspec.to_builtins(board.switches)))

    @app.post("/switches")
    def set_switches() -> ResponseReturnValue:
        changes = msgspec.json.decode(request.get_data(), type=dict[str, object])
        return answered(Answer(200, msgspec.to_builtins(board.set(changes))))

    @app.delete("/switches")
    def clear_switches() -> ResponseReturnValue:
        return answered(Answer(200, msgspec.to_builtins(board.clear())))

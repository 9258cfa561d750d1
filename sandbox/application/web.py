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
from sandbox.application.inbox import Answer, Inbox, ReceivedPost, refusal
from sandbox.application.listings import EmailQuery, Listings, SmsQuery
from sandbox.application.overview import Overview
from sandbox.application.responses import drip, hang_up, injected_error, to_response, too_busy
from sandbox.application.switches import Faults, SwitchBoard

_T = TypeVar("_T", bound=msgspec.Struct)
_CONTROLS = ("/switches", "/stats", "/health")


@dataclass(frozen=True)
class Services:
    """What the endpoints use. `wake_outbox` is called when a row is ready to be queued."""

    communications: Communications
    inbox: Inbox
    listings: Listings
    overview: Overview
    switchboard: SwitchBoard
    wake_outbox: Callable[[], None]
    token: str


def create_app(services: Services) -> Flask:
    """Return the WSGI application."""
    app = Flask(__name__)
    app.before_request(lambda: _authorize(services))
    app.register_error_handler(
        msgspec.MsgspecError, lambda error: to_response(refusal(400, "invalid_request", str(error)))
    )
    app.add_url_rule("/health", view_func=lambda: {"status": "ok"}, endpoint="health")
    app.add_url_rule("/stats", view_func=services.overview.stats)
    _add_creation(app, services)
    _add_listings(app, services)
    _add_communications(app, services)
    _add_switches(app, services.switchboard)
    return app


def _authorize(services: Services) -> ResponseReturnValue | None:
    if request.path == "/health":
        return None
    token_matches = hmac.compare_digest(
        request.headers.get("Authorization", "").encode(), f"Bearer {services.token}".encode()
    )
    refused = services.switchboard.current.unauthorized and request.path not in _CONTROLS
    if token_matches and not refused:
        return None
    return to_response(refusal(401, "unauthorized", "the token is missing or wrong"))


def _add_creation(app: Flask, services: Services) -> None:
    def create(operation: str) -> ResponseReturnValue:
        new = msgspec.json.decode(request.get_data(), type=NewCommunication | list[NewCommunication])
        ids = services.communications.create(operation, new if isinstance(new, list) else [new])
        services.wake_outbox()
        return {"ids": ids}, 201

    app.add_url_rule("/emails", "create_email", lambda: create("send.email"), methods=["POST"])
    app.add_url_rule("/sms", "create_sms", lambda: create("send.sms"), methods=["POST"])


def _add_listings(app: Flask, services: Services) -> None:
    def refuse_if_down() -> ResponseReturnValue | None:
        is_down = services.switchboard.current.lists_down
        return to_response(refusal(503, "unavailable", "the lists are down")) if is_down else None

    @app.get("/emails/failed")
    def failed_emails() -> ResponseReturnValue:
        query = _query(EmailQuery)
        return refuse_if_down() or _with_next(*services.listings.emails(query))

    @app.get("/sms/failed")
    def failed_sms() -> ResponseReturnValue:
        query = _query(SmsQuery)
        return refuse_if_down() or services.listings.sms(query)


def _query(kind: type[_T]) -> _T:
    return msgspec.convert(request.args.to_dict(), kind, strict=False)


def _with_next(page: dict[str, object], cursor: str | None) -> dict[str, object]:
    query = urlencode({**request.args.to_dict(), "cursor": cursor})
    return page | {"next": f"{request.base_url}?{query}" if cursor else None}


def _add_communications(app: Flask, services: Services) -> None:
    @app.post("/communications")
    def reprocess() -> ResponseReturnValue:
        headers = request.headers
        received = services.inbox.receive(request.get_data(), headers.get("Idempotency-Key"), headers.get("X-Run-Id"))
        if overload := services.switchboard.admit():
            services.inbox.record_answer(received, overload.status, refused=True)
            return too_busy(overload)
        faults = services.switchboard.next_call()
        time.sleep(faults.slow)
        answer = _process(services, received, faults)
        services.inbox.record_answer(received, answer.status if answer else None)
        return drip(to_response(answer), faults.drip) if answer else hang_up(request.environ["werkzeug.socket"])

    @app.get("/communications/<path:communication_id>")
    def communication(communication_id: str) -> ResponseReturnValue:
        found = services.overview.communication(communication_id, request.args.get("operation"))
        return found or to_response(refusal(404, "unknown_communication", "there is no such communication"))


def _process(services: Services, received: ReceivedPost, faults: Faults) -> Answer | None:
    """Process a POST unless a fault prevents it; return the answer, None to hang up."""
    if faults.status:
        return injected_error(faults.status)
    if faults.cut == "before":
        return None
    answer = services.inbox.process(received, never_send=faults.accepts_but_never_sends)
    services.wake_outbox()
    if faults.cut == "after":
        return None
    return injected_error(faults.status_after) if faults.status_after else answer


def _add_switches(app: Flask, switchboard: SwitchBoard) -> None:
    @app.get("/switches")
    def switches() -> ResponseReturnValue:
        return to_response(Answer(200, msgspec.to_builtins(switchboard.current)))

    @app.post("/switches")
    def set_switches() -> ResponseReturnValue:
        changes = msgspec.json.decode(request.get_data(), type=dict[str, object])
        return to_response(Answer(200, msgspec.to_builtins(switchboard.set(changes))))

    @app.delete("/switches")
    def clear_switches() -> ResponseReturnValue:
        return to_response(Answer(200, msgspec.to_builtins(switchboard.clear())))

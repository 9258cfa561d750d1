"""One line of JSON for each call of a function: for which run, how it ended, how long it took. Ids and codes only."""

import functools
import os
import time
from collections.abc import Callable
from typing import Any

from aws_lambda_powertools import Logger
from chalice.app import ChaliceViewError, CloudWatchEvent, Request

from chalicelib import run_ids
from chalicelib.errors import ReprocessError


def log_calls(event: Any, get_response: Callable[[Any], Any]) -> Any:
    """Log a call of any function or route. This is a Chalice middleware.

    An error is passed on to the caller. The runtime logs its traceback on the next line.
    """
    started = time.monotonic()
    try:
        response = get_response(event)
    except (ReprocessError, ChaliceViewError) as error:
        _log("warning", event, started, error=type(error).__name__, reason=getattr(error, "reason", None))
        raise
    except Exception as error:
        _log("error", event, started, error=type(error).__name__)
        raise
    _log("info", event, started, outcome=response.get("outcome") if isinstance(response, dict) else None)
    return response


def log_error(error: Exception, run_id: str | None = None) -> None:
    """Log an error, with its traceback, that a call survives, or raises only in the end."""
    _logger().error("survived", exc_info=error, extra={"run_id": run_id} if run_id else {})


def _log(level: str, event: Any, started: float, **more: Any) -> None:
    fields = _identity(event) | {"duration_ms": round((time.monotonic() - started) * 1000)} | more
    getattr(_logger(), level)("called", extra={name: value for name, value in fields.items() if value is not None})


def _identity(event: Any) -> dict[str, Any]:
    """Return what identifies a call: function, request, run, and communication or route.

    The application's id is logged on purpose: it is what people find in the application's own log.
    """
    if isinstance(event, Request):
        context, route = event.lambda_context, f"{event.method} {event.context.get('resourcePath', '')}"
        return _call(context) | {"route": route, "run_id": _known_run_id(event)}
    if isinstance(event, CloudWatchEvent):
        body = event.to_dict()
        run_id = body["detail"].get("runId") or run_ids.for_schedule(body["id"], body["time"])
        return _call(event.context) | {"run_id": run_id}
    body = event.event
    communication = body.get("communication", {})
    return _call(event.context) | {
        "run_id": body.get("runId"),
        "batch": body.get("index", body.get("batch", {}).get("index")),
        "operation": communication.get("operation"),
        "primary_id": communication.get("primaryId"),
    }


def _known_run_id(request: Request) -> str | None:
    """Return the run id in a path. Anything else that somebody typed there does not get into the log."""
    run_id = (request.uri_params or {}).get("run_id", "")
    return run_id if run_ids.PATTERN.fullmatch(run_id) else None


def _call(context: Any) -> dict[str, Any]:
    return {"function": context.function_name, "request_id": context.aws_request_id}


@functools.cache
def _logger() -> Logger:
    return Logger(service=os.environ.get("RESOURCE_PREFIX"), location=None)

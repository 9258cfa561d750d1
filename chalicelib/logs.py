"""One line of JSON for each call of a function: which run, how it went, how long it took. Ids and codes, no texts."""

import functools
import os
import re
import time
from collections.abc import Callable
from typing import Any

from aws_lambda_powertools import Logger
from chalice.app import ChaliceViewError, CloudWatchEvent, Request

from chalicelib import runs
from chalicelib.errors import ReprocessError

# What chalicelib.runs makes. What else stands in a path is what somebody typed: that is in no log.
_RUN_ID = re.compile(r"[0-9TZ]+-[0-9A-Za-z]{1,12}|key-[0-9a-f]{40}")


def watch(event: Any, get_response: Callable[[Any], Any]) -> Any:
    """Log a call of any function or route; Chalice's middleware.

    An error goes on to whoever asked. Its traceback is in the next line of the log, which is the runtime's own.
    """
    began = time.monotonic()
    try:
        answer = get_response(event)
    except (ReprocessError, ChaliceViewError) as error:
        _log("warning", event, began, error=type(error).__name__, reason=getattr(error, "reason", None))
        raise
    except Exception as error:
        _log("error", event, began, error=type(error).__name__)
        raise
    _log("info", event, began, outcome=answer.get("outcome") if isinstance(answer, dict) else None)
    return answer


def _log(level: str, event: Any, began: float, **more: Any) -> None:
    fields = _identity(event) | {"duration_ms": round((time.monotonic() - began) * 1000)} | more
    getattr(_logger(), level)("called", extra={name: value for name, value in fields.items() if value is not None})


def _identity(event: Any) -> dict[str, Any]:
    """Return what tells a call from others: function, request, run, communication or route."""
    if isinstance(event, Request):
        context, route = event.lambda_context, f"{event.method} {event.context.get('resourcePath', '')}"
        run_id = (event.uri_params or {}).get("run_id", "")
        return _call(context) | {"route": route, "run_id": run_id if _RUN_ID.fullmatch(run_id) else None}
    if isinstance(event, CloudWatchEvent):
        body = event.to_dict()
        run_id = body["detail"].get("runId") or runs.scheduled_id(body["id"], body["time"])
        return _call(event.context) | {"run_id": run_id}
    body = event.event
    it = body.get("communication", {})
    return _call(event.context) | {
        "run_id": body.get("runId"),
        "batch": body.get("index", body.get("batch", {}).get("index")),
        "operation": it.get("operation"),
        "primary_id": it.get("primaryId"),
    }


def _call(context: Any) -> dict[str, Any]:
    return {"function": context.function_name, "request_id": context.aws_request_id}


@functools.cache
def _logger() -> Logger:
    return Logger(service=os.environ.get("RESOURCE_PREFIX"), location=None)

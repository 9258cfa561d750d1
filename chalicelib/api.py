"""The HTTP routes: translate, call, answer."""

import functools
from collections.abc import Callable
from typing import Any, cast

from chalice.app import AuthRequest, AuthResponse, BadRequestError, Blueprint, ConflictError, NotFoundError, Response

from chalicelib import auth, parts, runs, selections, times
from chalicelib.errors import Conflict, InvalidRequest, RunNotFound
from chalicelib.models import Run

api = Blueprint(__name__)

# Execution names are bounded too; a longer key is a mistake.
MAX_KEY = 255


@api.authorizer(name="authorizer")
def authorizer(request: AuthRequest) -> AuthResponse:
    """Say what the bearer of a token may call."""
    # Chalice gives an authorizer no context; the method's ARN tells the place as well.
    return auth.authorize(request, parts.of(request.method_arn).ledger.tokens)


def _answers(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Turn our errors into Chalice's, each with the status that it stands for."""

    @functools.wraps(handler)
    def wrapped(**parameters: str) -> Any:
        try:
            return handler(**parameters)
        except InvalidRequest as error:
            raise BadRequestError(str(error)) from None
        except RunNotFound as error:
            raise NotFoundError(str(error)) from None
        except Conflict as error:
            raise ConflictError(str(error)) from None

    return wrapped


@api.route("/health", methods=["GET"])
def health() -> dict[str, str]:
    """Say that the API answers."""
    return {"status": "ok"}


@api.route("/reprocess", methods=["POST"], authorizer=authorizer)
@_answers
def reprocess() -> Response:
    """Start a run for what the body selects; it is collected and sent behind this answer."""
    request = api.current_request
    caller = auth.require("operator", request.context)
    it = _parts()
    selection = selections.parse(cast(bytes, request.raw_body), it.configuration)
    run_id = runs.requested_id(caller, _idempotency_key(request.headers), it.clock())
    run = runs.request(run_id, caller, selection, it.ledger, it.store, it.clock)
    if run.status == "requested":
        it.invoke_collector(run_id)
    return Response(
        {"runId": run_id, "status": run.status}, status_code=202, headers={"Location": f"{_base()}/runs/{run_id}"}
    )


@api.route("/runs/{run_id}", methods=["GET"], authorizer=authorizer)
@_answers
def read_run(run_id: str) -> dict[str, Any]:
    """Tell how a run stands."""
    auth.require("viewer", api.current_request.context)
    return run_view(_parts().ledger.runs.read(run_id))


@api.route("/runs/{run_id}/stop", methods=["POST"], authorizer=authorizer)
@_answers
def stop_run(run_id: str) -> dict[str, Any]:
    """Let a run end after what is in flight."""
    caller = auth.require("operator", api.current_request.context)
    return run_view(runs.stop(run_id, caller, _parts().ledger))


def run_view(run: Run) -> dict[str, Any]:
    """Return a run as the API shows it: `counts` by outcome, `done` of `matched`."""
    counts = dict(run.counts)
    if not run.closed:
        counts["skipped"] = counts.get("skipped", 0) + sum(run.skipped.values())
    return {
        "runId": run.run_id,
        "trigger": run.trigger,
        "requestedBy": run.requested_by,
        "status": run.status,
        "requestedAt": times.iso(run.requested_at),
        "endedAt": None if run.ended_at is None else times.iso(run.ended_at),
        "matched": run.matched,
        "done": sum(counts.values()),
        "counts": counts,
        "skipped": run.skipped,
        "notListed": run.not_listed,
        "notListedCount": run.not_listed_count,
        "leftOut": run.left_out,
        "leftOutCount": run.left_out_count,
        "error": run.error,
    }


def _idempotency_key(headers: Any) -> str | None:
    key: str | None = headers.get("idempotency-key")
    if key is not None and not 0 < len(key) <= MAX_KEY:
        raise InvalidRequest(f"Idempotency-Key: takes 1 to {MAX_KEY} characters")
    return key


def _base() -> str:
    """Return the path under which API Gateway serves this stage."""
    context = api.current_request.context
    return str(context.get("path", "")).removesuffix(context.get("resourcePath", "")).rstrip("/")


def _parts() -> parts.Parts:
    return parts.of(api.lambda_context.invoked_function_arn)

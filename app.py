"""The Lambda functions. Each translates what AWS passes in, calls one use case, and shapes the answer.

Their names are part of a deployment: Lambda calls `app.<name>`, and Chalice never updates that of a deployed function.
"""

import os
from functools import partial
from typing import Any

import msgspec
from chalice.app import Chalice, CloudWatchEvent

from chalicelib import wiring
from chalicelib.api import authorizer, blueprint
from chalicelib.ledger.pace import Turn
from chalicelib.models.base import as_json
from chalicelib.models.batches import Batch, Task, TaskResult
from chalicelib.runs import approval, collect, next_run, record, report
from chalicelib.runs.reprocess import reprocess_communication
from chalicelib.runs.turn import TurnRequest, limits_of, take_turn
from chalicelib.telemetry.logs import log_calls

__all__ = ["app", "authorizer"]

app = Chalice(app_name="comms-reprocess")
app.register_blueprint(blueprint)
app.register_middleware(log_calls, "all")


@app.schedule(os.environ.get("SCHEDULE", "rate(15 minutes)"))
def collector(event: CloudWatchEvent) -> None:
    """Collect for the run that the schedule starts or that somebody requested, or carry out a bulk run."""
    context: Any = event.context
    deps = wiring.of(context.invoked_function_arn)
    collect.handle_event(
        event.to_dict(),
        deps.recovery(context.get_remaining_time_in_millis),
        partial(deps.collector, context.get_remaining_time_in_millis),
        deps.bulk(context.get_remaining_time_in_millis),
        deps.ledger,
        deps.manifests,
        deps.executions,
        deps.settings,
        deps.notify,
    )


@app.lambda_function(name="begin")
def begin_batch(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Say when a batch may be sent."""
    deps = wiring.of(context.invoked_function_arn)
    return as_json(take_turn(msgspec.convert(event, TurnRequest), deps.ledger, deps.configuration))


@app.lambda_function(name="reprocess")
def reprocess(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Send one communication, once."""
    deps = wiring.of(context.invoked_function_arn)
    task = msgspec.convert(event, Task)
    result = reprocess_communication(task, deps.ledger, deps.application.reprocess, deps.configuration, deps.settings)
    return as_json(result)


@app.lambda_function(name="record")
def record_batch(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Record how a batch ended."""
    deps = wiring.of(context.invoked_function_arn)
    batch = msgspec.convert(event["batch"], Batch)
    results = msgspec.convert(event.get("results", []), list[TaskResult])
    # A child that an earlier version started has no turn.
    turn = msgspec.convert(event["turn"]["Payload"], Turn) if "turn" in event else None
    began = not event.get("halted")
    limits = limits_of(deps.configuration)
    return record.finish_batch(event["runId"], batch, results, turn, deps.ledger, limits, deps.settings, began=began)


@app.lambda_function(name="report")
def report_run(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Close a run, and return its mail."""
    deps = wiring.of(context.invoked_function_arn)
    failure, declined = event.get("failure", {}).get("Error"), "declined" in event
    notification = report.finish_run(
        event["runId"], failure, deps.ledger, deps.manifests, deps.settings, declined=declined
    )
    run = deps.ledger.runs.read(event["runId"])
    return as_json(notification) | next_run.following(run, deps.names.location, deps.ledger)


@app.lambda_function(name="request_approval")
def request_approval(event: dict[str, Any], context: Any) -> None:
    """Keep the task token that ends the state machine's wait, and ask people to decide."""
    deps = wiring.of(context.invoked_function_arn)
    timeout = event["timeoutSeconds"] * 1000
    approval.ask(event["runId"], event["token"], timeout, deps.ledger, deps.executions, deps.notify)

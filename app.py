"""The doors: each translates what AWS hands in, calls one use case, and shapes the reply."""

import os
from typing import Any

import msgspec
from chalice.app import Chalice, CloudWatchEvent

from chalicelib import approvals, logs, metrics, parts, record, reprocessor, runs
from chalicelib.api import api
from chalicelib.models import Batch, Result, Task, as_json

app = Chalice(app_name="comms-reprocess")
app.register_blueprint(api)
app.register_middleware(logs.watch, "all")


@app.schedule(os.environ.get("SCHEDULE", "rate(15 minutes)"))
def collector(event: CloudWatchEvent) -> None:
    """Start the run of a schedule's event, or the one that a request asked for."""
    context: Any = event.context
    it = parts.of(context.invoked_function_arn)
    body = event.to_dict()
    it.recovery.look_after_all()
    run = runs.begin(body, it.ledger, it.clock)
    if run:
        collecting = it.collector(context.get_remaining_time_in_millis)
        run = runs.collect(run, collecting, it.ledger, it.store, it.settings.remind_after_ms, it.notify)
    if "runId" not in body["detail"]:
        worklist = it.ledger.communications.worklist_size(metrics.MOST_COUNTED)
        metrics.collected(it.settings.resource_prefix, run, worklist, it.clock())


@app.lambda_function(name="reprocess")
def reprocess(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Send one communication, once."""
    it = parts.of(context.invoked_function_arn)
    task = msgspec.convert(event, Task)
    outcome = reprocessor.reprocess(
        task, it.ledger.communications, it.application.reprocess, it.configuration, it.settings, it.clock
    )
    return as_json(outcome)


@app.lambda_function(name="record")
def record_batch(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Write down how a batch ended."""
    it = parts.of(context.invoked_function_arn)
    batch = msgspec.convert(event["batch"], Batch)
    results = msgspec.convert(event.get("results", []), list[Result])
    halted = bool(event.get("halted"))
    recorded = record.record_batch(event["runId"], batch, results, it.ledger, it.settings, it.clock, begun=not halted)
    metrics.batch_ended(it.settings.resource_prefix, recorded.outcomes)
    return record.count(recorded.outcomes)


@app.lambda_function(name="report")
def report_run(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Close a run and say who is told what."""
    it = parts.of(context.invoked_function_arn)
    if "declined" in event:
        it.ledger.approvals.expire(event["runId"])
    failure = event.get("failure", {}).get("Error")
    notification = it.report(event["runId"], failure)
    metrics.run_ended(it.settings.resource_prefix, it.ledger.runs.read(event["runId"]))
    return as_json(notification)


@app.lambda_function(name="request_approval")
def request_approval(event: dict[str, Any], context: Any) -> None:
    """Keep the token by which the state machine's wait ends, and ask people to decide."""
    it = parts.of(context.invoked_function_arn)
    timeout = event["timeoutSeconds"] * 1000
    approvals.ask(event["runId"], event["token"], timeout, it.ledger, it.executions, it.notify)

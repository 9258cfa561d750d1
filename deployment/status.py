"""Shows what is deployed, and how it is doing."""

import itertools
import json
from collections.abc import Iterator
from typing import Any

from chalicelib import __version__, times
from chalicelib.ledger.runs import Runs
from chalicelib.ledger.schedule import Schedule
from chalicelib.ledger.table import Table
from chalicelib.models.communications import CommunicationStatus
from chalicelib.models.outcomes import Outcome
from chalicelib.models.runs import Run, RunKind
from chalicelib.names import Names
from deployment import alarms, api, chalice_names, state_machine, topics
from deployment.clients import Clients
from deployment.stage import Stage

# How many runs are shown, and how far the worklist is counted.
_RUNS, _MAX_COUNT = 5, 10_000

_MISSING = "MISSING: run deploy again"

# GET /health as API Gateway passes it on (API Gateway Developer Guide, "Input format of a Lambda function for proxy
# integration").
_HEALTH_CALL = {
    "resource": "/health",
    "path": "/health",
    "httpMethod": "GET",
    "headers": {},
    "multiValueQueryStringParameters": None,
    "pathParameters": None,
    "stageVariables": None,
    "requestContext": {"httpMethod": "GET", "resourcePath": "/health"},
    "body": None,
    "isBase64Encoded": False,
}


# What is shown of a run: which of its counts, and what that means.
_DONE = {
    RunKind.REPROCESS: (Outcome.ACCEPTED.value, "accepted"),
    RunKind.RETRY: ("changed", "retried"),
    RunKind.DISMISS: ("changed", "dismissed"),
}


class NotDeployed(Exception):
    """Nothing of the stage exists. The message says how to deploy it."""


def show(stage: Stage, clients: Clients) -> None:
    """Print the status. NotDeployed if there is nothing to show."""
    rows = [
        ("functions", _functions(clients("lambda"), stage)),
        ("version", _version(clients("lambda"), stage.names)),
        ("API", api_url(clients("apigateway"), stage)),
        ("page", api.page_address(clients("apigateway"), stage) or _MISSING),
        ("machine", _state_machine(clients("stepfunctions"), stage.names)),
        ("schedule", _schedule(clients, stage.names)),
        *(("mail", line) for line in _mails(clients("sns"), stage.names)),
        ("alarms", _alarms(clients("cloudwatch"), stage)),
        *_ledger(clients("dynamodb"), stage),
    ]
    print(f"{stage.names.prefix} in account {stage.names.location.account}, {stage.names.location.region}\n")
    for name, text in rows:
        print(f"{name:<10} {text}")


def _functions(client: Any, stage: Stage) -> str:
    found, last = [], ""
    for name in chalice_names.functions(stage.names):
        try:
            config = client.get_function_configuration(FunctionName=name)
        except client.exceptions.ResourceNotFoundException:
            continue
        found.append(name)
        last = max(last, str(config["LastModified"])[:16])
    if not found:
        raise NotDeployed(
            f"stage {stage.name} is not deployed here: run .venv/bin/python deploy.py deploy --stage {stage.name}"
        )
    return f"{len(found)} of {len(chalice_names.FUNCTIONS)}, last changed {last.replace('T', ' ')} UTC"


def _version(client: Any, names: Names) -> str:
    """Ask the deployed API for its version, without the way through API Gateway."""
    try:
        answer = client.invoke(FunctionName=names.prefix, Payload=json.dumps(_HEALTH_CALL).encode())
    except client.exceptions.ResourceNotFoundException:
        return _MISSING
    body = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        return f"UNKNOWN: the API's function failed with {body.get('errorType')}; look at its log"
    deployed = json.loads(body["body"]).get("version", "before 0.1.0")
    return f"{deployed}{'' if deployed == __version__ else f'; this checkout is {__version__}'}"


def api_url(client: Any, stage: Stage) -> str:
    """Return the API's URL, or that it is missing."""
    api_id = api.find(client, stage)
    return api.url(api_id, stage) if api_id else _MISSING


def _state_machine(client: Any, names: Names) -> str:
    found = state_machine.find(client, names)
    if found is None:
        return _MISSING
    if found["status"] == state_machine.DELETING:
        return "BEING DELETED: wait a few minutes, then run deploy again"
    return f"{found['name']}, executions under way: {len(state_machine.running(client, names))}"


def _schedule(clients: Clients, names: Names) -> str:
    client, dynamodb = clients("events"), clients("dynamodb")
    try:
        rule = client.describe_rule(Name=chalice_names.schedule_rule(names))
    except client.exceptions.ResourceNotFoundException:
        return _MISSING
    try:
        pause = Schedule(Table(dynamodb, names.table), times.now).paused()
    except dynamodb.exceptions.ResourceNotFoundException:
        pause = None  # the table's own row says that it is missing
    if pause:
        return f"{rule['ScheduleExpression']}, PAUSED by {pause.by} since {_minute(pause.at)}: POST /schedule/resume"
    return f"{rule['ScheduleExpression']}, {'enabled' if rule['State'] == 'ENABLED' else 'DISABLED'}"


def _mails(client: Any, names: Names) -> Iterator[str]:
    for arn in (names.succeeded_topic_arn, names.failed_topic_arn, names.alarms_topic_arn):
        name, nobody = arn.rpartition("-")[2], True
        try:
            pages = list(client.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=arn))
        except client.exceptions.NotFoundException:
            yield f"{name}: {_MISSING}"
            continue
        for each in itertools.chain.from_iterable(page["Subscriptions"] for page in pages):
            if each["SubscriptionArn"] == topics.DELETED:
                continue
            nobody = False
            confirmed = each["SubscriptionArn"].startswith("arn:")
            state = "" if confirmed else ", NOT CONFIRMED: follow the link in the mail from Amazon"
            yield f"{name} to {each['Endpoint']}{state}"
        if nobody:
            yield f"{name} to NOBODY: run deploy with --notify"


def _alarms(client: Any, stage: Stage) -> str:
    wanted = [alarms.full_name(each, stage.names) for each in alarms.alarms(stage.names, stage.settings)]
    found = {
        each["AlarmName"]: each["StateValue"] for each in client.describe_alarms(AlarmNames=wanted)["MetricAlarms"]
    }
    active = [name for name, state in found.items() if state == "ALARM"]
    missing = f", {len(wanted) - len(found)} {_MISSING}" if len(found) < len(wanted) else ""
    return (f"IN ALARM: {', '.join(active)}" if active else f"{len(found)}, none in alarm") + missing


def _ledger(client: Any, stage: Stage) -> Iterator[tuple[str, str]]:
    table = Table(client, stage.names.table)
    try:
        size = table.count_index("worklist", CommunicationStatus.MANUAL, _MAX_COUNT)
        runs, _ = Runs(table, times.now, stage.settings.retention_ms).page(_RUNS)
    except client.exceptions.ResourceNotFoundException:
        yield "table", _MISSING
        return
    yield "worklist", f"{size}{' or more' if size >= _MAX_COUNT else ''} need a person"
    for run in runs:
        yield "run", _run(run)
    if not runs:
        yield "run", "none yet"


def _run(run: Run) -> str:
    counted, done = _DONE[run.kind]
    number = run.counts.get(counted, 0)
    return f"{_minute(run.requested_at)}  {run.status:<10} {number} of {run.matched} {done}  {run.run_id}"


def _minute(moment: int) -> str:
    return times.format_iso(moment)[:16].replace("T", " ") + " UTC"

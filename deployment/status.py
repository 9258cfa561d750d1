"""What is deployed and how it goes, at a glance."""

import itertools
from collections.abc import Iterator
from typing import Any

from chalicelib import times
from chalicelib.ledger.schedule import Schedule
from chalicelib.ledger.table import Table
from chalicelib.settings import Names
from deployment import alarms, api, machine, naming, topics
from deployment.clients import Clients
from deployment.stage import Stage

# How many runs are shown, and how far the worklist is counted.
_RUNS, _MOST = 5, 10_000


class NotDeployed(Exception):
    """Nothing of the stage is there; the message says how to deploy it."""


def show(stage: Stage, clients: Clients) -> None:
    """Print it. NotDeployed if there is nothing to show."""
    rows = [
        ("functions", _functions(clients("lambda"), stage)),
        ("API", _api(clients("apigateway"), stage)),
        ("workflow", _workflow(clients("stepfunctions"), stage.names)),
        ("schedule", _schedule(clients, stage.names)),
        *(("mail", line) for line in _mails(clients("sns"), stage.names)),
        ("alarms", _alarms(clients("cloudwatch"), stage)),
        *_ledger(clients("dynamodb"), stage.names),
    ]
    print(f"{stage.names.prefix} in account {stage.names.place.account}, {stage.names.place.region}\n")
    for name, text in rows:
        print(f"{name:<10} {text}")


def _functions(client: Any, stage: Stage) -> str:
    there, last = [], ""
    for name in naming.functions(stage.names):
        try:
            found = client.get_function_configuration(FunctionName=name)
        except client.exceptions.ResourceNotFoundException:
            continue
        there.append(name)
        last = max(last, str(found["LastModified"])[:16])
    if not there:
        raise NotDeployed(f"stage {stage.name} is not deployed here: run python deploy.py deploy --stage {stage.name}")
    return f"{len(there)} of {len(naming.FUNCTIONS)}, last changed {last.replace('T', ' ')} UTC"


def _api(client: Any, stage: Stage) -> str:
    api_id = api.find(client, stage)
    return api.url(api_id, stage) if api_id else "MISSING: run deploy again"


def _workflow(client: Any, names: Names) -> str:
    try:
        found = client.describe_state_machine(stateMachineArn=names.state_machine)
    except client.exceptions.StateMachineDoesNotExist:
        return "MISSING: run deploy again"
    return f"{found['name']}, {len(machine.running(client, names))} executions under way"


def _schedule(clients: Clients, names: Names) -> str:
    client, dynamodb = clients("events"), clients("dynamodb")
    try:
        rule = client.describe_rule(Name=naming.schedule_rule(names))
    except client.exceptions.ResourceNotFoundException:
        return "MISSING: run deploy again"
    try:
        pause = Schedule(Table(dynamodb, names.table), times.now).paused()
    except dynamodb.exceptions.ResourceNotFoundException:
        pause = None  # the table's own line says that it is missing
    if pause:
        return f"{rule['ScheduleExpression']}, PAUSED by {pause.by} since {_minute(pause.at)}: POST /schedule/resume"
    return f"{rule['ScheduleExpression']}, {'enabled' if rule['State'] == 'ENABLED' else 'DISABLED'}"


def _mails(client: Any, names: Names) -> Iterator[str]:
    for arn in (names.succeeded_topic, names.failed_topic, alarms.topic(names)):
        name, nobody = arn.rpartition("-")[2], True
        try:
            pages = list(client.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=arn))
        except client.exceptions.NotFoundException:
            yield f"{name}: MISSING: run deploy again"
            continue
        for each in itertools.chain.from_iterable(page["Subscriptions"] for page in pages):
            if each["SubscriptionArn"] == topics.DELETED:
                continue
            nobody = False
            confirmed = each["SubscriptionArn"].startswith("arn:")
            state = "" if confirmed else ", NOT CONFIRMED: follow the link in the mail that Amazon sent"
            yield f"{name} to {each['Endpoint']}{state}"
        if nobody:
            yield f"{name} to NOBODY: run deploy with --notify"


def _alarms(client: Any, stage: Stage) -> str:
    wanted = [f"{stage.names.prefix}-{each.name}" for each in alarms.alarms(stage.names, stage.settings)]
    found = {
        each["AlarmName"]: each["StateValue"] for each in client.describe_alarms(AlarmNames=wanted)["MetricAlarms"]
    }
    ringing = [name for name, state in found.items() if state == "ALARM"]
    missing = f", {len(wanted) - len(found)} MISSING: run deploy again" if len(found) < len(wanted) else ""
    return (f"RINGING: {', '.join(ringing)}" if ringing else f"{len(found)}, none rings") + missing


def _ledger(client: Any, names: Names) -> Iterator[tuple[str, str]]:
    table = Table(client, names.table)
    try:
        size = table.count_index("worklist", "manual", _MOST)
        runs = list(itertools.islice(table.query_index("runs", "RUN", oldest_first=False), _RUNS))
    except client.exceptions.ResourceNotFoundException:
        yield "table", "MISSING: run deploy again"
        return
    yield "worklist", f"{size}{' or more' if size >= _MOST else ''} need a person"
    for run in runs:
        yield "run", _run(run)
    if not runs:
        yield "run", "none yet"


def _run(run: dict[str, Any]) -> str:
    accepted = run.get("counts", {}).get("accepted", run.get("n_accepted", 0))
    when = _minute(int(run["requestedAt"]))
    return f"{when}  {run['status']:<10} {accepted} of {run.get('matched', 0)} accepted  {run['runId']}"


def _minute(moment: int) -> str:
    return times.iso(moment)[:16].replace("T", " ") + " UTC"

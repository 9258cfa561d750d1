"""Shows what is deployed, and how it is doing."""

import itertools
import json
from collections.abc import Iterator
from functools import partial
from typing import Any

from chalicelib.names import Names
from deployment import alarms, api, chalice_names, state_machine, topics
from deployment.clients import Clients
from deployment.stage import Stage

MISSING = "MISSING: run deploy again"

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

# A row of what is shown: a word, and a text.
Row = tuple[str, str]


class NotDeployed(Exception):
    """Nothing of the stage exists. The message says how to deploy it."""


def show(stage: Stage, clients: Clients) -> None:
    """Print the status. NotDeployed if there is nothing to show."""
    found = list((stage.description.status or partial(rows, stage))(clients))
    print(f"{stage.names.prefix} in account {stage.names.location.account}, {stage.names.location.region}\n")
    for name, text in found:
        print(f"{name:<10} {text}")


def rows(stage: Stage, clients: Clients) -> Iterator[Row]:
    """Yield what there is to say about any project. NotDeployed if nothing of it exists."""
    yield from of_functions(stage, clients)
    for function in stage.description.scheduled:
        yield "schedule", schedule(clients("events"), chalice_names.schedule_rule(stage.names, function))
    yield from of_messages(stage, clients)


def of_functions(stage: Stage, clients: Clients) -> Iterator[Row]:
    """Yield the functions, the API and the state machine. NotDeployed if there is no function."""
    yield "functions", _functions(clients("lambda"), stage)
    if stage.description.version:
        yield "version", _version(clients("lambda"), stage.names, stage.description.version)
    if stage.description.has_api:
        yield "API", api_url(clients("apigateway"), stage)
    if stage.description.page:
        yield "page", api.page_address(clients("apigateway"), stage) or MISSING
    yield "machine", _state_machine(clients("stepfunctions"), stage.names)


def of_messages(stage: Stage, clients: Clients) -> Iterator[Row]:
    """Yield who gets mails, and the alarms."""
    for line in _mails(clients("sns"), stage.names, stage.description.all_topics):
        yield "mail", line
    if stage.description.alarms:
        yield "alarms", _alarms(clients("cloudwatch"), stage)


def _functions(client: Any, stage: Stage) -> str:
    found, last = [], ""
    for name in chalice_names.functions(stage.names, stage.description.functions):
        try:
            config = client.get_function_configuration(FunctionName=name)
        except client.exceptions.ResourceNotFoundException:
            continue
        found.append(name)
        last = max(last, str(config["LastModified"])[:16])
    if not found:
        raise NotDeployed(
            f"stage {stage.name} is not deployed here: run .venv/bin/python deploy.py deploy --stage {stage.name}"
            f"{stage.option}"
        )
    return f"{len(found)} of {len(stage.description.functions)}, last changed {last.replace('T', ' ')} UTC"


def _version(client: Any, names: Names, wanted: str) -> str:
    """Ask the deployed API for its version, without the way through API Gateway."""
    try:
        answer = client.invoke(FunctionName=names.prefix, Payload=json.dumps(_HEALTH_CALL).encode())
    except client.exceptions.ResourceNotFoundException:
        return MISSING
    body = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        return f"UNKNOWN: the API's function failed with {body.get('errorType')}; look at its log"
    deployed = json.loads(body["body"]).get("version", "before 0.1.0")
    return f"{deployed}{'' if deployed == wanted else f'; this checkout is {wanted}'}"


def api_url(client: Any, stage: Stage) -> str:
    """Return the API's URL, or that it is missing."""
    api_id = api.find(client, stage)
    return api.url(api_id, stage) if api_id else MISSING


def _state_machine(client: Any, names: Names) -> str:
    found = state_machine.find(client, names)
    if found is None:
        return MISSING
    if found["status"] == state_machine.DELETING:
        return "BEING DELETED: wait a few minutes, then run deploy again"
    return f"{found['name']}, executions under way: {len(state_machine.running(client, names))}"


def schedule(client: Any, rule: str, pause: str | None = None) -> str:
    """Return what fires a function, and whether it is enabled; `pause` says who has paused it in another way."""
    try:
        found = client.describe_rule(Name=rule)
    except client.exceptions.ResourceNotFoundException:
        return MISSING
    return f"{found['ScheduleExpression']}, {pause or ('enabled' if found['State'] == 'ENABLED' else 'DISABLED')}"


def _mails(client: Any, names: Names, known: list[str]) -> Iterator[str]:
    for name in known:
        arn, nobody = names.topic_arn(name), True
        try:
            pages = list(client.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=arn))
        except client.exceptions.NotFoundException:
            yield f"{name}: {MISSING}"
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
    wanted = [alarms.full_name(each, stage.names) for each in stage.description.alarms]
    found = {
        each["AlarmName"]: each["StateValue"] for each in client.describe_alarms(AlarmNames=wanted)["MetricAlarms"]
    }
    active = [name for name, state in found.items() if state == "ALARM"]
    missing = f", {len(wanted) - len(found)} {MISSING}" if len(found) < len(wanted) else ""
    return (f"IN ALARM: {', '.join(active)}" if active else f"{len(found)}, none in alarm") + missing

"""All resources of a stage as steps, in an order in which each finds what it needs."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

from chalicelib.names import Names
from deployment import (
    activities,
    alarms,
    api,
    bucket,
    chalice_names,
    definition,
    functions,
    logs,
    roles,
    state_machine,
    table,
    topics,
)
from deployment.clients import Clients
from deployment.description import ALARMS, Bucket, Table
from deployment.stage import Stage
from deployment.steps import Step, StepResult


def steps(
    stage: Stage, clients: Clients, addresses: list[str], child_execution_type: str, chalice: Callable[[], StepResult]
) -> list[Step]:
    """Return the steps of a stage. The state machine comes last, so that no run finds half a deployment."""
    return [
        *_storage(stage, clients),
        *_topics(stage, clients),
        *_subscriptions(stage, clients, addresses),
        *_functions(stage, clients, chalice),
        *_page(stage, clients),
        *_activities(stage, clients),
        *_state_machine(stage, clients, child_execution_type),
    ]


def _storage(stage: Stage, clients: Clients) -> list[Step]:
    names, description, logs_client = stage.names, stage.description, clients("logs")
    groups = logs.groups(names, description.functions)
    return [
        *(_table(each, each.full_name(names), clients("dynamodb")) for each in description.tables),
        *(_bucket(each, names, clients("s3")) for each in description.buckets),
        Step("logs", names.prefix, lambda: logs.ensure(logs_client, groups), lambda: logs.remove(logs_client, groups)),
    ]


def _table(wanted: Table, name: str, client: Any) -> Step:
    return Step(
        "table",
        name,
        lambda: table.ensure(client, wanted, name),
        lambda: table.remove(client, name),
        holds_data=True,
    )


def _bucket(wanted: Bucket, names: Names, client: Any) -> Step:
    return Step(
        "bucket",
        wanted.full_name(names),
        lambda: bucket.ensure(client, names, wanted),
        lambda: bucket.remove(client, names, wanted),
        holds_data=True,
    )


def _topics(stage: Stage, clients: Clients) -> list[Step]:
    names, sns = stage.names, clients("sns")
    return [
        Step(
            "topic",
            names.named(name),
            _ensure_topic(name, names, sns),
            partial(topics.remove, sns, names.topic_arn(name)),
        )
        for name in stage.description.all_topics
    ]


def _ensure_topic(name: str, names: Names, client: Any) -> Callable[[], StepResult]:
    if name == ALARMS:
        return partial(alarms.ensure_topic, client, names)
    return partial(topics.ensure_topic, client, names.topic_arn(name))


def _subscriptions(stage: Stage, clients: Clients, addresses: list[str]) -> list[Step]:
    names, sns = stage.names, clients("sns")
    return [
        Step(
            "subscription",
            f"{address} to {names.named(name)}",
            partial(topics.ensure_subscription, sns, names.topic_arn(name), address),
        )
        for address in addresses
        for name in stage.description.all_topics
    ]


def _functions(stage: Stage, clients: Clients, chalice: Callable[[], StepResult]) -> list[Step]:
    return [
        Step("chalice deploy", stage.name, chalice, lambda: functions.remove(clients, stage)),
        *(_no_retries(chalice_names.function(stage.names, each), clients) for each in stage.description.not_retried),
        *_limits(stage, clients),
    ]


def _no_retries(name: str, clients: Clients) -> Step:
    client = clients("lambda")
    return Step("retries off", name, lambda: functions.ensure_no_retries(client, name))


def _limits(stage: Stage, clients: Clients) -> list[Step]:
    if not stage.description.has_api:
        return []
    client = clients("apigateway")
    return [Step("limits", f"{stage.app_name} API", lambda: api.ensure_limits(client, stage))]


def _page(stage: Stage, clients: Clients) -> list[Step]:
    """Return the steps of what leads people to the page: its address, and the alarms, which name it."""
    page = stage.description.page
    # Looked up once, and only when Chalice has created the API.
    address = cache(lambda: api.page_address(clients("apigateway"), stage) if page else None)
    noted = page.noted(clients) if page else None
    steps = [Step("address", "of the page", lambda: api.ensure_page_address(noted, address()))] if noted else []
    return steps + _alarms(stage, clients, address)


def _alarms(stage: Stage, clients: Clients, address: Callable[[], str | None]) -> list[Step]:
    names, cloudwatch = stage.names, clients("cloudwatch")

    def ensure(each: alarms.Alarm) -> StepResult:
        return alarms.ensure(cloudwatch, each, names, address())

    return [
        Step(
            "alarm",
            alarms.full_name(each, names),
            partial(ensure, each),
            partial(alarms.remove, cloudwatch, names, each),
        )
        for each in stage.description.alarms
    ]


def _activities(stage: Stage, clients: Clients) -> list[Step]:
    names, states = stage.names, clients("stepfunctions")
    return [
        Step(
            "activity",
            names.named(name),
            partial(activities.ensure, states, names.activity_arn(name)),
            partial(activities.remove, states, names.activity_arn(name)),
        )
        for name in stage.description.activities
    ]


def _state_machine(stage: Stage, clients: Clients, child_execution_type: str) -> list[Step]:
    names, iam = stage.names, clients("iam")
    states = clients("stepfunctions")
    machine = stage.description.state_machine
    text = definition.read(stage.project, machine, child_execution_type)
    policy = state_machine.policy(names, machine.statements, traced=stage.traced)
    role = state_machine.role_name(names)
    return [
        Step("role", role, lambda: state_machine.ensure_role(iam, names, policy), lambda: roles.remove(iam, role)),
        Step(
            "state machine",
            names.prefix,
            lambda: state_machine.ensure_machine(states, names, text, traced=stage.traced),
            lambda: state_machine.remove_machine(states, names),
        ),
    ]

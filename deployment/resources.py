"""All resources of a stage as steps, in an order in which each finds what it needs."""

import functools
from collections.abc import Callable
from functools import partial

from chalicelib.ledger.page import PageAddress
from chalicelib.ledger.table import Table
from deployment import alarms, api, bucket, definition, functions, logs, roles, state_machine, table, topics
from deployment.clients import Clients
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
        *_state_machine(stage, clients, child_execution_type),
    ]


def _storage(stage: Stage, clients: Clients) -> list[Step]:
    names = stage.names
    dynamodb, s3, groups = clients("dynamodb"), clients("s3"), clients("logs")
    return [
        Step(
            "table",
            names.table,
            lambda: table.ensure(dynamodb, names.table),
            lambda: table.remove(dynamodb, names.table),
            holds_data=True,
        ),
        Step(
            "bucket",
            names.bucket,
            lambda: bucket.ensure(s3, names),
            lambda: bucket.remove(s3, names),
            holds_data=True,
        ),
        Step("logs", names.prefix, lambda: logs.ensure(groups, names), lambda: logs.remove(groups, names)),
    ]


def _topics(stage: Stage, clients: Clients) -> list[Step]:
    names, sns = stage.names, clients("sns")
    mails = (names.succeeded_topic_arn, names.failed_topic_arn)
    ensures = {arn: partial(topics.ensure_topic, sns, arn) for arn in mails}
    ensures[names.alarms_topic_arn] = partial(alarms.ensure_topic, sns, names)
    return [
        Step("topic", arn.rpartition(":")[2], ensure, partial(topics.remove, sns, arn))
        for arn, ensure in ensures.items()
    ]


def _subscriptions(stage: Stage, clients: Clients, addresses: list[str]) -> list[Step]:
    names, sns = stage.names, clients("sns")
    arns = (names.succeeded_topic_arn, names.failed_topic_arn, names.alarms_topic_arn)
    return [
        Step(
            "subscription",
            f"{address} to {arn.rpartition(':')[2]}",
            partial(topics.ensure_subscription, sns, arn, address),
        )
        for address in addresses
        for arn in arns
    ]


def _functions(stage: Stage, clients: Clients, chalice: Callable[[], StepResult]) -> list[Step]:
    names, apigateway, lambdas = stage.names, clients("apigateway"), clients("lambda")
    return [
        Step("chalice deploy", stage.name, chalice, lambda: functions.remove(clients, stage)),
        Step("retries off", names.function("collector"), lambda: functions.ensure_no_retries(lambdas, names)),
        Step("limits", f"{stage.app_name} API", lambda: api.ensure_limits(apigateway, stage)),
    ]


def _page(stage: Stage, clients: Clients) -> list[Step]:
    """Return the steps of what leads people to the page: its address, and the alarms, which name it."""
    page = PageAddress(Table(clients("dynamodb"), stage.names.table))
    # Looked up once, and only when Chalice has created the API.
    address = functools.cache(lambda: api.page_address(clients("apigateway"), stage))
    return [
        Step("address", "of the page", lambda: api.ensure_page_address(page, address())),
        *_alarms(stage, clients, address),
    ]


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
        for each in alarms.alarms(names, stage.settings)
    ]


def _state_machine(stage: Stage, clients: Clients, child_execution_type: str) -> list[Step]:
    names, iam = stage.names, clients("iam")
    states = clients("stepfunctions")
    values = definition.placeholders(names, child_execution_type)
    text = definition.render(stage.project / "statemachine.json", values)
    role = state_machine.role_name(names)
    return [
        Step("role", role, lambda: state_machine.ensure_role(iam, names), lambda: roles.remove(iam, role)),
        Step(
            "state machine",
            names.prefix,
            lambda: state_machine.ensure_machine(states, names, text, traced=stage.traced),
            lambda: state_machine.remove_machine(states, names),
        ),
    ]

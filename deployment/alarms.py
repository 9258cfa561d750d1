"""The CloudWatch alarms, and the topic that they tell people by.

CloudWatch may not publish to a topic that is encrypted with the key that SNS manages, and a key of one's own costs a
dollar a month (Amazon SNS Developer Guide, "Managing Amazon SNS encryption keys and costs"). So the alarms have a
topic of their own, unencrypted: what goes through it are names and numbers of alarms, never a communication.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib.metrics import NAMESPACE
from chalicelib.settings import Names, Settings
from deployment.steps import Done

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_UNITS = {"minute": _MINUTE, "hour": _HOUR, "day": _DAY}

# The schedules without a collector's success after which people are told.
MISSED = 3


@dataclass(frozen=True)
class Alarm:
    """One alarm. `metric` is `Namespace/Name`; it rings if all of `periods` of `period` seconds are beyond `threshold`.

    `missing` says what a period without a value means. With `growth` not the value counts but what it grew by.
    """

    name: str
    meaning: str
    metric: str
    dimensions: Mapping[str, str]
    period: int
    periods: int
    comparison: str = "GreaterThanOrEqualToThreshold"
    threshold: float = 1
    statistic: str = "Maximum"
    missing: str = "notBreaching"
    growth: bool = False


def topic(names: Names) -> str:
    """Return the ARN of the alarms' topic."""
    return names.succeeded_topic.removesuffix("-succeeded") + "-alarms"


def alarms(names: Names, settings: Settings) -> list[Alarm]:
    """Return the alarms of a stage."""
    ours = {"service": names.prefix}
    machine = {"StateMachineArn": names.state_machine}
    collector = {"FunctionName": names.function("collector")}
    every = schedule_period(settings.schedule)
    return [
        _once("run-failed", "A run has failed.", f"{NAMESPACE}/RunsFailed", ours),
        _once("execution-failed", "An execution ended without its report.", "AWS/States/ExecutionsFailed", machine),
        Alarm(
            name="collector-missing",
            meaning=f"No collector has completed for {MISSED} schedules.",
            metric=f"{NAMESPACE}/CollectorCompleted",
            dimensions=ours,
            period=every,
            periods=MISSED,
            comparison="LessThanThreshold",
            threshold=1,
            statistic="Sum",
            missing="breaching",
        ),
        Alarm(
            name="oldest-failure",
            meaning="A failed communication waits too long.",
            metric=f"{NAMESPACE}/OldestFailureAge",
            dimensions=ours,
            period=900,
            periods=1,
            threshold=settings.alarm_oldest_failure_s,
            # Between two schedules nothing is known to be better.
            missing="ignore",
        ),
        Alarm(
            name="worklist-growing",
            meaning="More and more communications need a person.",
            metric=f"{NAMESPACE}/WorklistSize",
            dimensions=ours,
            period=max(_HOUR, every),
            periods=3,
            growth=True,
        ),
        _once("collector-errors", "The collector fails.", "AWS/Lambda/Errors", collector),
    ]


def _once(name: str, meaning: str, metric: str, dimensions: Mapping[str, str]) -> Alarm:
    """Return an alarm that rings if it happened even once in five minutes."""
    return Alarm(name, meaning, metric, dimensions, period=300, periods=1, statistic="Sum")


def schedule_period(expression: str) -> int:
    """Return the seconds of one period of a schedule; of a cron expression, whose gaps differ, a day.

    An alarm may look back a day, or seven with periods of an hour and more (Amazon CloudWatch API reference,
    PutMetricAlarm): beyond two days a schedule counts as one of two days.
    """
    match = re.fullmatch(r"rate\((\d+) (minute|hour|day)s?\)", expression.strip())
    seconds = int(match[1]) * _UNITS[match[2]] if match else _DAY
    return min(seconds, 2 * _DAY)


def request(alarm: Alarm, names: Names) -> dict[str, Any]:
    """Return an alarm as PutMetricAlarm takes it."""
    common = {
        "AlarmName": f"{names.prefix}-{alarm.name}",
        "AlarmDescription": f"{alarm.meaning} What to do: docs/operate.md, {alarm.name}.",
        "AlarmActions": [topic(names)],
        "OKActions": [topic(names)],
        "EvaluationPeriods": alarm.periods,
        "ComparisonOperator": alarm.comparison,
        "Threshold": float(alarm.threshold),
        "TreatMissingData": alarm.missing,
    }
    namespace, _, metric = alarm.metric.rpartition("/")
    dimensions = [{"Name": name, "Value": value} for name, value in alarm.dimensions.items()]
    if not alarm.growth:
        shown = {"Namespace": namespace, "MetricName": metric, "Dimensions": dimensions}
        return common | shown | {"Period": alarm.period, "Statistic": alarm.statistic}
    source = {
        "Metric": {"Namespace": namespace, "MetricName": metric, "Dimensions": dimensions},
        "Period": alarm.period,
        "Stat": alarm.statistic,
    }
    return common | {
        "Metrics": [
            {"Id": "value", "MetricStat": source, "ReturnData": False},
            {"Id": "growth", "Expression": "DIFF(value)", "Label": "growth", "ReturnData": True},
        ]
    }


def ensure(client: Any, alarm: Alarm, names: Names) -> Done:
    """Make sure of an alarm."""
    wanted = request(alarm, names)
    found = client.describe_alarms(AlarmNames=[wanted["AlarmName"]])["MetricAlarms"]
    if found and all(_plain(found[0].get(key)) == _plain(value) for key, value in wanted.items()):
        return Done.UNCHANGED
    client.put_metric_alarm(**wanted)
    return Done.CHANGED if found else Done.CREATED


def _plain(value: Any) -> Any:
    """Return a value without what AWS adds to it when it answers."""
    if isinstance(value, list):
        # Nothing promises that the parts of a formula come back in their order.
        return sorted((_plain(each) for each in value), key=lambda each: json.dumps(each, sort_keys=True))
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items() if each not in (None, [])}
    return value


def remove(client: Any, names: Names, alarm: Alarm) -> bool:
    """Remove an alarm; return whether there was one."""
    name = f"{names.prefix}-{alarm.name}"
    if not client.describe_alarms(AlarmNames=[name])["MetricAlarms"]:
        return False
    client.delete_alarms(AlarmNames=[name])
    return True


def ensure_topic(client: Any, names: Names) -> Done:
    """Make sure of a topic that this account's alarms may publish to, and nobody else."""
    arn, wanted = topic(names), topic_policy(names)
    try:
        attributes = client.get_topic_attributes(TopicArn=arn)["Attributes"]
    except client.exceptions.NotFoundException:
        client.create_topic(Name=arn.rpartition(":")[2], Attributes={"Policy": json.dumps(wanted)})
        return Done.CREATED
    if json.loads(attributes.get("Policy") or "{}") == wanted:
        return Done.UNCHANGED
    client.set_topic_attributes(TopicArn=arn, AttributeName="Policy", AttributeValue=json.dumps(wanted))
    return Done.CHANGED


def topic_policy(names: Names) -> dict[str, Any]:
    """Return who may publish to the alarms' topic (Amazon SNS Developer Guide, "Example cases for access control")."""
    place = names.place
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "AlarmsOnly",
                "Effect": "Allow",
                "Principal": {"Service": "cloudwatch.amazonaws.com"},
                "Action": "sns:Publish",
                "Resource": topic(names),
                "Condition": {
                    "ArnLike": {
                        "aws:SourceArn": (
                            f"arn:{place.partition}:cloudwatch:{place.region}:{place.account}:alarm:{names.prefix}-*"
                        )
                    },
                    "StringEquals": {"aws:SourceAccount": place.account},
                },
            }
        ],
    }

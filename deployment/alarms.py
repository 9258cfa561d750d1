"""The CloudWatch alarms, and their topic.

CloudWatch cannot publish to a topic that is encrypted with the key that SNS manages, and a customer-managed key costs a
dollar a month (Amazon SNS Developer Guide, "Managing Amazon SNS encryption keys and costs"). So the alarms have an
unencrypted topic of their own. Their mails contain names and numbers of alarms, never a communication.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib.names import Names
from chalicelib.settings import Settings
from chalicelib.telemetry.metrics import NAMESPACE
from deployment.steps import StepResult

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_UNITS = {"minute": _MINUTE, "hour": _HOUR, "day": _DAY}
_NEVER = 366 * _DAY

# The fields of a cron expression (Amazon EventBridge User Guide, "Cron expressions").
_CRON_FIELDS = ("minutes", "hours", "day of month", "month", "day of week", "year")

# In seconds: how far an alarm looks back, with periods of an hour or more. With shorter ones it is a day (Amazon
# CloudWatch API Reference, PutMetricAlarm).
_MAX_LOOKBACK = 7 * _DAY

# How many schedules may pass without a completed collector.
MISSED = 3


@dataclass(frozen=True)
class Alarm:
    """One alarm. `metric` is `Namespace/Name`. It goes off if `periods` periods of `period` seconds pass `threshold`.

    `missing` says how a period without a value counts. With `growth` the increase of the value counts. `screen` is the
    page's screen to look at first.
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
    screen: str = ""


def alarms(names: Names, settings: Settings) -> list[Alarm]:
    """Return the alarms of a stage."""
    ours = {"service": names.prefix}
    machine = {"StateMachineArn": names.state_machine_arn}
    collector = {"FunctionName": names.function("collector")}
    gap = longest_gap(settings.schedule)
    return [
        _once("run-failed", "A run failed.", f"{NAMESPACE}/RunsFailed", ours, "runs"),
        _once(
            "execution-failed",
            "An execution failed outside its report.",
            "AWS/States/ExecutionsFailed",
            machine,
            "runs",
        ),
        _collector_missing(ours, gap),
        _oldest_failure(ours, settings.alarm_oldest_failure_s),
        _worklist_growing(ours, gap),
        _once("collector-errors", "The collector fails.", "AWS/Lambda/Errors", collector),
    ]


def _collector_missing(dimensions: Mapping[str, str], longest_gap: int) -> Alarm:
    """Return the alarm for collectors that do not complete, as far as CloudWatch can look back: seven days.

    With a schedule that fires at least every six days, a collector that never ran is noticed. With a rarer one, silence
    means nothing, so only one that ran and did not complete is.
    """
    if longest_gap <= _MAX_LOOKBACK // MISSED:
        meaning, period, periods, missing = f"for {MISSED} schedules", longest_gap, MISSED, "breaching"
    elif longest_gap < _MAX_LOOKBACK:
        meaning, period, periods, missing = "for seven days", _DAY, _MAX_LOOKBACK // _DAY, "breaching"
    else:
        meaning, period, periods, missing = "when the schedule last fired", _DAY, 1, "ignore"
    return Alarm(
        name="collector-missing",
        meaning=f"No collector has completed {meaning}.",
        metric=f"{NAMESPACE}/CollectorCompleted",
        dimensions=dimensions,
        period=period,
        periods=periods,
        comparison="LessThanThreshold",
        statistic="Sum",
        missing=missing,
        screen="schedule",
    )


def _oldest_failure(dimensions: Mapping[str, str], age: int) -> Alarm:
    return Alarm(
        name="oldest-failure",
        meaning="A failed communication has been waiting too long.",
        metric=f"{NAMESPACE}/OldestFailureAge",
        dimensions=dimensions,
        period=900,
        periods=1,
        threshold=age,
        # Between two schedules nobody knows whether it got better.
        missing="ignore",
        screen="causes",
    )


def _worklist_growing(dimensions: Mapping[str, str], longest_gap: int) -> Alarm:
    return Alarm(
        name="worklist-growing",
        meaning="More and more communications need a person.",
        metric=f"{NAMESPACE}/WorklistSize",
        dimensions=dimensions,
        period=min(max(_HOUR, longest_gap), 2 * _DAY),
        periods=3,
        growth=True,
        screen="worklist",
    )


def _once(name: str, meaning: str, metric: str, dimensions: Mapping[str, str], screen: str = "") -> Alarm:
    """Return an alarm for something that must not happen even once in five minutes."""
    return Alarm(name, meaning, metric, dimensions, period=300, periods=1, statistic="Sum", screen=screen)


def longest_gap(expression: str) -> int:
    """Return the longest time between two firings of a schedule in seconds, or more than that.

    A cron expression of whole days counts as a day, one for several days of the week as six, any other as never.
    """
    if match := re.fullmatch(r"rate\((\d+) (minute|hour|day)s?\)", expression.strip()):
        return int(match[1]) * _UNITS[match[2]]
    cron = re.fullmatch(r"cron\((.+)\)", expression.strip())
    fields = cron[1].split() if cron else []
    if len(fields) != len(_CRON_FIELDS):
        return _NEVER  # EventBridge refuses it.
    _, _, day, month, weekday, year = fields
    if (month, year) != ("*", "*") or day not in ("*", "?"):
        return _NEVER
    if weekday in ("*", "?"):
        return _DAY
    return 6 * _DAY if re.search("[,-]", weekday) else _NEVER


def full_name(alarm: Alarm, names: Names) -> str:
    """Return what an alarm is called in CloudWatch."""
    return f"{names.prefix}-{alarm.name}"


def request(alarm: Alarm, names: Names, page: str | None) -> dict[str, Any]:
    """Return an alarm as PutMetricAlarm accepts it. Its mail has the description, and so the page's address in it."""
    where = f"\n{page}/#/{alarm.screen}" if page else ""
    common = {
        "AlarmName": full_name(alarm, names),
        "AlarmDescription": f"{alarm.meaning} What to do: docs/operate.md, {alarm.name}.{where}",
        "AlarmActions": [names.alarms_topic_arn],
        "OKActions": [names.alarms_topic_arn],
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


def ensure(client: Any, alarm: Alarm, names: Names, page: str | None) -> StepResult:
    """Create or update an alarm. `page` is the page's address, if that is known."""
    wanted = request(alarm, names, page)
    found = client.describe_alarms(AlarmNames=[wanted["AlarmName"]])["MetricAlarms"]
    if found and all(_plain(found[0].get(key)) == _plain(value) for key, value in wanted.items()):
        return StepResult.UNCHANGED
    client.put_metric_alarm(**wanted)
    return StepResult.CHANGED if found else StepResult.CREATED


def _plain(value: Any) -> Any:
    """Return a value without what AWS adds to it in its answers."""
    if isinstance(value, list):
        # AWS does not promise to return the parts of a formula in their order.
        return sorted((_plain(each) for each in value), key=lambda each: json.dumps(each, sort_keys=True))
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items() if each not in (None, [])}
    return value


def remove(client: Any, names: Names, alarm: Alarm) -> bool:
    """Remove an alarm; return whether it existed."""
    name = full_name(alarm, names)
    if not client.describe_alarms(AlarmNames=[name])["MetricAlarms"]:
        return False
    client.delete_alarms(AlarmNames=[name])
    return True


def ensure_topic(client: Any, names: Names) -> StepResult:
    """Create or correct the topic that only this account's alarms may publish to."""
    arn, wanted = names.alarms_topic_arn, topic_policy(names)
    try:
        attributes = client.get_topic_attributes(TopicArn=arn)["Attributes"]
    except client.exceptions.NotFoundException:
        client.create_topic(Name=arn.rpartition(":")[2], Attributes={"Policy": json.dumps(wanted)})
        return StepResult.CREATED
    if json.loads(attributes.get("Policy") or "{}") == wanted:
        return StepResult.UNCHANGED
    client.set_topic_attributes(TopicArn=arn, AttributeName="Policy", AttributeValue=json.dumps(wanted))
    return StepResult.CHANGED


def topic_policy(names: Names) -> dict[str, Any]:
    """Return the policy of the alarms' topic (Amazon SNS Developer Guide, "Example cases for access control")."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "AlarmsOnly",
                "Effect": "Allow",
                "Principal": {"Service": "cloudwatch.amazonaws.com"},
                "Action": "sns:Publish",
                "Resource": names.alarms_topic_arn,
                "Condition": {
                    "ArnLike": {"aws:SourceArn": names.arn("cloudwatch", f"alarm:{names.prefix}-*")},
                    "StringEquals": {"aws:SourceAccount": names.location.account},
                },
            }
        ],
    }

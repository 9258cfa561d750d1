"""The CloudWatch alarms, and their topic.

CloudWatch cannot publish to a topic that is encrypted with the key that SNS manages, and a customer-managed key costs a
dollar a month (Amazon SNS Developer Guide, "Managing Amazon SNS encryption keys and costs"). So the alarms have an
unencrypted topic of their own. Their mails contain names and numbers of alarms, never a communication.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib.names import Names
from deployment.steps import StepResult


@dataclass(frozen=True)
class Alarm:
    """One alarm. `metric` is `Namespace/Name`. It goes off if `periods` periods of `period` seconds pass `threshold`.

    `meaning` is what its mail says, `missing` how a period without a value counts. With `growth` the value's increase
    counts. `screen` is the page's screen to look at first.
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


def full_name(alarm: Alarm, names: Names) -> str:
    """Return what an alarm is called in CloudWatch."""
    return f"{names.prefix}-{alarm.name}"


def request(alarm: Alarm, names: Names, page: str | None) -> dict[str, Any]:
    """Return an alarm as PutMetricAlarm accepts it. Its mail has the description, and so the page's address in it."""
    where = f"\n{page}/#/{alarm.screen}" if page else ""
    common = {
        "AlarmName": full_name(alarm, names),
        "AlarmDescription": f"{alarm.meaning}{where}",
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

"""The alarms of comms-reprocess."""

import re
from collections.abc import Mapping
from dataclasses import replace

from chalicelib.names import Names
from chalicelib.settings import Settings
from chalicelib.telemetry.metrics import NAMESPACE
from deployment.alarms import Alarm

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


def alarms(names: Names, settings: Settings) -> list[Alarm]:
    """Return the alarms of a stage. The mail of each says where to read on."""
    return [
        replace(each, meaning=f"{each.meaning} What to do: docs/operate.md, {each.name}.")
        for each in _alarms(names, settings)
    ]


def _alarms(names: Names, settings: Settings) -> list[Alarm]:
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

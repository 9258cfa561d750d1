"""The scheduler of EventBridge: fires rules with a rate on time, and any rule on demand."""

import json
import re
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Self

from moto.events.models import Rule, events_backends

from sandbox.aws.functions import Lambdas, find_function
from sandbox.aws.model import ACCOUNT, LambdaError, Timings
from sandbox.service import BackgroundService

CHECK_INTERVAL = 0.1  # seconds
UNITS = {"minute": 60, "hour": 3600, "day": 86400}
RATE = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")


class UnknownRuleError(LookupError):
    """No rule has this name."""


class DisabledRuleError(Exception):
    """The rule is disabled, so it cannot be fired."""


class Schedule(BackgroundService):
    """Checks moto's rules in a background thread. A rule with a cron expression fires on demand only."""

    def __init__(self, lambdas: Lambdas, timings: Timings) -> None:
        self._lambdas = lambdas
        self._timings = timings
        self._due: dict[Rule, float] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._check_repeatedly, daemon=True)

    def start(self) -> Self:
        """Start to fire rules on time."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Fire nothing more."""
        self._stopping.set()
        self._thread.join()

    def fire(self, name: str) -> None:
        """Fire a rule now, whatever its schedule; raise UnknownRuleError or DisabledRuleError if it cannot fire."""
        rule = next((rule for rule in _rules() if rule.name == name), None)
        if rule is None:
            known = ", ".join(sorted(rule.name for rule in _rules())) or "none"
            raise UnknownRuleError(f"there is no rule {name!r}; the rules are: {known}")
        if rule.state != "ENABLED":
            raise DisabledRuleError(f"the rule {name!r} is disabled")
        self._fire(rule)

    def _check_repeatedly(self) -> None:
        while not self._stopping.wait(CHECK_INTERVAL):
            self._check()

    def _check(self) -> None:
        """Fire the rules that are due.

        The first period of a rule begins when it is put or enabled; putting a rule creates a new object in moto.
        """
        now = self._timings.clock()
        periods = {rule: period for rule in _rules() if (period := _period(rule))}
        self._due = {rule: self._due.get(rule, now + period) for rule, period in periods.items()}
        for rule in [rule for rule, due in self._due.items() if due <= now]:
            self._due[rule] = now + periods[rule]
            self._fire(rule)

    def _fire(self, rule: Rule) -> None:
        """Invoke the rule's functions asynchronously, as EventBridge does."""
        for target in list(rule.targets):
            if ":lambda:" in target["Arn"]:
                payload = target.get("Input") or json.dumps(self._event(rule))
                try:
                    self._lambdas.invoke_async(find_function(target["Arn"]), payload.encode())
                except LambdaError:
                    continue  # as on AWS, nothing happens if the function was deleted

    def _event(self, rule: Rule) -> dict[str, Any]:
        now = datetime.fromtimestamp(self._timings.clock(), UTC)
        return {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": "Scheduled Event",
            "source": "aws.events",
            "account": ACCOUNT,
            "time": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "region": rule.region_name,
            "resources": [rule.arn],
            "detail": {},
        }


def _rules() -> Iterator[Rule]:
    """Yield all rules on the default event bus of every region."""
    for backend in list(events_backends[ACCOUNT].values()):
        yield from list(backend.event_buses["default"].rules.values())


def _period(rule: Rule) -> int | None:
    """Return the seconds between two events; None if the rule fires only on demand."""
    match = RATE.fullmatch(rule.scheduled_expression or "")
    return int(match[1]) * UNITS[match[2]] if match and rule.state == "ENABLED" else None

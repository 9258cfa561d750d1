"""EventBridge: fires the rules with a rate, and any rule on demand by the same path."""

import json
import re
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from moto.events.models import Rule, events_backends

from sandbox.aws.functions import Lambdas, deployed
from sandbox.aws.model import ACCOUNT, LambdaError, Pace

LOOK = 0.1  # seconds between two looks at the rules
UNITS = {"minute": 60, "hour": 3600, "day": 86400}
RATE = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")


class UnknownRuleError(LookupError):
    """There is no rule of this name."""


class DisabledRuleError(Exception):
    """The rule is disabled, so nothing fires it."""


class Schedule:
    """Watches moto's rules from a thread of its own. A rule with a cron expression fires on demand only."""

    def __init__(self, lambdas: Lambdas, pace: Pace) -> None:
        self._lambdas = lambdas
        self._pace = pace
        self._due: dict[Rule, float] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Fire nothing any more."""
        self._stopping.set()
        self._thread.join()

    def fire(self, name: str) -> None:
        """Fire a rule now, whatever its schedule; UnknownRuleError or DisabledRuleError if that cannot be."""
        rule = next((rule for rule in _rules() if rule.name == name), None)
        if rule is None:
            known = ", ".join(sorted(rule.name for rule in _rules())) or "none"
            raise UnknownRuleError(f"no rule is called {name!r}; there are: {known}")
        if rule.state != "ENABLED":
            raise DisabledRuleError(f"the rule {name!r} is disabled")
        self._fire(rule)

    def _watch(self) -> None:
        while not self._stopping.wait(LOOK):
            self._look()

    def _look(self) -> None:
        """Fire what is due. A rule counts from when it was put or enabled; putting it makes a new object in moto."""
        now = self._pace.clock()
        periods = {rule: period for rule in _rules() if (period := _period(rule))}
        self._due = {rule: self._due.get(rule, now + period) for rule, period in periods.items()}
        for rule in [rule for rule, due in self._due.items() if due <= now]:
            self._due[rule] = now + periods[rule]
            self._fire(rule)

    def _fire(self, rule: Rule) -> None:
        """Send the event to the rule's functions, asynchronously as EventBridge does."""
        for target in list(rule.targets):
            if ":lambda:" in target["Arn"]:
                payload = target.get("Input") or json.dumps(self._event(rule))
                try:
                    self._lambdas.invoke_event(deployed(target["Arn"]), payload.encode())
                except LambdaError:
                    continue  # as on AWS, a rule whose function was deleted fires into the void

    def _event(self, rule: Rule) -> dict[str, Any]:
        now = datetime.fromtimestamp(self._pace.clock(), UTC)
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
    """All rules of the account, on every region's default bus."""
    for backend in list(events_backends[ACCOUNT].values()):
        yield from list(backend.event_buses["default"].rules.values())


def _period(rule: Rule) -> int | None:
    """Return the seconds between two firings; None if the rule does not fire by itself."""
    match = RATE.fullmatch(rule.scheduled_expression or "")
    return int(match[1]) * UNITS[match[2]] if match and rule.state == "ENABLED" else None

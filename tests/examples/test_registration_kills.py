"""A hundred people register while functions and systems are killed at random: at the end, the sums add up.

The definition is the deployed one, with all of its waits.
"""

import json
import random
import re
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import requests

from deployment import chalice_names, state_machine
from examples.registration.outside import SYSTEMS, System
from tests.e2e.driver import wait_until
from tests.examples.registration import (
    EVERYWHERE,
    NAMES,
    NOWHERE,
    SORRY,
    WELCOME,
    Person,
    Registration,
    listed,
    send_in_the_end,
)

PEOPLE, MOST = 100, 500  # more than the first only until all has happened that has to
TWICE = 4  # each fourth posts twice at once
PACE = 0.1  # seconds between two people
PATIENCE = 150  # seconds
SEED = 20261122

DOOMED, DOUBLED = 0.1, 0.08  # the shares of the invocations that are killed at once, and that AWS makes twice
SLOWEST = 3.5  # seconds: the caller has given up by then, and the system processes the call all the same
FAULTS = (
    *[{}] * 8,
    *[{"slow": 0.4}] * 3,
    *[{"slow_after": 0.4}] * 3,
    *[{"status_after": 500}] * 5,
    {"status": 503},
    {"slow": SLOWEST},
    {"slow_after": SLOWEST},
    *[{"status": 422}] * 2,
)

# The functions that call somebody, and by which method.
METHODS = {
    chalice_names.function(NAMES, step): method
    for step, method in {"register": "PUT", "cancel": "DELETE", "send_mail": "PUT"}.items()
}

BEFORE, DURING, AFTER = "before its call arrived", "before it was processed", "before it was answered"
LATER, API = "in a later try", "in the API"

# What has to happen, or else the test has tested nothing.
MOMENTS = (BEFORE, DURING, AFTER, LATER, API)
FAULTY = ("functions invoked twice", "systems killed", "systems suspended")
EXPECTED = [*(f"functions killed {moment}" for moment in MOMENTS), *FAULTY, "calls processed and answered with 500"]
EXPECTED += ["executions SUCCEEDED", "executions FAILED NotRegistered"]


class Chaos:
    """Kills and breaks at random, and counts what it does."""

    def __init__(self, registration: Registration) -> None:
        self.counts: Counter[str] = Counter()
        self.killed: Counter[str] = Counter()
        self._registration = registration
        self._systems = {system.name: system for system in registration.world.all}
        self._random = random.Random(SEED)
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._doomed: list[bytes] = []
        self._begun: Counter[tuple[str, bytes]] = Counter()

    @contextmanager
    def reigning(self) -> Iterator[None]:
        """Break things for the length of the block. Then all work again."""
        lambdas, actions = self._registration.aws.lambdas, (self._kill_doomed, self._kill_anyone, self._break_system)
        lambdas.deliver_twice, lambdas.observe = lambda _: self._hits("functions invoked twice", DOUBLED), self._observe
        with ThreadPoolExecutor(len(actions)) as pool:
            loops = [pool.submit(self._repeat, *each) for each in zip((0.001, 0.05, 0.3), actions, strict=True)]
            try:
                yield
            finally:
                self._stopping.set()
                lambdas.deliver_twice, lambdas.observe = lambda _: False, lambda _name, _payload: None
        self._registration.world.repair()
        for loop in loops:
            loop.result()  # one that failed has broken nothing since

    def has_done_everything(self) -> bool:
        """Whether it has killed at each moment, and broken in each way. When a kill hits is chance."""
        return all(self.killed[moment] for moment in MOMENTS) and all(self.counts[name] for name in FAULTY)

    def _repeat(self, seconds, action) -> None:
        while not self._stopping.wait(seconds):
            action()

    def _hits(self, what: str, share: float) -> bool:
        with self._lock:
            hit = self._random.random() < share
            self.counts[what] += hit
            return hit

    def _observe(self, name: str, payload: bytes) -> None:
        self._begun[name, payload] += 1
        if self._hits("functions doomed", DOOMED):
            self._doomed.append(payload)

    def _kill_doomed(self) -> None:
        for process, payload in self._registration.at_work():
            if payload in self._doomed:
                self._doomed.remove(payload)
                self._kill(process, payload)

    def _kill_anyone(self) -> None:
        if calling := [each for each in self._registration.at_work() if each[0].function.name in METHODS]:
            self._kill(*self._random.choice(calling))

    def _kill(self, process, payload: bytes) -> None:
        process.kill()
        self.killed[self._moment(process.function.name, payload)] += 1

    def _moment(self, name: str, payload: bytes) -> str:
        """Return where a function that has just been killed was. Of a later try, nobody can tell."""
        if name not in METHODS:
            return API
        if self._begun[name, payload] > 1:
            return LATER
        event = json.loads(payload)
        system, key = self._systems[event.get("system", "mail")], event.get("key", event.get("id"))
        if system.calls(METHODS[name], key):
            return AFTER
        return DURING if system.calls(METHODS[name], key, "arrived") else BEFORE

    def _break_system(self) -> None:
        system, how = self._random.choice(list(self._systems.values())), self._random.random()
        if how < 0.35:
            self._kill_system(system)
        elif how < 0.7:
            self._suspend_system(system)
        system.switch(PUT=self._faults(), DELETE=self._faults())

    def _kill_system(self, system: System) -> None:
        system.stop()
        self.counts["systems killed"] += 1
        self._stopping.wait(self._random.uniform(0.3, 2))
        system.start()

    def _suspend_system(self, system: System) -> None:
        """Let it hang. What is sent to it meanwhile arrives later, even if its sender is dead by then."""
        system._process.send_signal(signal.SIGSTOP)
        self.counts["systems suspended"] += 1
        self._stopping.wait(self._random.uniform(0.3, 1))
        system._process.send_signal(signal.SIGCONT)

    def _faults(self) -> list[dict[str, float]]:
        return self._random.choices(FAULTS, k=40)


@pytest.fixture
def registration(tmp_path):
    with Registration(tmp_path, hurried=False) as running:
        yield running


def test_a_hundred_registrations_add_up_whatever_is_killed(registration):
    """Each is everywhere or nowhere, or a person is told; and each person gets one mail."""
    chaos = Chaos(registration)
    with chaos.reigning():
        people = _ask_all(registration, chaos)
    client = registration.client("stepfunctions")
    wait_until(lambda: not state_machine.running(client, NAMES), "some do not end", PATIENCE)
    time.sleep(SLOWEST + 1)  # so that what was on its way then is processed, too
    ends = Counter(registration.end(person) for person in people)
    left = [person for person in people if registration.end(person) == "FAILED LeftBehind"]
    wait_until(lambda: all(registration.told(person) for person in left), "nobody is told", PATIENCE)
    sums = _sums(registration, chaos, len(people), ends)
    problems = [problem for person in people for problem in _problems(registration, person)]
    problems += _send_failed_mails(registration, people, sums)
    problems += _do_as_told(registration, ends["SUCCEEDED"])
    table = "\n".join(f"{name:<42}{number:>5}" for name, number in sums.items())
    sys.stdout.write(f"\n{table}\n")
    assert not problems, "\n".join([*problems, table])
    assert min(sums.get(name, 0) for name in EXPECTED) > 0, f"too little has happened:\n{table}"


def _ask_all(registration, chaos) -> list[Person]:
    """Register people at a steady pace, some of them twice at once, until everything has happened. Return them."""
    people, asking = [], []
    with ThreadPoolExecutor(16) as pool:
        while len(people) < PEOPLE or (len(people) < MOST and not chaos.has_done_everything()):
            person = Person()
            asking += [pool.submit(_ask, registration, person) for _ in range(1 + (len(people) % TWICE == 0))]
            people.append(person)
            time.sleep(PACE)
    for each in asking:
        each.result()
    return people


def _ask(registration, person) -> None:
    """Ask as a caller does: again with the same key, until there is an answer."""
    while (answer := registration.ask(person)).status_code not in (200, 202):
        assert answer.status_code in (500, 502, 504), answer.text


def _sums(registration, chaos, people: int, ends) -> dict[str, int]:
    return (
        {"people": people, "of whom posted twice at once": -(-people // TWICE)}
        | {f"functions killed {moment}": chaos.killed[moment] for moment in MOMENTS}
        | {name: chaos.counts[name] for name in FAULTY}
        | {"calls processed and answered with 500": _denied(registration)}
        | {f"executions {end}": number for end, number in sorted(ends.items())}
        | {f"registered in {system.name}": _registered(system) for system in registration.world.systems.values()}
        | {"requests that a person is to send": len(registration.mailbox.messages())}
    )


def _denied(registration) -> int:
    return sum(len(each.rows("SELECT key FROM calls WHERE step = 'denied'")) for each in registration.world.all)


def _registered(system: System) -> int:
    return len(system.rows("SELECT key FROM registrations WHERE state = 'registered'"))


def _problems(registration, person) -> Iterator[str]:
    """Yield what is wrong with a registration, in words."""
    end, status, found = registration.end(person), registration.status(person), registration.registered(person)
    told = {text.split()[0] for text in registration.told(person)}
    left = {name for name, number in zip(SYSTEMS, found, strict=True) if number}
    right = {
        "SUCCEEDED": status == "registered" and found == EVERYWHERE and not told,
        "FAILED NotRegistered": status == "failed" and found == NOWHERE and not told,
        "FAILED LeftBehind": status == "failed" and max(found) <= 1 and told and left <= told,
    }
    if not right.get(end):
        yield f"{person.key} is {end}, the API says {status}, it is registered in {left}, and a person told of {told}"
    again = registration.ask(person)
    if (again.status_code, again.json()["status"]) != (200, status):
        yield f"{person.key} is {status}, and asked again, the API says {again.status_code} {again.text}"


def _send_failed_mails(registration, people, sums) -> Iterator[str]:
    """Send each mail that has failed twice at once. Yield what is wrong with the mails."""
    client = registration.comms_reprocess()
    waiting, failed = [person for person in people if not registration.mails(person)], listed(client)
    sums |= {
        "mails sent at once": len(people) - len(waiting),
        "mails sent later": len(waiting),
        "mails listed": len(failed),
    }
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda mail_id: send_in_the_end(client, mail_id), sorted(failed * 2)))
    for person in people:
        expected = WELCOME if registration.end(person) == "SUCCEEDED" else SORRY
        if registration.mails(person) != expected:
            yield f"{person.key} is {registration.end(person)}, and has the mails {registration.mails(person)}"
    for mail_id in listed(client):
        yield f"{mail_id} is still listed"


def _do_as_told(registration, succeeded: int) -> Iterator[str]:
    """Send the requests that the mails to the person on duty ask for. Yield where something is left even then."""
    for mail in registration.mailbox.messages():
        name, path = re.match(r"(\w+) may still have .* Send it DELETE (/\S+)", mail.get_content()).groups()
        requests.delete(registration.world.systems[name].url + path, timeout=30).raise_for_status()
    for system in registration.world.systems.values():
        if _registered(system) != succeeded:
            yield f"{system.name} has {_registered(system)} registrations of {succeeded} that succeeded"

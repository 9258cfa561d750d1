"""Functions are killed at random while 100 files are paid: each right file is paid once, each wrong one never."""

import base64
import hashlib
import json
import random
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Self

import pytest
import requests
from rich.console import Console
from rich.table import Table

from examples.payroll import demo
from tests.e2e.driver import wait_until
from tests.examples.payroll import IBAN, Payroll, file

_SEED = 20261122
_FILES = 100
_AT_A_TIME = 12  # files
_PATIENCE = 240  # seconds for an execution
_TRIES = 50  # of a call of the API

# Shares of the files: with a mistake, uploaded by several at once, and uploaded again later.
_WRONG, _AT_ONCE, _AGAIN = 0.3, 0.2, 0.2

# Shares of the calls of functions: killed if they take long enough, called twice at once, and throttled.
_KILLED, _TWICE, _THROTTLED = 0.35, 0.1, 0.05
_DYNAMODB = {"throttled": 0.02, "conflict": 0.02, "answer_lost": 0.02}  # ten times as often for the payment itself

# Between these powers of ten a call is killed, in seconds after its begin: all of it takes tenths of a second.
_MOMENTS = -2.5, -0.5

_KILLABLE = "API handler", "split", "compute", "aggregate", "pay"
_WHEN = "before or in its work", "after its work", "when its work was done"
_PAYROLL = re.compile(r"[0-9a-f]{64}")


# -- the files, and what they pay


class Upload(NamedTuple):
    """A file; `pays` are its employees with their cents, empty if it has a mistake. `users` upload it at once."""

    content: bytes
    pays: dict[str, int]
    users: int
    again: bool

    @property
    def payroll(self) -> str:
        return demo.payroll_of(self.content)


def _uploads() -> list[Upload]:
    """Always the same files."""
    chance = random.Random(_SEED)
    return [_upload(number, chance) for number in range(_FILES)]


def _upload(number: int, chance: random.Random) -> Upload:
    size = chance.choice([1, 2, 3, 5, 8, 250])
    hundredths = [(chance.randint(100, 74_400), chance.randint(100, 100_000)) for _ in range(size)]
    rows = [f"N{number}-{at},{IBAN},2026-11,{h / 100:.2f},{r / 100:.2f}" for at, (h, r) in enumerate(hundredths)]
    pays = {f"N{number}-{at}": _net(h, r) for at, (h, r) in enumerate(hundredths)}
    content = file(*rows)
    if chance.random() < _WRONG:
        content, pays = _with_mistake(rows, chance), {}
    users = 3 if chance.random() < _AT_ONCE else 1
    return Upload(content, pays, users, chance.random() < _AGAIN)


def _net(hours: int, rate: int) -> int:
    """The cents of so many hundredths of hours at so many cents, less a fifth; halves are rounded up."""
    gross = (hours * rate + 50) // 100
    return gross - (gross * 20 + 50) // 100


def _with_mistake(rows: list[str], chance: random.Random) -> bytes:
    first = rows[0]
    return chance.choice(
        [
            file(first.replace("DE89", "DE88"), *rows[1:]),
            file(*rows, first),
            file(*rows, first.replace(",2026-11,", ",2026-10,").replace("-0,", "-X,")),
            file(*rows, "somebody"),
            file(*rows, header="employee,account,month,hours"),
            file(f'"{first}', *rows[1:]),
        ]
    )


# -- what goes wrong


class Faults:
    """Kills calls of functions, each at a random moment, and has others called twice or refused; counts all that.

    The work of a call is what its last write leaves. A call that repeats another may find it done when it begins.
    """

    def __init__(self, payroll: Payroll) -> None:
        self.kills: Counter[tuple[str, str]] = Counter()
        self.others: Counter[str] = Counter()
        self._payroll = payroll
        self._bucket = demo.bucket(payroll)
        self._s3, self._dynamodb = payroll.client("s3"), payroll.client("dynamodb")
        self._chance = random.Random(_SEED)
        self._timers: list[threading.Timer] = []

    def __enter__(self) -> Self:
        lambdas = self._payroll.aws.lambdas
        lambdas.observe = self._plan
        lambdas.deliver_twice = lambda name: self._hits(_TWICE, f"{self._short(name)} called twice")
        lambdas.throttle = lambda name: self._hits(_THROTTLED, f"{self._short(name)} throttled")
        self._payroll.aws.dynamodb.disturb(**_DYNAMODB)
        return self

    def __exit__(self, *_: object) -> None:
        lambdas = self._payroll.aws.lambdas
        lambdas.observe = lambda _name, _payload: None
        lambdas.deliver_twice = lambdas.throttle = lambda _name: False
        for fault, number in self._payroll.aws.dynamodb.disturb().items():
            self.others[f"DynamoDB {fault}"] = number
        for timer in self._timers:
            timer.join()

    def _hits(self, share: float, what: str) -> bool:
        hit = self._chance.random() < share
        self.others[what] += hit
        return hit

    def _plan(self, name: str, event: bytes) -> None:
        """Before each call of a function: perhaps kill it in a moment."""
        if self._chance.random() < _KILLED and self._short(name) in _KILLABLE:
            moment = 10 ** self._chance.uniform(*_MOMENTS)
            began_done = self._is_done(self._short(name), event)
            timer = threading.Timer(moment, self._kill, (name, event, began_done))
            self._timers.append(timer)
            timer.start()

    def _kill(self, name: str, event: bytes, began_done: bool) -> None:
        """Kill the process that is busy with this call, if it still is."""
        busy = self._payroll.aws.lambdas._pool.processes(name)
        process = next((each for each in busy if each.pid and each.payload == event), None)
        if process:
            process.kill()
            is_done = self._is_done(self._short(name), event)
            self.kills[self._short(name), _WHEN[2] if began_done else _WHEN[is_done]] += 1

    def _short(self, name: str) -> str:
        return name.removeprefix(self._payroll.prefix).removeprefix("-") or "API handler"

    def _is_done(self, function: str, body: bytes) -> bool:
        event = json.loads(body)
        if function == "pay":
            return self._has_item(event["payroll"], "PAID")
        if function == "API handler":
            return self._has_item(_payroll_in(event), "UPLOAD")
        left = {
            "split": "work/{execution}/rows-0.json",
            "compute": "work/{execution}/result-{batch}.json",
            "aggregate": "payments/{payroll}/",
        }[function]
        return bool(self._s3.list_objects_v2(Bucket=self._bucket, Prefix=left.format(**event))["KeyCount"])

    def _has_item(self, payroll: str, sort: str) -> bool:
        key = {"pk": {"S": f"PAYROLL#{payroll}"}, "sk": {"S": sort}}
        return "Item" in self._dynamodb.get_item(TableName=self._payroll.prefix, Key=key, ConsistentRead=True)


def _payroll_in(event: dict) -> str:
    """The payroll that a call of the API is about."""
    if event["pathParameters"]:
        return event["pathParameters"]["payroll"]
    return hashlib.sha256(base64.b64decode(event["body"])).hexdigest()


# -- the users


class Users:
    """Upload files until they are paid or refused. `answers` counts those of the API."""

    def __init__(self, payroll: Payroll) -> None:
        self.answers: Counter[str] = Counter()
        self._payroll = payroll
        self._client = payroll.client("stepfunctions")
        self._prefix = payroll.machine.replace(":stateMachine:", ":execution:")

    def use(self, upload: Upload) -> None:
        """All that happens to one file."""
        with ThreadPoolExecutor(upload.users) as pool:
            users = [pool.submit(self._insist, upload) for _ in range(upload.users)]
        for user in users:
            user.result()
        if upload.again:
            self._insist(upload)

    def _insist(self, upload: Upload) -> None:
        """Upload a file, and again without an answer, and after a failure that is not the file's."""
        shown: dict = {}
        while shown.get("status") != "paid" and shown.get("error") != "FileRefused":
            answer = self._ask(lambda: self._payroll.upload(upload.content))
            self._wait_for_end(upload, answer.get("attempt"))
            shown = self._ask(lambda: self._payroll.call("GET", f"/payrolls/{upload.payroll}", self._payroll.bearer))

    def _ask(self, call: Callable[[], requests.Response]) -> dict:
        """Call the API until it answers."""
        for _ in range(_TRIES):
            answer = call()
            self.answers[f"answers {answer.status_code} to {answer.request.method}"] += 1
            if answer.status_code < 500:
                assert answer.status_code in (200, 202), answer.text
                return answer.json()
        raise TimeoutError(f"the API still answers {answer.status_code}: {answer.text}")

    def _wait_for_end(self, upload: Upload, attempt: int | None) -> None:
        """Wait until an attempt has ended; None: it is paid already."""
        arn = f"{self._prefix}:{upload.payroll}-{attempt}"
        find = self._client.describe_execution
        wait_until(lambda: not attempt or find(executionArn=arn)["status"] != "RUNNING", f"{arn} goes on", _PATIENCE)


# -- the sums


class Outcome(NamedTuple):
    """What there is of a payroll: its items, its payment files, its executions and its mails."""

    items: dict[str, dict]
    files: list[str]
    executions: list[dict]
    mails: list[str]

    def causes(self, status: str) -> list[str]:
        return [each.get("cause", "") for each in self.executions if each["status"] == status]

    def paid(self) -> dict[str, int]:
        """The cents of each employee in the ledger; somebody twice would be an AssertionError."""
        pages = [item["payments"]["M"] for sort, item in self.items.items() if sort.startswith("PAYMENTS#")]
        found = [each for page in pages for each in page.items()]
        assert len(found) == len(dict(found)), "the ledger pays somebody twice"
        return {employee: int(cents["N"]) for employee, cents in found}


def _outcomes(payroll: Payroll) -> dict[str, Outcome]:
    found: dict[str, Outcome] = {}
    for item in payroll.client("dynamodb").get_paginator("scan").paginate(TableName=payroll.prefix).search("Items"):
        if item["pk"]["S"].startswith("PAYROLL#"):
            _of(found, item["pk"]["S"]).items[item["sk"]["S"]] = item
    listed = payroll.client("s3").get_paginator("list_objects_v2")
    for each in listed.paginate(Bucket=demo.bucket(payroll), Prefix="payments/").search("Contents"):
        _of(found, each["Key"]).files.append(each["Key"])
    for execution in _executions(payroll):
        _of(found, execution["name"]).executions.append(execution)
    for text in payroll.all_mails():
        _of(found, text).mails.append(text)
    return found


def _of(outcomes: dict[str, Outcome], text: str) -> Outcome:
    """The outcome of the payroll that a text names."""
    return outcomes.setdefault(_PAYROLL.search(text)[0], Outcome({}, [], [], []))


def _executions(payroll: Payroll) -> list[dict]:
    client = payroll.client("stepfunctions")
    return [client.describe_execution(executionArn=each["executionArn"]) for each in payroll.all_executions()]


def _agrees(payroll: Payroll, upload: Upload, outcome: Outcome) -> bool:
    """Whether the ledger pays what the file says, and the payment file that it names does the same."""
    head, paid = outcome.items.get("PAID"), outcome.paid()
    if head is None or not upload.pays:
        return not (head or upload.pays or paid or outcome.files)
    named = payroll.client("s3").get_object(Bucket=demo.bucket(payroll), Key=head["file"]["S"])["Body"].read()
    lines = [line.split(",") for line in named.decode().splitlines()[1:]]
    in_file = {line[0]: int(line[-1].replace(".", "")) for line in lines}
    sums = (int(head["employees"]["N"]), int(head["total"]["N"]), len(lines))
    expected = (len(upload.pays), sum(upload.pays.values()), len(upload.pays))
    return paid == in_file == upload.pays and sums == expected and outcome.files == [head["file"]["S"]]


def _failures_are_mailed(outcome: Outcome) -> bool:
    """Each execution that failed has its mail, which says what its cause says; there are no others."""
    about = [mail.strip() for mail in outcome.mails if " is paid: " not in mail]
    return sorted(about) == sorted(map(str.strip, outcome.causes("FAILED")))


def _successes_are_mailed(upload: Upload, outcome: Outcome) -> bool:
    about = [mail for mail in outcome.mails if " is paid: " in mail]
    total = f"{sum(upload.pays.values()) // 100}.{sum(upload.pays.values()) % 100:02}"
    says = f"is paid: {len(upload.pays)} employees, {total} in all. The payment file is payments/"
    return len(about) == len(outcome.causes("SUCCEEDED")) and all(says in mail for mail in about)


def _unended(payroll: Payroll) -> list[str]:
    return [each["name"] for each in payroll.all_executions() if each["status"] == "RUNNING"]


def _sums(payroll: Payroll, uploads: list[Upload]) -> list[tuple[str, int, int]]:
    """What was promised: what it is about, the count, and the count that is expected."""
    found = _outcomes(payroll)
    right = [(each, found[each.payroll]) for each in uploads if each.pays]
    wrong = [(each, found[each.payroll]) for each in uploads if not each.pays]
    everything = [*right, *wrong]
    return [
        ("payrolls", len(found), len(uploads)),
        ("right files paid, once and to the cent", sum(_agrees(payroll, *each) for each in right), len(right)),
        ("right files with an execution that succeeded", _ended(right, "SUCCEEDED"), len(right)),
        ("wrong files not paid", sum(_agrees(payroll, *each) for each in wrong), len(wrong)),
        ("wrong files with an execution that failed", _ended(wrong, "FAILED"), len(wrong)),
        ("wrong files with an execution that succeeded", _ended(wrong, "SUCCEEDED"), 0),
        ("files with a mail for each failure", sum(_failures_are_mailed(each) for _, each in everything), len(uploads)),
        ("files with a mail for each success", sum(_successes_are_mailed(*each) for each in everything), len(uploads)),
        ("executions that neither failed nor succeeded", _others(found), 0),
    ]


def _ended(outcomes: list[tuple[Upload, Outcome]], status: str) -> int:
    return sum(bool(outcome.causes(status)) for _, outcome in outcomes)


def _others(outcomes: dict[str, Outcome]) -> int:
    ended = [each["status"] for outcome in outcomes.values() for each in outcome.executions]
    return sum(status not in ("SUCCEEDED", "FAILED") for status in ended)


def _reason(execution: dict) -> str:
    """The error of an execution; if it is none of the example's own, that of the step."""
    found = re.search(r"a step failed with ([\w.]+\w)", execution.get("cause", ""))
    return found[1] if found else execution.get("error", "")


def _what_is_wrong(payroll: Payroll, uploads: list[Upload]) -> str:
    """Of each file that is not as promised: what it should pay, and all that there is of it."""
    found = _outcomes(payroll)
    wrong = [(each, found[each.payroll]) for each in uploads if not _is_right(payroll, each, found[each.payroll])]
    return "\n\n".join(f"{upload.payroll} should pay {upload.pays}:\n{outcome}" for upload, outcome in wrong)


def _is_right(payroll: Payroll, upload: Upload, outcome: Outcome) -> bool:
    mailed = _failures_are_mailed(outcome) and _successes_are_mailed(upload, outcome)
    ended = bool(outcome.causes("SUCCEEDED")) == bool(upload.pays)
    return mailed and ended and _agrees(payroll, upload, outcome)


def _show(title: str, *columns: str, rows: Iterable[tuple]) -> None:
    table = Table(title, *columns, box=None)
    for row in rows:
        table.add_row(*map(str, row))
    Console(width=100).print(table, "")


# -- the test


@pytest.mark.timeout(900)  # a payment that fails is waited for, and one after the other may
def test_whatever_is_killed_each_right_file_is_paid_once_and_each_wrong_one_never(payroll):
    """Calls are also doubled and throttled, and DynamoDB refuses and loses answers. Users repeat what has failed."""
    uploads, users = _uploads(), Users(payroll)
    with Faults(payroll) as faults, ThreadPoolExecutor(_AT_A_TIME) as pool:
        for used in [pool.submit(users.use, upload) for upload in uploads]:
            used.result()
    wait_until(lambda: not _unended(payroll), "executions go on")
    wait_until(lambda: len(payroll.all_mails()) >= len(payroll.all_executions()), "mails are missing")
    sums = _sums(payroll, uploads)
    ended = Counter(f"executions {each['status']} {_reason(each)}" for each in _executions(payroll))
    _show("what happened", "times", rows=sorted((users.answers + ended + faults.others).items()))
    _show("killed", *_WHEN, rows=[(each, *(faults.kills[each, when] for when in _WHEN)) for each in _KILLABLE])
    _show("what was promised", "count", "expected", rows=sums)
    assert all(sum(faults.kills[each, when] for when in _WHEN) for each in _KILLABLE)
    assert all(sum(faults.kills[each, when] for each in _KILLABLE) for when in _WHEN)
    assert [row for row in sums if row[1] != row[2]] == [], _what_is_wrong(payroll, uploads)

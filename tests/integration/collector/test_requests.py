"""What it costs to know what is going on: docs/operate.md has a table of the requests, and these tests count them."""

import re
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from chalicelib.models.runs import RunKind
from chalicelib.runs import cost
from sandbox.project import ROOT
from tests.integration.collector.fakes import MINUTE, FakeDeployment
from tests.integration.collector.test_bulk import put_on_worklist
from tests.integration.collector.test_outages import EMAILS, after_quiet_hour
from tests.integration.collector.test_relapses import pass_cool_down

READS, WRITES, OBJECTS = "reads", "writes", "objects"

_KINDS = {
    **dict.fromkeys(("GetItem", "Query"), READS),
    **dict.fromkeys(("PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems"), WRITES),
    **dict.fromkeys(("GetObject", "PutObject"), OBJECTS),
}

ROW = re.compile(r"^\| (.+?) \| (\d+) \| (\d+) \| (\d+) \|$", re.MULTILINE)
TABLE = {
    name: Counter({READS: int(reads), WRITES: int(writes), OBJECTS: int(objects)})
    for name, reads, writes, objects in ROW.findall((ROOT / "docs" / "operate.md").read_text(encoding="utf-8"))
}


class Requests:
    """Counts the requests of a call, by kind and by what they are about. Reads of many items at once are not counted:
    there is one for each page of a list, whatever else is looked at.
    """

    def __init__(self, clients: list[Any]) -> None:
        self._clients = clients

    def of(self, call: Callable[[], object], *subjects: str) -> Counter[str]:
        """Return the number of a call's requests, only those about some subjects if these are given."""
        found: Counter[str] = Counter()

        def count(params: dict[str, Any], model: Any, **_: Any) -> None:
            about = _subject(params)
            if model.name in _KINDS and (not subjects or about in subjects):
                found[_KINDS[model.name]] += 1

        for client in self._clients:
            client.meta.events.register("before-parameter-build", count)
        call()
        for client in self._clients:
            client.meta.events.unregister("before-parameter-build", count)
        return found


def _subject(params: dict[str, Any]) -> str:
    """What a request is about: the first part of a partition key or of an object's key, or an index and its value."""
    if "Bucket" in params:
        return params["Key"].partition("/")[0]
    item = params.get("Key") or params.get("Item")
    if item:
        return item["pk"]["S"].partition("#")[0]
    values = params.get("ExpressionAttributeValues", {})
    value = next((each["S"] for name, each in values.items() if name in (":pk", ":value")), "")
    return f"{params['IndexName']}/{value}" if "IndexName" in params else value


@pytest.fixture
def requests(ministack, s3) -> Requests:
    return Requests([ministack, s3])


def less(one: Counter[str], other: Counter[str]) -> Counter[str]:
    """Return how much more there is in one of two counts. Nothing may be less."""
    difference = Counter(one)
    difference.subtract(other)
    assert min(difference.values(), default=0) >= 0
    return difference


def check(row: str, counted: Counter[str]) -> None:
    assert counted == TABLE[row]


def scan(deployment: FakeDeployment, number: int) -> Callable[[], str]:
    """Return a scan of the schedule, a quarter of an hour later, which finds something to send."""
    deployment.clock.advance(15 * MINUTE)
    deployment.add_failed("send.sms", f"new-{number}")
    return lambda: deployment.fire(number)


SCAN = ("SITUATION", "ALERT", "OUTAGE", "open/UNSETTLED")
IN_OUTAGE = (*SCAN, "runs/RUN", "outages")


def test_a_scan(deployment, requests):
    """It looks at the outages and at the unsettled runs, and replaces the situation."""
    check("a scan of the schedule", requests.of(scan(deployment, 1), *SCAN))


def test_a_scan_that_finds_nothing_to_send_makes_the_requests_that_the_cost_model_bills(deployment, requests):
    """All that it makes, in the situation that most scans are in."""
    deployment.fire(1)
    deployment.clock.advance(15 * MINUTE)
    assert requests.of(lambda: deployment.fire(2)) == {READS: cost._SCAN_READS, WRITES: cost._SCAN_WRITES}


def begin_outage(deployment) -> Callable[[], str]:
    """Return the scan that begins an outage."""
    after_quiet_hour(deployment).add_failed("send.email", *EMAILS)
    return scan(deployment, 5)


def test_a_scan_while_an_outage_is_open(deployment, requests):
    """It reads whom the outage has hit, adds whom it hits now, and looks for runs since."""
    run_id = begin_outage(deployment)()
    deployment.send(run_id, lambda: "ApplicationError")
    deployment.report(run_id)
    counted = requests.of(scan(deployment, 6), *IN_OUTAGE)
    check("more, while an outage is open", less(counted, TABLE["a scan of the schedule"]))


def test_the_mail_about_an_outage(deployment, requests):
    """It is taken, and forgotten when it was sent."""
    began = requests.of(begin_outage(deployment), "OUTAGE")
    deployment.send(deployment.fired, lambda: "ApplicationError")
    deployment.report(deployment.fired)
    check("a mail about an outage", less(began, requests.of(scan(deployment, 6), "OUTAGE")))


def test_the_address_of_the_page_in_a_mail(deployment, requests):
    """It is read when the mail leaves."""
    check("the address of the page, for each mail", requests.of(begin_outage(deployment), "PAGE"))


def sent(deployment, number: int) -> str:
    """Return a run that got so many communications accepted."""
    deployment.add_failed("send.email", *(str(each) for each in range(number)))
    run_id = deployment.fire(1)
    deployment.send(run_id)
    deployment.report(run_id)
    deployment.lists.failed.clear()
    pass_cool_down(deployment)
    return run_id


@pytest.mark.parametrize("number", [3, 30])
def test_a_run_that_is_settled_costs_the_same_however_many_communications_have_arrived(deployment, requests, number):
    """They are not listed any more: nobody reads or writes anything about them."""
    sent(deployment, number)
    settling = requests.of(lambda: deployment.fire(2))
    deployment.clock.advance(15 * MINUTE)
    row = less(settling, requests.of(lambda: deployment.fire(3)))
    arriving = {kind: number * count for kind, count in TABLE["a communication that arrives"].items()}
    check("a run that got something accepted, when it is settled", less(row, Counter(arriving)))


def test_relapses(deployment, requests):
    """Up to 99 of one run are one transaction, and a communication that has not relapsed is not in it."""
    sent(deployment, 30)
    deployment.add_failed("send.email", *EMAILS[:20])
    relapsing = requests.of(lambda: deployment.fire(2))
    deployment.send(deployment.fired)
    deployment.report(deployment.fired)
    deployment.lists.failed.clear()
    pass_cool_down(deployment)
    deployment.add_failed("send.email", "other")
    row = less(relapsing, requests.of(lambda: deployment.fire(3)))
    check("relapses of a run, for each 99", row)


def test_the_report_of_a_run(deployment, requests):
    """It looks for runs that turned out worse, and takes from the index those that its mail names."""
    run_id = sent(deployment, 3)
    deployment.add_failed("send.email", "1")
    deployment.fire(2)
    deployment.add_failed("send.sms", "1", "2", "3")
    for number in ("1", "2", "3"):
        deployment.send(deployment.request(number, operation="send.sms", primary_ids=[number]).run_id)
    naming, other = (requests.of(partial(deployment.report, number)) for number in ("1", "2"))
    assert [run.run_id for run in deployment.ledger.runs.read("1").worse_runs] == [run_id]
    check("an earlier run that a mail names because it turned out worse", less(naming, other))
    looking = requests.of(partial(deployment.report, "3"), "open/WORSE")
    check("the report of a run, if it has a mail", looking)


def bulk(deployment, requests, number: int, *subjects: str) -> Counter[str]:
    """Return the requests of a bulk run about so many communications, two on a page."""
    put_on_worklist(deployment, *(f"{number}-{each}" for each in range(number)), reason=f"reason-{number}")
    deployment.request_bulk(RunKind.DISMISS, str(number), reason=f"reason-{number}", note="gone")
    return requests.of(lambda: deployment.collect_requested(str(number)), *subjects)


def test_a_bulk_run(deployment, requests):
    """Each decision reads and writes its communication; each page is pinned, counted, and asks whether to go on."""
    two = bulk(deployment, requests, 2, "COMM")
    check("a decision of a bulk run", less(bulk(deployment, requests, 3, "COMM"), two))
    four, six = bulk(deployment, requests, 4), bulk(deployment, requests, 6)
    check("a page of a bulk run, of 100 to 200 communications", less(less(six, four), two))


def test_every_row_of_the_table_is_counted_here():
    """A row that nobody counts could say anything."""
    source = (ROOT / "tests" / "integration" / "collector" / "test_requests.py").read_text(encoding="utf-8")
    assert len(TABLE) >= 10
    assert [row for row in TABLE if f'"{row}"' not in source] == []

"""What the tests of the page's screens do again and again: fill the ledger, and sign in."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from playwright.sync_api import Locator, Page, expect

from chalicelib import times
from chalicelib.ledger import Ledger
from chalicelib.ledger.communications import key_of
from chalicelib.ledger.runs import run_key
from chalicelib.ledger.situations import KnownCause, OperationCounts, Situation, Situations
from chalicelib.ledger.table import Table
from chalicelib.models.batches import BatchRecord
from chalicelib.models.communications import CauseKind
from chalicelib.models.outcomes import OutcomeRecord
from chalicelib.models.runs import Run
from chalicelib.runs.causes import Cause
from sandbox.deployed import PREFIX
from sandbox.system import System
from tests.browser.axe import axe

EMAIL = "send.email"

# Ids of the application's as bad as they may be.
HOSTILE = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "\u202eright to left", "x" * 500]

# All of that in one text that is short enough to be a part of an id or a note.
EVIL = "".join(HOSTILE)[:240]

# The width of a small phone, in CSS pixels.
NARROW = 360

# How the screens are looked at: light, dark, and on a phone.
LOOKS = [
    {"color_scheme": "light"},
    {"color_scheme": "dark"},
    {"color_scheme": "light", "viewport": {"width": NARROW, "height": 740}},
]


@contextmanager
def paused(system: System, token: str) -> Iterator[None]:
    """Pause the schedule, so that scans look and send nothing. Afterwards, forget what they saw."""
    system.call("POST", "/schedule/pause", token)
    yield
    empty_worklist(system)
    table = Table(system.client("dynamodb"), PREFIX)
    for partition in ("SITUATION", "OUTAGE", "PACE"):
        for item in table.latest(partition, 100):
            table.delete(item["pk"], item["sk"])
    system.call("POST", "/schedule/resume", token)


def sign_in(page: Page, system: System, token: str, address: str) -> Page:
    """Open the page at an address, sign in there, and return it."""
    page.goto(f"{system.api}{address}")
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator(".who")).to_be_visible()  # from then on, the page knows what the token may do
    return page


def go(page: Page, address: str) -> None:
    """Go to another screen, as by a link."""
    page.evaluate("address => { location.hash = address }", address)


def type_at_once(page: Page, keys: str) -> None:
    """Press keys in one moment. Between two calls of Playwright, a busy machine may take longer than people do."""
    page.evaluate(
        """keys => {
            for (const key of keys) {
                const event = new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true });
                document.activeElement.dispatchEvent(event);
            }
        }""",
        keys,
    )


def press(button: Locator) -> None:
    """Press a button with the keyboard: Playwright clicks none that is only `aria-disabled`, but people do."""
    button.focus()
    button.press("Enter")


def check_look(page: Page) -> None:
    """AssertionError if the page is wider than its window, or if axe finds something."""
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert axe(page) == []


def keep_ended(system: System, run: Run, halt_reason: str | None = None) -> None:
    """Keep a run that has ended in the ledger: not all of them can be brought about within seconds."""
    table = Table(system.client("dynamodb"), PREFIX)
    runs = Ledger(table, times.now, times.parse_duration("1d")).runs
    runs.create(run)
    if halt_reason:
        runs.halt(run.run_id, halt_reason)
    table.update(run_key(run.run_id), "REMOVE #open", {})  # otherwise recovery would look after it


def keep_outcomes(system: System, run_id: str, outcomes: Sequence[OutcomeRecord]) -> None:
    """Keep the outcomes of a run's only batch."""
    table = Table(system.client("dynamodb"), PREFIX)
    record = BatchRecord(index=0, at=times.now(), outcomes=list(outcomes))
    Ledger(table, times.now, times.parse_duration("1d")).runs.record_batch(run_id, record)


def empty_worklist(system: System) -> None:
    """Let the ledger forget what is on the worklist or dismissed."""
    table = Table(system.client("dynamodb"), PREFIX)
    for status in ("manual", "dismissed"):
        for item in list(table.query_index("worklist", status)):
            table.delete(item["pk"], item["sk"])


def put_on_worklist(system: System, ids: Sequence[str], **attributes: object) -> None:
    """Put emails on the worklist, in this order, as if a run had brought them there an hour ago."""
    table, since = Table(system.client("dynamodb"), PREFIX), times.now() - 3_600_000
    answer = {
        "owner": "20260101T000000Z-000000000000#0",
        "answer": "CommunicationRejected",
        "reason": "invalid_address",
    }
    state = {"operation": EMAIL, "status": "manual", "worklist": "manual", "manualReason": "invalid_address"}
    for at, primary_id in enumerate(ids, since):
        pk, sk = key_of(EMAIL, primary_id)
        tried = {"attempts": 1, "until": at, "manualSince": at, "history": [answer | {"at": at}]}
        table.put({"pk": pk, "sk": sk, "primaryId": primary_id, **state, **answer, **tried, **attributes})


def cause(reason: str | None, count: int, kind: CauseKind = CauseKind.REJECTED, **more: object) -> KnownCause:
    """Return a cause of emails that was first seen an hour ago."""
    id_, now = Cause(operation=EMAIL, kind=kind, reason=reason).id, times.now()
    known = {"first_seen": now - 3_600_000, "last_seen": now, "trend": [0] * 9 + [1, 2, count], "example": "order/1"}
    return KnownCause(**{"id": id_, "operation": EMAIL, "kind": kind, "reason": reason, "count": count} | known | more)


def see(system: System, *causes: KnownCause, **more: object) -> None:
    """Let the last scan have seen these causes, and no other."""
    table = Table(system.client("dynamodb"), PREFIX)
    table.delete("SITUATION", "SITUATION")
    now, failing = times.now(), sum(each.count for each in causes)
    counts = {EMAIL: OperationCounts(failing=failing), "send.sms": OperationCounts()}
    seen = {"complete": True, "last_complete": now, "by_operation": counts, "causes": list(causes)}
    Situations(table).change(lambda _: Situation(run_id="a-scan", at=now, **seen | more))

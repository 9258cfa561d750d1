"""One outage as the people on call see it: from the mail that it has begun to the mail that it is settled."""

import csv
import io
import re
import time

import pytest
from playwright.sync_api import expect

from sandbox.story import QUIET_SCANS
from sandbox.system import System
from tests.e2e.driver import PATIENCE, insert_failed, wait_until

# How many fail because the application is down, and how many because their address is impossible.
DOWN, IMPOSSIBLE = 38, 2
ALL = DOWN + IMPOSSIBLE


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    """A system in which a run for all of them waits for approval, and so does a second one of the same person."""
    settings = {"SCHEDULE": "rate(1 hour)", "APPROVAL_THRESHOLD": str(ALL - 1)}
    with System(tmp_path_factory.mktemp("system"), settings, requeue_after=0.2) as running:
        running.deploy()
        yield running


def mail_about(system, words):
    """Wait for a mail whose subject contains the words."""
    return system.mailbox.wait_for(lambda mail: words in mail["Subject"], PATIENCE)


def follow(page, mail, screen, token=None):
    """Open the one address of a screen that a mail names; sign in there, unless that was done before."""
    (address,) = re.findall(rf"https?://\S+#/{screen}\S*", mail.get_content())
    page.goto(address)
    if token:
        page.get_by_label("Token").fill(token)
        page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_be_focused()


def confirm(page, name):
    """Answer the question that an action asks."""
    page.get_by_role("dialog").get_by_role("button", name=name).click()


def verdict(page):
    """The sentence that says how a run or an outage stands."""
    return page.locator(".verdict").first


def saved(page, button):
    """Return the rows of the CSV file that a button saves."""
    with page.expect_download() as download:
        page.get_by_role("button", name=button).click()
    return list(csv.DictReader(io.StringIO(download.value.path().read_text(encoding="utf-8"))))


def share(page, name):
    """How many of those that an outage has hit have become this."""
    return page.get_by_role("listitem").filter(has_text=re.compile(f"^{name}"))


def test_an_outage_from_the_first_mail_until_it_is_settled(pages, system):
    """Olga looks, pauses, and proves in vain; Anna decides; after the repair they prove it and clear the worklist."""
    olga, anna = system.token("operator", "olga"), system.token("approver", "anna")
    mine, hers = pages.open(), pages.open()
    begin(system)
    look(mine, system, olga)
    reject(hers, system, anna)
    pause(mine)
    prove_in_vain(mine)
    system.application.reset_switches()
    system.scan()
    prove(mine, hers, system)
    send_the_rest(mine, system, olga)
    clear_the_worklist(mine)
    settle(mine, system, olga)


def begin(system):
    """In a quiet hour, the application goes down; the schedule's next scan finds what it gave up on."""
    for _ in range(QUIET_SCANS):
        system.scan()
    system.application.switch(status=500)
    insert_failed(system, DOWN, "alice")
    system.application.create("emails", IMPOSSIBLE, created_by="alice", recipient="nobody")
    system.application.wait_for_stats(PATIENCE, failed=ALL, queued=0)
    system.scan()


def look(mine, system, olga):
    """The mail about the outage leads to it."""
    follow(mine, mail_about(system, "failures are rising"), "outages/", olga)
    expect(verdict(mine)).to_contain_text(f"hit {ALL} communications")


def reject(hers, system, anna):
    """Another mail asks for approval. The application is down, so she sends nothing."""
    follow(hers, mail_about(system, "approve or reject"), "runs/", anna)
    expect(verdict(hers)).to_contain_text(f"waits for approval before it sends {ALL} communications")
    hers.get_by_role("button", name="Reject").click()
    confirm(hers, "Reject")
    expect(verdict(hers)).to_contain_text("declined")


def pause(mine):
    """Nothing is to begin by itself until the fix is proved."""
    mine.get_by_role("link", name="Schedule and pace").click()
    mine.get_by_role("button", name="Pause").click()
    expect(mine.get_by_text(re.compile("paused.*by olga", re.DOTALL)).first).to_be_visible()


def open_worst_cause(mine):
    """Follow the most frequent cause from Now."""
    mine.get_by_role("link", name="Now", exact=True).click()
    mine.get_by_role("region", name="Why?").locator("tbody a").first.click()


def prove_in_vain(mine):
    """After a dry run, a run sends one, which fails again."""
    open_worst_cause(mine)
    mine.get_by_role("button", name="Dry run").click()
    expect(mine.get_by_role("region", name="Dry run")).to_contain_text(str(DOWN))
    mine.get_by_role("button", name="Prove the fix").click()
    confirm(mine, "Prove the fix")
    expect(verdict(mine)).to_contain_text("stopped because the cause is not fixed yet")
    expect(verdict(mine)).to_contain_text(f"1 of {DOWN}")


def prove(mine, hers, system):
    """The second proof is more than olga may start alone within an hour, so anna approves it."""
    open_worst_cause(mine)
    mine.get_by_role("button", name="Prove the fix").click()
    confirm(mine, "Prove the fix")
    expect(verdict(mine)).to_contain_text(f"waits for approval before it sends {DOWN - 1} communications")
    follow(hers, mail_about(system, f"approve or reject a run of {DOWN - 1}"), "runs/")
    hers.get_by_role("button", name="Approve").click()
    confirm(hers, f"Approve {DOWN - 1}")
    expect(verdict(hers)).to_contain_text(f"The application accepted all {DOWN - 1}.")
    mine.keyboard.press("r")
    expect(verdict(mine)).to_contain_text(f"The application accepted all {DOWN - 1}.")


def send_the_rest(mine, system, olga):
    """The schedule sends what is left. The impossible ones need a person."""
    mine.get_by_role("link", name="Schedule and pace").click()
    mine.get_by_role("button", name="Resume").click()
    expect(mine.get_by_role("button", name="Pause")).to_be_visible()
    system.fire()

    def need_a_person() -> bool:
        return len(system.call("GET", "/communications", olga).json()["communications"]) == IMPOSSIBLE

    wait_until(need_a_person, "the impossible ones are not on the worklist")


def clear_the_worklist(mine):
    """She saves it for a colleague, and dismisses one."""
    mine.get_by_role("link", name="Worklist").click()
    assert len(saved(mine, "Download as CSV")) == IMPOSSIBLE
    entries = mine.get_by_role("region", name="Communications").locator("tbody")
    entries.get_by_role("checkbox").first.check()
    mine.get_by_role("button", name="Dismiss", exact=True).click()
    mine.get_by_role("dialog").get_by_label("Why?").fill("there is no such address")
    confirm(mine, "Dismiss 1")
    expect(entries.locator("tr")).to_have_count(IMPOSSIBLE - 1)


def settle(mine, system, olga):
    """Once the cool-down is over, a scan finds that nothing is left to wait for. A mail says so, with the numbers."""

    def is_settled() -> bool:
        system.scan()
        time.sleep(0.5)
        return bool(system.call("GET", "/outages", olga).json()["outages"][0]["settledAt"])

    wait_until(is_settled, "the outage is not settled")
    follow(mine, mail_about(system, "settled"), "outages/")
    expect(verdict(mine)).to_contain_text("settled")
    for name, number in {"recovered": DOWN, "on the worklist": 1, "dismissed": 1, "waiting": 0}.items():
        expect(share(mine, name)).to_contain_text(str(number))
    rows = saved(mine, "Download whom it hit (CSV)")
    assert sorted(row["state"] for row in rows) == ["dismissed", "on_worklist"] + ["recovered"] * DOWN

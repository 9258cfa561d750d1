"""The screen "Now", from an empty ledger through an outage until it is over: each test goes on where the last ended."""

import re
import sqlite3
from contextlib import closing

import pytest
from playwright.sync_api import expect

from chalicelib import times
from sandbox import story
from sandbox.system import System
from tests.browser.axe import axe
from tests.browser.driver import LOOKS, press
from tests.e2e.driver import PATIENCE, insert_failed, wait_until


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    """A system of this file's own, whose schedule fires only when a test does it."""
    with System(tmp_path_factory.mktemp("system"), story.SETTINGS | {"SCHEDULE": "rate(1 hour)"}) as running:
        running.deploy()
        yield running


@pytest.fixture
def now(page, sign_in):
    """The screen, as an operator sees it."""
    sign_in(page)
    expect(page.locator(".verdict")).to_be_visible()
    return page


def part(page, name):
    return page.get_by_role("region", name=name, exact=True)


def failing(page):
    return part(page, "Is it still failing?")


def steps(page):
    return part(page, "What next?")


def waits(page):
    return part(page, "What runs, and what waits for you?")


def test_before_the_first_scan_nobody_knows_anything(now):
    """It says so, instead of "all well"."""
    expect(failing(now)).to_contain_text("Nobody knows yet: the schedule has not looked for the first time.")
    expect(part(now, "Why?")).to_contain_text("Nothing fails.")
    expect(waits(now)).to_contain_text("No run is under way.")
    expect(waits(now)).to_contain_text("Schedule: a run begins every hour, if there is anything to send")
    expect(steps(now)).to_contain_text("There is nothing to do.")
    assert axe(now) == []


def test_when_nothing_fails_all_is_well(system, now):
    """After a scan, which the screen shows as soon as it is asked for again."""
    system.scan()
    now.keyboard.press("r")
    expect(failing(now)).to_contain_text("all well Nothing waits to be sent.")
    expect(failing(now)).to_contain_text("waiting to be sent0")


def test_a_run_says_what_it_is_and_no_number_before_there_is_one(system, page, sign_in, token_of):
    """A bulk run sends nothing, and one that has only been requested has not counted anything."""
    status = {"status": "collecting", "matched": 0, "skipped": {}, "done": 0, "counts": {}, "decision": None}
    run = status | {"trigger": "request", "requestedBy": "olga", "requestedAt": "2026-01-01T00:00:00Z", "proof": None}
    run |= {"haltReason": None, "expectedEnd": None, "note": None}
    runs = [run | {"runId": "a", "kind": "reprocess"}, run | {"runId": "b", "kind": "dismiss", "matched": 5}]
    answer = system.call("GET", "/summary", token_of("operator")).json() | {"runs": runs, "runsUnderWay": 2}
    page.route("**/summary", lambda route: route.fulfill(json=answer))
    sign_in(page)
    cards = waits(page).locator(".cards")
    expect(cards.get_by_role("link", name="Run", exact=True)).to_be_visible()
    expect(cards.get_by_role("link", name="Bulk run: dismiss from the worklist")).to_be_visible()


def test_all_is_not_well_when_nothing_has_looked_for_long(system, page, sign_in, token_of):
    """The last scan was a day ago, and the schedule fires every hour."""
    answer = system.call("GET", "/summary", token_of("operator")).json()
    day_ago = times.format_iso(times.now() - times.parse_duration("1d"))
    page.route("**/summary", lambda route: route.fulfill(json=answer | {"asOf": day_ago}))
    sign_in(page)
    expect(failing(page)).to_contain_text("nobody knows")
    expect(failing(page)).to_contain_text("Nothing has looked since 1 d ago, so all this may be out of date.")


def test_in_an_outage_it_says_what_fails_why_and_what_to_do(system, pages, sign_in):
    """An operator cannot approve the run that waits, and is told why."""
    story.happen(system)
    page = pages.open()
    sign_in(page)
    expect(failing(page)).to_contain_text(re.compile("Outage going on In .* it has hit 42 communications"))
    expect(failing(page)).to_contain_text(
        "waits for approval A run of 42 communications sends nothing until somebody approves it."
    )
    expect(failing(page)).to_contain_text("waiting to be sent42")
    expect(failing(page).get_by_role("link", name="Look at the outage")).to_have_attribute(
        "href", re.compile("#/outages/2")
    )
    causes = part(page, "Why?").get_by_role("row")
    expect(causes).to_have_count(5)
    expect(causes.nth(1)).to_contain_text(re.compile("not sent again yet: provider_refusedsend.(email|sms)20"))
    run = waits(page).get_by_role("listitem").first
    expect(run).to_contain_text("Run of 42 communications, scheduled")
    expect(run.get_by_role("button", name="Approve")).to_be_disabled()
    press(run.get_by_role("button", name="Approve"))
    expect(page.get_by_role("status").filter(has_text="needs the role approver")).to_be_visible()
    expect(steps(page).get_by_role("listitem")).to_contain_text(
        ["Decide about the 1 run above", "Find out", "dry run", "Prove the fix", "2 communications on the worklist"]
    )
    dry_run = steps(page).get_by_role("link", name="dry run for this cause")
    expect(dry_run).to_have_attribute("href", re.compile(r"#/start\?cause=\w+"))


@pytest.mark.parametrize("look", LOOKS)
def test_in_an_outage_it_is_accessible_and_fits(pages, sign_in, look):
    """In both themes, and on a phone; also with the numbers of the chart."""
    page = pages.open(**look)
    sign_in(page)
    expect(waits(page)).to_be_visible()
    page.get_by_text("Show the numbers").click()
    expect(page.get_by_role("region", name="Scans")).to_be_visible()
    assert axe(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_paused_schedule_is_a_step_to_be_taken(system, token_of, now):
    """With who paused it, and when."""
    assert system.call("POST", "/schedule/pause", token_of("approver")).ok
    now.keyboard.press("r")
    expect(waits(now)).to_contain_text(re.compile("Schedule: paused by anna (now|.* ago)"))
    steps(now).get_by_role("link", name="Resume the schedule").click()
    expect(now.get_by_role("heading", level=1)).to_have_text("Schedule and pace")


def test_an_approver_approves_the_run_there_and_sees_it_end(system, pages, sign_in, token_of):
    """The confirmation says how many are sent. The schedule is still paused, so a scan only looks."""
    page = pages.open()
    sign_in(page, role="approver")
    waits(page).get_by_role("button", name="Approve").click()
    dialog = page.get_by_role("dialog", name="Approve this run?")
    expect(dialog).to_contain_text("It sends 42 communications to the application. What was sent cannot be taken back.")
    dialog.get_by_role("button", name="Approve 42").click()
    expect(page.get_by_role("status").filter(has_text="Approved: the run sends 42 communications.")).to_be_visible()
    expect(waits(page)).to_contain_text("No run is under way.")
    system.application.wait_for_stats(PATIENCE, queued=0)
    assert system.call("GET", "/summary", token_of("viewer")).json()["runsUnderWay"] == 0
    wait_until(lambda: _is_settled(system, token_of), "the outage is not settled")
    page.keyboard.press("r")
    expect(failing(page)).to_contain_text("waiting to be sent0")
    expect(failing(page)).to_contain_text("on the worklist4")


def _is_settled(system, token_of):
    system.scan()
    return system.call("GET", "/summary", token_of("viewer")).json()["outage"] is None


def test_ten_causes_are_shown_and_a_link_leads_to_the_others(system, now):
    """Each leads to its own screen. Long codes do not break the layout."""
    ids = insert_failed(system, 12, "dora")
    with closing(sqlite3.connect(system.application.database, timeout=PATIENCE)) as database, database:
        codes = [(f"code-{number}-{'x' * 90}", id_) for number, id_ in enumerate(ids)]
        database.executemany("UPDATE communications SET error_code = ? WHERE id = ?", codes)
    system.scan()
    now.keyboard.press("r")
    causes = part(now, "Why?").get_by_role("row")
    expect(causes).to_have_count(11)
    expect(causes.nth(3).get_by_role("link")).to_have_attribute("href", re.compile("#/causes/[0-9a-f]{16}"))
    expect(part(now, "Why?").get_by_role("link", name="All causes")).to_have_attribute("href", "#/causes")
    expect(failing(now)).to_contain_text("some fail 12 communications waiting, and no sign of an outage.")
    now.set_viewport_size({"width": 360, "height": 800})
    assert now.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_an_incomplete_scan_says_that_its_numbers_are_lower_bounds(system, now):
    """The application's lists cannot be read."""
    system.application.switch(lists_down=True)
    system.scan()
    system.application.reset_switches()
    now.keyboard.press("r")
    expect(failing(now)).to_contain_text("The last scan could not read all lists, so these numbers are lower bounds.")
    expect(failing(now)).to_contain_text("waiting to be sent12")

"""The screens of causes: why communications fail, and the way from a dry run over a proof to everything."""

import re

import pytest
from playwright.sync_api import expect

from chalicelib.models.communications import CauseKind
from tests.browser.axe import axe
from tests.browser.driver import EMAIL, HOSTILE, LOOKS, cause, empty_worklist, paused, put_on_worklist, see, sign_in
from tests.e2e.driver import insert_failed, wait_for_end


@pytest.fixture(scope="module", autouse=True)
def _schedule_is_paused(system, token_of):
    """So that only these tests change anything."""
    with paused(system, token_of("operator")):
        yield


@pytest.fixture(autouse=True)
def _worklist_is_empty(system):
    """Before each test."""
    empty_worklist(system)


REJECTED = cause("invalid_address", 7, on_worklist=5)
SEVERAL = (
    REJECTED,
    cause("provider_down", 40, CauseKind.UNTRIED),
    cause("other", 9, CauseKind.FAILED, folded=True),
    cause("timeout", 0, CauseKind.FAILED, trend=[3] * 11 + [0]),
)


@pytest.fixture
def known(system):
    """The causes of the last scan: some fail, one adds up rare ones, and one is gone."""
    see(system, *SEVERAL, capped=True)
    return SEVERAL


def scanned_cause(system, operator, count, created_by):
    """Let so many emails fail and a scan see them. Return the id of their cause."""
    insert_failed(system, count, created_by)
    system.scan()
    causes = system.call("GET", "/causes", operator).json()["causes"]
    [found] = [each["id"] for each in causes if each["count"] == count]
    return found


def runs(system, token):
    return {each["runId"] for each in system.call("GET", "/runs", token).json()["runs"]}


def button(page, name):
    return page.get_by_role("button", name=name, exact=True)


def dialog(page):
    return page.get_by_role("dialog")


@pytest.mark.usefixtures("known")
def test_all_causes_are_listed_with_their_numbers_and_those_that_are_gone_apart(page, system, viewer):
    """The list says that rare ones are added up."""
    put_on_worklist(system, ["order/1"])
    sign_in(page, system, viewer, "/#/causes")
    expect(page).to_have_title("Causes · comms-reprocess")
    failing = page.get_by_role("region", name="Causes", exact=True)
    expect(failing.get_by_role("row")).to_have_count(4)
    expect(failing.get_by_role("row").filter(has_text="invalid_address")).to_contain_text(re.compile(r"7\s*5.*rising"))
    expect(page.get_by_text("56 communications for 3 causes")).to_be_visible()
    expect(page.get_by_text("There are more than 100 causes")).to_be_visible()
    gone = page.get_by_role("region", name="Causes that are gone")
    expect(gone.get_by_role("row").filter(has_text="timeout")).to_contain_text("gone")
    failing.get_by_role("link", name="order/1").first.click()
    expect(page.get_by_role("heading", name=f"{EMAIL} order/1")).to_be_visible()


@pytest.mark.usefixtures("known")
def test_the_operation_is_in_the_address_and_back_undoes_it(page, system, viewer):
    """A link with an operation opens the same list."""
    sign_in(page, system, viewer, "/#/causes")
    page.get_by_label("Operation").select_option("send.sms")
    expect(page).to_have_url(re.compile(r"#/causes\?operation=send\.sms$"))
    expect(page.get_by_text("Nothing of send.sms fails.")).to_be_visible()
    page.go_back()
    expect(page.get_by_text("56 communications for 3 causes")).to_be_visible()
    expect(page.get_by_label("Operation")).to_have_value("")
    page.goto(f"{system.api}/#/causes?operation=send.sms")
    expect(page.get_by_label("Operation")).to_have_value("send.sms")
    expect(page.get_by_text("Nothing of send.sms fails.")).to_be_visible()


def test_an_incomplete_scan_is_said_to_be_one(page, system, viewer):
    """On the list, and with each cause."""
    see(system, REJECTED, complete=False)
    sign_in(page, system, viewer, "/#/causes")
    expect(page.get_by_text("The last scan could not read all lists.")).to_be_visible()
    page.get_by_role("link", name="rejected: invalid_address").click()
    expect(page.get_by_text("these numbers may be lower bounds")).to_be_visible()


def test_nothing_fails(page, system, viewer):
    """The empty list says so."""
    see(system)
    sign_in(page, system, viewer, "/#/causes")
    expect(page.get_by_text("Nothing fails.")).to_be_visible()


@pytest.mark.usefixtures("known")
def test_a_cause_that_nobody_knows_is_explained(page, pages, system, viewer):
    """In the API's words."""
    pages.expect_problem("status of 404")
    sign_in(page, system, viewer, "/#/causes/0123456789abcdef")
    expect(page.get_by_role("alert")).to_contain_text("no scan of the last 24 hours has seen a cause with this id")


def test_a_folded_cause_says_why_it_cannot_be_selected(page, system, operator, known):
    """It has no buttons, and names what to do instead."""
    sign_in(page, system, operator, f"/#/causes/{known[2].id}")
    expect(page.get_by_text("so it cannot be selected")).to_be_visible()
    expect(page.get_by_role("link", name=f"start a run for {EMAIL}")).to_be_visible()
    expect(button(page, "Prove the fix")).to_have_count(0)


def test_a_cause_that_is_gone_refuses_to_send_and_says_why(page, system, operator, known):
    """A dry run looks again."""
    sign_in(page, system, operator, f"/#/causes/{known[3].id}")
    button(page, "Send all").press("Enter")
    expect(page.get_by_role("status").filter(has_text="The last scan found nothing")).to_be_visible()
    expect(dialog(page)).to_have_count(0)


@pytest.mark.usefixtures("known")
def test_a_viewer_may_look_and_learns_which_role_the_rest_needs(page, system, viewer):
    """The buttons stay visible."""
    sign_in(page, system, viewer, f"/#/causes/{REJECTED.id}")
    expect(page.get_by_text("1, 2, 7")).to_be_visible()
    for name in ("Dry run", "Prove the fix", "Send all", "Retry all", "Dismiss all"):
        expect(button(page, name)).to_have_attribute("aria-disabled", "true")
    button(page, "Prove the fix").press("Enter")
    expect(page.get_by_text("This needs the role operator; your token has the role viewer.")).to_be_visible()


def test_from_a_dry_run_to_the_proof(page, system, operator):
    """The preview says what would be sent, the question how many and in which steps; then the run's screen opens."""
    found = scanned_cause(system, operator, 40, "proved")
    before = system.call("GET", "/runs?limit=1", operator).json()["runs"]
    sign_in(page, system, operator, f"/#/causes/{found}")
    button(page, "Dry run").click()
    preview = page.get_by_role("region", name="Dry run")
    expect(preview).to_contain_text("A run would send 40 of 40 communications.")
    expect(preview).to_contain_text("expected cost")
    assert system.call("GET", "/runs?limit=1", operator).json()["runs"] == before
    button(page, "Prove the fix").click()
    expect(dialog(page)).to_contain_text("One is sent, then five, then twenty, then the rest: 14 of 40.")
    expect(dialog(page)).to_contain_text("It stops by itself as soon as one fails")
    dialog(page).get_by_role("button", name="Prove the fix").click()
    expect(page).to_have_url(re.compile("#/runs/"))
    run = wait_for_end(system, operator, page.url.rsplit("/", 1)[1])
    assert run["proof"] == {"cause": found, "stage": "all", "sent": 40, "failedAgain": 0, "stopped": False}


def test_a_dry_run_that_could_not_look_at_everything_says_at_least(page, system, operator):
    """Also in the question: more than that number may be sent."""
    see(system, REJECTED)
    sign_in(page, system, operator, f"/#/causes/{REJECTED.id}")

    def cut_short(route):
        partly = {"incomplete": True, "error": "no time was left", "matched": 4, "eligible": 4}
        route.fulfill(json=route.fetch().json() | partly)

    page.route("**/reprocess", cut_short)
    button(page, "Dry run").click()
    expect(page.get_by_text(re.compile(r"^seen (now|\d+ s ago)$"))).to_be_visible()
    expect(page.locator(".message")).to_contain_text("A run would send at least 4 of 4 communications.")
    button(page, "Send all").click()
    expect(dialog(page)).to_contain_text("Send at least 4 communications?")
    expect(dialog(page).get_by_role("button", name="Send at least 4")).to_be_visible()
    dialog(page).get_by_role("button", name="Cancel").click()
    button(page, "Prove the fix").click()
    expect(dialog(page)).to_contain_text("Prove the fix with at least 4 communications?")
    page.unroute("**/reprocess")


def test_a_run_that_was_started_although_its_answer_was_lost_is_not_started_twice(page, pages, system, operator):
    """Who asks again gets the same run."""
    pages.expect_problem("status of 504")
    found = scanned_cause(system, operator, 3, "twice")
    sign_in(page, system, operator, f"/#/causes/{found}")

    def lose_the_answer(route):
        route.fetch()
        route.fulfill(status=504, json={"message": "Endpoint request timed out"})

    before = runs(system, operator)
    page.route("**/reprocess", lose_the_answer, times=1)
    for _ in range(2):
        button(page, "Send all").click()
        dialog(page).get_by_role("button", name="Send 3").click()
        expect(dialog(page)).to_have_count(0)
        expect(page.get_by_role("alert").or_(page.get_by_role("heading", name="Run")).first).to_be_visible()
    expect(page).to_have_url(re.compile("#/runs/"))
    run_id = page.url.rsplit("/", 1)[1]
    assert runs(system, operator) - before == {run_id}
    wait_for_end(system, operator, run_id)


def test_what_is_on_the_worklist_with_a_cause_is_decided_about_all_at_once(page, system, operator):
    """The question has the number of now, not that of the scan; a run then carries it out."""
    put_on_worklist(system, [f"all/{number}" for number in range(6)])
    see(system, REJECTED)
    sign_in(page, system, operator, f"/#/causes/{REJECTED.id}")
    button(page, "Dismiss all").click()
    expect(dialog(page)).to_contain_text("Dismiss 6 communications?")
    dialog(page).get_by_label("Why?").fill("they have left")
    dialog(page).get_by_role("button", name="Dismiss 6").click()
    expect(page).to_have_url(re.compile("#/runs/"))
    run = wait_for_end(system, operator, page.url.rsplit("/", 1)[1])
    assert (run["kind"], run["counts"]) == ("dismiss", {"changed": 6})
    page.go_back()
    button(page, "Retry all").click()
    expect(page.get_by_role("alert")).to_contain_text("Nothing on the worklist matches any more.")
    page.get_by_role("link", name="worklist with this cause").click()
    expect(page).to_have_url(re.compile(rf"#/worklist\?cause={REJECTED.id}$"))


@pytest.mark.parametrize("look", LOOKS, ids=["light", "dark", "phone"])
def test_the_screens_are_accessible_and_hold_whatever_the_application_says(pages, system, operator, look):
    """Also with long and hostile ids and reasons: nothing is wider than the window."""
    see(system, *(cause("r" * 99 + str(number), 9, on_worklist=1, example=each) for number, each in enumerate(HOSTILE)))
    page = pages.open(**look)
    sign_in(page, system, operator, "/#/causes")
    expect(page.get_by_role("link", name="<script>")).to_be_visible()
    assert axe(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("link", name="rejected: r").first.click()
    button(page, "Dry run").click()
    expect(page.get_by_role("region", name="Dry run")).to_be_visible()
    assert axe(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

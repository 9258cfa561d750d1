"""The screens of the worklist and of one communication: look through, select, retry, dismiss, restore, download."""

import csv
import itertools
import re

import pytest
from playwright.sync_api import expect

from chalicelib import times
from chalicelib.ledger.communications import key_of
from chalicelib.ledger.table import Table
from sandbox.deployed import PREFIX
from tests.browser.axe import axe
from tests.browser.driver import EMAIL, HOSTILE, LOOKS, cause, empty_worklist, paused, put_on_worklist, see, sign_in
from tests.e2e.driver import insert_failed, start_run, wait_for_end


@pytest.fixture(scope="module", autouse=True)
def _schedule_is_paused(system, token_of):
    """So that only these tests change anything."""
    with paused(system, token_of("operator")):
        yield


@pytest.fixture(autouse=True)
def _nothing_is_known(system):
    """Before each test, the worklist is empty, and the last scan has seen nothing."""
    empty_worklist(system)
    see(system)


def orders(count):
    return [f"order/{number:04}" for number in range(count)]


def end_cool_down_in(system, primary_id, milliseconds):
    """As if the last attempt had been at another time."""
    table = Table(system.client("dynamodb"), PREFIX)
    pk, sk = key_of(EMAIL, primary_id)
    table.put(table.get(pk, sk) | {"until": times.now() + milliseconds})


def button(page, name):
    return page.get_by_role("button", name=name, exact=True)


def dialog(page):
    return page.get_by_role("dialog")


def rows(page):
    return page.get_by_role("region", name="Communications").locator("tbody tr")


def box(page, primary_id):
    return page.get_by_label(f"Select {primary_id}", exact=True)


def listed(system, token, **filters):
    """The primaryIds of a page of the worklist."""
    answer = system.call("GET", "/communications", token, params={"limit": 200} | filters).json()
    return [each["primaryId"] for each in answer["communications"]]


def dismiss_selected(page, note, number):
    button(page, "Dismiss").click()
    dialog(page).get_by_label("Why?").fill(note)
    dialog(page).get_by_role("button", name=f"Dismiss {number}").click()


# -- the list


def test_a_long_worklist_comes_in_pages_and_back_works(page, system, viewer):
    """The page is in the address: it can be opened by anybody, and knows its first page."""
    put_on_worklist(system, orders(205))
    sign_in(page, system, viewer, "/#/worklist")
    expect(page).to_have_title("Worklist · comms-reprocess")
    expect(rows(page)).to_have_count(100)
    page.get_by_role("link", name="Next page").click()
    expect(page.get_by_role("link", name="order/0100")).to_be_visible()
    page.wait_for_function("scrollY === 0")
    page.get_by_role("link", name="Next page").click()
    expect(rows(page)).to_have_count(5)
    page.get_by_role("link", name="Previous page").click()
    expect(page.get_by_role("link", name="order/0100")).to_be_visible()
    page.go_back()
    expect(rows(page)).to_have_count(5)
    page.reload()
    expect(rows(page)).to_have_count(5)
    page.get_by_role("link", name="First page").click()
    expect(page.get_by_role("link", name="order/0000")).to_be_visible()


def test_whoever_goes_on_at_once_finds_the_way_back(page, system, viewer):
    """The next link is followed in the very moment in which it appears."""
    put_on_worklist(system, orders(205))
    sign_in(page, system, viewer, "/#/worklist")
    expect(rows(page)).to_have_count(100)
    page.evaluate(
        """() => new MutationObserver((_, observer) => {
            const next = [...document.querySelectorAll("main nav a")].find(each => each.textContent === "Next page");
            if (next && location.hash.includes("cursor")) { observer.disconnect(); next.click() }
        }).observe(document.body, { subtree: true, childList: true })"""
    )
    page.get_by_role("link", name="Next page").click()
    expect(rows(page)).to_have_count(5)
    page.get_by_role("link", name="Previous page").click()
    expect(page.get_by_role("link", name="order/0100")).to_be_visible()


def test_filters_are_in_the_address_and_back_undoes_them(page, system, viewer):
    """Status, operation, reason and cause; an id finds a communication whatever its status."""
    put_on_worklist(system, ["order/1"])
    put_on_worklist(system, ["order/2"], manualReason="timeout", reason="timeout")
    put_on_worklist(system, ["order/3"], status="dismissed", worklist="dismissed")
    known = cause("timeout", 1, on_worklist=1)
    see(system, known)
    sign_in(page, system, viewer, "/#/worklist?reason=timeout")
    expect(page.get_by_label("Reason")).to_have_value("timeout")
    expect(rows(page)).to_have_count(1)
    expect(rows(page)).to_contain_text("order/2")
    page.get_by_role("link", name="Clear").click()
    expect(rows(page)).to_have_count(2)
    expect(page.get_by_label("Reason")).to_have_value("")
    page.get_by_label("Cause").select_option(label=f"{EMAIL}, rejected: timeout (1)")
    expect(page).to_have_url(re.compile(rf"#/worklist\?cause={known.id}$"))
    expect(rows(page)).to_have_count(1)
    page.get_by_label("Show").select_option("dismissed")
    expect(page).to_have_url(re.compile(r"#/worklist\?status=dismissed$"))
    expect(rows(page)).to_contain_text("order/3")
    page.get_by_label("Operation").select_option("send.sms")
    expect(page.get_by_text("Nothing matches.")).to_be_visible()
    page.go_back()
    expect(rows(page)).to_contain_text("order/3")
    page.get_by_label("Id in the application").fill("order/1")
    page.keyboard.press("Enter")
    expect(rows(page)).to_contain_text("on the worklist")
    page.get_by_label("Id in the application").fill("order/9")
    page.keyboard.press("Enter")
    expect(page.get_by_text("The ledger does not know this id")).to_be_visible()


def test_nothing_needs_a_person(page, system, viewer):
    """The empty worklist says so."""
    sign_in(page, system, viewer, "/#/worklist")
    expect(page.get_by_text("Nothing needs a person.")).to_be_visible()


def test_a_page_that_does_not_exist_leads_to_the_first_one(page, pages, system, viewer):
    """The API's words are shown."""
    pages.expect_problem("status of 400")
    put_on_worklist(system, orders(1))
    sign_in(page, system, viewer, "/#/worklist?cursor=nonsense")
    expect(page.get_by_role("alert")).to_contain_text("start again without a cursor")
    page.get_by_role("link", name="First page").click()
    expect(rows(page)).to_have_count(1)


def test_a_viewer_may_look_and_learns_which_role_the_rest_needs(page, system, viewer):
    """The buttons stay visible; a download needs no other role."""
    put_on_worklist(system, orders(1))
    sign_in(page, system, viewer, "/#/worklist?reason=invalid_address")
    box(page, "order/0000").check()
    for name in ("Retry", "Retry and send now", "Dismiss", "Retry all", "Dismiss all"):
        expect(button(page, name)).to_have_attribute("aria-disabled", "true")
    button(page, "Dismiss").press("Enter")
    expect(page.get_by_text("This needs the role operator; your token has the role viewer.")).to_be_visible()
    expect(button(page, "Download as CSV")).to_be_enabled()


# -- what is selected


def test_shift_selects_a_range_and_the_first_box_the_page(page, system, operator):
    """With the mouse and with the keyboard."""
    put_on_worklist(system, orders(10))
    sign_in(page, system, operator, "/#/worklist")
    button(page, "Retry").press("Enter")
    expect(page.get_by_text("Select communications first.")).to_be_visible()
    box(page, "order/0002").click()
    box(page, "order/0005").click(modifiers=["Shift"])
    expect(page.get_by_text("4 selected")).to_be_visible()
    box(page, "order/0007").focus()
    page.keyboard.press("Shift+Space")
    expect(page.get_by_text("6 selected")).to_be_visible()
    box(page, "order/0003").click()
    expect(page.get_by_text("5 selected")).to_be_visible()
    page.get_by_label("Select this page").click()
    expect(page.get_by_text("10 selected")).to_be_visible()
    page.get_by_label("Select this page").click()
    expect(page.get_by_text("0 selected")).to_be_visible()


def test_from_the_keyboard_alone_to_a_dismissal(page, system, operator):
    """j goes to the first row, Space selects it, and the dialog begins with the note."""
    put_on_worklist(system, orders(2))
    sign_in(page, system, operator, "/#/worklist")
    expect(rows(page)).to_have_count(2)
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("Space")
    button(page, "Dismiss").focus()
    page.keyboard.press("Enter")
    expect(dialog(page).get_by_label("Why?")).to_be_focused()
    page.keyboard.type("gone")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_text("1 dismissed.")).to_be_visible()
    expect(rows(page)).to_have_count(1)
    assert listed(system, operator) == ["order/0000"]


def test_a_dismissal_needs_a_note_and_can_be_undone(page, system, operator):
    """Undo restores each, and the note is kept."""
    put_on_worklist(system, orders(7))
    sign_in(page, system, operator, "/#/worklist")
    page.get_by_label("Select this page").click()
    box(page, "order/0006").click()
    button(page, "Dismiss").click()
    expect(dialog(page)).to_contain_text("Dismiss 6 communications?")
    dialog(page).get_by_role("button", name="Dismiss 6").click()
    expect(dialog(page)).to_be_visible()
    dialog(page).get_by_label("Why?").fill("they have left")
    dialog(page).get_by_role("button", name="Dismiss 6").click()
    expect(rows(page)).to_have_count(1)
    button(page, "Undo").click()
    expect(rows(page)).to_have_count(7)
    (found,) = system.call("GET", "/communications?primaryId=order/0003", operator).json()["communications"]
    decisions = system.call("GET", f"/communications/{found['id']}", operator).json()["decisions"]
    assert [(each["action"], each["by"], each["note"]) for each in decisions] == [
        ("dismiss", "olga", "they have left"),
        ("restore", "olga", None),
    ]


def test_what_is_gone_while_the_question_is_open_is_not_decided_about(page, system, operator):
    """Somebody else was faster; nothing is left to ask the API for."""
    put_on_worklist(system, orders(2))
    sign_in(page, system, operator, "/#/worklist")
    box(page, "order/0001").click()
    button(page, "Dismiss").click()
    dialog(page).get_by_label("Why?").fill("they have left")
    (found,) = system.call("GET", "/communications?primaryId=order/0001", operator).json()["communications"]
    system.call("POST", f"/communications/{found['id']}/dismiss", operator, json={"note": "faster"})
    page.evaluate("dispatchEvent(new Event('online'))")
    expect(dialog(page)).to_contain_text("Dismiss 0 communications?")
    dialog(page).get_by_role("button", name="Dismiss 0").click()
    expect(page.get_by_text("Select communications first.")).to_be_visible()
    assert page.get_by_role("alert").count() == 0


def test_what_is_dismissed_is_restored_from_its_own_list(page, system, operator):
    """It needs no question: it can be dismissed again."""
    put_on_worklist(system, orders(3), status="dismissed", worklist="dismissed", dismissedFrom="manual")
    sign_in(page, system, operator, "/#/worklist?status=dismissed")
    box(page, "order/0001").click()
    expect(button(page, "Retry")).to_have_count(0)
    button(page, "Restore").click()
    expect(page.get_by_text("1 restored.")).to_be_visible()
    expect(rows(page)).to_have_count(2)
    assert listed(system, operator) == ["order/0001"]


def test_what_was_refused_is_said_and_why(page, system, operator):
    """What was changed leaves the list; the rest stays selected."""
    soon = times.now() + 1_800_000
    put_on_worklist(system, orders(2))
    put_on_worklist(system, ["order/8", "order/9"], until=soon)
    sign_in(page, system, operator, "/#/worklist")
    expect(rows(page).filter(has_text="order/8")).to_contain_text(re.compile(r"in \d+ min"))
    expect(rows(page).filter(has_text="order/0001")).to_contain_text("possible")
    page.get_by_label("Select this page").click()
    button(page, "Retry").click()
    expect(dialog(page)).to_contain_text("Retry 4 communications?")
    expect(dialog(page)).to_contain_text("The schedule is paused, so nothing sends them until you start a run.")
    dialog(page).get_by_role("button", name="Retry 4").click()
    expect(page.get_by_text("2 retried. 2 not: 2 (what was sent before may still arrive).")).to_be_visible()
    expect(rows(page)).to_have_count(2)
    expect(page.get_by_text("2 selected")).to_be_visible()


def test_a_selection_is_retried_and_sent_at_once(page, system, operator):
    """The screen of its run opens."""
    ids = insert_failed(system, 2, "now")
    put_on_worklist(system, ids)
    sign_in(page, system, operator, "/#/worklist")
    page.get_by_label("Select this page").click()
    button(page, "Retry and send now").click()
    dialog(page).get_by_role("button", name="Send 2").click()
    expect(page).to_have_url(re.compile("#/runs/"))
    run = wait_for_end(system, operator, page.url.rsplit("/", 1)[1])
    assert run["counts"] == {"accepted": 2}


# -- all that match


def test_all_that_match_are_retried_by_a_run_with_their_number_before(page, system, operator):
    """Also those on other pages; without a filter, nobody can decide about all."""
    put_on_worklist(system, orders(230))
    put_on_worklist(system, ["other"], manualReason="timeout")
    page.clock.set_fixed_time(times.now() / 1000)  # counting never takes too long
    sign_in(page, system, operator, "/#/worklist")
    button(page, "Retry all").press("Enter")
    expect(page.get_by_role("status").filter(has_text="Choose an operation, a reason or a cause")).to_be_visible()
    page.get_by_label("Reason").fill("invalid_address")
    button(page, "Search").click()
    button(page, "Retry all").click()
    expect(dialog(page)).to_contain_text("Retry 230 communications?")
    dialog(page).get_by_role("button", name="Retry 230").click()
    expect(page).to_have_url(re.compile("#/runs/"))
    run = wait_for_end(system, operator, page.url.rsplit("/", 1)[1])
    assert (run["kind"], run["counts"]) == ("retry", {"changed": 230})
    assert listed(system, operator) == ["other"]


# -- the CSV file


def test_the_whole_filter_is_downloaded_as_one_csv_file(page, system, viewer):
    """All parts of it, with the names of the columns once."""
    put_on_worklist(system, orders(7))
    put_on_worklist(system, ["other"], manualReason="timeout")
    # In parts of three, as a long list comes in parts of two thousand.
    page.route("**/communications.csv*", lambda route: route.continue_(url=f"{route.request.url}&limit=3"))
    sign_in(page, system, viewer, "/#/worklist?reason=invalid_address")
    with page.expect_download() as download:
        button(page, "Download as CSV").click()
    assert download.value.suggested_filename == "worklist.csv"
    lines = download.value.path().read_text(encoding="utf-8").splitlines()
    assert [row["primaryId"] for row in csv.DictReader(lines)] == orders(7)
    expect(page.get_by_text("worklist.csv is downloaded.")).to_be_visible()


def test_a_download_that_is_too_large_says_so(page, system, viewer):
    """Before the tab runs out of memory."""
    put_on_worklist(system, orders(1))
    headers, part = {"X-Next-Cursor": "more", "Content-Type": "text/csv"}, "x" * 9_999_999 + "\n"
    page.route("**/communications.csv*", lambda route: route.fulfill(body=part, headers=headers))
    sign_in(page, system, viewer, "/#/worklist")
    button(page, "Download as CSV").click()
    expect(page.get_by_role("alert")).to_have_text(
        "This is more than 100 MB, too much for a browser. Narrow the filter."
    )
    expect(button(page, "Download as CSV")).to_be_visible()


def test_a_download_can_be_stopped(page, system, viewer):
    """Nothing is saved, and it can begin again."""
    put_on_worklist(system, orders(1))
    page.route("**/communications.csv*", lambda _: None)
    sign_in(page, system, viewer, "/#/worklist")
    button(page, "Download as CSV").click()
    page.get_by_role("button", name="Stop the download").click()
    expect(button(page, "Download as CSV")).to_be_visible()


def test_a_double_click_does_not_stop_the_download_that_it_begins(page, system, viewer):
    """The button to stop it is in the same place."""
    put_on_worklist(system, orders(1))
    page.route("**/communications.csv*", lambda _: None)
    sign_in(page, system, viewer, "/#/worklist")
    button(page, "Download as CSV").dblclick()
    expect(page.get_by_role("button", name="Stop the download")).to_be_visible()
    button(page, "Retry all").focus()
    expect(page.get_by_role("button", name="Stop the download")).to_be_visible()


# -- one communication


def test_one_communication_and_what_happened_to_it(page, system, operator):
    """From its rejection over a dismissal and its undoing to a retry that is sent: one timeline, with links."""
    (primary_id,) = insert_failed(system, 1, "one")
    system.application.switch(status=422)
    first = start_run(system, operator, operation=EMAIL, primaryIds=[primary_id])
    wait_for_end(system, operator, first)
    system.application.reset_switches()
    end_cool_down_in(system, primary_id, 3_600_000)
    sign_in(page, system, operator, "/#/worklist")
    page.get_by_role("link", name=primary_id).click()
    expect(page).to_have_title(f"{EMAIL} {primary_id} · comms-reprocess")
    expect(button(page, "Retry")).to_have_attribute("title", re.compile("What was sent before may still arrive."))
    button(page, "Dismiss").click()
    dialog(page).get_by_label("Why?").fill('<b>"left"</b>')
    dialog(page).get_by_role("button", name="Dismiss").click()
    expect(page.get_by_text("No run ever sends it")).to_be_visible()
    button(page, "Undo").click()
    expect(page.get_by_text("No run sends it until you decide")).to_be_visible()
    end_cool_down_in(system, primary_id, -1)
    page.keyboard.press("r")
    expect(button(page, "Retry and send now")).not_to_have_attribute("aria-disabled", "true")
    button(page, "Retry and send now").click()
    dialog(page).get_by_role("button", name="Send 1").click()
    expect(page).to_have_url(re.compile("#/runs/"))
    second = page.url.rsplit("/", 1)[1]
    wait_for_end(system, operator, second)
    page.go_back()
    steps = page.locator(".timeline li")
    expect(steps).to_contain_text(
        [
            "rejected, broken_on_purpose",
            'olga dismissed it: <b>"left"</b>',
            "olga restored it",
            "olga retried it",
            "tried to send it: accepted",
        ]
    )
    expect(steps.nth(0).get_by_role("link")).to_have_attribute("href", f"#/runs/{first}")
    expect(steps.nth(4).get_by_role("link")).to_have_attribute("href", f"#/runs/{second}")
    moments = steps.locator("time").evaluate_all("all => all.map(each => each.dateTime)")
    assert all(one <= other for one, other in itertools.pairwise(moments))


def test_a_dismissed_communication_is_restored_on_its_screen(page, system, operator):
    """Retry says that this comes first."""
    put_on_worklist(system, ["order/1"], status="dismissed", worklist="dismissed", dismissedFrom="manual")
    sign_in(page, system, operator, "/#/worklist?status=dismissed")
    page.get_by_role("link", name="order/1").click()
    button(page, "Retry").press("Enter")
    expect(page.get_by_role("status").filter(has_text="Restore it first.")).to_be_visible()
    button(page, "Restore").click()
    expect(page.get_by_text("No run sends it until you decide")).to_be_visible()
    expect(button(page, "Dismiss")).to_be_visible()


def test_forgotten_decisions_are_counted(page, system, viewer):
    """Of many, the ledger keeps the last."""
    decision = {"did": "restore", "by": "anna", "at": times.now(), "runId": "20260101T000000Z-111111111111"}
    put_on_worklist(system, ["order/1"], rulings=[decision], decisionsForgotten=3)
    sign_in(page, system, viewer, "/#/worklist")
    page.get_by_role("link", name="order/1").click()
    expect(page.get_by_text("3 earlier decisions are not kept.")).to_be_visible()
    expect(page.get_by_role("link", name="bulk run")).to_be_visible()


def test_a_communication_that_no_run_has_tried_is_explained(page, pages, system, viewer):
    """The example of a cause may be one."""
    pages.expect_problem("status of 404")
    known = cause("provider_down", 1)
    see(system, known)
    sign_in(page, system, viewer, f"/#/causes/{known.id}")
    page.get_by_role("link", name="order/1").click()
    expect(page.get_by_text("The ledger does not know this communication.")).to_be_visible()


@pytest.mark.parametrize("look", LOOKS, ids=["light", "dark", "phone"])
def test_the_screens_are_accessible_and_hold_whatever_the_application_says(pages, system, operator, look):
    """Also with long and hostile ids and notes: nothing is wider than the window."""
    decisions = [{"did": "dismiss", "by": "anna", "at": times.now(), "why": "<i>" + "n" * 290}]
    put_on_worklist(system, HOSTILE, rulings=decisions, manualReason="r" * 100)
    see(system, cause("r" * 100, 4, on_worklist=4))
    page = pages.open(**look)
    sign_in(page, system, operator, "/#/worklist")
    expect(rows(page)).to_have_count(4)
    page.get_by_label("Select this page").click()
    assert axe(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    button(page, "Dismiss").click()
    expect(dialog(page)).to_be_visible()
    assert axe(page) == []
    page.keyboard.press("Escape")
    page.get_by_role("link", name="xxxx").click()
    expect(page.get_by_role("heading", name="What happened")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_contain_text("x" * 500)
    assert axe(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

"""The screen about the schedule and the pace: who holds them, and how to change them and take that back."""

import re

import msgspec
import pytest
from playwright.sync_api import expect

from chalicelib import times
from chalicelib.ledger.pacing import Pacing
from chalicelib.ledger.table import Table
from sandbox.deployed import PREFIX
from tests.browser.axe import axe
from tests.browser.driver import LOOKS, press


@pytest.fixture
def call(system, token_of):
    """Calls the API as one of the people."""

    def call(method, path, role="operator", **options):
        answer = system.call(method, path, token_of(role), **options)
        assert answer.ok, answer.text
        return answer.json()

    return call


@pytest.fixture(autouse=True)
def _as_it_was(call):
    """After each test, the schedule is on, and nobody has set the pace."""
    yield
    call("POST", "/schedule/resume")
    call("DELETE", "/pace")


@pytest.fixture
def block(system):
    """Makes the application want a pause of an hour, as its answers would."""
    pacing = Pacing(Table(system.client("dynamodb"), PREFIX), times.now)

    def block():
        pacing.change(lambda pace, now: (None, msgspec.structs.replace(pace, blocked_until=now + 3_600_000, blocks=1)))

    return block


def freeze(page):
    """Has the screen show what it shows now: its next loads fail."""
    page.route("**/summary*", lambda route: route.abort())


def part(page, name):
    return page.get_by_role("region", name=name, exact=True)


def button(page, name):
    return page.get_by_role("button", name=name, exact=True)


def said(page):
    return page.locator(".messages")


# -- the schedule


def test_the_schedule_is_paused_and_resumed_and_each_can_be_undone(page, sign_in, call):
    """It says what that means, and who did it."""
    sign_in(page, "#/schedule")
    schedule = part(page, "Schedule")
    expect(schedule).to_contain_text("on A run begins by itself every hour, if there is anything to send.")
    expect(schedule).to_contain_text("rate(1 hour)")
    button(page, "Pause the schedule").click()
    expect(said(page)).to_contain_text("Paused: no run begins by itself")
    expect(schedule).to_contain_text(re.compile(r"paused by olga (now|\d+ s ago): no run begins by itself"))
    assert call("GET", "/schedule")["pausedBy"] == "olga"
    button(page, "Undo").click()
    expect(said(page)).to_contain_text("Undone.")
    expect(schedule).to_contain_text("on A run begins by itself")
    assert call("GET", "/schedule")["paused"] is False
    button(page, "Pause the schedule").click()
    button(page, "Resume the schedule").click()
    expect(said(page)).to_contain_text("Resumed")
    button(page, "Undo").click()
    expect(said(page)).to_contain_text("Undone.")
    expect(button(page, "Resume the schedule")).to_be_visible()
    assert call("GET", "/schedule")["paused"] is True


def test_a_pause_of_somebody_else_cannot_be_undone_by_accident(page, sign_in, call):
    """Anna was faster: the first pause stays, and is hers."""
    before = call("GET", "/summary")
    page.route("**/summary", lambda route: route.fulfill(json=before))  # the screen does not know it yet
    sign_in(page, "#/schedule")
    call("POST", "/schedule/pause", "approver")
    button(page, "Pause the schedule").click()
    expect(said(page)).to_contain_text("anna had paused the schedule just before.")
    expect(button(page, "Undo")).to_have_count(0)
    page.unroute("**/summary")
    page.keyboard.press("r")
    expect(part(page, "Schedule")).to_contain_text("paused by anna")


def test_the_focus_is_not_lost_when_a_button_goes_away(page, sign_in):
    """The next Tab continues in the screen instead of at the top of the page."""
    sign_in(page, "#/schedule")
    button(page, "Pause the schedule").focus()
    page.keyboard.press("Enter")
    expect(button(page, "Resume the schedule")).to_be_visible()
    expect(page.locator("main")).to_be_focused()


def test_a_message_covers_neither_what_has_the_focus_nor_the_whole_screen(page, pages, sign_in):
    """WCAG 2.4.11, with a window as low as at 200 % zoom. However long the message is, it can be closed."""
    page.set_viewport_size({"width": 600, "height": 400})
    sign_in(page, "#/schedule")
    pages.expect_problem("status of 500")
    page.route("**/schedule/pause", lambda route: route.fulfill(status=500, json={"Message": "x" * 5_000}))
    button(page, "Pause the schedule").click()
    expect(page.get_by_role("alert")).to_contain_text("xxx")
    assert said(page).bounding_box()["y"] >= 0
    button(page, "Close the message").click()
    page.get_by_label("Minutes").focus()
    press(button(page, "Release the pace"))
    expect(said(page)).to_contain_text("Nobody has set the pace")
    page.get_by_label("Minutes").focus()
    page.evaluate("scrollTo(0, 0)")
    for _ in range(2):
        page.keyboard.press("Tab")
        under = page.evaluate("document.activeElement.getBoundingClientRect().bottom")
        assert under <= said(page).bounding_box()["y"]


def second_click(page, element):
    """Click as the second click of a double click, at whatever is there now."""
    box = element.bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + 10)
    page.mouse.down(click_count=2)
    page.mouse.up(click_count=2)


def test_a_double_click_does_not_do_the_opposite_as_well(page, sign_in, call):
    """The second click meets the button that has taken the place of the first one."""
    sign_in(page, "#/schedule")
    button(page, "Pause the schedule").click()
    second_click(page, button(page, "Resume the schedule"))
    button(page, "Undo").focus()
    expect(said(page)).to_contain_text("Paused")
    assert call("GET", "/schedule")["paused"] is True
    posts = []
    page.on("request", lambda request: posts.append(request.method))
    button(page, "Undo").dblclick()
    expect(said(page)).to_contain_text("Undone.")
    expect(button(page, "Pause the schedule")).to_be_visible()
    assert posts.count("POST") == 1
    second_click(page, button(page, "Close the message"))
    expect(said(page)).to_contain_text("Undone.")


def test_undo_leaves_alone_what_somebody_else_has_paused_since(page, sign_in, call):
    """Olga's message is still there when Anna has resumed, and paused again for a reason of her own."""
    sign_in(page, "#/schedule")
    button(page, "Pause the schedule").click()
    expect(button(page, "Undo")).to_be_visible()
    call("POST", "/schedule/resume", "approver")
    call("POST", "/schedule/pause", "approver")
    button(page, "Undo").click()
    expect(page.get_by_role("alert")).to_contain_text("anna has paused the schedule since")
    assert call("GET", "/schedule")["pausedBy"] == "anna"


def test_undo_leaves_alone_what_somebody_else_has_set_since(page, sign_in, call):
    """Neither the pace that was set nor the one that was released comes in its place."""
    sign_in(page, "#/schedule")
    for name in ("Set the pace", "Release the pace"):
        page.get_by_label("Communications a second").fill("3")
        button(page, name).click()
        expect(said(page)).to_contain_text(re.compile("Set to 3|Released"))
        call("PUT", "/pace", "approver", json={"perSecond": 9, "minutes": 30})
        button(page, "Undo").click()
        expect(page.get_by_role("alert")).to_contain_text("anna has set the pace since")
        assert call("GET", "/pace")["perSecond"] == 9


def test_an_undo_that_fails_can_be_tried_again(page, pages, sign_in, call):
    """The connection was lost just then."""
    sign_in(page, "#/schedule")
    button(page, "Pause the schedule").click()
    pages.expect_problem("status of 503")
    page.route("**/schedule/resume", lambda route: route.fulfill(status=503, json={"message": "Busy"}), times=1)
    button(page, "Undo").click()
    expect(page.get_by_role("alert")).to_contain_text("Busy")
    button(page, "Undo").click()
    expect(said(page)).to_contain_text("Undone.")
    assert call("GET", "/schedule")["paused"] is False


def test_a_viewer_sees_why_nothing_can_be_changed(page, sign_in, call):
    """The buttons stay, and explain themselves."""
    sign_in(page, "#/schedule", "viewer")
    for name in ("Pause the schedule", "Set the pace", "Release the pace"):
        expect(button(page, name)).to_be_disabled()
    page.get_by_label("Communications a second").fill("5")
    press(button(page, "Pause the schedule"))
    expect(said(page)).to_contain_text("This needs the role operator; your token has the role viewer.")
    press(button(page, "Set the pace"))
    assert call("GET", "/schedule")["paused"] is False
    assert call("GET", "/pace")["setBy"] is None


# -- the pace


def test_the_pace_says_what_is_known_and_what_is_not(page, sign_in):
    """Nothing was sent yet."""
    sign_in(page, "#/schedule")
    pace = part(page, "Pace")
    expect(pace).to_contain_text("10 a second is what all runs together may send.")
    expect(pace).to_contain_text("Went wellnobody knows yet")
    expect(pace).to_contain_text("Was refusednothing")
    expect(pace).to_contain_text("Set by handno, it finds out by itself")
    expect(pace).to_contain_text("any number a second, any number at once")


def test_the_pace_is_set_with_the_keyboard_and_undone(page, sign_in, call):
    """Enter in a field does it. Undo gives the pace back."""
    sign_in(page, "#/schedule")
    page.get_by_label("Communications a second").fill("2.5")
    page.get_by_label("Minutes").fill("90")
    page.keyboard.press("Enter")
    expect(said(page)).to_contain_text("Set to 2.5 a second for 1 h 30 min.")
    expect(part(page, "Pace")).to_contain_text("Set by handby olga, until")
    assert call("GET", "/pace")["perSecond"] == 2.5
    button(page, "Undo").click()
    expect(part(page, "Pace")).to_contain_text("Set by handno")
    assert call("GET", "/pace")["setBy"] is None


@pytest.mark.parametrize(
    ("per_second", "minutes", "problem"),
    [
        ("", "60", "Communications a second: write a number from 0.1 to 10,000."),
        ("0", "60", "Communications a second: write a number from 0.1 to 10,000."),
        ("fast", "60", "Communications a second: write a number from 0.1 to 10,000."),
        ("10001", "60", "Communications a second: write a number from 0.1 to 10,000."),
        ("5", "1.5", "Minutes: write a whole number from 1 to 10,080."),
        ("5", "10081", "Minutes: write a whole number from 1 to 10,080."),
    ],
)
def test_what_the_pace_cannot_be_is_explained_before_it_is_sent(page, sign_in, per_second, minutes, problem):
    """No call is made; the fields keep what was typed."""
    sign_in(page, "#/schedule")
    calls = []
    page.on("request", lambda request: calls.append(request.method))
    page.get_by_label("Communications a second").fill(per_second)
    page.get_by_label("Minutes").fill(minutes)
    page.keyboard.press("Enter")
    expect(said(page)).to_contain_text(problem)
    expect(page.get_by_label("Minutes")).to_have_value(minutes)
    assert "PUT" not in calls


def test_undo_brings_back_what_somebody_had_set_before(page, sign_in, call):
    """With the rest of its time."""
    call("PUT", "/pace", "approver", json={"perSecond": 7, "minutes": 30})
    sign_in(page, "#/schedule")
    expect(part(page, "Pace")).to_contain_text("by anna, until")
    page.get_by_label("Communications a second").fill("3")
    button(page, "Set the pace").click()
    expect(said(page)).to_contain_text("Set to 3 a second for 1 h.")
    button(page, "Undo").click()
    expect(said(page)).to_contain_text("Undone.")
    assert call("GET", "/pace")["perSecond"] == 7
    button(page, "Release the pace").click()
    expect(said(page)).to_contain_text("Released")
    assert call("GET", "/pace")["setBy"] is None
    button(page, "Undo").click()
    expect(said(page)).to_contain_text("Undone.")
    assert call("GET", "/pace")["perSecond"] == 7


@pytest.mark.parametrize("name", ["Set the pace", "Release the pace"])
def test_undo_brings_back_what_was_there_and_not_what_the_screen_showed(page, pages, sign_in, call, name):
    """Somebody has set another pace since the screen was loaded."""
    call("PUT", "/pace", "approver", json={"perSecond": 7, "minutes": 30})
    sign_in(page, "#/schedule")
    expect(part(page, "Pace")).to_contain_text("7 a second is what")
    pages.expect_problem("net::ERR_FAILED")
    freeze(page)
    call("PUT", "/pace", "approver", json={"perSecond": 9, "minutes": 30})
    page.get_by_label("Communications a second").fill("3")
    button(page, name).click()
    expect(said(page)).to_contain_text(re.compile("Set to 3|Released"))
    button(page, "Undo").click()
    expect(said(page)).to_contain_text("Undone.")
    assert call("GET", "/pace")["perSecond"] == 9


def test_a_pause_that_began_since_the_screen_was_loaded_is_not_ended_unasked(page, pages, sign_in, call, block):
    """The screen does not know it, so it cannot ask."""
    call("PUT", "/pace", "approver", json={"perSecond": 7, "minutes": 30})
    sign_in(page, "#/schedule")
    expect(part(page, "Pace")).to_contain_text("7 a second is what")
    pages.expect_problem("net::ERR_FAILED")
    freeze(page)
    block()
    button(page, "Release the pace").click()
    expect(page.get_by_role("alert")).to_contain_text("The application wants a pause now")
    assert call("GET", "/pace")["blockedUntil"]


def test_there_is_nothing_to_release_while_nobody_has_set_it(page, sign_in):
    """The button says so."""
    sign_in(page, "#/schedule")
    press(button(page, "Release the pace"))
    expect(said(page)).to_contain_text("Nobody has set the pace, and nothing blocks it.")


def test_a_pause_of_the_application_is_ended_only_on_purpose(page, sign_in, call, block):
    """Releasing the pace ends it, so it asks first. Undoing what was set does not end it."""
    sign_in(page, "#/schedule")
    page.get_by_label("Communications a second").fill("3")
    button(page, "Set the pace").click()
    expect(said(page)).to_contain_text("Set to 3 a second")
    block()
    button(page, "Undo").click()
    expect(page.get_by_role("alert")).to_contain_text("The application wants a pause now")
    expect(part(page, "Pace")).to_contain_text(re.compile(r"blocked Nothing is sent for now: .* in (1 h|\d+ min)"))
    button(page, "Release the pace").click()
    dialog = page.get_by_role("dialog", name="End the pause, too?")
    dialog.get_by_role("button", name="Cancel").click()
    assert call("GET", "/pace")["blockedUntil"]
    button(page, "Release the pace").click()
    dialog.get_by_role("button", name="Release, and send again").click()
    expect(said(page)).to_contain_text("Released")
    assert call("GET", "/pace")["blockedUntil"] is None


@pytest.mark.parametrize("look", LOOKS)
def test_the_screen_is_accessible_and_fits(pages, sign_in, call, block, look):
    """In both themes, and on a phone, also when everything is held."""
    page = pages.open(**look)
    sign_in(page, "#/schedule")
    expect(part(page, "Pace")).to_be_visible()
    assert axe(page) == []
    call("POST", "/schedule/pause")
    call("PUT", "/pace", json={"perSecond": 0.5})
    block()
    page.keyboard.press("r")
    expect(page.get_by_text("blocked", exact=True)).to_be_visible()
    assert axe(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

"""What every screen of the page shares: signing in, staying fresh, the keyboard, and what is safe."""

import re

import pytest
from playwright.sync_api import expect

from chalicelib import times
from chalicelib.ledger.table import Table
from chalicelib.ledger.tokens import Tokens
from sandbox.deployed import PREFIX
from tests.browser.axe import axe
from tests.browser.driver import type_at_once
from tests.servers import answering, reply, serving

STOP = "The token is not valid"


def _heading(page, name):
    return page.get_by_role("heading", level=1, name=name)


# -- signing in


def test_who_signs_in_sees_the_screen_that_the_address_names(page, sign_in):
    """A mail's link works for somebody who is not signed in yet."""
    sign_in(page, "#/outages")
    expect(_heading(page, "Outages")).to_be_focused()
    expect(page).to_have_title("Outages · comms-reprocess")
    expect(page.get_by_role("link", name="Outages")).to_have_attribute("aria-current", "page")
    expect(page.get_by_text("olga (operator)")).to_be_visible()


def test_a_token_is_in_the_header_of_calls_and_in_this_tab_only(page, system, sign_in, token_of):
    """It is never in an address, nor in what other tabs share, nor anywhere after signing out."""
    requests = []
    page.on("request", lambda request: requests.append(request))  # noqa: PLW0108 (Playwright needs a function)
    sign_in(page)
    expect(page.get_by_text("olga (operator)")).to_be_visible()
    token = token_of("operator")
    assert not [each.url for each in requests if token in each.url]
    sent = {each.headers.get("authorization") for each in requests if each.url.endswith("/summary")}
    assert sent == {f"Bearer {token}"}
    assert page.evaluate("JSON.stringify(localStorage) + document.cookie") == "{}"
    assert token in page.evaluate("JSON.stringify(sessionStorage)")
    other = page.context.new_page()
    other.goto(system.api)
    expect(other.get_by_label("Token")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Token")).to_be_focused()
    assert page.evaluate("JSON.stringify(sessionStorage)") == "{}"


@pytest.mark.parametrize("token", ["wrong", "with a space", "Überraschung", "<script>alert(1)</script>"])
def test_a_wrong_token_is_refused_with_what_to_do(page, pages, system, token_of, token):
    """Nobody is locked out by it: the next one may be right."""
    pages.expect_problem("status of 401")
    page.goto(f"{system.api}/#/causes")
    page.get_by_label("Token").fill(token)
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Ask for a new one")
    page.get_by_label("Token").fill(f"  {token_of('operator')}\n")
    page.keyboard.press("Enter")
    expect(_heading(page, "Causes")).to_be_visible()


def test_who_loses_the_token_is_asked_for_another_and_returns_to_the_same_screen(page, pages, system, token_of):
    """It is revoked while the page is open. API Gateway still lets the call through, and the service refuses it."""
    tokens = Tokens(Table(system.client("dynamodb"), PREFIX), times.now)
    secret = tokens.add("short", "operator", times.parse_duration("1h"))
    page.goto(f"{system.api}/#/worklist")
    page.get_by_label("Token").fill(secret)
    page.keyboard.press("Enter")
    expect(page.get_by_text("short (operator)")).to_be_visible()
    pages.expect_problem("status of 401")
    tokens.revoke(next(each for each, token in tokens.all().items() if token.name == "short"))
    page.keyboard.press("r")
    expect(page.get_by_role("alert")).to_contain_text(STOP)
    assert secret not in page.evaluate("JSON.stringify(sessionStorage)")
    page.get_by_label("Token").fill(token_of("viewer"))
    page.keyboard.press("Enter")
    expect(_heading(page, "Worklist")).to_be_visible()
    expect(page.get_by_text("vera (viewer)")).to_be_visible()


def test_a_screen_that_does_not_exist_says_so(page, sign_in):
    """As after a typing error in the address."""
    for screen in ("#/nowhere", "#/start/x", "#/%E0%A4%A"):
        sign_in(page, screen) if screen == "#/nowhere" else page.evaluate("hash => { location.hash = hash }", screen)
        expect(_heading(page, "There is no such screen")).to_be_visible()


# -- staying fresh


def test_the_page_says_how_old_its_data_is_and_survives_a_lost_connection(page, pages, sign_in):
    """What was loaded stays on the screen; the page tries again by itself."""
    sign_in(page)
    expect(page.get_by_text(re.compile(r"^Updated \d+ s ago$"))).to_be_visible()
    verdict = page.locator(".verdict").inner_text()
    pages.expect_problem("ERR_INTERNET_DISCONNECTED")
    page.context.set_offline(True)
    page.keyboard.press("r")
    expect(page.get_by_text(re.compile("No connection; this is .* old"))).to_be_visible()
    expect(page.locator(".verdict")).to_have_text(verdict)
    page.context.set_offline(False)
    expect(page.get_by_text(re.compile(r"^Updated \d+ s ago$"))).to_be_visible()


def test_a_hidden_tab_asks_for_nothing_and_catches_up_when_it_is_seen(page, sign_in):
    """A page that nobody looks at costs nothing."""
    page.clock.install()
    sign_in(page)
    expect(page.locator(".verdict")).to_be_visible()
    calls = []
    page.on("request", lambda request: calls.append(request.url))
    _set_hidden(page, True)
    page.clock.run_for("10:00")
    assert len(calls) <= 1  # the one that was due when the tab was hidden
    calls.clear()
    with page.expect_response("**/summary"):
        _set_hidden(page, False)


def _set_hidden(page, hidden):
    page.evaluate(
        """hidden => {
            Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )


@pytest.mark.parametrize("ahead", [-7_200, 7_200])
def test_ages_are_right_whatever_the_clock_of_the_computer_says(pages, system, sign_in, ahead):
    """It is two hours slow or fast; the service says with each answer what time it is."""
    system.scan()
    page = pages.open()
    page.clock.install(time=times.now() / 1000 + ahead)
    sign_in(page)
    failing = page.get_by_role("region", name="Is it still failing?")
    expect(failing).to_contain_text("all well")
    expect(failing.locator("header time").last).to_have_text(re.compile(r"^(now|\d+ (s|min)\b.* ago)$"))
    expect(page.get_by_text(re.compile(r"^Updated \d+ s ago$"))).to_be_visible()


def test_an_answer_that_never_comes_is_given_up(pages, sign_in):
    """As after the computer has changed networks: nothing refuses the call, and nothing answers it."""
    page = pages.open()
    page.clock.install()
    sign_in(page)
    expect(page.locator(".verdict")).to_be_visible()
    page.route("**/summary", lambda _: None)
    page.keyboard.press("r")
    page.clock.run_for("01:05")
    expect(page.get_by_text(re.compile("No connection; this is 1 min .*old"))).to_be_visible()
    page.unroute("**/summary")
    page.clock.run_for("00:35")
    expect(page.get_by_text(re.compile(r"^Updated \d+ s ago$"))).to_be_visible()


def test_a_service_that_fails_is_not_called_a_lost_connection(page, pages, sign_in):
    """Who reads of the connection looks for the fault at the wrong end."""
    sign_in(page)
    expect(page.locator(".verdict")).to_be_visible()
    pages.expect_problem("status of 500")
    page.route("**/summary", lambda route: route.fulfill(status=500, json={"Message": "An internal error occurred."}))
    page.keyboard.press("r")
    expect(page.get_by_text(re.compile("The service answers with errors; this is .* old"))).to_be_visible()


def test_a_message_does_not_stay_for_the_next_person(page, sign_in, system, token_of):
    """Its Undo would be done in the name of whoever signs in next."""
    sign_in(page, "#/schedule")
    page.get_by_role("button", name="Pause the schedule").click()
    expect(page.get_by_role("button", name="Undo")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("Token").fill(token_of("approver"))
    page.keyboard.press("Enter")
    expect(page.get_by_text("anna (approver)")).to_be_visible()
    expect(page.locator(".messages")).to_have_text("")
    system.call("POST", "/schedule/resume", token_of("operator"))


def test_what_the_page_does_not_understand_is_said_instead_of_nothing(page, sign_in):
    """The tab is older than the service, whose answers have something new."""
    page.route("**/runs/a-run", lambda route: route.fulfill(json={"runId": "a-run", "status": "hibernating"}))
    sign_in(page, "#/runs/a-run")
    expect(page.get_by_role("alert")).to_contain_text("Load the page again")
    expect(page.get_by_role("button", name="Load the page again")).to_be_visible()
    page.unroute("**/runs/a-run")


def test_a_page_whose_script_does_not_come_says_what_to_do(page, pages, system):
    """While another version is being deployed, the page may be of one and the script of the other."""
    pages.expect_problem("status of 404")
    page.route("**/assets/*", lambda route: route.fulfill(status=404))
    page.goto(f"{system.api}/")
    expect(page.get_by_text("load the page again")).to_be_visible()
    page.unroute("**/assets/*")
    page.reload()
    expect(page.get_by_label("Token")).to_be_visible()
    expect(page.get_by_text("load the page again")).to_have_count(0)


def test_a_key_that_is_held_loads_once(page, sign_in):
    """Everybody shares the calls that API Gateway takes in a second."""
    sign_in(page)
    expect(page.locator(".verdict")).to_be_visible()
    calls = []
    page.on("request", lambda request: calls.append(request.url))
    for _ in range(20):
        page.keyboard.down("r")
    page.keyboard.up("r")
    with page.expect_response("**/causes"):
        type_at_once(page, "gc")
    assert len([each for each in calls if each.endswith("/summary")]) == 1


# -- the keyboard


def test_letters_lead_to_every_screen_and_a_list_shows_them(page, sign_in):
    """`?` shows the list; the focus returns to where it was."""
    sign_in(page)
    expect(_heading(page, "What goes on now")).to_be_focused()
    for key, name in [("c", "Causes"), ("r", "Runs"), ("w", "Worklist"), ("o", "Outages"), ("n", "What goes on now")]:
        type_at_once(page, f"g{key}")
        expect(_heading(page, name)).to_be_focused()
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keyboard shortcuts")
    expect(dialog).to_contain_text("Schedule and pace")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(_heading(page, "What goes on now")).to_be_focused()
    page.go_back()
    expect(_heading(page, "Outages")).to_be_visible()


def test_letters_can_be_switched_off(page, sign_in):
    """Who dictates to the computer would trigger them (WCAG 2.1.4)."""
    sign_in(page)
    page.get_by_role("button", name="Keyboard shortcuts").click()
    page.get_by_label("Use single letters").uncheck()
    page.get_by_role("button", name="Close", exact=True).click()
    type_at_once(page, "gc")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(_heading(page, "What goes on now")).to_be_visible()


def test_a_link_leads_past_the_navigation(page, sign_in):
    """It is the first thing on the page, and shows itself when it has the focus."""
    sign_in(page)
    expect(page.locator(".verdict")).to_be_visible()
    page.get_by_role("link", name="comms-reprocess").focus()
    page.keyboard.press("Shift+Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()


# -- safe


def test_what_an_attacker_plants_neither_runs_nor_loads(page, pages, sign_in):
    """The policy that the API sends is in force: even in a page that contains a foreign script and image."""
    loaded = []

    def plant(route):
        answer = route.fetch()
        planted = (
            "<script>window.planted = 1</script><img src=https://foreign.example/x.png onerror='window.planted = 2'>"
        )
        route.fulfill(response=answer, body=answer.text().replace("<body>", f"<body>{planted}"))

    page.route(re.compile(r"/api/?$"), plant)
    page.route("https://foreign.example/**", lambda route: loaded.append(route.request.url) or route.abort())
    pages.expect_problem("Executing inline script violates", "inline event handler violates", "Loading the image")
    sign_in(page)
    expect(page.locator(".verdict")).to_be_visible()
    assert page.evaluate("window.planted") is None
    assert loaded == []


def test_no_text_becomes_markup(page, pages, sign_in):
    """Trusted Types: the browser refuses to parse a text as HTML, whoever asks it to."""
    pages.expect_problem("requires 'TrustedHTML' assignment")
    sign_in(page)
    with pytest.raises(Exception, match="TrustedHTML"):
        page.evaluate("document.body.innerHTML = '<img src=x>'")


def test_no_other_site_can_show_the_page_in_a_frame(page, pages, system):
    """A click there could be one on Approve."""
    pages.expect_problem("frame-ancestors 'none'", "ERR_BLOCKED_BY_RESPONSE")
    body = f"<h1>foreign</h1><iframe src='{system.api}'></iframe>".encode()
    with serving(answering(lambda _: reply(200, body, Content_Type="text/html"))) as foreign:
        page.goto(foreign.url)
        expect(_heading(page, "foreign")).to_be_visible()
        assert not [frame for frame in page.frames[1:] if "comms-reprocess" in (frame.title() or "")]


# -- for everybody


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_signing_in_and_the_keys_are_accessible(pages, system, sign_in, theme):
    """axe-core finds nothing in what every screen has around it."""
    page = pages.open(color_scheme=theme)
    page.goto(system.api)
    expect(page.get_by_label("Token")).to_be_visible()
    assert axe(page) == []
    sign_in(page)
    expect(page.locator(".verdict")).to_be_visible()
    assert axe(page) == []
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    assert axe(page) == []


def test_the_first_picture_takes_three_requests(page, sign_in):
    """The page, its script, and the summary."""
    requests = []
    page.on("request", lambda request: requests.append(request))  # noqa: PLW0108 (Playwright needs a function)
    sign_in(page)
    expect(page.locator(".verdict")).to_be_visible()
    assert [each.resource_type for each in requests] == ["document", "script", "fetch"]

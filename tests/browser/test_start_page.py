"""The screen that starts a run: nothing is started that was not previewed, and nothing twice."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.driver import EVIL, NARROW, check_look, go, press, sign_in
from tests.e2e.driver import changed_environment, insert_failed, wait_for_end

NUMBER = re.compile(r"Start: send")


@pytest.fixture(autouse=True)
def _reset_switches(system):
    yield
    system.application.reset_switches()


@pytest.fixture
def visit(page, system, token_of):
    """Signs in at the screen, with what its address selects."""
    return lambda query="", role="operator": sign_in(page, system, token_of(role), f"/#/start{query}")


@pytest.fixture
def bodies(page):
    """The bodies that the page has posted so far, each with its Idempotency-Key."""
    posted = []

    def note(request):
        if request.method == "POST":
            posted.append((request.post_data_json, request.headers.get("idempotency-key")))

    page.on("request", note)
    return posted


def preview(page):
    """Preview the selection, and return the part of the screen with the result."""
    page.get_by_role("button", name="Preview").click()
    return page.get_by_role("region", name="What it would do")


def start_button(page):
    return page.get_by_role("button", name=NUMBER)


def confirm(page, number):
    start_button(page).click()
    page.get_by_role("dialog").get_by_role("button", name=f"Start: {number}").click()


def runs_noted(system, token, note):
    runs = system.call("GET", "/runs?limit=50", token).json()["runs"]
    return [run["runId"] for run in runs if run["note"] == note]


# -- from the address to the run


def test_the_address_fills_the_form_and_times_are_the_readers(visit, bodies):
    """It is winter in Berlin, an hour ahead of UTC; what is sent is UTC."""
    query = (
        "?operation=send.email&createdBy=alice&createdAfter=2026-01-20T09:30:00.000Z"
        "&createdBefore=2026-07-20T09:30:05.250Z&limit=7&includeManual=true&note=after+the+fix&primaryIds=a%0Ab"
    )
    page = visit(query)
    fields = {"Operation": "send.email", "Created by": "alice", "At most": "7", "Note": "after the fix", "Ids": "a\nb"}
    fields |= {"Created at or after": "2026-01-20T10:30", "Created before": "2026-07-20T11:30:05.25"}
    for label, value in fields.items():
        expect(page.get_by_label(label, exact=True)).to_have_value(value)
    expect(page.get_by_text("2026-01-20 09:30:00 UTC")).to_be_visible()
    expect(page.get_by_label("Also what is on the worklist")).to_be_checked()
    expect(preview(page)).to_contain_text("A run would send 0 of ")
    assert bodies == [
        (
            {
                "operation": "send.email",
                "createdBy": "alice",
                "createdAfter": "2026-01-20T09:30:00.000Z",
                "createdBefore": "2026-07-20T09:30:05.250Z",
                "limit": 7,
                "includeManual": True,
                "primaryIds": ["a", "b"],
                "note": "after the fix",
                "cause": None,
                "prove": False,
                "dryRun": True,
            },
            None,
        )
    ]


def test_a_run_starts_after_a_preview_with_its_number_in_the_question(visit, system, token_of, bodies):
    """The screen of the run opens, and Back leads to the same selection, which has to be previewed again."""
    insert_failed(system, 12, "whole")
    page = visit()
    expect(start_button(page)).to_have_count(0)
    page.get_by_label("Operation").fill("send.email")
    page.get_by_label("Created by").fill("whole")
    page.get_by_label("Note").fill("whole path")
    page.keyboard.press("Enter")
    result = page.get_by_role("region", name="What it would do")
    expect(result).to_contain_text("A run would send 12 of 12 communications.")
    expect(page.locator(".result")).to_be_focused()
    expect(result.get_by_role("row").filter(has_text="send.email").get_by_role("cell")).to_have_text(["12", "100%"])
    expect(result).to_contain_text(re.compile(r"in 3 batches.*US\$0\.\d+"))
    expect(result).to_contain_text("list prices as of")
    result.get_by_text(re.compile("^Show ")).click()
    expect(result.get_by_role("link", name="whole-0")).to_have_attribute("href", re.compile("#/communications/"))
    start_button(page).click()
    expect(page.get_by_role("dialog")).to_contain_text("It sends 12 to the application. What was sent cannot be taken")
    page.get_by_role("button", name="Cancel").click()
    assert runs_noted(system, token_of("viewer"), "whole path") == []
    confirm(page, 12)
    expect(page).to_have_url(re.compile(r"#/runs/[\w-]+$"))
    wait_for_end(system, token_of("viewer"), page.url.rsplit("/", 1)[1])
    expect(page.get_by_text("The application accepted all 12.")).to_be_visible()
    (run_id,) = runs_noted(system, token_of("viewer"), "whole path")
    assert page.url.endswith(run_id)
    page.go_back()
    expect(page.get_by_label("Created by")).to_have_value("whole")
    expect(start_button(page)).to_have_count(0)
    assert [body["dryRun"] for body, _ in bodies] == [True, False]


def test_what_was_changed_after_the_preview_does_not_start(visit, system):
    """Also not if it is changed back and forth: only the selection that was seen. A note changes nothing."""
    insert_failed(system, 2, "changed")
    page = visit("?operation=send.email&createdBy=changed")
    result = preview(page)
    expect(result).to_contain_text("A run would send 2 of 2")
    page.get_by_label("At most").fill("1")
    expect(result).to_contain_text("You have changed the selection since. Preview it again.")
    press(start_button(page))
    expect(page.get_by_text("You have changed the selection: preview it again first.")).to_be_visible()
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.get_by_label("At most").fill("")
    page.get_by_label("Note").fill("only a note")
    expect(result).not_to_contain_text("You have changed")
    start_button(page).click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_label("At most").fill("1")
    expect(preview(page)).to_contain_text("A run would send 1 of")
    expect(page).to_have_url(re.compile("createdBy=changed&limit=1"))


def test_a_start_whose_answer_was_lost_is_repeated_without_a_second_run(visit, pages, system, token_of, bodies):
    """It has the same key. Once it has been answered, the next start of the same selection is another run."""
    insert_failed(system, 3, "lost")
    pages.expect_problem("ERR_CONNECTION_RESET")
    query = "?operation=send.email&createdBy=lost&note=lost+answer"
    page = visit(query)
    expect(preview(page)).to_contain_text("A run would send 3 of 3")
    lose = "**/reprocess"
    page.route(lose, lambda route: (route.fetch(), route.abort("connectionreset")))
    confirm(page, 3)
    expect(page.get_by_role("alert")).to_contain_text("The run may have begun. Start it again")
    page.unroute(lose)
    (run_id,) = runs_noted(system, token_of("viewer"), "lost answer")
    wait_for_end(system, token_of("viewer"), run_id)
    insert_failed(system, 4, "lost-again")  # so that there is something to send by the same author
    start_button(page).click()
    page.get_by_role("dialog").get_by_role("button", name="Start: 3").click()
    expect(page).to_have_url(re.compile(f"#/runs/{run_id}$"))
    assert runs_noted(system, token_of("viewer"), "lost answer") == [run_id]
    keys = [key for body, key in bodies if not body["dryRun"]]
    assert len(keys) == 2
    assert len(set(keys)) == 1


def test_a_double_click_starts_one_run(visit, system, token_of):
    """The second one finds the question gone."""
    insert_failed(system, 2, "double")
    page = visit("?operation=send.email&createdBy=double&note=double+click")
    expect(preview(page)).to_contain_text("A run would send 2 of 2")
    start_button(page).click()
    page.get_by_role("dialog").get_by_role("button", name="Start: 2").dblclick()
    expect(page).to_have_url(re.compile(r"#/runs/"))
    assert len(runs_noted(system, token_of("viewer"), "double click")) == 1


def test_what_would_be_left_alone_and_what_needs_approval_is_said_before(visit, system, token_of):
    """By reason, in words; and whether somebody else has to approve it."""
    insert_failed(system, 5, "approval")
    page = visit("?operation=send.email&createdBy=approval")
    with changed_environment(system, "", APPROVAL_THRESHOLD="3"):
        result = preview(page)
        expect(result).to_contain_text("Nothing would be sent until somebody other than you approves the run.")
    start_button(page).click()
    expect(page.get_by_role("dialog")).to_contain_text("It sends 5 to the application when an approver other than you")
    page.get_by_role("dialog").get_by_role("button", name="Start: 5").click()
    expect(page).to_have_url(re.compile("#/runs/"))
    wait_for_end(system, token_of("viewer"), page.url.rsplit("/", 1)[1])
    expect(page.get_by_text("The application accepted all 5.")).to_be_visible()
    page.go_back()
    result = preview(page)
    expect(result).to_contain_text("A run would send 0 of ")
    press(start_button(page))
    expect(page.get_by_text("There is nothing to send.")).to_be_visible()


def test_a_cause_that_the_address_names_is_shown_by_its_name_and_can_be_proved(visit, system, token_of, bodies):
    """Without a cause there is nothing to prove."""
    insert_failed(system, 30, "to-prove")
    operator = token_of("operator")
    system.call("POST", "/schedule/pause", operator)
    system.scan()
    system.call("POST", "/schedule/resume", operator)
    causes = system.call("GET", "/causes", operator).json()["causes"]
    cause = next(each for each in causes if each["operation"] == "send.email" and each["count"] >= 30)
    page = visit(f"?cause={cause['id']}&prove=true")
    select = page.get_by_label("Cause", exact=True)
    expect(select.locator("option:checked")).to_have_text(re.compile("send.email: not sent again yet"))
    expect(page.get_by_label("Prove the fix")).to_be_checked()
    preview(page)
    start_button(page).click()
    expect(page.get_by_role("dialog")).to_contain_text("one first, and stops when one fails again")
    page.keyboard.press("Escape")
    assert (bodies[-1][0]["cause"], bodies[-1][0]["prove"]) == (cause["id"], True)
    select.select_option("")
    expect(page.get_by_label("Prove the fix")).to_be_disabled()
    expect(page.get_by_label("Prove the fix")).not_to_be_checked()


# -- what is wrong


@pytest.mark.parametrize(
    ("query", "label", "text"),
    [
        ("?operation=send.fax", "Operation", "no source lists 'send.fax'; the operations are send.email, send.sms"),
        ("?limit=0", "At most", "Expected `int` >= 1"),
        (f"?primaryIds={'x' * 600}", "Ids", "length <= 512"),
        ("?cause=0000000000000000", "Cause", "no scan of the last 24 hours has seen it"),
        (
            "?createdAfter=2026-01-02T00:00:00Z&createdBefore=2026-01-01T00:00:00Z",
            "Created before",
            "must be later than createdAfter",
        ),
    ],
)
def test_what_the_api_refuses_is_said_at_the_field_that_it_names(visit, pages, query, label, text):
    """The field takes the focus, and a screen reader reads what is wrong with it."""
    pages.expect_problem("status of 400")
    page = visit(query)
    page.get_by_role("button", name="Preview").click()
    field = page.get_by_label(label, exact=True)
    expect(field).to_be_focused()
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_accessible_description(re.compile(re.escape(text)))
    expect(page.locator(".result")).to_have_count(0)


def test_what_cannot_be_read_selects_nothing(visit, bodies):
    """As if nothing had been typed, the run would send more than was meant."""
    page = visit("?operation=send.email&limit=5O")
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_text("Must be a whole number.")).to_be_visible()
    expect(page.get_by_label("At most")).to_be_focused()
    page.get_by_label("At most").fill("50")
    page.get_by_label("Created at or after").focus()
    page.keyboard.type("01")
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_text("This time is not complete.")).to_be_visible()
    assert bodies == []


def test_a_time_in_the_address_that_cannot_be_read_is_said(visit):
    """It does not silently become none."""
    page = visit("?createdAfter=yesterday")
    field = page.get_by_label("Created at or after")
    expect(field).to_have_accessible_description(re.compile("a time that cannot be read: yesterday"))
    expect(field).to_be_focused()


def test_an_hour_that_the_clocks_repeat_stays_the_one_of_the_address(visit, bodies):
    """In Berlin, on 25 October 2026, 02:30 comes twice; the address means the second time."""
    page = visit("?createdAfter=2026-10-25T01:30:00.000Z&createdBefore=2026-10-25T05:00:00.000Z")
    expect(page.get_by_label("Created at or after")).to_have_value("2026-10-25T02:30")
    expect(page.get_by_text("2026-10-25 01:30:00 UTC")).to_be_visible()
    expect(preview(page)).to_be_visible()
    assert bodies[0][0]["createdAfter"] == "2026-10-25T01:30:00.000Z"


def test_another_note_after_a_lost_answer_begins_no_second_run(visit, pages, system, token_of):
    """The note is no part of what is sent."""
    pages.expect_problem("status of 504")
    insert_failed(system, 2, "renoted")
    page = visit("?createdBy=renoted")
    preview(page)
    before = len(system.call("GET", "/runs?limit=50", token_of("operator")).json()["runs"])

    def lose_the_answer(route):
        route.fetch()
        route.fulfill(status=504, json={"message": "Endpoint request timed out"})

    page.route("**/reprocess", lose_the_answer, times=1)
    confirm(page, 2)
    expect(page.get_by_role("alert")).to_contain_text("that begins no second one")
    page.get_by_label("Note").fill("renoted later")
    confirm(page, 2)
    expect(page).to_have_url(re.compile("#/runs/"))
    assert len(system.call("GET", "/runs?limit=50", token_of("operator")).json()["runs"]) == before + 1
    wait_for_end(system, token_of("operator"), page.url.rsplit("/", 1)[1])


def test_what_the_preview_could_not_see_is_said(visit, system):
    """A list that cannot be read, and ids that no list has."""
    insert_failed(system, 1, "found")
    page = visit("?operation=send.email&primaryIds=found-0%0Agone")
    result = preview(page)
    expect(result).to_contain_text("A run would send 1 of 1")
    expect(result).to_contain_text("1 id that you named, but that no list has")
    expect(result.get_by_role("listitem").filter(has_text="gone")).to_be_visible()
    system.application.switch(lists_down=True)
    expect(preview(page)).to_contain_text("could not look at everything")


def test_a_viewer_reads_why_there_is_no_preview(visit, bodies):
    """The API would refuse it."""
    page = visit("?operation=send.email", "viewer")
    press(page.get_by_role("button", name="Preview"))
    expect(page.get_by_text("This needs the role operator; your token has the role viewer.")).to_be_visible()
    assert bodies == []


def test_another_address_begins_anew(visit):
    """As by the link in the navigation."""
    page = visit("?operation=send.email&createdBy=alice")
    expect(page.get_by_label("Created by")).to_have_value("alice")
    page.get_by_role("navigation", name="Screens").get_by_role("link", name="Start a run").click()
    expect(page.get_by_label("Created by")).to_have_value("")
    go(page, "#/start?createdBy=bob")
    expect(page.get_by_label("Created by")).to_have_value("bob")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_whatever_the_application_says_the_screen_stays_whole_and_accessible(pages, system, token_of, theme):
    """With a preview full of markup, at the width of a phone and of a desk."""
    insert_failed(system, 3, f"{theme}{EVIL}")
    page = pages.open(color_scheme=theme)
    sign_in(page, system, token_of("operator"), "/#/start?operation=send.email")
    expect(page.get_by_label("Operation")).to_have_value("send.email")
    check_look(page)
    page.get_by_label("Created by").fill(f"{theme}{EVIL}")
    page.get_by_label("Ids").fill(f"{theme}{EVIL}-0\n{EVIL}")
    result = preview(page)
    result.get_by_text(re.compile("^Show ")).click()
    expect(result.get_by_role("link")).to_contain_text("<script>alert(1)")
    for width in (1200, NARROW):
        page.set_viewport_size({"width": width, "height": 800})
        check_look(page)

"""The screens of runs: all of them, and one, from the request to what arrived."""

import re

import pytest
from playwright.sync_api import expect

from chalicelib import times
from chalicelib.models.communications import CauseKind
from chalicelib.models.outcomes import Outcome, OutcomeRecord
from chalicelib.models.runs import ApprovalDecision, Proof, RunKind, RunStatus
from tests.browser.driver import (
    EVIL,
    NARROW,
    check_look,
    go,
    keep_ended,
    keep_outcomes,
    press,
    sign_in,
    type_at_once,
)
from tests.e2e.driver import (
    changed_environment,
    insert_failed,
    start_run,
    wait_for_end,
    wait_for_status,
    wait_until,
)
from tests.fakes import make_run

CAUSE = "0123456789abcdef"
# So many that a run never ends before somebody has stopped it: twenty at once, with an application that takes 3 s.
MANY = 900

ENDED = {"requested_at": times.parse_iso("2026-11-20T12:00:00Z"), "ended_at": times.parse_iso("2026-11-20T12:01:05Z")}


@pytest.fixture(autouse=True)
def _reset_switches(system):
    yield
    system.application.reset_switches()


@pytest.fixture
def keep(system):
    """Keeps a run that has ended, and returns the address of its screen."""

    def keep(run_id, halted=None, **fields):
        keep_ended(system, make_run(run_id, **ENDED | fields), halted)
        return f"#/runs/{run_id}"

    return keep


@pytest.fixture
def visit(page, system, token_of):
    """Signs in at a screen."""
    return lambda screen, role="viewer": sign_in(page, system, token_of(role), f"/{screen}")


def row(page, run_id):
    """The row of a run in the list of all runs."""
    return page.get_by_role("region", name="List of runs").locator(f"tr:has(a[href='#/runs/{run_id}'])")


def section(page, name):
    """A part of the screen, by its heading."""
    return page.get_by_role("region", name=name, exact=True).first


# -- all runs


def test_the_list_says_what_started_a_run_and_what_became_of_it(visit, keep):
    """Newest first; a bulk run looks like what it is."""
    counts = {"accepted": 1_040, "failed": 3, "rejected": 1, "unknown": 1, "deferred": 4, "not_attempted": 5}
    future = {
        "requested_at": times.parse_iso("2036-01-01T00:00:00Z"),
        "ended_at": times.parse_iso("2036-01-01T00:01:05Z"),
    }
    partial = {"matched": 1_056, "skipped": {"cool_down": 2}, "counts": counts | {"skipped": 2}, "relapsed": 26}
    keep("list-1", status=RunStatus.PARTIAL, note="after the fix", settled_at=1, **partial | future)
    bulk = {"kind": RunKind.DISMISS, "matched": 12, "counts": {"changed": 9, "refused": 3}}
    keep("list-2", status=RunStatus.PARTIAL, **bulk | future | {"requested_at": future["requested_at"] + 1})
    page = visit("#/runs")
    expect(row(page, "list-1")).to_contain_text(re.compile("requested by bob: .*after the fix"))
    cells = ["partial", "1 min 5 s", "1,056", "1,040", "5", "9", "2", "26 (97.5% arrived)"]
    expect(row(page, "list-1").get_by_role("cell")).to_contain_text([*cells, "bob"])
    expect(row(page, "list-2")).to_contain_text("dismiss from the worklist")
    expect(row(page, "list-2")).to_contain_text("9 dismissed, 3 refused")
    first = page.get_by_role("region", name="List of runs").locator("tbody a").first
    expect(first).to_have_attribute("href", "#/runs/list-2")


def test_older_runs_are_on_pages_of_their_own_that_the_address_names(visit, keep):
    """The browser's Back leads to the page before; a link to a page can be sent to somebody."""
    for number in range(26):
        keep(f"page-{number}", status=RunStatus.SUCCEEDED, requested_at=1_000 + number)
    page = visit("#/runs")
    rows = page.get_by_role("region", name="List of runs").locator("tbody tr")
    expect(rows).to_have_count(25)
    page.get_by_role("link", name="Next page").click()
    expect(page).to_have_url(re.compile(r"#/runs\?cursor="))
    expect(page.get_by_role("region", name="List of runs")).to_be_focused()
    expect(page.get_by_role("link", name="Previous page")).to_be_visible()
    expect(rows.first).to_be_visible()
    second = rows.first.inner_text()
    page.reload()
    expect(rows.first).to_have_text(re.compile(re.escape(second.split()[0])))
    expect(page.get_by_role("link", name="First page")).to_be_visible()
    page.go_back()
    expect(page).to_have_url(re.compile(r"#/runs$"))
    expect(page.get_by_role("link", name="First page")).to_be_hidden()
    expect(rows).to_have_count(25)


def test_the_keyboard_leads_from_the_list_to_a_run(visit, keep):
    """`g r`, then `j` to the first row, then Enter."""
    keep("keys", status=RunStatus.SUCCEEDED, requested_at=times.parse_iso("2037-01-01T00:00:00Z"))
    page = visit("#/causes")
    type_at_once(page, "gr")
    expect(row(page, "keys")).to_be_visible()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("#/runs/keys$"))
    expect(page.get_by_role("heading", level=1)).to_be_focused()


# -- waiting for approval


def test_a_run_that_waits_is_on_top_and_somebody_else_approves_it(visit, pages, system, token_of):
    """With the number in the question; the screen follows the run to its end by itself."""
    insert_failed(system, 5, "approved")
    with changed_environment(system, "collector", APPROVAL_THRESHOLD="3"):
        run_id = start_run(system, token_of("approver"), operation="send.email", createdBy="approved")
        wait_for_status(system, token_of("viewer"), run_id, RunStatus.AWAITING_APPROVAL)
    page = visit("#/runs", "approver")
    waiting = section(page, "Waiting or under way").get_by_role("listitem").filter(has_text="Run of 5")
    press(waiting.get_by_role("button", name="Approve"))
    expect(page.get_by_text("You have requested this run, so somebody else has to approve it.")).to_be_visible()
    expect(page.get_by_role("dialog")).to_be_hidden()

    other = sign_in(pages.open(), system, system.token("approver", "bert"), f"/#/runs/{run_id}")
    expect(other.get_by_text("It waits for approval before it sends 5 communications.")).to_be_visible()
    other.get_by_role("button", name="Approve").click()
    expect(other.get_by_role("dialog")).to_contain_text("It sends 5 communications to the application.")
    other.get_by_role("button", name="Approve 5").click()
    wait_for_end(system, token_of("viewer"), run_id)
    expect(other.get_by_text("The application accepted all 5.")).to_be_visible()
    expect(other).to_have_title(re.compile("^Run: succeeded"))
    expect(section(other, "When, and by whom")).to_contain_text("Approved by bert")


def test_who_may_not_decide_reads_why(visit, system, token_of):
    """The buttons stay where they are."""
    insert_failed(system, 5, "viewed")
    with changed_environment(system, "collector", APPROVAL_THRESHOLD="3"):
        run_id = start_run(system, token_of("operator"), operation="send.email", createdBy="viewed")
        wait_for_status(system, token_of("viewer"), run_id, RunStatus.AWAITING_APPROVAL)
    page = visit(f"#/runs/{run_id}")
    press(page.get_by_role("button", name="Reject"))
    expect(page.get_by_text("This needs the role approver; your token has the role viewer.")).to_be_visible()
    expect(page.get_by_role("dialog")).to_be_hidden()
    system.call("POST", f"/runs/{run_id}/stop", token_of("operator"))
    wait_for_end(system, token_of("viewer"), run_id)
    page.keyboard.press("r")
    expect(page.get_by_text("It was stopped by olga, before it sent anything.")).to_be_visible()


# -- under way


def test_a_run_is_watched_while_it_sends_and_stopped(visit, system, token_of):
    """The numbers grow by themselves; the question says how many are left; then the page says who has done it."""
    insert_failed(system, MANY, "watched")
    system.application.switch(slow=3)
    run_id = start_run(system, token_of("operator"), operation="send.email", createdBy="watched")
    wait_for_status(system, token_of("viewer"), run_id, RunStatus.RUNNING)
    page = visit(f"#/runs/{run_id}", "operator")
    expect(page.get_by_text(f"It sends {MANY} communications")).to_be_visible()
    expect(section(page, "Pace")).to_contain_text("a second, together with all other runs")
    expect(section(page, "What became of them").get_by_role("link", name="accepted")).to_be_visible()
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("dialog")).to_contain_text(re.compile(rf"\d+ of {MANY} have not had their turn"))
    page.get_by_role("button", name=re.compile(r"Stop before \d+")).click()
    expect(page.get_by_text("The run stops after what is in flight.")).to_be_visible()
    wait_for_end(system, token_of("viewer"), run_id)
    expect(page.get_by_text(re.compile(rf"It was stopped by olga, after it had sent \d+ of {MANY}"))).to_be_visible()
    expect(section(page, "When, and by whom")).to_contain_text("Stopped by olga")
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()


# -- one run


def test_a_run_that_was_half_a_fix_shows_the_steps_of_its_proof_and_why_it_stopped(visit, keep, system):
    """From what matched to the reasons and the communications, each with a link."""
    proof = Proof(cause=CAUSE, kind=CauseKind.REJECTED, reason="bad_address", sizes=[1, 5, 20])
    counts = {"accepted": 3, "rejected": 3, "not_attempted": 10, "skipped": 4}
    numbers = {"matched": 20, "skipped": {"cool_down": 3, "dismissed": 1}, "counts": counts, "failed_again": 3}
    screen = keep("half", "unproven:bad_address", status=RunStatus.STOPPED, proof=proof, **numbers)
    outcomes = (
        [(Outcome.ACCEPTED, None)] * 3 + [(Outcome.REJECTED, "bad_address")] * 3 + [(Outcome.NOT_ATTEMPTED, None)] * 10
    )
    records = [
        OutcomeRecord(operation="send.email", primary_id=f"half-{at}", outcome=outcome, reason=reason)
        for at, (outcome, reason) in enumerate(outcomes)
    ]
    keep_outcomes(system, "half", records)
    page = visit(screen)
    expect(
        page.get_by_text(
            "stopped because the cause is not fixed yet (\u2068bad_address\u2069), after it had sent 6 of 16: 3 of"
        )
    ).to_be_visible()
    expect(page.get_by_role("link", name="prove it again")).to_have_attribute(
        "href", f"#/start?cause={CAUSE}&prove=true"
    )
    steps = section(page, "Proof of the fix").get_by_role("listitem")
    expect(steps).to_have_text(["1ended well", "5failed again", "20not sent", "the restnot sent"])
    flow = section(page, "What became of them").get_by_role("row")
    names = ["Sent", "accepted", "rejected", "Not sent", "not attempted", "Left alone", "sent again, and", "dismissed"]
    expect(flow).to_contain_text(names)
    expect(flow.filter(has_text="dismissed").get_by_role("cell")).to_have_text(["1", "5%"])
    reasons = section(page, "Why the others were not accepted")
    expect(reasons.get_by_role("row").nth(1)).to_contain_text("bad_address")
    expect(reasons.get_by_role("row").nth(1)).to_contain_text("3")


def test_the_bands_of_the_picture_are_as_thick_as_the_numbers_and_meet_their_rows(visit, keep):
    """Also when the window gets so narrow that the text beside it wraps."""
    counts = {"accepted": 75, "failed": 25}
    page = visit(keep("flow", status=RunStatus.PARTIAL, matched=100, counts=counts))
    flow = section(page, "What became of them")
    bars = flow.locator("svg rect.good, svg rect.bad")
    for width in (1200, NARROW):
        page.set_viewport_size({"width": width, "height": 800})
        expect(bars).to_have_count(2)
        wait_until(lambda: _distances(flow) <= 1.5, "the bands do not meet their rows")
        heights = bars.evaluate_all("all => all.map(each => each.getBoundingClientRect().height)")
        assert heights[0] == pytest.approx(3 * heights[1], rel=0.02)


def _distances(flow):
    """How far the bands end from the middle of their rows at most, in pixels."""
    middles = "all => all.map(each => { const {top, height} = each.getBoundingClientRect(); return top + height / 2 })"
    bars = flow.locator("svg rect.good, svg rect.bad").evaluate_all(middles)
    rows = flow.locator("tr.leaf").evaluate_all(middles)
    return max(abs(bar - row) for bar, row in zip(bars, rows, strict=True))


def test_large_numbers_fit_on_a_phone(visit, keep, page):
    """The picture makes room for the words and numbers beside it."""
    counts = {"accepted": 2_222_222, "not_attempted": 1_111_111}
    screen = keep("large", status=RunStatus.STOPPED, matched=4_444_444, counts=counts, skipped={"cool_down": 11})
    page.set_viewport_size({"width": NARROW, "height": 800})
    visit(screen)
    expect(section(page, "What became of them")).to_contain_text("the run did not get to them")
    check_look(page)


def test_the_communications_of_a_run_are_filtered_and_paged_in_the_address(visit, keep, system):
    """A link to the failed ones can be sent to somebody, and Back leads from the filter to what was before."""
    records = [
        OutcomeRecord(
            operation="send.email",
            primary_id=f"many-{at}",
            outcome=Outcome.FAILED if at % 2 else Outcome.ACCEPTED,
            reason="http_500" if at % 2 else None,
        )
        for at in range(120)
    ]
    screen = keep("many", status=RunStatus.PARTIAL, matched=120, counts={"accepted": 60, "failed": 60})
    keep_outcomes(system, "many", records)
    page = visit(f"{screen}?outcome=failed")
    listed = section(page, "Communications")
    expect(listed.get_by_label("Outcome")).to_have_value("failed")
    expect(listed.locator("tbody tr")).to_have_count(50)
    expect(listed.locator("tbody")).not_to_contain_text("accepted")
    page.get_by_role("link", name="Next page").click()
    expect(listed.locator("tbody tr")).to_have_count(10)
    expect(page).to_have_url(re.compile("outcome=failed&cursor="))
    expect(listed.get_by_role("link", name="many-119")).to_have_attribute("href", re.compile("#/communications/"))
    page.go_back()
    expect(listed.locator("tbody tr")).to_have_count(50)
    listed.get_by_label("Outcome").select_option("accepted")
    expect(page).to_have_url(re.compile(r"#/runs/many\?outcome=accepted$"))
    expect(listed.locator("tbody")).not_to_contain_text("http_500")
    page.go_back()
    expect(listed.get_by_label("Outcome")).to_have_value("failed")


def test_what_was_asked_for_before_the_end_is_asked_for_again(visit, page, keep, system):
    """The list was asked for while the run was under way, so it lacks the last one; it comes when the end is known."""
    screen = keep("slow", status=RunStatus.SUCCEEDED, matched=1, counts={"accepted": 1})
    keep_outcomes(system, "slow", [OutcomeRecord(operation="send.email", primary_id="last", outcome=Outcome.ACCEPTED)])
    under_way, lists = {"status": "running", "endedAt": None}, []
    page.route("**/runs/slow", lambda route: route.fulfill(json=route.fetch().json() | ({} if lists else under_way)))
    page.route("**/runs/slow/communications*", lambda route: lists.append(route), times=1)  # noqa: PLW0108
    visit(screen)
    expect(page.get_by_text("The application accepted all 1.")).to_be_visible()
    lists[0].fulfill(json={"communications": [], "nextCursor": None})
    listed = section(page, "Communications")
    expect(listed).to_contain_text("There is none.")
    # After a few seconds, and not only with the next load of a run that has ended.
    expect(listed).to_contain_text("last", timeout=25_000)


def test_a_bulk_run_says_how_many_were_changed_and_why_others_were_refused(visit, keep):
    """It sends nothing, so it has no reasons, no pace, and no list of its own."""
    numbers = {"matched": 10, "counts": {"changed": 7, "refused": 3}, "refused": {"cool_down": 2, "not_on_worklist": 1}}
    page = visit(keep("bulk", kind=RunKind.RETRY, status=RunStatus.PARTIAL, **numbers))
    expect(page.get_by_role("heading", level=1)).to_have_text("Bulk run: retry from the worklist")
    expect(page.get_by_text("7 of 10 were retried; 3 were refused.")).to_be_visible()
    flow = section(page, "What became of them")
    expect(flow.get_by_role("row").filter(has_text="what was sent before may still arrive")).to_contain_text("2")
    expect(flow.get_by_role("row").filter(has_text="not on the worklist any more")).to_contain_text("1")
    expect(page.get_by_role("heading", name="Did they arrive?")).to_be_hidden()


def test_accepted_is_not_delivered(visit, keep):
    """What relapsed counts, and what did not all arrive is never 100%."""
    numbers = {"matched": 10_000, "counts": {"accepted": 10_000}, "settled_at": ENDED["ended_at"] + 60_000}
    page = visit(keep("relapsed", status=RunStatus.SUCCEEDED, relapsed=1, **numbers))
    expect(page.get_by_text("1 of these failed again later.")).to_be_visible()
    expect(section(page, "Did they arrive?")).to_contain_text("99.9%")
    go(page, keep("open", status=RunStatus.SUCCEEDED, **numbers | {"settled_at": None}))
    expect(section(page, "Did they arrive?")).to_contain_text("not known yet")


def test_what_a_run_lacks_is_named(visit, keep):
    """Lists that could not be read, ids that no list has, and what a limit left for later."""
    lacks = {"list_errors": ["send.sms: HTTP 503"], "not_found": ["a", "b"], "not_found_count": 30}
    screen = keep(
        "lacks", status=RunStatus.PARTIAL, matched=1, counts={"accepted": 1}, truncated=True, truncated_count=7, **lacks
    )
    lacking = section(visit(screen), "What it lacks")
    for text in ("send.sms: HTTP 503", "30 ids that you named", "and 28 more", "at least 7 more"):
        expect(lacking).to_contain_text(text)


STOPPED = {"status": RunStatus.STOPPED, "matched": 3}
DISMISSED = {"kind": RunKind.DISMISS, "matched": 2, "counts": {"changed": 2}}
RETRIED = {"kind": RunKind.RETRY, "matched": 4, "counts": {"changed": 2}}
REJECTED = {"decision": ApprovalDecision.DECLINED, "decided_by": "anna", "decided_at": ENDED["ended_at"]}

VERDICTS = [
    ({"status": RunStatus.EMPTY}, "Nothing that failed matched."),
    ({"status": RunStatus.EMPTY, "matched": 2, "skipped": {"manual": 2}}, "It left alone everything that matched"),
    ({"status": RunStatus.PARTIAL, "matched": 3, "counts": {"accepted": 1, "rejected": 2}}, "accepted 1 of 3."),
    (STOPPED | {"halted": "hand:olga"}, "It was stopped by olga, before it sent anything."),
    (STOPPED | {"halted": "breaker"}, "the application seems to be down"),
    (STOPPED | {"halted": "overloaded"}, "the application needs a pause"),
    (STOPPED | {"halted": "misconfigured:secret_unreadable"}, "the secret could not be read"),
    (STOPPED | {"halted": "misconfigured:http_401"}, "the application answered \u2068http_401\u2069"),
    (STOPPED, "It was stopped, before it sent anything."),
    ({"status": RunStatus.DECLINED} | REJECTED, "anna rejected it. It sent nothing."),
    ({"status": RunStatus.DECLINED, "decision": ApprovalDecision.EXPIRED}, "Nobody approved it in time."),
    ({"status": RunStatus.FAILED, "error": "States.Timeout"}, "The run itself failed: States.Timeout."),
    ({"status": RunStatus.SUCCEEDED} | DISMISSED, "All 2 that matched were dismissed."),
    ({"status": RunStatus.STOPPED, "halted": "hand:olga"} | RETRIED, "It was stopped by olga: 2 of 4 were retried."),
    ({"status": RunStatus.SUCCEEDED, "matched": 2, "counts": {"accepted": 2}}, "The application accepted all 2."),
]


def test_one_sentence_says_how_a_run_ended(visit, keep):
    """Whatever the reason."""
    page = visit("#/runs")
    for number, (fields, sentence) in enumerate(VERDICTS):
        go(page, keep(f"verdict-{number}", **fields))
        expect(page.locator(".verdict")).to_contain_text(sentence)
        expect(page.locator(".next")).not_to_be_empty()


def test_a_run_that_does_not_exist_says_so(visit, pages):
    """As after a typing error, or when the ledger has forgotten it."""
    pages.expect_problem("status of 404")
    page = visit("#/runs/gone")
    expect(page.get_by_role("alert")).to_have_text("there is no run 'gone'")
    page.get_by_role("link", name="All runs").click()
    expect(page.get_by_role("heading", level=1, name="Runs")).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_whatever_the_application_says_the_screens_stay_whole_and_accessible(pages, system, token_of, keep, theme):
    """Markup is text, a right-to-left mark ends where its text ends, and nothing is wider than a phone."""
    run_id = f"hostile-{theme}"
    texts = {
        "note": EVIL,
        "error": EVIL * 500,
        "list_errors": [EVIL],
        "not_found": [EVIL],
        "not_found_count": 2,
    }
    newest = {"requested_at": times.parse_iso("2038-01-01T00:00:00Z")}
    screen = keep(run_id, status=RunStatus.FAILED, matched=1, counts={"rejected": 1}, **texts | newest)
    outcome = OutcomeRecord(
        operation="send.email", primary_id=EVIL, outcome=Outcome.REJECTED, reason="http_" + "4" * 95
    )
    keep_outcomes(system, run_id, [outcome])
    page = sign_in(pages.open(color_scheme=theme), system, token_of("operator"), f"/{screen}")
    expect(section(page, "Communications").get_by_role("link")).to_contain_text("<script>alert(1)")
    expect(section(page, "Why the others were not accepted").locator("tbody tr")).to_have_count(1)
    check_look(page)
    page.set_viewport_size({"width": NARROW, "height": 800})
    check_look(page)
    go(page, "#/runs")
    expect(row(page, run_id)).to_contain_text("<script>alert(1)")
    check_look(page)
    page.set_viewport_size({"width": 1200, "height": 800})
    check_look(page)

"""The screens about outages: which there were, whom one hit, what has become of them, and its numbers for a report."""

import csv
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from chalicelib import times
from chalicelib.ledger.outages import Outages
from chalicelib.ledger.table import Table
from chalicelib.models.communications import CauseKind
from chalicelib.models.outages import Outage, OutageCause
from sandbox import screenshots, story
from sandbox.deployed import PREFIX
from sandbox.project import ROOT
from sandbox.system import System
from tests.browser.axe import axe
from tests.browser.driver import LOOKS

HOSTILE = "<script>document.title='evil'</script>\u202eright-to-left " + "x" * 2_000


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    """A system of this file's own: nothing has happened in it yet."""
    with System(tmp_path_factory.mktemp("system"), story.SETTINGS | {"SCHEDULE": "rate(1 hour)"}) as running:
        running.deploy()
        yield running


@pytest.fixture(scope="module")
def outages(system, token_of) -> list[dict]:
    """The two outages of `make serve`, the one that goes on first."""
    story.happen(system)
    return system.call("GET", "/outages", token_of("viewer")).json()["outages"]


@pytest.fixture
def write(system):
    """Writes an outage into the ledger, as it would take weeks to happen, or as an earlier version may have left it."""
    table = Table(system.client("dynamodb"), PREFIX)
    written = []

    def write(began, **values):
        outage = Outage(outage_id=re.sub("[-:.]", "", began), began_at=times.parse_iso(began), **values)
        Outages(table, times.now, times.parse_duration("90d")).write(outage, None)
        written.append(outage.outage_id)

    yield write
    for outage_id in written:
        table.delete("OUTAGE", outage_id)


def rows(page):
    return page.get_by_role("region", name="List of outages").get_by_role("row")


def part(page, name):
    return page.get_by_role("region", name=name, exact=True)


# -- all outages


def test_without_an_outage_the_list_says_what_one_is(page, sign_in):
    """Nothing has failed yet."""
    sign_in(page, "#/outages", "viewer")
    expect(page.get_by_text("There has been none. An outage begins when")).to_be_visible()
    expect(page.get_by_role("table")).to_have_count(0)


def test_the_list_has_the_newest_first_and_leads_to_each_and_back(page, sign_in, outages):
    """With the keyboard: `j` goes to the first row, Enter opens it."""
    sign_in(page, "#/outages", "viewer")
    expect(rows(page)).to_have_count(3)
    expect(rows(page).nth(1)).to_contain_text(
        re.compile(r"going on.*clearly more communications failed than usual42042000$")
    )
    expect(rows(page).nth(2)).to_contain_text(re.compile(r"settled.*than usual24220020$"))
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"#/outages/{outages[0]['outageId']}$"))
    expect(page.get_by_role("heading", level=1)).to_contain_text("Outage of")
    page.go_back()
    expect(rows(page)).to_have_count(3)


@pytest.mark.usefixtures("outages")
def test_pages_are_in_the_address(page, sign_in, write):
    """So a page can be sent to somebody, and the browser's Back leads to the one before."""
    for number in range(1, 24):
        write(f"2021-01-{number:02}T10:00:00.000Z", reason="listing", hit=number)
    sign_in(page, "#/outages", "viewer")
    expect(rows(page)).to_have_count(21)
    page.get_by_role("link", name="Next page").click()
    expect(page).to_have_url(re.compile(r"#/outages\?cursor="))
    expect(rows(page)).to_have_count(6)
    expect(page.get_by_role("link", name="Next page")).to_have_count(0)
    page.reload()
    expect(rows(page)).to_have_count(6)
    page.go_back()
    expect(rows(page)).to_have_count(21)
    page.go_forward()
    page.get_by_role("link", name="Previous page").click()
    expect(rows(page)).to_have_count(21)


# -- one outage


def test_a_settled_outage_shows_what_became_of_those_it_hit(page, sign_in, outages):
    """Two have impossible numbers: they are for people."""
    settled = outages[1]
    sign_in(page, f"#/outages/{settled['outageId']}", "viewer")
    became = part(page, "What has become of those it hit?")
    expect(became).to_contain_text(re.compile(r"It lasted .* and hit 24 communications, of which 22 have recovered\."))
    shares = [re.sub(r"\s+", " ", each) for each in became.get_by_role("listitem").all_inner_texts()]
    assert shares == [
        "recovered 22 91.7%",
        "sent, may still arrive 0 0%",
        "waiting to be sent 0 0%",
        "on the worklist 2 8.3%",
        "dismissed 0 0%",
    ]
    expect(became.get_by_role("link", name="worklist")).to_have_attribute("href", "#/worklist")
    expect(part(page, "For a report")).to_contain_text("at most 24; usually 0")
    expect(part(page, "By operation").get_by_role("row").nth(1)).to_have_text("send.sms24")
    causes = part(page, "Causes").get_by_role("link").all()
    assert [each.get_attribute("href") for each in causes] == [f"#/causes/{each['id']}" for each in settled["causes"]]
    (run_id,) = settled["runIds"]
    part(page, "Runs").get_by_role("link", name=run_id).click()
    expect(page).to_have_url(re.compile(f"#/runs/{run_id}$"))


def test_an_outage_that_goes_on_says_that_nobody_knows_its_end(page, sign_in, outages):
    """A run waits for approval, so nothing is being accepted."""
    sign_in(page, f"#/outages/{outages[0]['outageId']}", "viewer")
    report = part(page, "For a report")
    expect(report).to_contain_text("Overnot yet")
    expect(report).to_contain_text("Settlednot yet; nobody can say when")
    expect(part(page, "What has become of those it hit?")).to_contain_text(
        re.compile(r"going on In .* it has hit 42 communications, of which 0 have recovered: clearly more")
    )


@pytest.mark.usefixtures("outages")
def test_an_outage_that_is_over_says_how_many_it_still_waits_for(page, sign_in, write):
    """What waits, and what may still arrive, can fail again."""
    over_at = times.parse_iso("2021-03-01T11:00:00.000Z")
    write("2021-03-01T10:00:00.000Z", reason="nothing_accepted", over_at=over_at, hit=9, waiting=4, sent=2)
    sign_in(page, "#/outages/20210301T100000000Z", "viewer")
    became = part(page, "What has become of those it hit?")
    expect(became).to_contain_text(
        "over, not settled It lasted 1 h and hit 9 communications, of which 3 have recovered; 6 wait, or may still"
    )


def test_the_numbers_can_be_copied_as_text_for_a_report(pages, sign_in, outages):
    """Times are in UTC there, whatever the reader's zone is."""
    page = pages.open(permissions=["clipboard-read", "clipboard-write"])
    sign_in(page, f"#/outages/{outages[1]['outageId']}", "viewer")
    page.get_by_role("button", name="Copy as text").click()
    expect(page.get_by_role("status").filter(has_text="Copied")).to_be_visible()
    text = page.evaluate("navigator.clipboard.readText()")
    began = outages[1]["beganAt"][:19].replace("T", " ")
    assert f"Outage: clearly more communications failed than usual\nBegan: {began} UTC\n" in text
    assert "Hit: 24 communications (send.sms 24)\n- recovered: 22\n" in text
    assert "- on the worklist: 2\n" in text
    assert "- 22 send.sms, not sent again yet: provider_refused\n" in text
    assert text.endswith(page.url)


def test_the_csv_file_has_everybody_in_one_piece(page, sign_in, outages):
    """The API gives it in parts, here of ten rows; each of them begins with the names of the columns."""
    page.route("**/affected.csv*", in_parts_of_ten)
    sign_in(page, f"#/outages/{outages[1]['outageId']}", "viewer")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download whom it hit").click()
    assert download.value.suggested_filename == f"outage-{outages[1]['outageId']}.csv"
    with Path(download.value.path()).open(newline="", encoding="utf-8") as file:
        states = [row["state"] for row in csv.DictReader(file)]
    assert sorted(states) == ["on_worklist"] * 2 + ["recovered"] * 22
    expect(page.get_by_text("is downloaded.")).to_be_visible()


def test_a_csv_file_that_cannot_be_read_to_its_end_is_not_saved(page, pages, sign_in, outages):
    """Half a list of customers looks like a whole one."""
    pages.expect_problem("ERR_FAILED")
    downloads = []
    page.on("download", lambda download: downloads.append(download))  # noqa: PLW0108 (Playwright needs a function)
    page.route(
        "**/affected.csv*", lambda route: route.abort() if "cursor" in route.request.url else in_parts_of_ten(route)
    )
    sign_in(page, f"#/outages/{outages[1]['outageId']}", "viewer")
    page.get_by_role("button", name="Download whom it hit").click()
    expect(page.get_by_role("alert")).to_have_text("The service cannot be reached.")
    assert downloads == []


def in_parts_of_ten(route):
    url = route.request.url
    route.continue_(url=f"{url}{'&' if '?' in url else '?'}limit=10")


def test_an_outage_that_does_not_exist_says_so(page, pages, sign_in):
    """As after a typing error in the address, or when the ledger has forgotten it."""
    pages.expect_problem("status of 404")
    sign_in(page, "#/outages/19700101T000000000Z", "viewer")
    expect(page.get_by_role("alert")).to_contain_text("outage")


# -- for everybody


@pytest.mark.usefixtures("outages")
@pytest.mark.parametrize("look", LOOKS)
def test_the_screens_are_accessible_and_fit(pages, sign_in, look):
    """In both themes, and on a phone: nothing is wider than the window."""
    page = pages.open(**look)
    sign_in(page, "#/outages", "viewer")
    expect(rows(page)).to_have_count(3)
    assert axe(page) == []
    rows(page).nth(2).get_by_role("link").click()
    expect(part(page, "Runs")).to_be_visible()
    assert axe(page) == []
    assert fits(page)


@pytest.mark.usefixtures("outages")
def test_hostile_texts_are_texts_and_do_not_break_the_layout(pages, sign_in, write):
    """An id of an operation or a reason may be anything that an earlier version let in."""
    cause = OutageCause(operation=f"send.{'x' * 500}", kind=CauseKind.REJECTED, reason=HOSTILE, most=1)
    runs = {"run_ids": [f"run-{number}" for number in range(100)], "run_count": 120}
    reason = f"misconfigured:{HOSTILE}"
    write("2021-03-02T10:00:00.000Z", reason=reason, hit=1, by_operation={cause.operation: 1}, causes=[cause], **runs)
    page = pages.open(viewport={"width": 360, "height": 800})
    sign_in(page, "#/outages/20210302T100000000Z", "viewer")
    expect(part(page, "For a report")).to_contain_text("<script>")
    expect(page).to_have_title("Outage · comms-reprocess")
    expect(part(page, "Runs").get_by_role("link").first).to_have_text("run-99")
    expect(part(page, "Runs")).to_contain_text("there were 20 more")
    assert fits(page)
    page.get_by_role("link", name="Outages").click()
    expect(rows(page).filter(has_text="<script>")).to_be_visible()
    assert fits(page)


# -- pictures


def test_what_cannot_be_copied_is_said(page, sign_in, outages):
    """Some browsers ask, and people say no."""
    page.add_init_script("navigator.clipboard.writeText = () => Promise.reject(new Error('denied'))")
    sign_in(page, f"#/outages/{outages[1]['outageId']}", "viewer")
    page.get_by_role("button", name="Copy as text").click()
    expect(page.get_by_role("alert")).to_contain_text("Select the numbers below instead.")


@pytest.mark.usefixtures("outages")
def test_make_screenshots_takes_a_small_picture_of_each_screen(system, browser, tmp_path):
    """No two are the same; those of "Now" are also in the dark and narrow."""
    screenshots.take(system, browser, tmp_path)
    pictures = {file.stem.removeprefix("page-"): file.read_bytes() for file in tmp_path.iterdir()}
    screens = re.findall(r"^  (\w+): \w+,$", (ROOT / "web" / "src" / "main.tsx").read_text(), re.MULTILINE)
    assert len(pictures) == len(screens) + len(["now", "now-dark", "now-narrow"])
    assert len(set(pictures.values())) == len(pictures)
    assert max(map(len, pictures.values())) < 150_000


def fits(page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= innerWidth")

"""The ground of these tests: the browser works, and no problem of a page goes unnoticed."""

import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from playwright.sync_api import expect

from sandbox.browser import unpack
from sandbox.project import ROOT
from tests.browser.axe import axe
from tests.servers import answering, reply, serving

# As strict as a page's policy can be: only what the server itself sends, and no HTML out of strings.
POLICY = "default-src 'none'; script-src 'self'; img-src 'self'; require-trusted-types-for 'script'"

PAGE = """<!doctype html><html lang="en"><title>Ground</title><main><h1>Ground</h1><p>nothing</p>
<button>Say when it began</button>{more}</main><script src="/page.js"></script></html>"""

SCRIPT = b"""document.querySelector("button").onclick = () => {
  document.querySelector("p").textContent = new Date(0).toLocaleString(undefined, { timeZoneName: "short" });
};"""

ANSWERS = {
    "/page.js": reply(200, SCRIPT, Content_Type="text/javascript"),
    "/picture.svg": reply(200, b'<svg xmlns="http://www.w3.org/2000/svg"/>', Content_Type="image/svg+xml"),
}


@pytest.fixture
def show(page):
    """Opens a page that has `more` in it."""
    answers = dict(ANSWERS)

    def open_page(more=""):
        html = PAGE.format(more=more).encode()
        answers["/"] = reply(200, html, Content_Type="text/html", Content_Security_Policy=POLICY)
        page.goto(server.url)
        return page

    with serving(answering(lambda request: answers.get(request.path, reply(404)))) as server:
        yield open_page


def test_a_click_does_what_the_page_says_in_the_language_and_time_zone_of_the_tests(show):
    """Another text also looks different: without a font, Chromium would draw nothing."""
    page = show()
    before = page.locator("p").screenshot()
    page.get_by_role("button", name="Say when it began").click()
    expect(page.get_by_text("01/01/1970, 1:00:00 CET")).to_be_visible()
    assert page.locator("p").screenshot() != before


def test_axe_finds_nothing_in_a_good_page(show):
    """The page's policy does not keep axe from looking."""
    assert axe(show()) == []


def test_axe_finds_an_image_without_a_text(show):
    """It names the rule and the element."""
    (violation,) = axe(show('<img src="/picture.svg">'))
    assert violation == ('image-alt (critical): Images must have alternative text: img: <img src="/picture.svg">')


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ("<script>document.title = 'evil'</script>", "console: Executing inline script violates"),
        ("<script src='/gone.js'></script>", "console: .* status of 404 .*/gone.js"),
        ("<script src='http://127.0.0.1:1/'></script>", "console: Loading the script .* violates"),
    ],
)
def test_a_problem_of_a_page_is_noticed_unless_the_test_expects_it(show, pages, more, problem):
    """The browser writes into the console what its policy blocks and what is missing."""
    show(more)
    with pytest.raises(AssertionError, match=problem):
        pages.check()
    pages.expect_problem(problem)


def test_an_expected_problem_has_to_occur(show, pages):
    """Otherwise a test could go on expecting what has long been cured."""
    show()
    pages.expect_problem("status of 500")
    with pytest.raises(AssertionError, match=r"did not occur: .*status of 500"):
        pages.check(patience=0)
    pages.problems.append("status of 500")


FAILING = """
def test_with_an_error(page):
    page.set_content("<h1>Broken</h1>")
    page.evaluate("new Promise(then => setTimeout(() => { setTimeout(then); throw new Error('out of order') }))")
"""


def test_a_test_with_a_problem_fails_and_its_page_can_be_looked_at(tmp_path):
    """Pytest prints the problem, the address and the text of the page, and where the screenshot and the trace are."""
    file = tmp_path / "test_failing.py"
    file.write_text(FAILING)
    command = [sys.executable, "-m", "pytest", "-p", "tests.browser.conftest", str(file)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=200)
    assert "1 failed" in run.stdout, run.stdout + run.stderr
    assert "problem: uncaught: out of order" in run.stdout
    assert "about:blank\nBroken\n" in run.stdout
    kept = [Path(path) for path in re.findall(r"(/\S+(?:png|zip))$", run.stdout, re.MULTILINE)]
    assert [path.name for path in kept if path.stat().st_size] == ["1.png", "1-trace.zip"]
    shutil.rmtree(kept[0].parent)


def test_chromium_is_unpacked_once_however_many_need_it(tmp_path):
    """What is left of an unpacking that was killed goes."""
    (tmp_path / "chromium-incomplete").mkdir()
    (tmp_path / "chromium-incomplete" / "chromium").write_text("half of it")
    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(unpack, [tmp_path, tmp_path])
    assert first == second
    assert sorted(tmp_path.iterdir()) == [first, tmp_path / "chromium.lock"]
    assert (first / "chromium").stat().st_size > 100_000_000
    shutil.rmtree(first)  # pytest would keep its 200 MB

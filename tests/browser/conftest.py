"""A page in Chromium for each test. A test fails if its page has problems that it does not expect."""

from collections.abc import Callable, Iterator
from functools import cache

import pytest
from playwright.sync_api import Browser, Page, expect

from sandbox.browser import launch
from sandbox.system import System
from tests.browser.pages import PATIENCE, Pages

_PAGES = pytest.StashKey[Pages]()


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium, until the last of these tests: while it runs, `asyncio.run` would fail in other tests."""
    expect.set_options(timeout=PATIENCE)
    with launch() as running:
        yield running


@pytest.fixture(scope="module")
def system(tmp_path_factory) -> Iterator[System]:
    """The system as deployed; the schedule fires only when a test does it.

    Each file has its own, because only one can run in a process, and some files need one with other settings.
    """
    with System(tmp_path_factory.mktemp("system"), {"SCHEDULE": "rate(1 hour)"}) as running:
        running.deploy()
        yield running


@pytest.fixture(scope="module")
def token_of(system) -> Callable[[str], str]:
    """Return a function that returns the token of a role: the viewer is vera, the operator olga, the approver anna."""
    names = {"viewer": "vera", "operator": "olga", "approver": "anna"}
    return cache(lambda role: system.token(role, names[role]))


@pytest.fixture
def operator(token_of) -> str:
    """An operator's token."""
    return token_of("operator")


@pytest.fixture
def viewer(token_of) -> str:
    """A viewer's token."""
    return token_of("viewer")


@pytest.fixture
def sign_in(system, token_of):
    """Return a function that opens the page at a screen, and signs in."""

    def sign_in(page, screen="#/", role="operator"):
        page.goto(f"{system.api}/{screen}")
        page.get_by_label("Token").fill(token_of(role))
        page.get_by_role("button", name="Sign in").click()
        return page

    return sign_in


@pytest.fixture
def pages(browser, request) -> Iterator[Pages]:
    """The pages of this test: for a second one, or one with other options, and to say which problems it expects."""
    opened = request.node.stash[_PAGES] = Pages(browser)
    yield opened
    opened.close()


@pytest.fixture
def page(pages) -> Page:
    """An empty page."""
    return pages.open()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Look for problems when a test has passed."""
    yield
    if _PAGES in item.stash:
        item.stash[_PAGES].check()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Keep what a failed test's pages show, and say where."""
    report = yield
    if report.failed and call.when != "teardown" and _PAGES in item.stash:
        report.sections.append(("browser", item.stash[_PAGES].keep(item.nodeid)))
    return report

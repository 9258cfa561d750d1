"""The pages that a test opens: what goes wrong in them, and what is left to look at when the test fails."""

import re
import shutil
import time
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Error, Page, Request

from sandbox.project import ROOT

# How long a page may take to show what a test waits for, in milliseconds. Only a failing test waits that long.
PATIENCE = 120_000

# Not the machine's own: what a page shows of times must not depend on where the test runs. UTC would hide mistakes.
_SURROUNDINGS = {"locale": "en-GB", "timezone_id": "Europe/Berlin"}

_FAILED = ROOT / ".sandbox" / "browser"


class Pages:
    """Opens pages and collects their problems: uncaught errors, errors in the console, requests that failed.

    The browser reports what the Content Security Policy blocks, and answers from 400 on, as errors in the console.
    """

    def __init__(self, browser: Browser) -> None:
        self.problems: list[str] = []
        self._expected: list[str] = []
        self._browser = browser
        self._contexts: list[BrowserContext] = []

    def open(self, **options) -> Page:
        """Return an empty page that shares nothing with the others; `options` are those of `Browser.new_context`."""
        context = self._browser.new_context(**_SURROUNDINGS | options)
        self._contexts.append(context)
        context.set_default_timeout(PATIENCE)
        context.tracing.start(screenshots=True, snapshots=True)
        context.on("weberror", lambda error: self.problems.append(f"uncaught: {error.error}"))
        context.on("console", self._look_at_message)
        context.on("requestfailed", self._look_at_request)
        return context.new_page()

    def expect_problem(self, *patterns: str) -> None:
        """Declare that a problem matches each of these regular expressions. The test fails if one does not occur."""
        self._expected += patterns

    def check(self, patience: int = PATIENCE) -> None:
        """AssertionError if there are other problems than expected, or not all of those within so many milliseconds."""
        for page in self._all():
            page.evaluate("0")  # what happened before has been reported when this is answered
        # That holds for a page, but not for the network: what fails there is reported when the browser comes to it.
        deadline = time.monotonic() + patience / 1000
        while self._absent() and time.monotonic() < deadline:
            self._all()[0].wait_for_timeout(20)
        unexpected = [each for each in self.problems if not any(re.search(one, each) for one in self._expected)]
        assert not unexpected, "problems in the page:\n" + "\n".join(unexpected)
        assert not self._absent(), f"expected problems that did not occur: {self._absent()}"

    def _absent(self) -> list[str]:
        return [one for one in self._expected if not any(re.search(one, each) for each in self.problems)]

    def keep(self, test: str) -> str:
        """Save screenshots and traces of a test that failed. Return where, with the URL and the text of each page."""
        folder = _FAILED / re.sub(r"[^\w.-]+", "-", test)
        shutil.rmtree(folder, ignore_errors=True)
        lines = [f"problem: {each}" for each in self.problems]
        for number, page in enumerate(self._all(), 1):
            lines += [page.url, _look(page, folder / f"{number}.png")]
        for number, context in enumerate(self._contexts, 1):
            lines.append(_save_trace(context, folder / f"{number}-trace.zip"))
        return "\n".join(lines)

    def close(self) -> None:
        """Close all pages."""
        for context in self._contexts:
            context.tracing.stop()  # otherwise its folder would stay in /tmp
            context.close()

    def _all(self) -> list[Page]:
        return [page for context in self._contexts for page in context.pages]

    def _look_at_message(self, message) -> None:
        if message.type == "error":
            self.problems.append(f"console: {message.text} ({message.location['url']})")

    def _look_at_request(self, request: Request) -> None:
        # A page cancels its own requests, for one when somebody leaves it. What its policy blocks is in the console.
        if request.failure not in ("net::ERR_ABORTED", "csp"):
            self.problems.append(f"request: {request.method} {request.url}: {request.failure}")


def _look(page: Page, screenshot: Path) -> str:
    """Return a page's visible text and where its screenshot is, or why neither can be had."""
    try:
        page.screenshot(path=screenshot, full_page=True)
        return f"{page.evaluate('document.body.innerText')}\nscreenshot: {screenshot}"
    except Error as error:
        return f"cannot be looked at: {error}"


def _save_trace(context: BrowserContext, file: Path) -> str:
    """Save everything that happened in a context. Return how to see it, or why it cannot be had."""
    try:
        context.tracing.stop(path=file)
    except Error as error:
        return f"no trace: {error}"
    return f"everything that happened: .venv/bin/playwright show-trace --port 0 {file}"

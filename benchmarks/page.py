"""How long the page takes to show something over a slow connection, and a worklist of 10,000: `make bench-page`.

The API is that of the sandbox, on a ledger with 100 causes and 20 runs under way.
"""

import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Page

from benchmarks.summary import APPLICATION_TOML, TABLE, fill_ledger, put_communications
from sandbox.browser import launch
from sandbox.deployed import Deployed

# A slow phone: bits a second, and milliseconds for each answer.
DOWN, UP, LATENCY = 1_600_000, 750_000, 150

# A fifth of these are on the worklist: see benchmarks.summary.
COMMUNICATIONS = 50_000

TIMES = 5

# The most that the page may send over the wire, in bytes, and how many requests it may take to show something.
MAX_BYTES, MAX_REQUESTS = 60_000, 3


@dataclass
class Opening:
    """How long the page took, in seconds, with how many requests and bytes over the wire."""

    seconds: float
    requests: int = 0
    size: int = 0


def _context(browser: Browser, token: str) -> BrowserContext:
    """Return a context without anything in its cache, in which somebody has signed in."""
    context = browser.new_context()
    context.add_init_script(f"sessionStorage.setItem('comms-reprocess.token', {token!r})")
    return context


def _open(page: Page, url: str, shown: str, *, slow: bool) -> Opening:
    """Open a screen, and return how long it took until it showed something."""
    opening = Opening(0)
    session = page.context.new_cdp_session(page)
    session.on("Network.requestWillBeSent", lambda _: _count(opening, requests=1))
    session.on("Network.loadingFinished", lambda event: _count(opening, size=event["encodedDataLength"]))
    session.send("Network.enable")
    if slow:
        rates = {"downloadThroughput": DOWN / 8, "uploadThroughput": UP / 8}
        session.send("Network.emulateNetworkConditions", {"offline": False, "latency": LATENCY, **rates})
    began = time.monotonic()
    page.goto(url, wait_until="commit")
    page.wait_for_selector(shown)
    opening.seconds = time.monotonic() - began
    session.detach()
    return opening


def _count(opening: Opening, requests: int = 0, size: int = 0) -> None:
    opening.requests += requests
    opening.size += size


def _measure(browser: Browser, url: str, token: str, *, slow: bool) -> tuple[Opening, Opening]:
    """Return the medians of the first time, and of when the script is in the cache."""
    first, again = [], []
    for _ in range(TIMES):
        with _context(browser, token) as context:
            page = context.new_page()
            first.append(_open(page, url, ".verdict", slow=slow))
            page.goto("about:blank")
            again.append(_open(page, url, ".verdict", slow=slow))
    return _median(first), _median(again)


def _median(openings: list[Opening]) -> Opening:
    seconds = statistics.median(each.seconds for each in openings)
    return Opening(seconds, openings[0].requests, openings[0].size)


def _worklist(browser: Browser, url: str, token: str) -> tuple[float, float]:
    """Return how long the next page of a long worklist takes, and for how long the page did not react meanwhile."""
    with _context(browser, token) as context:
        page = context.new_page()
        page.goto(f"{url}/#/worklist")
        page.wait_for_selector("tbody tr")
        page.evaluate(
            """() => {
                window.blocked = 0;
                const add = list => { for (const task of list.getEntries()) window.blocked += task.duration; };
                new PerformanceObserver(add).observe({ entryTypes: ["longtask"] });
            }"""
        )
        times = []
        for _ in range(TIMES):
            before = page.locator("tbody tr").first.inner_text()
            began = time.monotonic()
            page.get_by_role("link", name="Next").click()
            page.wait_for_function("before => document.querySelector('tbody tr')?.innerText !== before", arg=before)
            page.wait_for_selector("tbody tr")
            times.append(time.monotonic() - began)
        return statistics.median(times), page.evaluate("window.blocked") / TIMES


def main() -> int:
    """Measure, print, and return 1 if the page is too large or asks too often."""
    with tempfile.TemporaryDirectory() as folder, Deployed(Path(folder)) as service, launch() as browser:
        service.configure({"SCHEDULE": "rate(1 hour)"}, APPLICATION_TOML)
        service.deploy()
        token, dynamodb = service.token("viewer"), service.client("dynamodb")
        fill_ledger(dynamodb, TABLE)
        put_communications(dynamodb, TABLE, COMMUNICATIONS)
        fast, slow = (_measure(browser, service.api, token, slow=each) for each in (False, True))
        next_page, blocked = _worklist(browser, service.api, token)
    for name, (first, again) in {"here": fast, "1.6 Mbit/s, 150 ms": slow}.items():
        print(f"{name}: {first.seconds:.2f} s, {first.requests} requests, {first.size:,} bytes", end="; ")
        print(f"with the script in the cache {again.seconds:.2f} s, {again.size:,} bytes")
    print(f"slow : fast = {slow[0].seconds / fast[0].seconds:.1f}")
    print(
        f"worklist of {COMMUNICATIONS // 5:,}: next page {next_page:.2f} s, of which the page is busy {blocked:.0f} ms"
    )
    return 0 if slow[0].size <= MAX_BYTES and slow[0].requests <= MAX_REQUESTS else 1


if __name__ == "__main__":
    sys.exit(main())

"""`make screenshots`: pictures of the page's screens for the documents, taken of the system that `make serve` runs."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, ViewportSize, expect

from sandbox import browser, story
from sandbox.project import ROOT
from sandbox.system import System

IMAGES = ROOT / "docs" / "images"

_FOLDER = ROOT / ".sandbox" / "screenshots"

_WIDE, _NARROW = ViewportSize(width=1200, height=800), ViewportSize(width=360, height=800)

# In milliseconds: how long a screen may take to show its data.
_PATIENCE = 20_000


def main() -> int:
    """Run the system, and write `docs/images/page-*.png`."""
    shutil.rmtree(_FOLDER, ignore_errors=True)
    expect.set_options(timeout=_PATIENCE)
    with story.running(_FOLDER) as system, browser.launch() as chromium:
        take(system, chromium, IMAGES)
    return 0


def take(system: System, chromium: Browser, folder: Path) -> None:
    """Take a picture of each screen as an operator sees it; of "Now" also in the dark, and on a phone."""
    token = system.token("operator", "olga")
    with _signed_in(system, chromium, token, viewport=_WIDE) as page:
        for name, screen in _screens(system, token).items():
            _picture(page, system, screen, folder / f"page-{name}.png")
    with _signed_in(system, chromium, token, viewport=_WIDE, color_scheme="dark") as page:
        _picture(page, system, "/", folder / "page-now-dark.png")
    with _signed_in(system, chromium, token, viewport=_NARROW) as page:
        _picture(page, system, "/", folder / "page-now-narrow.png")


@contextmanager
def _signed_in(system: System, chromium: Browser, token: str, **options: Any) -> Iterator[Page]:
    # What would be different on another machine, or a moment later.
    context = chromium.new_context(locale="en", timezone_id="UTC", reduced_motion="reduce", **options)
    page = context.new_page()
    page.goto(f"{system.api}/")
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Sign in").click()
    try:
        yield page
    finally:
        context.close()


def _picture(page: Page, system: System, screen: str, file: Path) -> None:
    """Open a screen, wait until it shows its data, and take a picture of what fits into the window."""
    page.goto(f"{system.api}/#{screen}")
    page.reload()
    expect(page.get_by_text("olga (operator)")).to_be_visible()
    expect(page.locator("main").get_by_text("Loading …")).to_have_count(0)
    expect(page.locator(".problem")).to_have_count(0)
    page.screenshot(path=file)


def _screens(system: System, token: str) -> dict[str, str]:
    """Return the addresses of all screens by the names of their pictures."""

    def one(path: str, items: str, id_: str, place: int = 0) -> str:
        return str(system.call("GET", path, token).json()[items][place][id_])

    return {
        "now": "/",
        "causes": "/causes",
        "cause": f"/causes/{one('/causes', 'causes', 'id')}",
        "runs": "/runs",
        "run": f"/runs/{one('/runs', 'runs', 'runId')}",
        "worklist": "/worklist",
        "communication": f"/communications/{one('/communications', 'communications', 'id')}",
        "outages": "/outages",
        "outage": f"/outages/{one('/outages', 'outages', 'outageId', -1)}",
        "start": "/start",
        "schedule": "/schedule",
    }

"""Checks of a page's accessibility, by axe-core."""

from playwright.sync_api import Page

from sandbox.project import ROOT

_SOURCE = (ROOT / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")

# WCAG 2.2 AA includes the rules of the versions and levels before it.
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def axe(page: Page) -> list[str]:
    """Return what violates WCAG 2.2 AA or axe-core's best practices in what the page shows now.

    Each line names the rule, what to do, and the elements. A page's Content Security Policy does not stop this.
    """
    page.evaluate(_SOURCE)
    results = page.evaluate("rules => axe.run(document, { runOnly: rules })", _RULES)
    return [_line(violation) for violation in results["violations"]]


def _line(violation: dict) -> str:
    elements = [f"{' '.join(map(str, node['target']))}: {node['html']}" for node in violation["nodes"]]
    return f"{violation['id']} ({violation['impact']}): {violation['help']}: " + "; ".join(elements)

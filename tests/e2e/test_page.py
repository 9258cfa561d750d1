"""The deployed API serves the page: small over the wire, safe in a browser, and at the address that mails name."""

import gzip
import json
import re

import pytest
import requests

from tests.e2e.driver import create_failed, start_run, wait_for_end, wait_for_mail

# How many bytes of the page a browser may have to load, over the wire: less than a second on a slow phone.
PAGE_LIMIT, SCRIPT_LIMIT = 10_000, 60_000

BROWSER = {"Accept": "text/html,*/*;q=0.8", "Accept-Encoding": "gzip, deflate, br, zstd"}


def wire_size(answer: requests.Response) -> int:
    """Return the bytes of a body that was sent compressed."""
    assert answer.headers["Content-Encoding"] == "gzip"
    return int(answer.headers["Content-Length"])


def test_the_page_and_its_script_are_small_and_the_script_is_loaded_once(system):
    """API Gateway compresses both."""
    page = system.call("GET", "/", headers=BROWSER)
    assert (page.status_code, page.headers["Cache-Control"]) == (200, "no-cache")
    assert wire_size(page) < PAGE_LIMIT
    (path,) = re.findall(r'src="[^"]*/api(/assets/[^"]+)"', page.text)
    script = system.call("GET", path, headers=BROWSER)
    assert (script.status_code, script.headers["Cache-Control"]) == (200, "public, max-age=31536000, immutable")
    assert script.headers["Vary"] == "Accept-Encoding"
    assert wire_size(script) < SCRIPT_LIMIT
    assert script.headers["Content-Type"] == "text/javascript; charset=utf-8"


def test_the_address_in_a_mail_leads_to_the_page(system, operator):
    """What a browser asks for is what stands before the `#`; the rest is the page's business."""
    create_failed(system, "emails", 1)
    run_id = start_run(system, operator)
    wait_for_end(system, operator, run_id)
    mail = wait_for_mail(system, run_id).get_content().replace("\r\n", "\n")
    (address,) = re.findall(r"^https?://\S+/#/\S+$", mail.partition("\n\n--\n")[0], re.MULTILINE)
    assert mail.partition("\n\n--\n")[0].endswith(f"\n\nDetails:\n{address}")
    before, _, screen = address.partition("#")
    assert screen == f"/runs/{run_id}"
    with requests.Session() as browser:
        browser.trust_env = False  # loopback needs no proxy
        assert browser.get(before, timeout=30).text == system.call("GET", "/").text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/summary", 200),
        ("GET", "/communications.csv", 200),
        ("GET", "/runs/no-such", 404),
        ("POST", "/reprocess", 400),
        ("GET", "/health", 200),
    ],
)
def test_no_answer_with_data_is_kept_or_taken_for_something_else(system, operator, method, path, status):
    """Whatever is between the API and the reader, and also if it is an error."""
    answer = system.call(method, path, operator, json={"no": "such"} if method == "POST" else None)
    assert answer.status_code == status
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_caller_may_compress_what_it_sends(system, operator):
    """API Gateway decompresses it. A short answer is not worth compressing."""
    body = gzip.compress(json.dumps({"dryRun": True, "primaryIds": ["no-such"] * 200}).encode())
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip", "Accept-Encoding": "gzip"}
    answer = system.call("POST", "/reprocess", operator, data=body, headers=headers)
    assert (answer.status_code, answer.json()["matched"]) == (200, 0), answer.text
    assert "Content-Encoding" not in system.call("GET", "/health", headers=BROWSER).headers

"""What serves the page: its headers, its script under a name of its own, and nothing in it that needs a token."""

import base64
import hashlib
import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

import app

FOLDER = Path(__file__).parents[2] / "chalicelib" / "page"
CONTEXT = SimpleNamespace(
    function_name="mail-dev",
    aws_request_id="r",
    invoked_function_arn="arn:aws:lambda:eu-west-1:123456789012:function:mail-dev",
)


def call(resource: str, path: str = "", *, stage: str = "/api", method: str = "GET", **parameters: str) -> dict:
    """Call a route as API Gateway does, and return the answer of the function."""
    path = path or resource
    event = {
        "requestContext": {"httpMethod": method, "resourcePath": resource, "path": stage + path, "identity": {}},
        "path": path,
        "headers": {},
        "multiValueQueryStringParameters": None,
        "pathParameters": parameters or None,
        "stageVariables": None,
        "body": None,
        "isBase64Encoded": False,
    }
    return app.app(event, CONTEXT)


def policy() -> dict[str, str]:
    """Return the directives of the page's Content Security Policy."""
    text = call("/")["headers"]["Content-Security-Policy"]
    return dict(each.strip().partition(" ")[::2] for each in text.split(";"))


def test_the_browser_may_do_nothing_but_call_this_api():
    """Nothing inline, no other host, no form, no frame, and no markup that a script makes of a text."""
    directives = policy()
    assert directives["default-src"] == "'none'"
    assert directives["script-src"] == directives["connect-src"] == "'self'"
    for name in ("base-uri", "form-action", "frame-ancestors", "trusted-types"):
        assert directives[name] == "'none'"
    assert directives["require-trusted-types-for"] == "'script'"
    for value in directives.values():
        assert "unsafe-" not in value
        assert not re.search(r"\*|\bhttps?:|\.", value), value


def test_the_policy_names_the_style_by_its_digest():
    """A browser computes it from what is between the tags, byte by byte."""
    (style,) = re.findall("<style>(.*?)</style>", call("/")["body"], re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert style
    assert policy()["style-src"] == f"'sha256-{digest}'"


def test_the_page_has_no_script_and_no_style_that_the_policy_would_refuse():
    """They would be missing without any error but in the browser's console."""
    page = call("/")["body"]
    assert re.findall(r"<script[^>]*>(.*?)</script>", page, re.DOTALL) == [""]
    assert page.count("<style") == 1
    assert not re.search(r"\s(style|on\w+)=", page)


def test_the_page_is_asked_for_again_each_time_and_its_script_never():
    """The script's name has a digest of its content, so a browser may keep it for ever."""
    page = call("/")
    assert page["headers"]["Cache-Control"] == "no-cache"
    assert page["headers"]["Content-Type"] == "text/html; charset=utf-8"
    (path,) = re.findall(r'src="/api(/assets/[^"]+)"', page["body"])
    name = path.rpartition("/")[2]
    script = call("/assets/{name}", path, name=name)
    assert script["statusCode"] == 200
    assert script["body"] == (FOLDER / name).read_text(encoding="utf-8")
    assert (
        hashlib.sha256(script["body"].encode()).hexdigest().startswith(name.removeprefix("page-").removesuffix(".js"))
    )
    assert script["headers"]["Cache-Control"] == "public, max-age=31536000, immutable"
    assert script["headers"]["Content-Type"] == "text/javascript; charset=utf-8"


@pytest.mark.parametrize("stage", ["/api", "", "/team/reprocess"])
def test_the_page_finds_its_script_under_the_api_gateway_stage_and_under_a_domain(stage):
    """A domain may have a base path of any depth, or none."""
    assert f'src="{stage}/assets/page-' in call("/", stage=stage)["body"]


def test_a_path_cannot_break_out_of_the_page():
    """What comes before the route is the caller's own."""
    assert "<script>alert" not in call("/", stage='/"><script>alert(1)</script>')["body"]


@pytest.mark.parametrize("name", ["page-000000000000.js", "index.html", "..%2Findex.html", "", "page-*.js"])
def test_the_script_of_another_version_is_not_found(name):
    """Somebody had the page open while another version was deployed. No other file is served."""
    answer = call("/assets/{name}", f"/assets/{name}", name=name)
    assert answer["statusCode"] == 404
    assert json.loads(answer["body"])["Message"] == "this is the script of another version; load the page again"
    assert answer["headers"]["Cache-Control"] == "no-store"


def test_the_page_contains_no_data():
    """Anybody can load it, so it is the same for all stages, but for the path before its script's name."""
    page = (FOLDER / "index.html").read_text(encoding="utf-8")
    assert call("/")["body"] == page.replace("{base}", "/api")
    served = page + next(FOLDER.glob("page-*.js")).read_text(encoding="utf-8")
    assert not re.search(r"amazonaws|arn:aws|\b\d{12}\b|example\.com", served)


# -- the headers of all answers


@pytest.mark.parametrize(
    ("method", "resource", "status"),
    [
        ("GET", "/", 200),
        ("GET", "/assets/{name}", 404),
        ("GET", "/health", 500),
        ("POST", "/health", 405),
    ],
)
def test_a_browser_must_take_every_answer_for_what_it_is_and_keep_none_that_has_data(method, resource, status):
    """Also an error that Chalice makes before it calls a handler, and one that nobody expected: no setting is there."""
    answer = call(resource, method=method, name="x")
    assert answer["statusCode"] == status
    assert answer["headers"]["X-Content-Type-Options"] == "nosniff"
    assert answer["headers"]["Cache-Control"] == ("no-cache" if resource == "/" else "no-store")

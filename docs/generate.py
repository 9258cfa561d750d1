"""Generates what the documents take from the code: `make docs`. Tests fail if that was forgotten.

docs/openapi.json, the map in docs/design.md, the estimates in docs/operate.md, the numbers of lines in
docs/step-functions.md, docs/images/flow.svg (drawn from docs/flow.dot), and the pictures of the examples (drawn from
their state machines).
"""

import ast
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

from chalicelib import times
from chalicelib.api import openapi
from chalicelib.runs import cost
from chalicelib.settings import Settings
from docs import graphviz, line_links
from examples import picture

ROOT = Path(__file__).parents[1]
FLOW = ROOT / "docs" / "flow.dot"
PICTURE = ROOT / "docs" / "images" / "flow.svg"
STEP_FUNCTIONS = ROOT / "docs" / "step-functions.md"

# The parts of the map, in the order in which a newcomer meets them.
_TOP = (
    "app.py",
    "deploy.py",
    "description.py",
    "chalicelib",
    "deployment",
    "sandbox",
    "examples",
    "benchmarks",
    "web",
    "docs",
    "tests",
)

# What docs/operate.md shows estimates for: communications, and CONCURRENCY.
_ESTIMATES = ((10_000, 20), (100_000, 20), (100_000, 100), (1_000_000, 20), (1_000_000, 100))


def openapi_json() -> str:
    """Return docs/openapi.json."""
    return json.dumps(openapi.document(), indent=2) + "\n"


def map_of_the_code() -> str:
    """Return the map: every package and module with the first sentence of its docstring."""
    return "\n".join(line for name in _TOP for line in _entries(ROOT / name, 0)) + "\n"


def _entries(path: Path, depth: int) -> Iterator[str]:
    """Yield the lines of a module, or of a package and all that it contains."""
    indent = "  " * depth
    if path.is_file():
        yield f"{indent}* `{path.name}`: {_first_sentence(path)}"
        return
    yield f"{indent}* **`{path.name}/`**: {_first_sentence(path / '__init__.py')}"
    if path.name == "tests":
        # A test's name says what it is for.
        for package in sorted(path.glob("*/__init__.py")):
            yield f"{indent}  * **`{package.parent.name}/`**: {_first_sentence(package)}"
        return
    packages = [each.parent for each in path.glob("*/__init__.py")]
    for child in [*sorted(path.glob("*.py")), *sorted(packages)]:
        if child.name != "__init__.py":
            yield from _entries(child, depth + 1)


def _first_sentence(module: Path) -> str:
    docstring = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or ""
    paragraph = docstring.split("\n\n")[0].replace("\n", " ")
    sentence = re.split(r"(?<=[a-z`)])\. (?=[A-Z`])", paragraph)[0].rstrip(".")
    return sentence[0].lower() + sentence[1:] if re.match(r"[A-Z][a-z]|A ", sentence) else sentence


def estimates() -> str:
    """Return the table of how long runs take and what they cost."""
    lines = ["| communications | `CONCURRENCY` | batches | time | cost |", "| --- | --- | --- | --- | --- |"]
    for communications, concurrency in _ESTIMATES:
        estimate = cost.estimate(communications, Settings(resource_prefix="docs", concurrency=concurrency))
        took = times.format_duration(estimate.seconds * 1000)
        lines.append(
            f"| {communications:,} | {concurrency} | {estimate.batches:,} | {took} | {estimate.dollars:.2f} USD |"
        )
    return "\n".join(lines) + "\n"


def section(text: str, name: str) -> str:
    """Return what is between the markers of a generated section."""
    return text.partition(f"<!-- {name} -->\n")[2].partition(f"<!-- end of {name} -->")[0]


def _replace_section(file: Path, name: str, content: str) -> None:
    text = file.read_text(encoding="utf-8")
    old = f"<!-- {name} -->\n{section(text, name)}<!-- end of {name} -->"
    file.write_text(text.replace(old, f"<!-- {name} -->\n{content}<!-- end of {name} -->"), encoding="utf-8")


def source_mark() -> str:
    """Return the comment by which the picture says what it was drawn from."""
    return f"<!-- drawn from flow.dot, SHA-256 {hashlib.sha256(FLOW.read_bytes()).hexdigest()} -->\n"


def _draw() -> None:
    PICTURE.write_text(graphviz.svg(FLOW.read_text(encoding="utf-8")) + source_mark(), encoding="utf-8")
    picture.main()


def main() -> None:
    """Generate everything."""
    (ROOT / "docs" / "openapi.json").write_text(openapi_json(), encoding="utf-8")
    _replace_section(ROOT / "docs" / "design.md", "map", map_of_the_code())
    _replace_section(ROOT / "docs" / "operate.md", "estimates", estimates())
    STEP_FUNCTIONS.write_text(line_links.corrected(STEP_FUNCTIONS), encoding="utf-8")
    _draw()


if __name__ == "__main__":
    main()

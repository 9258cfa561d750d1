"""The documents: what they promise exists, and what comes from the code is up to date."""

import re
from pathlib import Path

import pytest

from chalicelib import __version__
from chalicelib.settings import Settings
from docs import generate, line_links

ROOT = Path(__file__).parents[2]


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


README = read("README.md")


def test_the_readme_lists_every_setting_with_its_default():
    """The names and defaults are those of Settings."""
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| `?([^`|]+?)`? \|", README, re.MULTILINE))
    settings = Settings(resource_prefix="mail-dev")
    defaults = {name.upper(): str(getattr(settings, name)) for name in Settings.__struct_fields__}
    assert rows == defaults | {"RESOURCE_PREFIX": "required", "PAGE_URL": "the API's own"}


def test_every_make_target_is_documented():
    """Either the README or CONTRIBUTING.md has to name it."""
    documents = README + read("CONTRIBUTING.md")
    targets = re.findall(r"^([a-z-]+):.*##", read("Makefile"), re.MULTILINE)
    assert [target for target in targets if f"make {target}" not in documents and target != "clean"] == []


def test_every_link_to_a_file_leads_to_an_existing_file():
    """Links to other sites are not checked."""
    for document in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")):
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text(encoding="utf-8")):
            assert (document.parent / link).exists(), f"{document.name}: {link}"


def test_the_map_in_design_md_names_every_package_and_module():
    """`make docs` regenerates it from the modules' docstrings."""
    text = generate.map_of_the_code()
    assert generate.section(read("docs/design.md"), "map") == text
    folders = ("chalicelib", "deployment", "sandbox", "benchmarks", "web", "docs")
    modules = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    assert len([path for path in modules if path.name != "__init__.py"]) > 100
    for path in modules:
        name = path.parent.name if path.name == "__init__.py" else path.name
        assert f"`{name}" in text, path


def test_every_module_has_a_docstring_that_fits_into_the_map():
    """Each is one sentence, short enough to be read at a glance."""
    for line in generate.map_of_the_code().splitlines():
        name, _, sentence = line.partition(": ")
        assert 5 < len(sentence) <= 120, name


def test_the_estimates_in_operate_md_are_those_of_the_cost_model():
    """A dry run would say the same; `make docs` regenerates them."""
    assert generate.section(read("docs/operate.md"), "estimates") == generate.estimates()


def test_flow_svg_was_drawn_from_its_current_source():
    """`make docs` draws it again."""
    assert read("docs/images/flow.svg").endswith(generate.source_mark())


def test_each_link_to_a_line_leads_to_the_line_that_it_shows():
    """`make docs` corrects the numbers."""
    assert line_links.corrected(generate.STEP_FUNCTIONS) == read("docs/step-functions.md")


def test_each_rule_about_step_functions_has_a_line_that_follows_it():
    """A rule that nothing here follows does not belong there."""
    topics = read("docs/step-functions.md").partition("\n## ")[2]
    rules = [line for line in topics.splitlines() if line.startswith("| ") and not line.startswith(("| rule", "| ---"))]
    assert len(rules) > 40
    assert [rule for rule in rules if not re.search(r"\| \[`.+`\]\(\.\./.+#L\d+\) \|", rule)] == []


def test_a_line_that_is_gone_is_named(tmp_path):
    """A link to it would lead to something else."""
    (tmp_path / "code.py").write_text("one\ntwo\n")
    (tmp_path / "page.md").write_text("See [`two`](code.py#L1).")
    assert line_links.corrected(tmp_path / "page.md") == "See [`two`](code.py#L2)."
    (tmp_path / "page.md").write_text("See [`three`](code.py#L1).")
    with pytest.raises(ValueError, match=r"code\.py has no line with: three"):
        line_links.corrected(tmp_path / "page.md")


def test_the_changelog_starts_with_the_current_version():
    """The version is set in one place, and its changes are written down."""
    versions = re.findall(r"^## (\d+\.\d+\.\d+) \(\d{4}-\d\d-\d\d\)$", read("CHANGELOG.md"), re.MULTILINE)
    assert versions[0] == __version__
    assert versions[-1] == "0.1.0"


def test_makefile_documents_and_workflow_name_the_same_python_versions():
    """The documents must not promise a version that CI does not test."""
    tested = re.findall(r"python(3\.\d+)", re.search(r"^TESTED_PYTHONS := (.*)$", read("Makefile"), re.MULTILINE)[1])
    first, *others = sorted(tested, key=lambda version: int(version.split(".")[1]))
    words = f"Python {', '.join([first, *others[:-1]])} or {others[-1]}"
    assert words in README
    assert words in read("CONTRIBUTING.md")
    workflow = re.search(r"python: \[(.*)\]", read(".github/workflows/check.yml"))[1]
    assert sorted(re.findall(r"3\.\d+", workflow)) == sorted(tested)


def test_the_readme_has_at_most_120_lines():
    """It should be short enough to be read to the end."""
    assert len(README.splitlines()) <= 120

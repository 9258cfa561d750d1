"""The documents: what they promise exists, and what comes from the code is up to date."""

import json
import re
from pathlib import Path

import pytest

from chalicelib import __version__
from chalicelib.settings import Settings
from docs import generate

ROOT = Path(__file__).parents[2]


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


README = read("README.md")


def test_the_settings_table_names_every_setting_with_its_default():
    """What Settings reads is what the README's table lists, with the same defaults."""
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| `?([^`|]+?)`? \|", README, re.MULTILINE))
    settings = Settings(resource_prefix="mail-dev")
    defaults = {name.upper(): str(getattr(settings, name)) for name in Settings.__struct_fields__}
    assert rows == defaults | {"RESOURCE_PREFIX": "required"}


def test_every_make_target_is_documented():
    """In the README, or in CONTRIBUTING.md for those who change something."""
    documents = README + read("CONTRIBUTING.md")
    targets = re.findall(r"^([a-z-]+):.*##", read("Makefile"), re.MULTILINE)
    assert [target for target in targets if f"make {target}" not in documents and target != "clean"] == []


def test_every_link_leads_somewhere():
    """A file that a document links to exists."""
    for document in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")):
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text(encoding="utf-8")):
            assert (document.parent / link).exists(), f"{document.name}: {link}"


def test_the_map_names_every_package_and_module():
    """With the first sentence of its docstring; `make docs` writes it."""
    assert generate.section(read("docs/design.md"), "map") == generate.map_of_the_code()
    folders = ("chalicelib", "deployment", "sandbox", "benchmarks", "docs")
    modules = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    assert len([path for path in modules if path.name != "__init__.py"]) > 100
    for path in modules:
        name = path.parent.name if path.name == "__init__.py" else path.name
        assert f"`{name}" in generate.map_of_the_code(), path


def test_every_module_says_what_it_is():
    """One line in the map is one sentence, short enough to be read at a glance."""
    for line in generate.map_of_the_code().splitlines():
        name, _, sentence = line.partition(": ")
        assert 5 < len(sentence) <= 120, name


def test_the_estimates_are_those_of_the_model():
    """What docs/operate.md says is what a dry run would say; `make docs` writes it."""
    assert generate.section(read("docs/operate.md"), "estimates") == generate.estimates()


def test_the_picture_was_drawn_from_its_source():
    """`make docs` draws it again."""
    assert read("docs/images/flow.svg").endswith(generate.source_mark())


def test_the_changelog_begins_with_the_version():
    """The version is set in one place, and its changes are written down."""
    versions = re.findall(r"^## (\d+\.\d+\.\d+) \(\d{4}-\d\d-\d\d\)$", read("CHANGELOG.md"), re.MULTILINE)
    assert versions[0] == __version__
    assert versions[-1] == "0.1.0"


def test_the_same_pythons_are_tested_everywhere():
    """Makefile, README, CONTRIBUTING and the workflow name the same ones."""
    tested = re.findall(r"python(3\.\d+)", re.search(r"^TESTED_PYTHONS := (.*)$", read("Makefile"), re.MULTILINE)[1])
    first, *others = sorted(tested, key=lambda version: int(version.split(".")[1]))
    words = f"Python {', '.join([first, *others[:-1]])} or {others[-1]}"
    assert words in README
    assert words in read("CONTRIBUTING.md")
    workflow = re.search(r"python: \[(.*)\]", read(".github/workflows/check.yml"))[1]
    assert sorted(re.findall(r"3\.\d+", workflow)) == sorted(tested)


def test_the_readme_is_short():
    """A README is read to its end."""
    assert len(README.splitlines()) <= 120


@pytest.mark.parametrize("policy", sorted((ROOT / ".chalice").glob("*/*.json")), ids=lambda path: path.stem)
def test_a_policy_names_actions_and_its_own_stage(policy):
    """Account and region may be `*`; an action or a name never is, and a stage reaches nothing of another's."""
    prefix = f"comms-reprocess-{policy.parent.name}"
    for statement in json.loads(policy.read_text(encoding="utf-8"))["Statement"]:
        assert all("*" not in action for action in statement["Action"])
        if all(action.startswith("xray:") for action in statement["Action"]):
            # X-Ray has no resource that a trace is put to: AWS takes nothing but "*" here.
            assert statement["Resource"] == ["*"]
            continue
        for resource in statement["Resource"]:
            assert prefix in resource.split(":", 5)[5]

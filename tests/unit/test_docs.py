"""The documents say what is there."""

import json
import re
from pathlib import Path

import pytest

from chalicelib.settings import Settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_settings_table_names_every_setting_with_its_default():
    """What Settings reads is what the README's table lists, with the same defaults."""
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| `?([^`|]+?)`? \|", README, re.MULTILINE))
    settings = Settings(resource_prefix="mail-dev")
    defaults = {name.upper(): str(getattr(settings, name)) for name in Settings.__struct_fields__}
    assert rows == defaults | {"RESOURCE_PREFIX": "required"}


def test_the_readme_names_every_make_target():
    """A target that nobody is told of is not there."""
    targets = re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    unnamed = [target for target in targets if f"make {target}" not in README and target not in ("lint", "clean")]
    assert not unnamed


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

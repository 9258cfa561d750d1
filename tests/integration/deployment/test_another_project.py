"""The life of another project in an account: planned, deployed, used, changed, looked at, destroyed."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import deploy
from chalicelib.errors import ConfigurationError
from chalicelib.names import AwsLocation
from deployment import policies, state_machine, template
from deployment.stage import ANYWHERE, Stage
from sandbox import project
from sandbox.aws import ACCOUNT, REGION
from sandbox.deployed import DeployPyFailed
from tests import iam
from tests.e2e.driver import wait_until
from tests.e2e.other_stage import DEPLOYER, OwnProject, snapshot

GREETINGS = Path(__file__).parent / "greetings"
LOCATION = AwsLocation("aws", REGION, ACCOUNT)


class Greetings(OwnProject):
    """The project on an embedded AWS."""

    def policies(self) -> dict[str, dict]:
        return policies.documents(self.stage())

    def stage(self) -> Stage:
        return Stage(self.folder / "project", "dev", LOCATION)


@pytest.fixture
def greetings(tmp_path):
    """An empty account, and the project to deploy to it."""
    with Greetings(tmp_path, GREETINGS) as running:
        running.configure({})
        yield running


def start(greetings: Greetings, person: str) -> str:
    """Start the state machine for a person; return the execution's ARN."""
    machine = greetings.stage().names.state_machine_arn
    request = {"stateMachineArn": machine, "input": json.dumps({"person": person})}
    return greetings.client("stepfunctions").start_execution(**request)["executionArn"]


def greet(greetings: Greetings, person: str) -> str:
    """Run the state machine for a person; return how it ended."""
    execution = start(greetings, person)

    def status() -> str:
        return greetings.client("stepfunctions").describe_execution(executionArn=execution)["status"]

    wait_until(lambda: status() != "RUNNING", "the execution does not end")
    return status()


def test_another_project_is_deployed_used_changed_and_destroyed_without_a_trace(greetings):
    """Its description says everything, so that no code is about it; each permission is needed, and none is missing."""
    before = snapshot(greetings)
    assert "Plan: 7 created." in greetings.run("plan")
    assert snapshot(greetings) == before
    printed = greetings.deploy()
    assert "Deploying greetings-dev to account" in printed
    assert "Done: 8 created." in printed
    assert "API" not in printed
    assert "Done: nothing to change." in greetings.deploy()
    assert "Plan: nothing to change." in greetings.run("plan")

    assert greet(greetings, "Ada") == "SUCCEEDED"
    wait_until(lambda: any("Hello Ada" in str(mail) for mail in greetings.mailbox.messages()), "nobody was told")
    first = greetings.policies()
    own = {name: [policy] for name, policy in first.items()}
    assert iam.compare_stage(greetings.stage(), own, greetings.aws.iam_requests()) == []

    _change(greetings)
    _spoil(greetings)
    _look(greetings)
    both = [first["deployer"], greetings.policies()["deployer"]]
    _destroy(greetings)
    assert snapshot(greetings) == before
    requested = {each for each in greetings.aws.iam_requests() if each.caller == DEPLOYER}
    assert iam.compare("the deploying identity", both, requested, iam.UNUSED_BY_DEPLOYERS) == []


def _change(greetings: Greetings) -> None:
    """Change the state machine, and add an index, an expiry and a topic."""
    folder = greetings.folder / "project"
    for file, old, new in (
        ("statemachine.json", '"TimeoutSeconds": 20', '"TimeoutSeconds": 15'),
        (
            "description.py",
            'Table(partition="person")',
            'Table(partition="person", ttl="until", indexes=(Index("met", "met", "person"),))',
        ),
        ("description.py", "import Description, Function,", "import Description, Function, Index,"),
        ("description.py", '["greeted"]', '["greeted", "others"]'),
    ):
        text = (folder / file).read_text()
        assert old in text
        (folder / file).write_text(text.replace(old, new))
    with pytest.raises(DeployPyFailed, match=r"do not match description.py and .chalice/config.json: .*deployer.json"):
        greetings.run("plan")
    policies.write(Stage(folder, "dev", ANYWHERE))
    assert "Plan: 1 created, 2 changed." in greetings.run("plan")
    assert "Done: 2 created, 2 changed." in greetings.deploy()
    assert "Plan: nothing to change." in greetings.run("plan")
    table = greetings.client("dynamodb").describe_table(TableName="greetings-dev")["Table"]
    assert [each["IndexName"] for each in table["GlobalSecondaryIndexes"]] == ["met"]


def _look(greetings: Greetings) -> None:
    printed = greetings.run("status")
    assert "functions  1 of 1" in printed
    assert "machine    greetings-dev, executions under way: 0" in printed
    assert "mail       others to on-duty@example.com" in printed
    words = {line.split()[0] for line in printed.splitlines()[2:]}
    assert words == {"functions", "machine", "mail"}
    for command in (["check"], ["token", "list"]):
        with pytest.raises(DeployPyFailed, match=f"greetings has no command '{command[0]}': it is for comms-reprocess"):
            greetings.run(*command)


def _spoil(greetings: Greetings) -> None:
    """Take away what deploy.py corrects: the condition of the role, and the encryption of the topics."""
    trust = state_machine.trust(greetings.stage().names)
    del trust["Statement"][0]["Condition"]
    role = "greetings-dev-state-machine"
    greetings.client("iam").update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(trust))
    for topic in map(greetings.stage().names.topic_arn, ("greeted", "others")):
        greetings.client("sns").set_topic_attributes(TopicArn=topic, AttributeName="KmsMasterKeyId", AttributeValue="")
    assert "Done: 3 changed." in greetings.deploy()


def _destroy(greetings: Greetings) -> None:
    """Destroy it while an execution waits."""
    start(greetings, "later")
    assert "Done: 7 removed." in greetings.run("destroy", "--yes")
    assert greetings.client("dynamodb").list_tables()["TableNames"] == ["greetings-dev"]
    assert "Done: 1 removed." in greetings.run("destroy", "--yes", "--with-data")


def test_a_description_must_name_the_functions_of_app_py(greetings):
    """Otherwise, destroy would leave one behind, or a permission would belong to nothing."""
    file = greetings.folder / "project" / "app.py"
    file.write_text(file.read_text().replace("@app.lambda_function()", '@app.lambda_function(name="wave")'))
    config = greetings.folder / "project" / ".chalice" / "config.json"
    wave = '"wave": {"iam_policy_file": "dev/greet.json"}'
    config.write_text(config.read_text().replace('"greet": {', f'{wave}, "greet": {{'))
    with pytest.raises(DeployPyFailed, match=r"app\.py and description.py do not name the same functions: greet, wave"):
        greetings.deploy()


@pytest.fixture
def copied(tmp_path):
    """A copy of the project that nothing has deployed."""
    project.copy(tmp_path / "project", {}, None, GREETINGS)
    return tmp_path / "project"


def test_a_stage_can_be_added_and_the_next_step_is_to_plan_it(copied, capsys):
    """It gets the policies of its own functions; what deploy.py says can be pasted."""
    assert deploy.main(["stage", "add", "prod", "--project", str(copied)]) == 0
    assert {file.name for file in (copied / ".chalice" / "prod").iterdir()} == {"greet.json", "deployer.json"}
    command = f".venv/bin/python deploy.py plan --stage prod --project {copied}"
    assert f"Correct them, and run {command}\n" in capsys.readouterr().out


def test_cfn_lint_accepts_its_template(copied, tmp_path):
    """There is nothing of an API or a schedule in it."""
    resources = template.template(Stage(copied, "dev", LOCATION), ["someone@example.com"], LOCATION)["Resources"]
    assert resources.pop("Greet") == {"Properties": {"FunctionName": "greetings-dev-greet"}}
    kinds = Counter(each["Type"].split("::")[-1] for each in resources.values())
    assert kinds == {
        "Activity": 1,
        "LogGroup": 2,
        "Role": 1,
        "StateMachine": 1,
        "Subscription": 1,
        "Table": 1,
        "Topic": 1,
    }
    file = tmp_path / "template.json"
    file.write_text(json.dumps({"Resources": resources}))
    command = [str(Path(sys.executable).with_name("cfn-lint")), str(file)]
    assert subprocess.run(command, capture_output=True, text=True, check=False, timeout=200).stdout == ""


def test_permissions_of_what_is_no_function_are_refused(copied):
    """A wrong name would leave a function without them."""
    file = copied / "description.py"
    file.write_text(file.read_text().replace('lambda: {"greet": [', 'lambda: {"gret": ['))
    with pytest.raises(ConfigurationError, match=r"description.py: there are permissions for 'gret', which is no fun"):
        policies.check(Stage(copied, "dev", LOCATION))


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        ("description.py", r"there is no .*description\.py: it says what the project consists of"),
        ("statemachine.json", r"statemachine\.json cannot be read: No such file or directory"),
    ],
)
def test_a_folder_that_lacks_a_file_is_refused(copied, file, sentence):
    """The sentence names it."""
    (copied / file).unlink()
    with pytest.raises((ConfigurationError, ValueError), match=sentence):
        template.template(Stage(copied, "dev", LOCATION), [])

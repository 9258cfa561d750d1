"""The policies of a stage follow from its configuration, and a new stage is one command."""

import json
import re
import shutil
from pathlib import Path

import cfnlint
import pytest

import app
import deploy
from chalicelib.application.config import Auth
from chalicelib.errors import ConfigurationError
from chalicelib.names import AwsLocation, Names
from chalicelib.settings import Settings
from deployment import deployer_policy, policies, state_machine
from deployment.comms_reprocess import secret_policy
from deployment.description import DEPLOYER
from deployment.iam_policy import OWN_ACCOUNT
from deployment.stage import ANYWHERE, Stage
from sandbox.project import ROOT

NAMES = Names("comms-reprocess-dev", ANYWHERE)
LOCATION = AwsLocation("aws", "eu-west-1", "123456789012")
SECRET_ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:team/app"
KEY = "arn:aws:kms:eu-west-1:123456789012:key/1f0c9a2b"


@pytest.fixture
def project(tmp_path) -> Path:
    """A copy of what decides about the policies of this checkout."""
    shutil.copytree(ROOT / ".chalice", tmp_path / ".chalice", ignore=shutil.ignore_patterns("deployed", "deployments"))
    (tmp_path / "chalicelib").mkdir()
    shutil.copy2(ROOT / "chalicelib" / "application.toml", tmp_path / "chalicelib")
    shutil.copy2(ROOT / "description.py", tmp_path)
    return tmp_path


def set_variable(project: Path, stage: str, name: str, value: str) -> None:
    file = project / ".chalice" / "config.json"
    config = json.loads(file.read_text())
    config["stages"][stage]["environment_variables"][name] = value
    file.write_text(json.dumps(config))


def read(project: Path, stage: str) -> dict[str, dict]:
    return {file.stem: json.loads(file.read_text()) for file in (project / ".chalice" / stage).glob("*.json")}


def run(project: Path, *arguments: str) -> int:
    return deploy.main([*arguments, "--project", str(project)])


# -- files and configuration


def test_the_policies_in_this_checkout_match_its_configuration():
    """`deploy.py stage update dev` writes them."""
    policies.check(Stage(ROOT, "dev", ANYWHERE))


def test_another_name_for_the_secret_is_refused_until_the_policies_are_updated(project, capsys):
    """Every policy that names the secret is rewritten, and no other; doing it again changes nothing."""
    set_variable(project, "dev", "APPLICATION_SECRET", "ssm:/team/app")
    with pytest.raises(ConfigurationError) as caught:
        policies.check(Stage(project, "dev", ANYWHERE))
    assert "deploy.py stage update dev" in str(caught.value)
    before = read(project, "dev")
    assert run(project, "stage", "update", "dev") == 0
    after = read(project, "dev")
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"api_handler", "collector", "reprocess", "deployer"}
    assert all("arn:*:ssm:*:*:parameter/team/app" in json.dumps(after[name]) for name in changed)
    policies.check(Stage(project, "dev", ANYWHERE))
    capsys.readouterr()
    assert run(project, "stage", "update", "dev") == 0
    assert capsys.readouterr().out == "The policies are up to date.\n"


@pytest.mark.parametrize("damage", ["missing", "not JSON", "edited"])
def test_a_policy_that_does_not_match_is_named(project, damage):
    """It is the one that Chalice would have deployed."""
    file = project / ".chalice" / "dev" / "record.json"
    if damage == "missing":
        file.unlink()
    else:
        file.write_text("{" if damage == "not JSON" else '{"Version": "2012-10-17", "Statement": []}')
    with pytest.raises(ConfigurationError, match=r"match application.toml .*: .chalice/dev/record.json. Run"):
        policies.check(Stage(project, "dev", ANYWHERE))


def test_a_policy_file_of_another_stage_is_refused(project):
    """That is what a copied entry of config.json would have."""
    file = project / ".chalice" / "config.json"
    file.write_text(file.read_text().replace("dev/report.json", "test/report.json"))
    with pytest.raises(ConfigurationError, match=r"iam_policy_file of report must be 'dev/report.json'"):
        policies.check(Stage(project, "dev", ANYWHERE))


def test_the_description_names_each_function_of_app_py_with_its_handler():
    """Chalice never updates the handler of a deployed function; deploy.py does."""
    chalice = app.app
    others = [*chalice.pure_lambda_functions, *chalice.event_sources, *chalice.builtin_auth_handlers]
    description = Stage(ROOT, "dev", LOCATION).description
    assert {"api_handler": "app.app"} | {each.name: each.handler_string for each in others} == {
        name: description.handler(name) for name in description.functions
    }
    assert description.scheduled == [each.name for each in chalice.event_sources]


# -- a new stage


def test_a_new_stage_is_one_command(project, capsys):
    """It has the settings of the first stage under its own names, its own policies, and says what to do next."""
    set_variable(project, "dev", "QUEUE", "comms-reprocess-developers")
    before = read(project, "dev")
    assert run(project, "stage", "add", "prod") == 0
    stage = Stage(project, "prod", ANYWHERE)
    assert stage.names.prefix == "comms-reprocess-prod"
    assert stage.environment["APPLICATION_SECRET"] == "comms-reprocess-prod-application"
    assert stage.environment["QUEUE"] == "comms-reprocess-developers"
    policies.check(stage)
    assert read(project, "dev") == before
    assert not re.search(r"reprocess-dev|dev/", json.dumps(read(project, "prod")))
    printed = capsys.readouterr().out
    assert "  APPLICATION_URL = https://application.example.com\n" in printed
    assert "deploy.py check --stage prod" in printed


def test_a_stage_can_be_like_any_other_one(project):
    """Settings that only this one has are copied too."""
    assert run(project, "stage", "add", "test") == 0
    set_variable(project, "test", "CONCURRENCY", "5")
    assert run(project, "stage", "add", "prod", "--like", "test") == 0
    assert Settings.read(Stage(project, "prod", ANYWHERE).environment).concurrency == 5


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["dev"], "stage 'dev' exists already"),
        (["Prod"], "RESOURCE_PREFIX: must be 3 to 32 lower-case letters"),
        (["../x"], "RESOURCE_PREFIX: must be 3 to 32 lower-case letters"),
        (["with-a-very-long-name"], "RESOURCE_PREFIX: must be 3 to 32 lower-case letters"),
        (["prod", "--like", "nowhere"], "there is no stage 'nowhere'"),
    ],
)
def test_a_stage_that_cannot_be_is_refused_and_nothing_is_written(project, capsys, arguments, sentence):
    """The sentence names what is wrong."""
    before = sorted((path, path.is_file() and path.read_text()) for path in project.rglob("*"))
    assert run(project, "stage", "add", *arguments) == 1
    assert sentence in capsys.readouterr().err
    assert sorted((path, path.is_file() and path.read_text()) for path in project.rglob("*")) == before


def test_a_new_stage_that_was_interrupted_can_be_added_again(project):
    """The policies come first, so a stage in config.json is complete."""
    (project / ".chalice" / "prod").mkdir()
    (project / ".chalice" / "prod" / "record.json").write_text("{")
    assert run(project, "stage", "add", "prod") == 0
    policies.check(Stage(project, "prod", ANYWHERE))


# -- what they say


@pytest.mark.parametrize(
    ("secret", "action", "resource"),
    [
        ("team/app", "secretsmanager:GetSecretValue", "arn:*:secretsmanager:*:*:secret:team/app-??????"),
        (SECRET_ARN, "secretsmanager:GetSecretValue", f"{SECRET_ARN}-??????"),
        (f"{SECRET_ARN}-AbCdEf", "secretsmanager:GetSecretValue", f"{SECRET_ARN}-AbCdEf"),
        ("ssm:app", "ssm:GetParameter", "arn:*:ssm:*:*:parameter/app"),
        ("ssm:/team/app", "ssm:GetParameter", "arn:*:ssm:*:*:parameter/team/app"),
        ("ssm:arn:aws:ssm:eu-west-1:1:parameter/app", "ssm:GetParameter", "arn:aws:ssm:eu-west-1:1:parameter/app"),
        ("arn:aws:ssm:eu-west-1:1:parameter/app", "ssm:GetParameter", "arn:aws:ssm:eu-west-1:1:parameter/app"),
    ],
)
def test_a_policy_allows_reading_the_secret_that_application_toml_names(secret, action, resource):
    """It may be a name or an ARN, of Secrets Manager or of SSM."""
    (statement,) = secret_policy.statements(Auth(type="bearer", secret=secret))
    assert (statement["Action"], statement["Resource"]) == ([action], [resource])


def test_a_key_of_your_own_may_be_used_for_the_secret_only():
    """Through the service that keeps the secret, and not otherwise. Without a secret there is nothing to read."""
    _, statement = secret_policy.statements(Auth(type="bearer", secret="app", kms_key=KEY))
    assert (statement["Action"], statement["Resource"]) == (["kms:Decrypt"], [KEY])
    assert statement["Condition"] == {"StringLike": {"kms:ViaService": "secretsmanager.*"}}
    assert secret_policy.statements(Auth()) == []


@pytest.fixture
def all_policies(project) -> dict[str, dict]:
    """Those of the functions, the deploying identity and the state machine, with a key of your own."""
    file = project / "chalicelib" / "application.toml"
    file.write_text(file.read_text().replace("[auth]", f'[auth]\nkms_key = "{KEY}"'))
    stage = Stage(project, "dev", LOCATION)
    machine = state_machine.policy(stage.names, stage.description.state_machine.statements, traced=True)
    return policies.documents(stage) | {"state machine": machine}


def test_no_policy_covers_the_bucket_of_another_stage_or_account(all_policies):
    """Bucket names are global, and those of a stage dev-2 begin with those of dev."""
    for name, policy in all_policies.items():
        for statement in policy["Statement"]:
            if any(action.startswith("s3:") for action in statement["Action"]):
                if "s3:CreateBucket" not in statement["Action"]:  # a bucket that is not there has no owner
                    assert statement["Condition"] == OWN_ACCOUNT, name
                for resource in statement["Resource"]:
                    bucket = resource.split(":")[5].partition("/")[0]
                    assert "*" not in bucket, (name, resource)


def may_write_tokens(policy: dict) -> bool:
    """Whether a policy allows a write to an item of the partition TOKEN."""
    writes = {f"dynamodb:{action}Item" for action in ("Put", "Update", "Delete", "BatchWrite")}
    allowed, denied = set(), set()
    for statement in policy["Statement"]:
        keys = statement.get("Condition", {}).get("ForAnyValue:StringEquals", {}).get("dynamodb:LeadingKeys", [])
        if statement["Effect"] == "Allow":
            allowed |= writes & set(statement["Action"])
        elif keys == ["TOKEN"]:
            assert statement["Resource"] == [NAMES.table_arn]
            denied |= set(statement["Action"])
    return bool(allowed - denied)


def test_only_the_deploying_identity_may_write_a_token(all_policies):
    """A function that could write one could give itself any role."""
    assert [name for name, policy in all_policies.items() if may_write_tokens(policy)] == ["deployer"]


def test_only_the_api_may_look_up_a_token(all_policies):
    """The others may not even read the hashes."""
    readers = []
    for name, policy in all_policies.items():
        denied = {each for part in policy["Statement"] if part["Effect"] == "Deny" for each in part["Action"]}
        allowed = {each for part in policy["Statement"] if part["Effect"] == "Allow" for each in part["Action"]}
        if {"dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query"} & (allowed - denied):
            readers.append(name)
    assert readers == ["api_handler", "authorizer", "deployer", "state machine"]


def test_every_action_exists_and_has_the_resources_that_it_is_given(all_policies):
    """According to AWS's Service Authorization Reference, of which cfn-lint has a copy."""
    file = Path(cfnlint.__file__).parent / "data" / "AdditionalSpecs" / "Policies.json"
    reference = json.loads(file.read_text(encoding="utf-8"))
    for name, policy in all_policies.items():
        for statement in policy["Statement"]:
            for action in statement["Action"]:
                service, _, operation = action.partition(":")
                known = reference[service]["Actions"].get(operation.lower())
                assert known is not None, (name, action)
                # A task token names its state machine, so the ARN counts all the same.
                if not operation.startswith("SendTask"):
                    assert bool(known.get("Resources")) == (statement["Resource"] != ["*"]), (name, action)


def test_the_policy_of_the_deploying_identity_fits_into_a_role(project):
    """All inline policies of a role may have 10,240 characters without white space (IAM User Guide, "IAM quotas")."""
    longest = Names("a" * 32, ANYWHERE)
    set_variable(project, "dev", "APPLICATION_SECRET", KEY)
    description = Stage(project, "dev", ANYWHERE).describe(longest)
    policy = deployer_policy.policy(longest, description, description.permissions()[DEPLOYER])
    assert len(json.dumps(policy, separators=(",", ":"))) < 10_240

"""A stage's resources in the states in which AWS may have them: out of date, being deleted, throttled, forbidden."""

import itertools
import json
from types import SimpleNamespace

import boto3
import pytest
from botocore.exceptions import ClientError

from chalicelib.names import AwsLocation, Names
from deployment import api, aws_errors, bucket, state_machine, table
from deployment.clients import ReadOnlyClient, WouldChange
from deployment.comms_reprocess import concurrency
from deployment.comms_reprocess.storage import LEDGER
from deployment.description import Bucket
from deployment.plan import Plan
from deployment.stage import Stage
from deployment.steps import Missing, Step, StepFailed, StepResult, take
from sandbox.project import ROOT

NAMES = Names("app-dev", AwsLocation("aws", "eu-west-1", "123456789012"))
DEFINITION = '{"StartAt": "Report"}'
POLICY = state_machine.policy(NAMES, [], traced=True)

_numbers = itertools.count()


def refused(code: str, message: str = "No.") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "Call")


class Replaced:
    """A client with some of its methods replaced."""

    def __init__(self, client, **methods) -> None:
        self._client = client
        self.__dict__ |= methods

    def __getattr__(self, name):
        return getattr(self._client, name)


def in_turn(*answers):
    """Return a method that gives these answers one after the other, and the last one for ever. Errors are raised."""
    left = list(answers)

    def call(**_):
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    return call


# -- the table


@pytest.fixture
def old_table(dynamodb):
    """The name of a table of an earlier version: two indexes are missing, and nothing protects it."""
    name = f"old-{next(_numbers)}"
    definition = table.table_definition(LEDGER, name)
    definition["GlobalSecondaryIndexes"] = definition["GlobalSecondaryIndexes"][:1]
    keys = {"pk", "sk", *(each["AttributeName"] for each in definition["GlobalSecondaryIndexes"][0]["KeySchema"])}
    definition["AttributeDefinitions"] = [
        each for each in definition["AttributeDefinitions"] if each["AttributeName"] in keys
    ]
    dynamodb.create_table(**definition)
    item = {"pk": {"S": "RUN#1"}, "sk": {"S": "RUN"}, "open": {"S": "OPEN"}, "requestedAt": {"N": "1"}}
    dynamodb.put_item(TableName=name, Item=item)
    return name


def described(dynamodb, name: str) -> dict:
    return dynamodb.describe_table(TableName=name)["Table"]


def test_a_table_of_an_earlier_version_gets_the_indexes_and_the_protection_that_it_lacks(dynamodb, old_table):
    """Its items are in the new indexes. A plan foresees the change, and makes none."""
    noted = []
    with pytest.raises(WouldChange):
        table.ensure(ReadOnlyClient(dynamodb, noted), LEDGER, old_table)
    assert [name for name, _ in noted] == ["update_table"]
    assert len(described(dynamodb, old_table)["GlobalSecondaryIndexes"]) == 1
    assert table.ensure(dynamodb, LEDGER, old_table) is StepResult.CHANGED
    found = described(dynamodb, old_table)
    assert {each["IndexName"] for each in found["GlobalSecondaryIndexes"]} == {"runs", "open", "worklist"}
    assert found["DeletionProtectionEnabled"]
    wanted = {"#open": "open"}, {":open": {"S": "OPEN"}}
    answer = dynamodb.query(
        TableName=old_table,
        IndexName="open",
        KeyConditionExpression="#open = :open",
        ExpressionAttributeNames=wanted[0],
        ExpressionAttributeValues=wanted[1],
    )
    assert answer["Count"] == 1
    assert table.ensure(dynamodb, LEDGER, old_table) is StepResult.UNCHANGED


def test_a_new_index_is_waited_for_until_it_is_built(dynamodb, old_table):
    """Nothing can be read from it before. After ten minutes the deployment ends, and the next one goes on waiting."""
    table.ensure(dynamodb, LEDGER, old_table)
    active = {"Table": described(dynamodb, old_table)}
    building = json.loads(json.dumps(active, default=str))
    building["Table"]["GlobalSecondaryIndexes"][1]["IndexStatus"] = "CREATING"
    waits = []
    client = Replaced(dynamodb, describe_table=in_turn(*[building] * 5, active))
    assert table.ensure(client, LEDGER, old_table, waits.append) is StepResult.CHANGED
    assert waits == [5.0]
    waits.clear()
    with pytest.raises(StepFailed, match=r"still building the index open .* run the same command again"):
        table.ensure(Replaced(dynamodb, describe_table=in_turn(building)), LEDGER, old_table, waits.append)
    assert sum(waits) == 600


def test_only_destroy_deletes_the_ledger(dynamodb):
    """Anybody else first has to switch its protection off."""
    name = f"protected-{next(_numbers)}"
    assert table.ensure(dynamodb, LEDGER, name) is StepResult.CREATED
    with pytest.raises(ClientError, match="protect"):
        dynamodb.delete_table(TableName=name)
    assert table.remove(dynamodb, name)
    assert not table.remove(dynamodb, name)


def test_a_table_that_is_being_deleted_is_created_again(dynamodb):
    """Its name is in use until AWS has deleted it."""
    name = f"deleted-{next(_numbers)}"
    deleting = {"Table": {"TableStatus": "DELETING"}}
    definition = table.table_definition(LEDGER, name) | {"DeletionProtectionEnabled": True}
    dynamodb.create_table(**definition)
    there = {"Table": described(dynamodb, name)}
    client = Replaced(dynamodb, describe_table=in_turn(deleting, there), create_table=in_turn({}))
    assert table.ensure(client, LEDGER, name) is StepResult.CREATED
    calls = []
    gone = Replaced(
        dynamodb,
        describe_table=in_turn(deleting),
        delete_table=calls.append,
        update_table=calls.append,
        get_waiter=lambda _: SimpleNamespace(wait=lambda **_: None),
    )
    assert table.remove(gone, name)
    assert calls == []


def test_backups_are_enabled_where_aws_describes_none(dynamodb):
    """The description is optional in AWS's answer."""
    name = f"backups-{next(_numbers)}"
    table.ensure(dynamodb, LEDGER, name)
    enabled = []
    client = Replaced(
        dynamodb,
        describe_continuous_backups=in_turn({"ContinuousBackupsDescription": {"ContinuousBackupsStatus": "ENABLED"}}),
        update_continuous_backups=lambda **request: enabled.append(request),
    )
    assert table.ensure(client, LEDGER, name) is StepResult.CHANGED
    assert len(enabled) == 1


# -- a bucket


def test_what_has_expired_is_deleted_by_the_prefix_of_its_key(moto):
    """A changed number of days is a change. A second bucket of a stage has a name of its own."""
    s3 = boto3.client("s3", region_name=moto.meta.region_name)
    names = Names("app-dev", AwsLocation("aws", moto.meta.region_name, "123456789012"))
    first, longer = (Bucket("slips", {"in/": 7, "out/": days}) for days in (30, 60))
    assert bucket.ensure(s3, names, first) is StepResult.CREATED
    assert bucket.ensure(s3, names, first) is StepResult.UNCHANGED
    assert bucket.ensure(s3, names, longer) is StepResult.CHANGED
    name = f"app-dev-slips-123456789012-{moto.meta.region_name}"
    rules = s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
    assert {rule["Filter"]["Prefix"]: rule["Expiration"]["Days"] for rule in rules} == {"in/": 7, "out/": 60}
    assert bucket.remove(s3, names, longer)
    assert not bucket.remove(s3, names, longer)


# -- the state machine


class DoesNotExist(Exception):
    """Step Functions knows no such state machine."""


class FakeStates:
    """Step Functions' client for a state machine that has these statuses one after the other; None: it is gone."""

    exceptions = SimpleNamespace(StateMachineDoesNotExist=DoesNotExist)

    def __init__(self, *statuses: str | None, refusals: tuple[Exception, ...] = ()) -> None:
        self.statuses = list(statuses)
        self.refusals = list(refusals)
        self.calls: list[str] = []

    def describe_state_machine(self, **_):
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if status is None:
            raise DoesNotExist
        wanted = state_machine.settings(NAMES, traced=False)
        return wanted | {"name": "app-dev", "status": status, "definition": DEFINITION}

    def create_state_machine(self, **_):
        self.calls.append("create")
        if self.refusals:
            raise self.refusals.pop(0)

    def delete_state_machine(self, **_):
        self.calls.append("delete")

    def get_paginator(self, _):
        return SimpleNamespace(paginate=lambda **_: [])


def test_a_state_machine_that_is_being_deleted_is_created_again():
    """It would vanish soon after the deployment. A plan says the same."""
    states = FakeStates("DELETING")
    assert state_machine.ensure_machine(states, NAMES, DEFINITION, traced=False) is StepResult.CREATED
    assert states.calls == ["create"]
    assert state_machine.ensure_machine(FakeStates("ACTIVE"), NAMES, DEFINITION, traced=False) is StepResult.UNCHANGED


def test_destroy_waits_until_the_state_machine_is_gone_or_says_that_it_is_not():
    """Its executions end only with their next transition. Repeated, it does not delete twice."""
    states = FakeStates("ACTIVE", "DELETING", "DELETING", None)
    waits = []
    assert state_machine.remove_machine(states, NAMES, waits.append)
    assert states.calls == ["delete"]
    assert len(waits) == 2
    states = FakeStates("DELETING")
    with pytest.raises(StepFailed, match=r"still deleting it. Wait a few minutes, then run the same command again"):
        state_machine.remove_machine(states, NAMES, waits.append)
    assert states.calls == []
    assert not state_machine.remove_machine(FakeStates(None), NAMES, waits.append)


@pytest.mark.parametrize("action", ["states:CreateStateMachine", "iam:PassRole"])
def test_a_missing_permission_to_create_the_state_machine_is_an_error_at_once(action):
    """Step Functions has the same code for a role that it cannot see yet, which is worth waiting for."""
    message = f"User: arn:aws:sts::123456789012:assumed-role/dev/jo is not authorized to perform: {action} on resource"
    states = FakeStates(None, refusals=(refused("AccessDeniedException", message),) * 2)
    with pytest.raises(ClientError, match="not authorized to perform"):
        state_machine.ensure_machine(states, NAMES, DEFINITION, traced=False)
    assert states.calls == ["create"]


@pytest.mark.parametrize(
    ("code", "message", "busy"),
    [
        ("AccessDeniedException", "The state machine IAM Role is not authorized to access the Log Destination", True),
        ("AccessDeniedException", "Neither the global service principal nor the regional one is authorized", True),
        ("StateMachineDeleting", "State Machine is being deleted", True),
        ("InvalidDefinition", "No.", False),
    ],
)
def test_a_state_machine_is_created_as_soon_as_its_role_is_visible_and_its_name_free(code, message, busy):
    """These errors pass by themselves."""
    assert state_machine.is_too_early(refused(code, message)) is busy


def test_only_step_functions_for_this_account_may_use_the_state_machines_role():
    """A role of an earlier version gets the condition."""
    (statement,) = state_machine.trust(NAMES)["Statement"]
    assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": "123456789012"}
    old = state_machine.trust(NAMES) | {"Statement": [{**statement, "Condition": {}}]}
    updated = []
    iam = SimpleNamespace(
        exceptions=SimpleNamespace(NoSuchEntityException=DoesNotExist),
        get_role=in_turn({"Role": {"AssumeRolePolicyDocument": old}}),
        get_role_policy=in_turn({"PolicyDocument": POLICY}),
        update_assume_role_policy=lambda **request: updated.append(json.loads(request["PolicyDocument"])),
    )
    assert state_machine.ensure_role(iam, NAMES, POLICY) is StepResult.CHANGED
    assert updated == [state_machine.trust(NAMES)]


# -- the API


class FakeApis:
    """API Gateway's client with these APIs of a stage, by id."""

    def __init__(self, *ids: str) -> None:
        self.ids = list(ids)
        self.throttled = 0

    def get_paginator(self, name: str):
        methods = f"arn:aws:lambda:eu-west-1:123456789012:function:{NAMES.prefix}/invocations"
        page = {
            "get_rest_apis": {"items": [{"id": each, "name": "app"} for each in self.ids]},
            "get_resources": {"items": [{"uri": methods}]},
        }
        return SimpleNamespace(paginate=lambda **_: [page[name]])

    def delete_rest_api(self, restApiId: str):  # noqa: N803 (AWS's name)
        if self.throttled:
            self.throttled -= 1
            raise refused("TooManyRequestsException")
        self.ids.remove(restApiId)


@pytest.fixture
def stage(tmp_path):
    """What the functions for the API need of a stage."""
    deployed = tmp_path / "deployed" / "dev.json"
    return SimpleNamespace(names=NAMES, name="dev", app_name="app", api_stage="api", deployed=deployed)


def note(stage, *resources: dict) -> None:
    stage.deployed.parent.mkdir()
    stage.deployed.write_text(json.dumps({"resources": list(resources), "schema_version": "2.0", "backend": "api"}))


def noted(stage) -> list[dict]:
    return json.loads(stage.deployed.read_text())["resources"]


@pytest.mark.parametrize(("ids", "expected"), [(("new",), ["new"]), ((), [])])
def test_a_noted_api_that_no_longer_exists_is_forgotten(stage, ids, expected):
    """Another checkout has deployed the stage again, or destroyed it. Chalice would create a second API."""
    function = {"name": "collector", "resource_type": "lambda_function"}
    note(stage, function, {"name": "rest_api", "resource_type": "rest_api", "rest_api_id": "stale"})
    api.adopt(FakeApis(*ids), stage)
    assert [each["rest_api_id"] for each in noted(stage) if each["resource_type"] == "rest_api"] == expected
    assert function in noted(stage)


def test_what_chalice_noted_stays_as_it_is_if_it_is_right(stage):
    """In a checkout that has not deployed anything, nothing is written before there is something to note."""
    api.adopt(FakeApis(), stage)
    assert not stage.deployed.exists()
    api.adopt(FakeApis("one"), stage)
    before = stage.deployed.stat().st_mtime_ns
    api.adopt(FakeApis("one"), stage)
    assert stage.deployed.stat().st_mtime_ns == before


def test_a_second_api_is_deleted_as_soon_as_aws_accepts_it(stage):
    """An account may delete one in 30 seconds."""
    apis = FakeApis("one", "two")
    apis.throttled = 2
    waits = []
    assert api.remove(apis, stage, waits.append)
    assert apis.ids == []
    assert len(waits) == 2


def test_limits_of_an_api_that_is_not_found_are_a_failure(stage, capsys):
    """A plan foresees that they will be set; a deployment has to say that they are not."""
    step = Step("limits", "app API", lambda: api.ensure_limits(FakeApis(), stage))
    with pytest.raises(Missing, match="run the same command again"):
        take([step])
    assert capsys.readouterr().out == "  limits app API ... failed\n"
    Plan(lambda _: None).show([step])
    assert "would be created" in capsys.readouterr().out


# -- errors, and the account


def test_a_bare_403_for_the_bucket_says_whose_it_may_be():
    """HeadBucket's answer has no body, and so no message."""
    assert "another account" in aws_errors.advice(refused("403"))
    assert "s3:ListBucket" in aws_errors.advice(refused("403"))


def stage_with(*reserved: str) -> Stage:
    """Return a stage in which these functions have a reserved concurrency."""
    stage = Stage(ROOT, "dev", NAMES.location)
    stage.reserved = set(reserved)
    return stage


@pytest.mark.parametrize(
    ("limit", "reserved", "expected"),
    [(10, (), "runs 10 functions at once, but a run needs up to 25"), (10, ("reprocess",), None), (25, (), None)],
)
def test_a_low_limit_of_the_account_is_pointed_out(limit, reserved, expected):
    """A run needs CONCURRENCY, and one of each other function; what is reserved needs nothing of the rest."""
    client = SimpleNamespace(get_account_settings=in_turn({"AccountLimit": {"UnreservedConcurrentExecutions": limit}}))
    warning = concurrency.warning(stage_with(*reserved), lambda _: client)
    assert (expected in warning) if expected else warning is None


def test_an_unknown_limit_of_the_account_is_no_obstacle():
    """It is said, and the deployment goes on."""
    client = SimpleNamespace(get_account_settings=in_turn(refused("AccessDeniedException")))
    assert "is not known: An error occurred (AccessDeniedException)" in concurrency.warning(
        stage_with(), lambda _: client
    )

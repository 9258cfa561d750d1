"""The same resources for CloudFormation: a template for `chalice package --merge-template`.

It is made of the definitions that deploy.py itself uses, with CloudFormation's own names for account and region, so
nothing is defined twice.
"""

import json
import re
from collections.abc import Callable
from typing import Any

from chalicelib.names import AwsLocation, Names
from deployment import alarms, api, bucket, chalice_names, definition, logs, state_machine, table, topics
from deployment.description import ALARMS, Bucket, Description, Table
from deployment.stage import Stage

_LOCATION = AwsLocation("${AWS::Partition}", "${AWS::Region}", "${AWS::AccountId}")

_PAGE = "https://${RestAPI}.execute-api.${AWS::Region}.${AWS::URLSuffix}/"

Json = dict[str, Any]


def template(stage: Stage, addresses: list[str], location: AwsLocation = _LOCATION) -> Json:
    """Return the template of a stage. Table and bucket outlive the stack, just as they outlive `destroy`."""
    names = Names(stage.names.prefix, location)
    description = stage.describe(names)
    page = (description.page.url or _PAGE + stage.api_stage) if description.page else None
    resources = (
        _storage(names, description)
        | _topics(names, description, addresses)
        | _logs(names, description)
        | _chalice_resources(names, description, page, traced=stage.traced)
        | _alarms(names, description, page)
        | _activities(names, description)
        | _state_machine(names, stage, description)
    )
    return {"Resources": _substituted(resources)}


def _resource(kind: str, properties: Json, **more: Any) -> Json:
    return {"Type": f"AWS::{kind}", "Properties": properties} | more


# A stack that could not be created removes them again: they would be in the way of the next attempt.
_KEPT = {"DeletionPolicy": "RetainExceptOnCreate", "UpdateReplacePolicy": "Retain"}


def _storage(names: Names, description: Description) -> Json:
    found: Json = {_logical_id(each): _table(names, each) for each in description.tables}
    for each in description.buckets:
        found |= _bucket(names, each)
    return found


def _table(names: Names, wanted: Table) -> Json:
    expiry = {"TimeToLiveSpecification": table.expiry(wanted)} if wanted.ttl else {}
    more = {
        "SSESpecification": {"SSEEnabled": True},
        **expiry,
        "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
    }
    return _resource("DynamoDB::Table", table.table_definition(wanted, wanted.full_name(names)) | more, **_KEPT)


def _bucket(names: Names, wanted: Bucket) -> Json:
    rules = [_rule(prefix, days) for prefix, days in wanted.expiry.items()]
    properties = {
        "BucketName": wanted.full_name(names),
        "PublicAccessBlockConfiguration": bucket.BLOCKED,
        **({"LifecycleConfiguration": {"Rules": rules}} if rules else {}),
    }
    logical_id = _logical_id(wanted)
    policy = {"Bucket": {"Ref": logical_id}, "PolicyDocument": bucket.tls_only(wanted.arn(names))}
    return {
        logical_id: _resource("S3::Bucket", properties, **_KEPT),
        f"{logical_id}Policy": _resource("S3::BucketPolicy", policy),
    }


def _logical_id(storage: Table | Bucket) -> str:
    return storage.logical_id or _camel(storage.name) + type(storage).__name__


def _rule(prefix: str, days: int) -> Json:
    return {
        "Id": bucket.rule_id(prefix),
        "Status": "Enabled",
        **({"Prefix": prefix} if prefix else {}),
        "ExpirationInDays": days,
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
    }


def _topics(names: Names, description: Description, addresses: list[str]) -> Json:
    found: Json = {}
    for name in description.all_topics:
        logical = _camel(name)
        key = {} if name == ALARMS else {"KmsMasterKeyId": topics.KEY}
        found[f"{logical}Topic"] = _resource("SNS::Topic", {"TopicName": names.named(name)} | key)
        for number, address in enumerate(addresses):
            mail = {"TopicArn": {"Ref": f"{logical}Topic"}, "Protocol": "email", "Endpoint": address}
            found[f"{logical}Mail{number}"] = _resource("SNS::Subscription", mail)
    if not description.alarms:
        return found
    policy = {"Topics": [{"Ref": "AlarmsTopic"}], "PolicyDocument": alarms.topic_policy(names)}
    return found | {"AlarmsTopicPolicy": _resource("SNS::TopicPolicy", policy)}


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in re.split("[-_]", name))


def _logs(names: Names, description: Description) -> Json:
    return {
        f"Logs{number}": _resource("Logs::LogGroup", {"LogGroupName": name, "RetentionInDays": logs.RETENTION_DAYS})
        for number, name in enumerate(logs.groups(names, description.functions))
    }


def _chalice_resources(names: Names, description: Description, page: str | None, *, traced: bool) -> Json:
    """Return what is added to Chalice's resources: names, no retries, the page's address, and what its API lacks."""
    found: Json = {
        chalice_names.logical_id(each): {"Properties": {"FunctionName": chalice_names.function(names, each)}}
        for each in description.functions
    }
    for each in description.not_retried:
        found[chalice_names.logical_id(each)]["Properties"]["EventInvokeConfig"] = {"MaximumRetryAttempts": 0}
    for each in description.scheduled:
        rule = {"Properties": {"Name": chalice_names.schedule_rule(names, each)}}
        logical_id = chalice_names.logical_id(each)
        found[logical_id]["Properties"]["Events"] = {f"{logical_id}Event": rule}
    for sender in description.page.senders if description.page else ():
        variables = {"Variables": {"PAGE_URL": page}}
        found[chalice_names.logical_id(sender)]["Properties"]["Environment"] = variables
    return found | (_api(traced=traced) if description.has_api else {})


def _api(*, traced: bool) -> Json:
    limits = {"ThrottlingRateLimit": api.RATE, "ThrottlingBurstLimit": api.BURST}
    method = {"ResourcePath": "/*", "HttpMethod": "*"} | limits
    return {"RestAPI": {"Properties": {"MethodSettings": [method], "TracingEnabled": traced}}}


def _alarms(names: Names, description: Description, page: str | None) -> Json:
    return {
        f"{_camel(each.name)}Alarm": _resource("CloudWatch::Alarm", alarms.request(each, names, page))
        for each in description.alarms
    }


def _activities(names: Names, description: Description) -> Json:
    return {
        f"{_camel(name)}Activity": _resource("StepFunctions::Activity", {"Name": names.named(name)})
        for name in description.activities
    }


def _state_machine(names: Names, stage: Stage, description: Description) -> Json:
    machine = description.state_machine
    policy = state_machine.policy(names, machine.statements, traced=stage.traced)
    role = {
        "RoleName": state_machine.role_name(names),
        "AssumeRolePolicyDocument": state_machine.trust(names),
        "Policies": [{"PolicyName": state_machine.POLICY, "PolicyDocument": policy}],
    }
    settings: Json = _capitalized(state_machine.settings(names, traced=stage.traced))
    workflow = settings | {
        "StateMachineName": names.prefix,
        "DefinitionString": definition.read(stage.project, machine),
    }
    workflow["RoleArn"] = {"Fn::GetAtt": ["StateMachineRole", "Arn"]}
    children = f"Logs{len(logs.groups(names, description.functions)) - 1}"
    storage = [*map(_logical_id, description.tables), *map(_logical_id, description.buckets)]
    return {
        "StateMachineRole": _resource("IAM::Role", role),
        "StateMachine": _resource("StepFunctions::StateMachine", workflow, DependsOn=[children, *storage]),
    }


def _capitalized(value: Any) -> Any:
    """Return what an API calls `roleArn` as CloudFormation does: `RoleArn`."""
    if isinstance(value, dict):
        return {key[0].upper() + key[1:]: _capitalized(each) for key, each in value.items()}
    return [_capitalized(each) for each in value] if isinstance(value, list) else value


def _substituted(value: Any) -> Any:
    """Let CloudFormation fill in account, region and the API's id wherever a text names them."""
    if isinstance(value, dict):
        return {key: _substituted(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_substituted(each) for each in value]
    return {"Fn::Sub": value} if isinstance(value, str) and "${AWS::" in value else value


def write(stage: Stage, addresses: list[str], put: Callable[[str], object]) -> None:
    """Pass the template on as JSON text."""
    put(json.dumps(template(stage, addresses), indent=2) + "\n")

"""The same resources for CloudFormation: a template that `chalice package --merge-template` takes in.

It is made of the definitions that deploy.py deploys by, with CloudFormation's own names for account and region, so that
nothing is written twice.
"""

import json
from collections.abc import Callable
from typing import Any

from chalicelib.settings import Names, Place, Settings
from deployment import alarms, api, bucket, definition, logs, machine, naming, table, topics
from deployment.stage import Stage

_PLACE = Place("${AWS::Partition}", "${AWS::Region}", "${AWS::AccountId}")

Json = dict[str, Any]


def template(stage: Stage, addresses: list[str], place: Place = _PLACE) -> Json:
    """Return the template of a stage. Table and bucket outlive the stack, as they outlive `destroy`."""
    names = Names(stage.names.prefix, place)
    resources = (
        _stores(names)
        | _topics(names, addresses)
        | _logs(names)
        | _chalices(names, traced=stage.traced)
        | _alarms(names, stage.settings)
        | _machine(names, stage)
    )
    return {"Resources": _substituted(resources)}


def _resource(kind: str, properties: Json, **more: Any) -> Json:
    return {"Type": f"AWS::{kind}", "Properties": properties} | more


def _stores(names: Names) -> Json:
    # A stack that could not be made takes them away again: they would be in the way of the next try.
    kept = {"DeletionPolicy": "RetainExceptOnCreate", "UpdateReplacePolicy": "Retain"}
    expiry = {
        "Id": "expire",
        "Status": "Enabled",
        "ExpirationInDays": bucket.DAYS,
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
    }
    ledger = table.table_definition(names.table) | {
        "SSESpecification": {"SSEEnabled": True},
        "TimeToLiveSpecification": table.TTL,
        "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
    }
    manifests = {
        "BucketName": names.bucket,
        "PublicAccessBlockConfiguration": bucket.BLOCKED,
        "LifecycleConfiguration": {"Rules": [expiry]},
    }
    policy = {"Bucket": {"Ref": "Manifests"}, "PolicyDocument": bucket.tls_only(names)}
    return {
        "Ledger": _resource("DynamoDB::Table", ledger, **kept),
        "Manifests": _resource("S3::Bucket", manifests, **kept),
        "ManifestsPolicy": _resource("S3::BucketPolicy", policy),
    }


def _topics(names: Names, addresses: list[str]) -> Json:
    arns = {"Succeeded": names.succeeded_topic, "Failed": names.failed_topic, "Alarms": alarms.topic(names)}
    found: Json = {}
    for logical, arn in arns.items():
        key = {} if logical == "Alarms" else {"KmsMasterKeyId": topics.KEY}
        found[f"{logical}Topic"] = _resource("SNS::Topic", {"TopicName": arn.rpartition(":")[2]} | key)
        for number, address in enumerate(addresses):
            mail = {"TopicArn": {"Ref": f"{logical}Topic"}, "Protocol": "email", "Endpoint": address}
            found[f"{logical}Mail{number}"] = _resource("SNS::Subscription", mail)
    policy = {"Topics": [{"Ref": "AlarmsTopic"}], "PolicyDocument": alarms.topic_policy(names)}
    return found | {"AlarmsTopicPolicy": _resource("SNS::TopicPolicy", policy)}


def _logs(names: Names) -> Json:
    return {
        f"Logs{number}": _resource("Logs::LogGroup", {"LogGroupName": name, "RetentionInDays": logs.RETENTION_DAYS})
        for number, name in enumerate(logs.groups(names))
    }


def _chalices(names: Names, *, traced: bool) -> Json:
    """Return what Chalice's own resources get besides: names, the collector's retries, the API's limits and tracing."""
    found: Json = {
        naming.logical(function): {"Properties": {"FunctionName": name}}
        for name, function in naming.functions(names).items()
    }
    collector = found[naming.logical("collector")]["Properties"]
    collector["EventInvokeConfig"] = {"MaximumRetryAttempts": 0}
    collector["Events"] = {"CollectorEvent": {"Properties": {"Name": naming.schedule_rule(names)}}}
    limits = {"ThrottlingRateLimit": api.RATE, "ThrottlingBurstLimit": api.BURST}
    method = {"ResourcePath": "/*", "HttpMethod": "*"} | limits
    return found | {"RestAPI": {"Properties": {"MethodSettings": [method], "TracingEnabled": traced}}}


def _alarms(names: Names, settings: Settings) -> Json:
    return {
        "".join(part.capitalize() for part in each.name.split("-")) + "Alarm": _resource(
            "CloudWatch::Alarm", alarms.request(each, names)
        )
        for each in alarms.alarms(names, settings)
    }


def _machine(names: Names, stage: Stage) -> Json:
    text = definition.render(stage.project / "statemachine.json", definition.placeholders(names))
    role = {
        "RoleName": machine.role_name(names),
        "AssumeRolePolicyDocument": machine.TRUST,
        "Policies": [{"PolicyName": machine.POLICY, "PolicyDocument": machine.policy(names)}],
    }
    settings: Json = _capitalized(machine.settings(names, traced=stage.traced))
    workflow = settings | {"StateMachineName": names.prefix, "DefinitionString": text}
    workflow["RoleArn"] = {"Fn::GetAtt": ["StateMachineRole", "Arn"]}
    after = [f"Logs{len(logs.groups(names)) - 1}", "Ledger", "Manifests"]
    return {
        "StateMachineRole": _resource("IAM::Role", role),
        "StateMachine": _resource("StepFunctions::StateMachine", workflow, DependsOn=after),
    }


def _capitalized(value: Any) -> Any:
    """Return what an API calls `roleArn` as CloudFormation does: `RoleArn`."""
    if isinstance(value, dict):
        return {key[0].upper() + key[1:]: _capitalized(each) for key, each in value.items()}
    return [_capitalized(each) for each in value] if isinstance(value, list) else value


def _substituted(value: Any) -> Any:
    """Have CloudFormation put in account and region wherever a text names them."""
    if isinstance(value, dict):
        return {key: _substituted(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_substituted(each) for each in value]
    return {"Fn::Sub": value} if isinstance(value, str) and "${AWS::" in value else value


def write(stage: Stage, addresses: list[str], put: Callable[[str], object]) -> None:
    """Hand the template over as JSON text."""
    put(json.dumps(template(stage, addresses), indent=2) + "\n")

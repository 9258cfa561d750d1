"""The same resources for CloudFormation: a template for `chalice package --merge-template`.

It is made of the definitions that deploy.py itself uses, with CloudFormation's own names for account and region, so
nothing is defined twice.
"""

import json
from collections.abc import Callable
from typing import Any

from chalicelib.names import AwsLocation, Names
from chalicelib.settings import Settings
from deployment import alarms, api, bucket, chalice_names, definition, logs, state_machine, table, topics
from deployment.stage import Stage

_LOCATION = AwsLocation("${AWS::Partition}", "${AWS::Region}", "${AWS::AccountId}")

# The functions that send mails, or return one. None of them serves the API, so they can know its id.
_MAIL_SENDERS = ("collector", "report", "request_approval")
_PAGE = "https://${RestAPI}.execute-api.${AWS::Region}.${AWS::URLSuffix}/"

Json = dict[str, Any]


def template(stage: Stage, addresses: list[str], location: AwsLocation = _LOCATION) -> Json:
    """Return the template of a stage. Table and bucket outlive the stack, just as they outlive `destroy`."""
    names = Names(stage.names.prefix, location)
    page = stage.settings.page_address or _PAGE + stage.api_stage
    resources = (
        _storage(names)
        | _topics(names, addresses)
        | _logs(names)
        | _chalice_resources(names, page, traced=stage.traced)
        | _alarms(names, stage.settings, page)
        | _state_machine(names, stage)
    )
    return {"Resources": _substituted(resources)}


def _resource(kind: str, properties: Json, **more: Any) -> Json:
    return {"Type": f"AWS::{kind}", "Properties": properties} | more


def _storage(names: Names) -> Json:
    # A stack that could not be created removes them again: they would be in the way of the next attempt.
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
    arns = {
        "Succeeded": names.succeeded_topic_arn,
        "Failed": names.failed_topic_arn,
        "Alarms": names.alarms_topic_arn,
    }
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


def _chalice_resources(names: Names, page: str, *, traced: bool) -> Json:
    """Return what is added to Chalice's resources: names, the collector's retries, the API's limits and tracing.

    And the page's address, for those who send mails.
    """
    found: Json = {
        chalice_names.logical_id(function): {"Properties": {"FunctionName": name}}
        for name, function in chalice_names.functions(names).items()
    }
    collector = found[chalice_names.logical_id("collector")]["Properties"]
    collector["EventInvokeConfig"] = {"MaximumRetryAttempts": 0}
    collector["Events"] = {"CollectorEvent": {"Properties": {"Name": chalice_names.schedule_rule(names)}}}
    for sender in _MAIL_SENDERS:
        variables = {"Variables": {"PAGE_URL": page}}
        found[chalice_names.logical_id(sender)]["Properties"]["Environment"] = variables
    limits = {"ThrottlingRateLimit": api.RATE, "ThrottlingBurstLimit": api.BURST}
    method = {"ResourcePath": "/*", "HttpMethod": "*"} | limits
    return found | {"RestAPI": {"Properties": {"MethodSettings": [method], "TracingEnabled": traced}}}


def _alarms(names: Names, settings: Settings, page: str) -> Json:
    return {
        "".join(part.capitalize() for part in each.name.split("-")) + "Alarm": _resource(
            "CloudWatch::Alarm", alarms.request(each, names, page)
        )
        for each in alarms.alarms(names, settings)
    }


def _state_machine(names: Names, stage: Stage) -> Json:
    text = definition.render(stage.project / "statemachine.json", definition.placeholders(names))
    role = {
        "RoleName": state_machine.role_name(names),
        "AssumeRolePolicyDocument": state_machine.trust(names),
        "Policies": [{"PolicyName": state_machine.POLICY, "PolicyDocument": state_machine.policy(names)}],
    }
    settings: Json = _capitalized(state_machine.settings(names, traced=stage.traced))
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
    """Let CloudFormation fill in account, region and the API's id wherever a text names them."""
    if isinstance(value, dict):
        return {key: _substituted(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_substituted(each) for each in value]
    return {"Fn::Sub": value} if isinstance(value, str) and "${AWS::" in value else value


def write(stage: Stage, addresses: list[str], put: Callable[[str], object]) -> None:
    """Pass the template on as JSON text."""
    put(json.dumps(template(stage, addresses), indent=2) + "\n")

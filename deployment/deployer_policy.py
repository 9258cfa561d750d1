"""What the deploying identity may do: what deploy.py and Chalice do. A test compares it with the requests they make."""

from collections.abc import Iterable, Sequence

from chalicelib.names import Names
from deployment import alarms, chalice_names, logs, state_machine
from deployment.description import API, Bucket, Description, Table
from deployment.iam_policy import OWN_ACCOUNT, Json, allow, callers, document

# API Gateway creates this role when it first traces a stage of an account (API Gateway Developer Guide, "Set up AWS
# X-Ray with API Gateway REST APIs" and "Using service-linked roles for API Gateway").
_TRACING_SERVICE = "ops.apigateway.amazonaws.com"
_TRACING_ROLE = f"aws-service-role/{_TRACING_SERVICE}/AWSServiceRoleForAPIGateway"


def policy(names: Names, description: Description, more: Sequence[Json]) -> Json:
    """Return the policy of whoever runs deploy.py for a stage. `more` is what the project needs besides."""
    return document(
        *(statement for table in description.tables for statement in _table(names, table)),
        *(statement for bucket in description.buckets for statement in _bucket(names, bucket)),
        *_functions(names, description),
        *_roles(names, description),
        *_messages(names, description),
        *_state_machine(names, description),
        *more,
        # These actions have no resources (Service Authorization Reference, CloudWatch Logs).
        allow(f"logs:{' '.join(state_machine.LOG_DELIVERY)}", "*"),
    )


def _table(names: Names, table: Table) -> list[Json]:
    actions = "CreateTable DescribeTable UpdateTable DeleteTable"
    expiry = "DescribeTimeToLive UpdateTimeToLive" if table.ttl else ""
    backups = "DescribeContinuousBackups UpdateContinuousBackups"
    arn = table.arn(names)
    found = [allow(f"dynamodb:{actions} {expiry} {backups} {table.commands}", arn)]
    queried = [f"{arn}/index/{index}" for index in table.queried]
    return found + ([allow("dynamodb:Query", *queried)] if queried else [])


def _bucket(names: Names, bucket: Bucket) -> list[Json]:
    arn = bucket.arn(callers(names))
    lifecycle = " GetLifecycleConfiguration PutLifecycleConfiguration" if bucket.expiry else ""
    return [
        # Without a condition on its owner: a bucket that is still to be created has none. Each command first asks whose
        # it is (HeadBucket with ExpectedBucketOwner).
        allow(
            "s3:CreateBucket DeleteBucket ListBucket GetBucketPublicAccessBlock PutBucketPublicAccessBlock "
            f"GetBucketPolicy PutBucketPolicy{lifecycle}",
            arn,
        ),
        allow("s3:DeleteObject", f"{arn}/*", condition=OWN_ACCOUNT),
    ]


def _functions(names: Names, description: Description) -> list[Json]:
    return [
        allow(
            "lambda:CreateFunction GetFunction GetFunctionConfiguration UpdateFunctionCode UpdateFunctionConfiguration "
            "DeleteFunction ListTags TagResource GetFunctionConcurrency PutFunctionConcurrency "
            "DeleteFunctionConcurrency",
            *_arns(names, description.functions),
        ),
        # Those that API Gateway and EventBridge invoke.
        *_on("lambda:GetPolicy AddPermission", _arns(names, description.invoked)),
        *_on(
            "lambda:GetFunctionEventInvokeConfig PutFunctionEventInvokeConfig",
            _arns(names, description.not_retried),
        ),
        *_on("lambda:InvokeFunction", _arns(names, [API] if description.version else [])),
        *_on(
            "events:PutRule DescribeRule DeleteRule PutTargets RemoveTargets ListTargetsByRule",
            [names.arn("events", f"rule/{chalice_names.schedule_rule(names, each)}") for each in description.scheduled],
        ),
        *(_api() if description.has_api else []),
    ]


def _arns(names: Names, functions: Iterable[str]) -> list[str]:
    return [names.arn("lambda", f"function:{chalice_names.function(names, each)}") for each in functions]


def _on(actions: str, resources: Sequence[str]) -> list[Json]:
    """Return the statement that allows actions on these resources; none if there are none."""
    return [allow(actions, *resources)] if resources else []


def _api() -> list[Json]:
    """Return the statements for the API. API Gateway makes up its id, so all of the account's are covered."""
    return [
        allow("apigateway:GET POST", "arn:*:apigateway:*::/restapis"),
        allow("apigateway:GET POST PUT PATCH DELETE", "arn:*:apigateway:*::/restapis/*"),
    ]


def _roles(names: Names, description: Description) -> list[Json]:
    roles = [chalice_names.role(names, each) for each in description.functions] + [state_machine.role_name(names)]
    arns = [names.role_arn(role) for role in roles]
    services = {"iam:PassedToService": ["lambda.amazonaws.com", "states.amazonaws.com"]}
    return [
        allow(
            "iam:CreateRole GetRole DeleteRole PutRolePolicy GetRolePolicy DeleteRolePolicy ListRolePolicies",
            *arns,
        ),
        allow("iam:UpdateAssumeRolePolicy", names.role_arn(state_machine.role_name(names))),
        allow("iam:PassRole", *arns, condition={"StringEquals": services}),
        *(_tracing(names) if description.has_api else []),
    ]


def _tracing(names: Names) -> list[Json]:
    service = {"StringEquals": {"iam:AWSServiceName": _TRACING_SERVICE}}
    return [allow("iam:CreateServiceLinkedRole", names.role_arn(_TRACING_ROLE), condition=service)]


def _messages(names: Names, description: Description) -> list[Json]:
    alarm_arns = [names.arn("cloudwatch", f"alarm:{alarms.full_name(each, names)}") for each in description.alarms]
    return [
        *_on(
            "sns:CreateTopic GetTopicAttributes SetTopicAttributes DeleteTopic Subscribe Unsubscribe "
            "ListSubscriptionsByTopic",
            [names.topic_arn(each) for each in description.all_topics],
        ),
        *_on("cloudwatch:PutMetricAlarm DescribeAlarms DeleteAlarms", alarm_arns),
        allow(
            "logs:CreateLogGroup PutRetentionPolicy DeleteLogGroup",
            *(names.log_group_arn(group) for group in logs.groups(names, description.functions)),
        ),
    ]


def _state_machine(names: Names, description: Description) -> list[Json]:
    actions = "CreateStateMachine DescribeStateMachine UpdateStateMachine DeleteStateMachine ListExecutions"
    return [
        allow(f"states:{actions}", names.state_machine_arn),
        allow("states:StopExecution", names.execution_arn("*")),
        *_on(
            "states:CreateActivity DescribeActivity DeleteActivity",
            [names.activity_arn(each) for each in description.activities],
        ),
    ]

"""What the deploying identity may do: what deploy.py and Chalice do. A test compares it with the requests they make."""

from chalicelib.application.config import Auth
from chalicelib.names import Names
from chalicelib.settings import Settings
from deployment import alarms, chalice_names, function_policies, logs, secret_policy, state_machine
from deployment.iam_policy import OWN_ACCOUNT, Json, allow, document

# API Gateway creates this role when it first traces a stage of an account (API Gateway Developer Guide, "Set up AWS
# X-Ray with API Gateway REST APIs" and "Using service-linked roles for API Gateway").
_TRACING_SERVICE = "ops.apigateway.amazonaws.com"
_TRACING_ROLE = f"aws-service-role/{_TRACING_SERVICE}/AWSServiceRoleForAPIGateway"


def policy(names: Names, settings: Settings, auth: Auth) -> Json:
    """Return the policy of whoever runs deploy.py for a stage."""
    return document(
        *_data(names),
        *_functions(names),
        *_roles(names),
        *_messages(names, settings),
        *_state_machine(names),
        *secret_policy.statements(auth),
        *_without_resources(),
    )


def _data(names: Names) -> list[Json]:
    table = "CreateTable DescribeTable UpdateTable DeleteTable DescribeTimeToLive UpdateTimeToLive"
    backups = "DescribeContinuousBackups UpdateContinuousBackups"
    bucket = function_policies.callers_bucket_arn(names)
    return [
        allow(f"dynamodb:{table} {backups} GetItem PutItem UpdateItem BatchGetItem Query", names.table_arn),
        allow("dynamodb:Query", f"{names.table_arn}/index/runs", f"{names.table_arn}/index/worklist"),
        # Without a condition on its owner: a bucket that is still to be created has none. Each command first asks whose
        # it is (HeadBucket with ExpectedBucketOwner).
        allow(
            "s3:CreateBucket DeleteBucket ListBucket GetBucketPublicAccessBlock PutBucketPublicAccessBlock "
            "GetBucketPolicy PutBucketPolicy GetLifecycleConfiguration PutLifecycleConfiguration",
            bucket,
        ),
        allow("s3:DeleteObject", f"{bucket}/*", condition=OWN_ACCOUNT),
    ]


def _functions(names: Names) -> list[Json]:
    functions = [names.arn("lambda", f"function:{name}") for name in chalice_names.functions(names)]
    api = names.arn("lambda", f"function:{names.prefix}")
    rule = names.arn("events", f"rule/{chalice_names.schedule_rule(names)}")
    return [
        allow(
            "lambda:CreateFunction GetFunction GetFunctionConfiguration UpdateFunctionCode UpdateFunctionConfiguration "
            "DeleteFunction ListTags TagResource GetFunctionConcurrency PutFunctionConcurrency "
            "DeleteFunctionConcurrency",
            *functions,
        ),
        # Those that API Gateway and EventBridge invoke.
        allow("lambda:GetPolicy AddPermission", api, names.function_arn("authorizer"), names.function_arn("collector")),
        allow(
            "lambda:GetFunctionEventInvokeConfig PutFunctionEventInvokeConfig",
            names.function_arn("collector"),
        ),
        allow("lambda:InvokeFunction", api),
        allow("events:PutRule DescribeRule DeleteRule PutTargets RemoveTargets ListTargetsByRule", rule),
        # API Gateway makes up the id of an API, so all of the account's are covered.
        allow("apigateway:GET POST", "arn:*:apigateway:*::/restapis"),
        allow("apigateway:GET POST PUT PATCH DELETE", "arn:*:apigateway:*::/restapis/*"),
    ]


def _roles(names: Names) -> list[Json]:
    roles = [chalice_names.role(names, each) for each in chalice_names.FUNCTIONS] + [state_machine.role_name(names)]
    arns = [names.role_arn(role) for role in roles]
    services = {"iam:PassedToService": ["lambda.amazonaws.com", "states.amazonaws.com"]}
    return [
        allow(
            "iam:CreateRole GetRole DeleteRole PutRolePolicy GetRolePolicy DeleteRolePolicy ListRolePolicies",
            *arns,
        ),
        allow("iam:UpdateAssumeRolePolicy", names.role_arn(state_machine.role_name(names))),
        allow("iam:PassRole", *arns, condition={"StringEquals": services}),
        allow(
            "iam:CreateServiceLinkedRole",
            names.role_arn(_TRACING_ROLE),
            condition={"StringEquals": {"iam:AWSServiceName": _TRACING_SERVICE}},
        ),
    ]


def _messages(names: Names, settings: Settings) -> list[Json]:
    topics = (names.succeeded_topic_arn, names.failed_topic_arn, names.alarms_topic_arn)
    alarm_arns = [
        names.arn("cloudwatch", f"alarm:{alarms.full_name(each, names)}") for each in alarms.alarms(names, settings)
    ]
    return [
        allow(
            "sns:CreateTopic GetTopicAttributes SetTopicAttributes DeleteTopic Subscribe Unsubscribe "
            "ListSubscriptionsByTopic",
            *topics,
        ),
        allow("cloudwatch:PutMetricAlarm DescribeAlarms DeleteAlarms", *alarm_arns),
        allow(
            "logs:CreateLogGroup PutRetentionPolicy DeleteLogGroup",
            *(names.log_group_arn(group) for group in logs.groups(names)),
        ),
    ]


def _state_machine(names: Names) -> list[Json]:
    actions = "CreateStateMachine DescribeStateMachine UpdateStateMachine DeleteStateMachine ListExecutions"
    return [
        allow(f"states:{actions}", names.state_machine_arn),
        allow("states:StopExecution", names.execution_arn("*")),
    ]


def _without_resources() -> list[Json]:
    """Return the statements for actions that have no resources (Service Authorization Reference, Lambda and Logs)."""
    delivery = " ".join(state_machine.LOG_DELIVERY)
    return [allow("lambda:GetAccountSettings", "*"), allow(f"logs:{delivery}", "*")]

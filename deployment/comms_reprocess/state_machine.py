"""What the state machine of comms-reprocess calls, and may call."""

from chalicelib.names import Names
from deployment.description import StateMachine
from deployment.iam_policy import OWN_ACCOUNT, Json, allow

# What the states call.
_FUNCTIONS = ("begin", "reprocess", "record", "report", "request_approval", "collector")


def state_machine(names: Names) -> StateMachine:
    """Return the state machine of a stage."""
    return StateMachine(_placeholders(names), _statements(names))


def _placeholders(names: Names) -> dict[str, str]:
    return {
        "Partition": names.location.partition,
        "Bucket": names.bucket,
        "BeginFunction": names.function_arn("begin"),
        "ReprocessFunction": names.function_arn("reprocess"),
        "RecordFunction": names.function_arn("record"),
        "ReportFunction": names.function_arn("report"),
        "RequestApprovalFunction": names.function_arn("request_approval"),
        "CollectorFunction": names.function_arn("collector"),
        "SucceededTopic": names.succeeded_topic_arn,
        "FailedTopic": names.failed_topic_arn,
    }


def _statements(names: Names) -> list[Json]:
    """Return what the states do, and what a distributed Map needs for itself.

    The latter is from AWS Step Functions Developer Guide, "IAM policies for using Distributed Map states".
    """
    bucket = names.bucket_arn
    functions = [names.function_arn(name) for name in _FUNCTIONS]
    executions = names.arn("states", f"execution:{names.prefix}")
    return [
        allow("lambda:InvokeFunction", *functions),
        # For executions that version 0.1.0 has started: their children look at the run's switch themselves.
        allow("dynamodb:GetItem", names.table_arn),
        allow("s3:GetObject", f"{bucket}/runs/*", condition=OWN_ACCOUNT),
        allow(
            "s3:PutObject GetObject ListMultipartUploadParts AbortMultipartUpload",
            f"{bucket}/results/*",
            condition=OWN_ACCOUNT,
        ),
        allow("sns:Publish", names.succeeded_topic_arn, names.failed_topic_arn),
        allow("states:StartExecution", names.state_machine_arn),
        # The first is what AWS documents; the second is what the children of a Map Run are really called.
        allow("states:DescribeExecution StopExecution", f"{executions}:*", f"{executions}/*"),
    ]

"""What the letters consist of."""

from chalicelib.names import Names
from deployment.description import Alarm, Bucket, Description, Function, StateMachine
from deployment.iam_policy import OWN_ACCOUNT, Json, allow, document
from deployment.stage import Stage

ACTIVITY = "render"

# A letter's key in the bucket is the lock that keeps it from being published twice. It must outlive every worker that
# was suspended with the letter in hand, so it expires long after the execution has.
LETTERS = Bucket(expiry={"letters/": 30})

# Refuses a PutObject without If-None-Match, so that not even a faulty worker overwrites a letter:
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes-enforce.html
ONLY_NEW: Json = {"Null": {"s3:if-none-match": "false"}}


# A redriven execution goes on with the letters that are missing:
# https://docs.aws.amazon.com/step-functions/latest/apireference/API_RedriveExecution.html
_REDRIVE = "Is any worker running? Redrive the execution: it goes on with the letters that are missing."


def describe(_stage: Stage, names: Names) -> Description:
    """Return the functions, resources and permissions of a stage."""
    topic = names.topic_arn("failed")
    placeholders = {
        "Partition": names.location.partition,
        "RenderActivity": names.activity_arn(ACTIVITY),
        "FailedTopic": topic,
    }
    return Description(
        functions={"start_batch": Function()},
        permissions=lambda: {"start_batch": _starts_batches(names)},
        buckets=[LETTERS],
        topics=["failed"],
        activities=[ACTIVITY],
        alarms=_alarms(names),
        state_machine=StateMachine(placeholders, [allow("sns:Publish", topic)]),
    )


def worker_policy(names: Names) -> Json:
    """Return what a worker may do. It runs outside of AWS's functions, so whoever sets it up creates its user or role.

    IAM reads the activity out of a task token, so the reports can be limited to it, too:
    https://docs.aws.amazon.com/step-functions/latest/dg/concept-create-iam-advanced.html
    """
    return document(
        allow("states:GetActivityTask SendTaskHeartbeat SendTaskSuccess SendTaskFailure", names.activity_arn(ACTIVITY)),
        allow("s3:PutObject", f"{LETTERS.arn(names)}/letters/*", condition=OWN_ACCOUNT | ONLY_NEW),
    )


def post_policy(names: Names) -> Json:
    """Return what the post may do: see the letters and take copies. It must not delete them: their keys are locks."""
    return document(
        allow("s3:ListBucket", LETTERS.arn(names), condition=OWN_ACCOUNT),
        allow("s3:GetObject", f"{LETTERS.arn(names)}/letters/*", condition=OWN_ACCOUNT),
    )


def _starts_batches(names: Names) -> list[Json]:
    return [
        allow("states:StartExecution", names.state_machine_arn),
        allow("states:DescribeExecution", names.execution_arn("*")),
    ]


def _alarms(names: Names) -> list[Alarm]:
    """Return the alarms for what the state machine may be unable to mail itself."""
    return [
        _alarm(names, "batch-timed-out", "ExecutionsTimedOut", "was not done within a day. " + _REDRIVE),
        _alarm(names, "batch-failed", "ExecutionsFailed", "has failed. A mail names the letters, if SNS took it."),
        _alarm(names, "batch-stopped", "ExecutionsAborted", "was stopped. " + _REDRIVE),
    ]


def _alarm(names: Names, name: str, metric: str, what: str) -> Alarm:
    meaning = f"A batch of letters {what}"
    machine = {"StateMachineArn": names.state_machine_arn}
    return Alarm(name, meaning, f"AWS/States/{metric}", machine, period=300, periods=1, statistic="Sum")

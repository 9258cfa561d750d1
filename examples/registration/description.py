"""What the registration consists of: functions, table, topic, and who may do what."""

from chalicelib.names import Names
from deployment.description import Alarm, Description, Function, Index, StateMachine, Table
from deployment.iam_policy import Json, allow
from deployment.stage import Stage

# The mails that could not be sent. What was sent later has no `failed`, so it is not in the index.
MAILS = Table(partition="id", indexes=(Index("failed", "failed", "failedAt"),))

_STEPS = ("register", "cancel", "send_mail")


def describe(_stage: Stage, names: Names) -> Description:
    """Return the functions, resources and permissions of a stage."""
    return Description(
        functions={"api_handler": Function("app.app")} | {step: Function() for step in _STEPS},
        permissions=lambda: {"api_handler": _api_handler(names)},
        tables=[MAILS],
        topics=["people"],
        alarms=[_stopped(names)],
        state_machine=_state_machine(names),
    )


def _stopped(names: Names) -> Alarm:
    """Return the alarm for what the state machine cannot see itself: that it was stopped."""
    return Alarm(
        "stopped",
        "A registration was stopped, so nothing of it was undone. What to do: find the execution that was aborted, and "
        "send DELETE /registrations/<its name> to directory, products and promotions. Then write to the person in its "
        "input: the API says from now on that the registration has failed.",
        "AWS/States/ExecutionsAborted",
        {"StateMachineArn": names.state_machine_arn},
        period=300,
        periods=1,
        statistic="Sum",
    )


def _api_handler(names: Names) -> list[Json]:
    return [
        allow("states:StartExecution", names.state_machine_arn),
        allow("states:DescribeExecution", names.execution_arn("*")),
        allow("dynamodb:GetItem UpdateItem", MAILS.arn(names)),
        allow("dynamodb:Query", f"{MAILS.arn(names)}/index/failed"),
    ]


def _state_machine(names: Names) -> StateMachine:
    functions = {step: names.function_arn(step) for step in _STEPS}
    topic = names.topic_arn("people")
    return StateMachine(
        {
            "Partition": names.location.partition,
            "RegisterFunction": functions["register"],
            "CancelFunction": functions["cancel"],
            "SendMailFunction": functions["send_mail"],
            "MailTable": MAILS.full_name(names),
            "PeopleTopic": topic,
        },
        [
            allow("lambda:InvokeFunction", *functions.values()),
            allow("dynamodb:PutItem", MAILS.arn(names)),
            allow("sns:Publish", topic),
        ],
    )

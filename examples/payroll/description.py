"""What the payroll consists of."""

from chalicelib.names import Names
from deployment.description import Alarm, Bucket, Description, Function, StateMachine, Table
from deployment.iam_policy import OWN_ACCOUNT, Json, allow, callers, deny
from deployment.stage import Stage

LEDGER = Table(partition="pk", sort="sk")

# What is left of executions is of no use for longer than somebody looks into a failure. Uploads contain personal data:
# they are kept as long as questions are likely. Payment files stay, as the ledger does.
FILES = Bucket(expiry={"work/": 14, "uploads/": 90})

_STEPS = ("split", "compute", "aggregate", "pay")


def describe(_stage: Stage, names: Names) -> Description:
    """Return the functions, resources and permissions of a stage."""
    return Description(
        functions={
            "api_handler": Function("app.app"),
            "authorizer": Function(authorizer=True),
            **{step: Function() for step in _STEPS},
        },
        permissions=lambda: _permissions(names),
        tables=[LEDGER],
        buckets=[FILES],
        topics=["paid", "failed"],
        alarms=[
            _alarm(names, "stopped", "ExecutionsAborted", "An execution was stopped, and AWS runs no Catch then."),
            _alarm(
                names, "not-paid", "ExecutionsFailed", "A payroll is not paid. Its own mail says why, if SNS took it."
            ),
        ],
        state_machine=_state_machine(names),
    )


def _alarm(names: Names, name: str, metric: str, meaning: str) -> Alarm:
    """Return an alarm for what the state machine itself may be unable to mail."""
    advice = "GET /payrolls/{id} says what to do; the execution is called after the id."
    machine = {"StateMachineArn": names.state_machine_arn}
    return Alarm(name, f"{meaning} {advice}", f"AWS/States/{metric}", machine, period=300, periods=1, statistic="Sum")


def _permissions(names: Names) -> dict[str, list[Json]]:
    return {
        "authorizer": [allow("dynamodb:GetItem", LEDGER.arn(names))],
        "api_handler": [
            *_ledger(names, "GetItem UpdateItem"),
            _objects(names, "PutObject", "uploads"),
            allow("states:StartExecution", names.state_machine_arn),
            allow("states:DescribeExecution", names.execution_arn("*")),
        ],
        "split": [_objects(names, "GetObject", "uploads"), _objects(names, "PutObject", "work")],
        "compute": [_objects(names, "GetObject PutObject", "work")],
        "aggregate": [_objects(names, "GetObject", "work"), _objects(names, "PutObject", "payments")],
        "pay": [*_ledger(names, "GetItem PutItem"), _objects(names, "GetObject", "work")],
    }


def _ledger(names: Names, actions: str) -> list[Json]:
    """Return the statements for the table, without the tokens: whoever could write one could let itself in."""
    tokens = {"ForAnyValue:StringEquals": {"dynamodb:LeadingKeys": ["TOKEN"]}}
    table = LEDGER.arn(names)
    return [allow(f"dynamodb:{actions}", table), deny(f"dynamodb:{actions}", table, condition=tokens)]


def _objects(names: Names, actions: str, folder: str) -> Json:
    return allow(f"s3:{actions}", f"{FILES.arn(callers(names))}/{folder}/*", condition=OWN_ACCOUNT)


def _state_machine(names: Names) -> StateMachine:
    functions = {f"{step.capitalize()}Function": names.function_arn(step) for step in _STEPS}
    topics = {"PaidTopic": names.topic_arn("paid"), "FailedTopic": names.topic_arn("failed")}
    return StateMachine(
        {"Partition": names.location.partition, "Table": LEDGER.full_name(names), **functions, **topics},
        [
            allow("lambda:InvokeFunction", *functions.values()),
            allow("sns:Publish", *topics.values()),
            allow("dynamodb:GetItem", LEDGER.arn(names)),
        ],
    )

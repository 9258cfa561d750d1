"""What the greetings consist of."""

from chalicelib.names import Names
from deployment.description import Description, Function, StateMachine, Table
from deployment.iam_policy import allow
from deployment.stage import Stage

PEOPLE = Table(partition="person")


def describe(_stage: Stage, names: Names) -> Description:
    """Return the functions, resources and permissions of a stage."""
    greet, topic = names.function_arn("greet"), names.topic_arn("greeted")
    return Description(
        functions={"greet": Function()},
        permissions=lambda: {"greet": [allow("dynamodb:PutItem", PEOPLE.arn(names))]},
        tables=[PEOPLE],
        topics=["greeted"],
        activities=["hands"],
        state_machine=StateMachine(
            {
                "Partition": names.location.partition,
                "GreetFunction": greet,
                "GreetedTopic": topic,
                "HandsActivity": names.activity_arn("hands"),
            },
            [allow("lambda:InvokeFunction", greet), allow("sns:Publish", topic)],
        ),
    )

"""The topics for people's mails, and their email subscriptions."""

from typing import Any

from deployment.steps import StepResult

# The key that SNS manages itself. It is enough here, because only this service publishes.
KEY = "alias/aws/sns"

# What SNS lists for three days in place of the ARN of a subscription that somebody has ended.
DELETED = "Deleted"


def ensure_topic(client: Any, arn: str) -> StepResult:
    """Create an encrypted topic, or encrypt it."""
    try:
        attributes = client.get_topic_attributes(TopicArn=arn)["Attributes"]
    except client.exceptions.NotFoundException:
        client.create_topic(Name=arn.rpartition(":")[2], Attributes={"KmsMasterKeyId": KEY})
        return StepResult.CREATED
    if attributes.get("KmsMasterKeyId") == KEY:
        return StepResult.UNCHANGED
    client.set_topic_attributes(TopicArn=arn, AttributeName="KmsMasterKeyId", AttributeValue=KEY)
    return StepResult.CHANGED


def ensure_subscription(client: Any, arn: str, address: str) -> StepResult:
    """Subscribe an address to a topic, unless it is already. Its owner must confirm by the mail that Amazon sends."""
    pages = client.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=arn)
    found = [each for page in pages for each in page["Subscriptions"] if each["SubscriptionArn"] != DELETED]
    if ("email", address) in {(each["Protocol"], each["Endpoint"]) for each in found}:
        return StepResult.UNCHANGED
    client.subscribe(TopicArn=arn, Protocol="email", Endpoint=address)
    return StepResult.CREATED


def remove(client: Any, arn: str) -> bool:
    """Remove a topic with its subscriptions; return whether it existed."""
    try:
        client.get_topic_attributes(TopicArn=arn)
    except client.exceptions.NotFoundException:
        return False
    for page in client.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=arn):
        for each in page["Subscriptions"]:
            # Unconfirmed subscriptions have no ARN yet, and SNS removes them by itself.
            if each["SubscriptionArn"].startswith("arn:"):
                client.unsubscribe(SubscriptionArn=each["SubscriptionArn"])
    client.delete_topic(TopicArn=arn)
    return True

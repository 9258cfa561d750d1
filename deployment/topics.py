"""The topics that people are told on, and their email subscriptions."""

from typing import Any

from deployment.steps import Done

# The key that SNS manages itself: nobody but us publishes here.
KEY = "alias/aws/sns"

# What SNS shows, for three days, in place of the ARN of a subscription that somebody has ended.
DELETED = "Deleted"


def ensure_topic(client: Any, arn: str) -> Done:
    """Make sure of an encrypted topic."""
    try:
        attributes = client.get_topic_attributes(TopicArn=arn)["Attributes"]
    except client.exceptions.NotFoundException:
        client.create_topic(Name=arn.rpartition(":")[2], Attributes={"KmsMasterKeyId": KEY})
        return Done.CREATED
    if attributes.get("KmsMasterKeyId") == KEY:
        return Done.UNCHANGED
    client.set_topic_attributes(TopicArn=arn, AttributeName="KmsMasterKeyId", AttributeValue=KEY)
    return Done.CHANGED


def ensure_subscription(client: Any, arn: str, address: str) -> Done:
    """Make sure that a topic sends mail to an address; its owner has to confirm by the mail that Amazon sends."""
    pages = client.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=arn)
    found = [each for page in pages for each in page["Subscriptions"] if each["SubscriptionArn"] != DELETED]
    if ("email", address) in {(each["Protocol"], each["Endpoint"]) for each in found}:
        return Done.UNCHANGED
    client.subscribe(TopicArn=arn, Protocol="email", Endpoint=address)
    return Done.CREATED


def remove(client: Any, arn: str) -> bool:
    """Remove a topic with its subscriptions; return whether there was one."""
    try:
        client.get_topic_attributes(TopicArn=arn)
    except client.exceptions.NotFoundException:
        return False
    for page in client.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=arn):
        for each in page["Subscriptions"]:
            # Those that nobody has confirmed have no ARN yet, and SNS forgets them by itself.
            if each["SubscriptionArn"].startswith("arn:"):
                client.unsubscribe(SubscriptionArn=each["SubscriptionArn"])
    client.delete_topic(TopicArn=arn)
    return True

"""The only module that talks to Amazon SNS: it publishes notifications."""

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.errors import NotificationFailed
from chalicelib.models.notifications import Notification, Topic
from chalicelib.names import Names


class Topics:
    """The topics of one deployment; `client` is boto3's `sns` client."""

    def __init__(self, client: Any, names: Names) -> None:
        self._client = client
        self._arns = {Topic.SUCCEEDED: names.succeeded_topic_arn, Topic.FAILED: names.failed_topic_arn}

    def publish(self, notification: Notification) -> None:
        """Send a notification to its topic, if it has one. NotificationFailed if SNS does not accept it."""
        if notification.topic == Topic.NONE:
            return
        try:
            self._client.publish(
                TopicArn=self._arns[notification.topic], Subject=notification.subject, Message=notification.message
            )
        except (ClientError, BotoCoreError) as error:
            raise NotificationFailed(str(error)) from error

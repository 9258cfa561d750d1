"""The activities of Step Functions: work that waits for whoever asks for it."""

from typing import Any

from deployment.steps import StepResult


def ensure(client: Any, arn: str) -> StepResult:
    """Create an activity."""
    if _exists(client, arn):
        return StepResult.UNCHANGED
    client.create_activity(name=arn.rpartition(":")[2])
    return StepResult.CREATED


def remove(client: Any, arn: str) -> bool:
    """Delete an activity; return whether it existed."""
    if not _exists(client, arn):
        return False
    client.delete_activity(activityArn=arn)
    return True


def _exists(client: Any, arn: str) -> bool:
    try:
        client.describe_activity(activityArn=arn)
    except client.exceptions.ActivityDoesNotExist:
        return False
    return True

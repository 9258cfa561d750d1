"""IAM roles: removing one with all that hangs on it."""

from typing import Any


def remove(client: Any, name: str) -> bool:
    """Remove a role and its inline policies; return whether there was one."""
    try:
        for policy in client.list_role_policies(RoleName=name)["PolicyNames"]:
            client.delete_role_policy(RoleName=name, PolicyName=policy)
        client.delete_role(RoleName=name)
    except client.exceptions.NoSuchEntityException:
        return False
    return True

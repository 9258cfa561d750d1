"""IAM roles: what one may do, and removing one with all that hangs on it."""

from typing import Any


def policy(client: Any, role: str, name: str) -> Any:
    """Return an inline policy of a role, as the document that it is; None if there is none."""
    try:
        return client.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
    except client.exceptions.NoSuchEntityException:
        return None


def remove(client: Any, name: str) -> bool:
    """Remove a role and its inline policies; return whether there was one."""
    try:
        for policy in client.list_role_policies(RoleName=name)["PolicyNames"]:
            client.delete_role_policy(RoleName=name, PolicyName=policy)
        client.delete_role(RoleName=name)
    except client.exceptions.NoSuchEntityException:
        return False
    return True

"""IAM roles: reading their inline policies, and removing them."""

from typing import Any


def inline_policy(client: Any, role: str, name: str) -> Any:
    """Return the document of a role's inline policy, None if it does not exist."""
    try:
        return client.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
    except client.exceptions.NoSuchEntityException:
        return None


def remove(client: Any, name: str) -> bool:
    """Remove a role and its inline policies; return whether it existed."""
    try:
        for policy in client.list_role_policies(RoleName=name)["PolicyNames"]:
            client.delete_role_policy(RoleName=name, PolicyName=policy)
        client.delete_role(RoleName=name)
    except client.exceptions.NoSuchEntityException:
        return False
    return True

"""What a policy has to allow so that the application's secret can be read."""

import re

from chalicelib.application.config import Auth
from chalicelib.application.secret_reader import SSM
from deployment.iam_policy import Json, allow


def statements(auth: Auth) -> list[Json]:
    """Return the statements for reading the secret that `auth` names; none if there is none."""
    if not auth.secret:
        return []
    service, action, arn = _permission(auth.secret)
    found = [allow(f"{service}:{action}", arn)]
    if auth.kms_key:
        # Only through the service that keeps the secret (AWS KMS Developer Guide, "kms:ViaService").
        through = {"StringLike": {"kms:ViaService": f"{service}.*"}}
        found.append(allow("kms:Decrypt", auth.kms_key, condition=through))
    return found


def _permission(secret: str) -> tuple[str, str, str]:
    """Return the service, its action and the ARN of a secret, as its reader understands the name."""
    if secret.startswith(SSM):
        name = secret.removeprefix(SSM)
        arn = name if name.startswith("arn:") else f"arn:*:ssm:*:*:parameter/{name.lstrip('/')}"
        return "ssm", "GetParameter", arn
    if secret.split(":")[2:3] == ["ssm"]:
        return "ssm", "GetParameter", secret
    arn = secret if secret.startswith("arn:") else f"arn:*:secretsmanager:*:*:secret:{secret}"
    # Secrets Manager adds a hyphen and six characters to the name, and an ARN may have them already (AWS Secrets
    # Manager API Reference, GetSecretValue).
    complete = arn == secret and re.search(r"-[A-Za-z0-9]{6}\Z", arn)
    return "secretsmanager", "GetSecretValue", arn if complete else f"{arn}-??????"

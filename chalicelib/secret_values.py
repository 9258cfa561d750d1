"""Reads the value of a secret, from Secrets Manager or from SSM's parameters."""

from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.errors import ConfigurationError

# Marks the name of a parameter; a parameter's ARN marks itself.
SSM = "ssm:"


def read(name: str, client: Callable[[str], Any]) -> str:
    """Return the value of a secret; ConfigurationError says which one cannot be read, and why.

    `name` is a Secrets Manager name or ARN, `ssm:` and a parameter's name, or a parameter's ARN.
    """
    try:
        if name.startswith(SSM) or name.split(":")[2:3] == ["ssm"]:
            return _parameter(name.removeprefix(SSM), client("ssm"))
        return str(client("secretsmanager").get_secret_value(SecretId=name)["SecretString"])
    except ClientError as error:
        why = error.response["Error"]["Code"]
    except (BotoCoreError, KeyError) as error:
        why = type(error).__name__
    raise ConfigurationError(f"the secret {name!r} (auth.secret in application.toml) cannot be read: {why}")


def _parameter(name: str, client: Any) -> str:
    # The name may be an ARN (AWS Systems Manager API reference, GetParameter).
    return str(client.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"])

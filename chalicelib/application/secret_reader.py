"""Reads the value of a secret from AWS Secrets Manager, or from a parameter of SSM."""

from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.errors import ConfigurationError

# Marks the name of an SSM parameter. An ARN needs no mark: it names its service.
SSM = "ssm:"


def read(name: str, client: Callable[[str], Any]) -> str:
    """Return the value of a secret; `client` returns boto3's client of a service.

    `name` is a Secrets Manager name or ARN, `ssm:` and a parameter's name, or a parameter's ARN. ConfigurationError
    says which secret cannot be read, and why.
    """
    try:
        if name.startswith(SSM) or name.split(":")[2:3] == ["ssm"]:
            return _parameter(name.removeprefix(SSM), client("ssm"))
        return str(client("secretsmanager").get_secret_value(SecretId=name)["SecretString"])
    except ClientError as error:
        cause = error.response["Error"]["Code"]
    except (BotoCoreError, KeyError) as error:
        cause = type(error).__name__
    raise ConfigurationError(f"the secret {name!r} (auth.secret in application.toml) cannot be read: {cause}")


def _parameter(name: str, client: Any) -> str:
    # The name may be an ARN (AWS Systems Manager API Reference, GetParameter).
    return str(client.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"])

"""Reads the value of a secret from AWS Secrets Manager, or from a parameter of SSM."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnection

from chalicelib.errors import ConfigurationError, SecretUnavailable

# Marks the name of an SSM parameter. An ARN needs no mark: it names its service.
SSM = "ssm:"

# AWS's codes for "too many requests" that these services use (botocore's standard retry mode knows the same ones).
_THROTTLED = ("Throttling", "ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded")


def read(name: str, client: Callable[[str], Any]) -> str:
    """Return the value of a secret; `client` returns boto3's client of a service.

    `name` is a Secrets Manager name or ARN, `ssm:` and a parameter's name, or a parameter's ARN. ConfigurationError
    says which secret cannot be read, and why; SecretUnavailable does if it may be read a moment later.
    """
    try:
        if name.startswith(SSM) or name.split(":")[2:3] == ["ssm"]:
            return _parameter(name.removeprefix(SSM), client("ssm"))
        return str(client("secretsmanager").get_secret_value(SecretId=name)["SecretString"])
    except (ClientError, BotoCoreError, KeyError) as error:
        raise _failure(name, error) from None


def _failure(name: str, error: Exception) -> Exception:
    secret = f"the secret {name!r} (auth.secret in application.toml)"
    cause = error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
    if _passes(error):
        return SecretUnavailable(f"{secret} cannot be read now: {cause}")
    return ConfigurationError(f"{secret} cannot be read: {cause}")


def _passes(error: Exception) -> bool:
    """Whether AWS may answer otherwise a moment later: it was not reached, it failed, or it throttled us.

    Secrets Manager and SSM have codes of their own for their failures, but a status of 500 or more for each.
    """
    if not isinstance(error, ClientError):
        return isinstance(error, NoConnection | HTTPClientError)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status >= HTTPStatus.INTERNAL_SERVER_ERROR or error.response["Error"]["Code"] in _THROTTLED


def _parameter(name: str, client: Any) -> str:
    # The name may be an ARN (AWS Systems Manager API Reference, GetParameter).
    return str(client.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"])

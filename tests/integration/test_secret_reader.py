"""Secrets read from AWS Secrets Manager and from SSM parameters (moto)."""

import boto3
import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, NoCredentialsError, ReadTimeoutError
from moto import mock_aws

from chalicelib.application import secret_reader
from chalicelib.errors import ConfigurationError, SecretUnavailable


@pytest.fixture
def aws_client():
    """Makes clients of AWS (moto in this process), with one secret and two parameters."""
    with mock_aws():
        clients = {name: boto3.client(name, region_name="eu-central-1") for name in ("ssm", "secretsmanager")}
        clients["secretsmanager"].create_secret(Name="app", SecretString="from the manager")
        clients["ssm"].put_parameter(Name="/app/secret", Type="SecureString", Value="from a parameter")
        clients["ssm"].put_parameter(Name="app", Type="String", Value="plain")
        yield clients.__getitem__


@pytest.mark.parametrize(
    ("name", "value"),
    [("app", "from the manager"), ("ssm:/app/secret", "from a parameter"), ("ssm:app", "plain")],
)
def test_a_secret_is_read_from_secrets_manager_or_with_the_prefix_ssm_from_ssm(aws_client, name, value):
    """A parameter is decrypted."""
    assert secret_reader.read(name, aws_client) == value


def test_a_secret_may_be_named_by_its_arn(aws_client):
    """Both services accept their own ARNs."""
    arn = aws_client("secretsmanager").describe_secret(SecretId="app")["ARN"]
    assert secret_reader.read(arn, aws_client) == "from the manager"
    arn = aws_client("ssm").get_parameter(Name="/app/secret")["Parameter"]["ARN"]
    assert secret_reader.read(arn, aws_client) == "from a parameter"


@pytest.mark.parametrize(("name", "code"), [("other", "ResourceNotFoundException"), ("ssm:other", "ParameterNotFound")])
def test_a_missing_secret_is_an_error_that_names_it(aws_client, name, code):
    """The error also has AWS's code."""
    with pytest.raises(ConfigurationError, match=f"the secret '{name}' .* cannot be read: {code}"):
        secret_reader.read(name, aws_client)


class RefusingClient:
    """A client of Secrets Manager and SSM that answers every read with the same error."""

    def __init__(self, error):
        self.error = error

    def get_secret_value(self, **_request):
        raise self.error

    def get_parameter(self, **_request):
        raise self.error


def aws_error(code, status):
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "GetSecretValue")


@pytest.mark.parametrize("name", ["app", "ssm:app"])
@pytest.mark.parametrize(
    "error",
    [
        aws_error("ThrottlingException", 400),
        aws_error("TooManyRequestsException", 429),
        aws_error("InternalServiceError", 500),
        aws_error("InternalServerError", 500),
        aws_error("ServiceUnavailable", 503),
        ConnectTimeoutError(endpoint_url="https://aws.example"),
        ReadTimeoutError(endpoint_url="https://aws.example"),
    ],
    ids=lambda error: str(error)[:60],
)
def test_a_failure_of_aws_that_passes_is_no_configuration_error(name, error):
    """The secret may be read a moment later, so nobody has to change anything."""
    with pytest.raises(SecretUnavailable, match=r"the secret '.*app' .* cannot be read now: "):
        secret_reader.read(name, lambda _service: RefusingClient(error))


@pytest.mark.parametrize("error", [aws_error("AccessDeniedException", 400), NoCredentialsError()], ids=str)
def test_a_missing_permission_is_a_configuration_error(error):
    """It stays until somebody grants it."""
    with pytest.raises(ConfigurationError, match=r"the secret 'app' .* cannot be read: "):
        secret_reader.read("app", lambda _service: RefusingClient(error))

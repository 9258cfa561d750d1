"""Secrets read from AWS Secrets Manager and from SSM parameters (moto)."""

import boto3
import pytest
from moto import mock_aws

from chalicelib.application import secret_reader
from chalicelib.errors import ConfigurationError


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

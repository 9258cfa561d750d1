"""A deployment for the collector."""

import boto3
import pytest

from tests.integration.collector.fakes import FakeDeployment


@pytest.fixture(scope="module")
def s3(moto):  # noqa: ARG001 (moto runs as long as this fixture)
    return boto3.client("s3", region_name="eu-central-1")


@pytest.fixture
def new_deployment(ministack, s3, clock):
    """Return a function that makes a deployment, for tests that need one for each round."""
    return lambda: FakeDeployment(ministack, s3, clock)


@pytest.fixture
def deployment(new_deployment):
    """A deployment without Lambda and Step Functions; its sources list nothing yet."""
    return new_deployment()

"""The factory for boto3 clients, the only place that imports boto3 to make one."""

from typing import Any

import boto3


def make(service: str, **options: Any) -> Any:
    """Return a new client of an AWS service; `options` are those of boto3.client."""
    client: Any = boto3.client  # its stubs know each service by its literal name only
    return client(service, **options)

"""Makes the clients of AWS."""

from typing import Any

import boto3
from botocore.config import Config

# The state machine and the caller of the API repeat what fails. More attempts here would multiply theirs, and last
# longer than a function may.
_CONFIG = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 2})


def client(service: str) -> Any:
    """Return a new client of an AWS service."""
    make: Any = boto3.client  # its stubs know each service by its literal name only
    return make(service, config=_CONFIG)

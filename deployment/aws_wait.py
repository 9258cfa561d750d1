"""Waiting for what AWS creates asynchronously: calls that depend on it are refused until it is there."""

import time
from collections.abc import Callable

from botocore.exceptions import ClientError

# Two minutes: the longest that a new role takes to become visible (IAM User Guide, "Troubleshoot IAM": "Changes that I
# make are not always immediately visible").
_TRIES, _WAIT_S = 40, 3.0


def retry_until_ready(call: Callable[[], object], error_code: str, sleep: Callable[[float], None] = time.sleep) -> None:
    """Repeat a call while AWS answers with an error code, for two minutes at most; then the error is raised."""
    for _ in range(_TRIES - 1):
        try:
            call()
        except ClientError as error:
            if error.response["Error"]["Code"] != error_code:
                raise
            sleep(_WAIT_S)
        else:
            return
    call()
